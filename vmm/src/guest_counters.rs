//! The counters of the guest's kernel, read from the page that it shares.

use std::mem::offset_of;

use vm_memory::{Bytes, GuestAddress};

use abi::shared::{MAGIC, SharedPage};

use crate::boot::KernelImage;
use crate::memory::GuestRam;
use crate::report::GuestCounters;

/// The contents of the shared page. They are guest input: shown to users, and no decision
/// depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCounters {
    /// For the report.
    pub guest: GuestCounters,
    /// Time-stamp counter as ring 3 was first entered, if it was.
    pub first_user_tsc: Option<u64>,
    /// How often the kernel helped a software-backed KVM, by remedy; none where that is
    /// not known.
    pub remedies: [(&'static str, Option<u64>); 2],
}

/// The counters; all unknown if the kernel has no shared page or did not get as far as
/// starting to count.
pub fn read(ram: &GuestRam, kernel: &KernelImage) -> SharedCounters {
    let field = |offset: usize| {
        let address = GuestAddress(kernel.shared_page?.checked_add(offset as u64)?);
        ram.mmap().read_obj::<u64>(address).ok()
    };
    if field(offset_of!(SharedPage, magic)) != Some(MAGIC) {
        return SharedCounters::default();
    }
    SharedCounters {
        guest: GuestCounters {
            syscalls: field(offset_of!(SharedPage, syscalls)),
            context_switches: field(offset_of!(SharedPage, context_switches)),
            timer_ticks: field(offset_of!(SharedPage, timer_ticks)),
            page_faults: field(offset_of!(SharedPage, page_faults)),
            forks: field(offset_of!(SharedPage, forks)),
            boot_instructions: None,
        },
        first_user_tsc: field(offset_of!(SharedPage, first_user_tsc)).filter(|&tsc| tsc != 0),
        remedies: [
            (
                "int80_as_undefined_opcode",
                field(offset_of!(SharedPage, int80_as_undefined_opcode)),
            ),
            (
                "syscall_as_page_fault",
                field(offset_of!(SharedPage, syscall_as_page_fault)),
            ),
        ],
    }
}
