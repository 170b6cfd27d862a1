//! The PVH start info and the vCPU state that the kernel starts in (Xen:
//! docs/misc/pvh.pandoc).

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry,
    hvm_start_info,
};
use vm_memory::GuestAddress;
use x86::{ApicBaseFlags, Cr0Flags, segment};

use super::BootError;
use super::info::Placed;
use crate::cpu::{CpuState, Msrs, Mtrrs, Regs, Segment};
use crate::layout::{COMMAND_LINE, MEMORY_MAP, MODULE_LIST, START_INFO};
use crate::memory::GuestRam;

/// Version of the start info that has a memory map.
const START_INFO_VERSION: u32 = 1;

/// Writes start info, memory map and module list.
pub fn write(ram: &GuestRam, placed: &Placed) -> Result<(), BootError> {
    let module = hvm_modlist_entry {
        paddr: placed.initramfs.start,
        size: placed.initramfs.end - placed.initramfs.start,
        ..Default::default()
    };
    let ranges = placed.usable.iter();
    let memory_map: Vec<_> = ranges
        .map(|range| hvm_memmap_table_entry {
            addr: range.start,
            size: range.end - range.start,
            type_: XEN_HVM_MEMMAP_TYPE_RAM,
            reserved: 0,
        })
        .collect();
    let start_info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: START_INFO_VERSION,
        nr_modules: u32::from(module.size != 0),
        modlist_paddr: MODULE_LIST,
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: memory_map.len() as u32,
        rsdp_paddr: placed.rsdp,
        ..Default::default()
    };
    let mut params = BootParams::new(&start_info, GuestAddress(START_INFO));
    params.set_sections(&memory_map, GuestAddress(MEMORY_MAP));
    params.set_modules(&[module], GuestAddress(MODULE_LIST));
    PvhBootConfigurator::write_bootparams(&params, ram.mmap())
        .map_err(|error| BootError::Loader(error.to_string()))
}

/// The state at the PVH entry point: 32-bit protected mode, flat segments, paging and
/// interrupts off, ebx at the start info.
pub fn start_state(entry: u32) -> CpuState {
    const TASK_LIMIT: u32 = 0x67;
    let data = Segment::flat(0x10, segment::FLAT_DATA);
    // Of the bootstrap processor after reset.
    let apic = ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::BSP;
    let mut regs = Regs {
        rip: u64::from(entry),
        rflags: x86::RFLAGS_FIXED,
        ..Default::default()
    };
    regs.gpr[Regs::RBX] = START_INFO;
    CpuState {
        regs,
        es: data,
        cs: Segment::flat(0x8, segment::FLAT_CODE_32),
        ss: data,
        ds: data,
        fs: data,
        gs: data,
        tr: Segment {
            selector: 0,
            base: 0,
            limit: TASK_LIMIT,
            attributes: segment::PRESENT | segment::TYPE_TSS_BUSY,
        },
        cr0: (Cr0Flags::PROTECTED_MODE_ENABLE | Cr0Flags::EXTENSION_TYPE).bits(),
        msrs: Msrs {
            apic_base: abi::ports::LOCAL_APIC | apic.bits(),
            mtrrs: Mtrrs::by_firmware(),
            ..Msrs::default()
        },
        ..CpuState::default()
    }
}
