//! Instruction fetches.

use assembly::code;

use crate::monitor::kernel;
use crate::support::kernel::Kernel;
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[Case::new("nothing_is_fetched", nothing, "#6 0\n").but(&[
    (Wrong::Kvm, "it ends such a run"),
    (Wrong::Qemu, "it ends such a run"),
])];

/// A guest-physical address without RAM or a device, where the bus answers ones: no
/// instruction begins with these.
const NOTHING: u64 = 0xd000_0000;

fn nothing() -> Kernel {
    kernel(
        code!(
            "lea r15, [r14 + 3]",
            "mov r14d, {nothing}",
            nothing = const NOTHING
        ),
        code!("jmp r14"),
    )
}
