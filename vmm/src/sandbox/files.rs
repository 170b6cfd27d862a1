//! The way to the host's files, by Landlock.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{Needs, Role};
use crate::binary::PATH;
use crate::cpu::kvm::DEVICE;
use crate::host_instructions::PARANOID;

/// The newest version that is asked for; of an older host's, what it has.
const NEWEST: ABI = ABI::V7;

/// Asks for the version instead of a ruleset (linux/landlock.h).
const VERSION: u32 = 1;

/// The host's version of Landlock's interface, if it has one.
pub fn version() -> Option<u32> {
    let call = libc::SYS_landlock_create_ruleset;
    // SAFETY: it asks for a number, and passes no memory.
    let version = unsafe { libc::syscall(call, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|&version| version > 0)
}

/// Leaves the calling thread the way to what `needs` says of files, and to nothing else: no
/// other files, no ports of TCP, no abstract sockets, no processes outside.
pub fn confine(role: Role, needs: &Needs) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let reads = AccessFs::ReadFile | AccessFs::ReadDir;
    if role == Role::Vcpu {
        let makes = AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::WriteFile
            | AccessFs::Truncate;
        rules = rules
            .add_rules(path_beneath_rules(&needs.reads, reads))?
            .add_rules(path_beneath_rules(&needs.makes, makes))?;
    }
    if role == Role::Maker {
        let writes = AccessFs::WriteFile | AccessFs::IoctlDev;
        rules = rules
            .add_rules(path_beneath_rules(&needs.reads, reads))?
            .add_rules(path_beneath_rules([PATH, PARANOID], reads))?
            .add_rules(path_beneath_rules(&needs.outputs, writes))?
            .add_rules(path_beneath_rules([DEVICE], writes | AccessFs::ReadFile))?;
    }
    rules.restrict_self()?;
    Ok(())
}
