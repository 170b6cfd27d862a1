//! The way to the host's files, by Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Needs, Role};

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

/// Why the way is not closed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A rule that the host does not take.
    #[error(transparent)]
    Rule(#[from] RulesetError),
    /// A folder that cannot be opened.
    #[error(transparent)]
    Path(#[from] landlock::PathFdError),
}

/// Leaves the calling thread the way to what `needs` says of files, and to nothing else: no
/// other files, no ports of TCP, no abstract sockets, no processes outside.
pub fn confine(role: Role, needs: &Needs) -> Result<(), FilesError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let reads = AccessFs::ReadFile | AccessFs::ReadDir;
    let makes = AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::WriteFile
        | AccessFs::Truncate;
    let allowed = |paths: &[PathBuf], access: BitFlags<AccessFs>| {
        let paths = paths.iter();
        let rules = paths.map(move |path| Ok(PathBeneath::new(PathFd::new(path)?, access)));
        rules.collect::<Result<Vec<_>, FilesError>>()
    };
    if role == Role::Vcpu {
        for rule in allowed(&needs.reads, reads)?
            .into_iter()
            .chain(allowed(&needs.makes, makes)?)
        {
            rules = rules.add_rule(rule)?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}
