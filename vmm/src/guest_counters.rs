//! The counters of the guest's kernel, read from the page that it shares.

use std::mem::offset_of;

use syscalls::Sysno;
use vm_memory::{Bytes, GuestAddress};

use abi::shared::{MAGIC, SharedPage, UNSUPPORTED_LEN};

use crate::boot::KernelImage;
use crate::memory::GuestRam;
use crate::report::{Counters, GuestCounters};

/// The contents of the shared page. They are guest input: shown to users, and no decision
/// depends on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedCounters {
    /// For the report.
    pub guest: GuestCounters,
    /// Time-stamp counter as ring 3 was first entered, if it was.
    pub first_user_tsc: Option<u64>,
    /// How often the kernel helped a software-backed KVM, by remedy; none where that is
    /// not known.
    pub remedies: [(&'static str, Option<u64>); 2],
    /// System calls that the kernel does not have, by name.
    pub unsupported: Counters,
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
        unsupported: unsupported(ram, kernel).unwrap_or_default(),
    }
}

/// The calls that were made and are not there; those with the highest numbers count as one.
fn unsupported(ram: &GuestRam, kernel: &KernelImage) -> Option<Counters> {
    let start = offset_of!(SharedPage, unsupported) as u64;
    let address = GuestAddress(kernel.shared_page?.checked_add(start)?);
    let mut bytes = [[0; size_of::<u32>()]; UNSUPPORTED_LEN];
    ram.mmap()
        .read_slice(bytes.as_flattened_mut(), address)
        .ok()?;
    let counts = bytes.into_iter().map(u32::from_le_bytes).enumerate();
    let name = |number: usize| match Sysno::new(number) {
        Some(call) => call.name().to_owned(),
        None if number == UNSUPPORTED_LEN - 1 => "others".to_owned(),
        None => format!("number {number}"),
    };
    let made = counts.filter(|&(_, count)| count != 0);
    Some(
        made.map(|(number, count)| (name(number), count.into()))
            .collect(),
    )
}
