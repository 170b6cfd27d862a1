//! The PVH start info and the vCPU state that the kernel starts in (Xen:
//! docs/misc/pvh.pandoc).

use std::ops::Range;

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry,
    hvm_start_info,
};
use vm_memory::{Bytes, GuestAddress};
use x86::{ApicBaseFlags, Cr0Flags, segment};

use super::{BootError, KernelImage, acpi};
use crate::cpu::{CpuState, Msrs, Regs, Segment};
use crate::layout::{
    ACPI_TABLES, COMMAND_LINE, COMMAND_LINE_MAX, DEVICE_HOLE, FIRMWARE_HOLE, MEMORY_MAP,
    MODULE_LIST, PAGE, START_INFO,
};
use crate::memory::GuestRam;

/// Version of the start info that has a memory map.
const START_INFO_VERSION: u32 = 1;

/// Processors of the machine.
const CPUS: u8 = 1;

/// What goes into guest memory beside the kernel.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo<'a> {
    /// The kernel's command line.
    pub command_line: &'a [u8],
    /// The initramfs, in pieces that follow each other at once; may be empty.
    pub initramfs: &'a [&'a [u8]],
    /// Whether the kernel finds its devices by ACPI, and the firmware where a PC has it.
    pub acpi: bool,
}

/// Writes initramfs, command line, memory map, ACPI tables and start info.
///
/// # Errors
/// RAM that is too small, or a command line too long.
pub fn write_boot_info(
    ram: &GuestRam,
    kernel: &KernelImage,
    info: &BootInfo<'_>,
) -> Result<(), BootError> {
    let size = info.initramfs.iter().map(|piece| piece.len() as u64).sum();
    let module = hvm_modlist_entry {
        paddr: place_initramfs(ram, kernel, size)?,
        size,
        ..Default::default()
    };
    let mut address = module.paddr;
    for piece in info.initramfs {
        ram.write(address, piece)?;
        address += piece.len() as u64;
    }
    write_command_line(ram, info.command_line)?;

    let memory_map: Vec<_> = usable(ram, info.acpi)
        .into_iter()
        .map(|range| hvm_memmap_table_entry {
            addr: range.start,
            size: range.end - range.start,
            type_: XEN_HVM_MEMMAP_TYPE_RAM,
            reserved: 0,
        })
        .collect();
    let rsdp_paddr = if info.acpi {
        ram.write(ACPI_TABLES, &acpi::tables(ACPI_TABLES, CPUS))?;
        ACPI_TABLES
    } else {
        0
    };
    let start_info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: START_INFO_VERSION,
        nr_modules: u32::from(size != 0),
        rsdp_paddr,
        modlist_paddr: MODULE_LIST,
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: memory_map.len() as u32,
        ..Default::default()
    };
    let mut params = BootParams::new(&start_info, GuestAddress(START_INFO));
    params.set_sections(&memory_map, GuestAddress(MEMORY_MAP));
    params.set_modules(&[module], GuestAddress(MODULE_LIST));
    PvhBootConfigurator::write_bootparams(&params, ram.mmap())
        .map_err(|error| BootError::Loader(error.to_string()))
}

/// Ranges of RAM that the kernel may use: all, or without those where a PC has none.
fn usable(ram: &GuestRam, pc: bool) -> Vec<Range<u64>> {
    let regions = ram.regions();
    let mut ranges: Vec<_> = regions
        .iter()
        .map(|region| region.gpa..region.gpa + region.len)
        .collect();
    if pc && let [low, ..] = ranges.as_mut_slice() {
        let above = FIRMWARE_HOLE.end..low.end;
        low.end = FIRMWARE_HOLE.start;
        ranges.insert(1, above);
    }
    ranges
}

/// The page-aligned address just below the end of low RAM where the initramfs fits.
fn place_initramfs(ram: &GuestRam, kernel: &KernelImage, needed: u64) -> Result<u64, BootError> {
    let top = ram.size().min(DEVICE_HOLE);
    let floor = kernel.end.next_multiple_of(PAGE);
    let available = top.saturating_sub(floor);
    if needed > available {
        return Err(BootError::TooLarge {
            what: "the initramfs",
            needed,
            available,
        });
    }
    Ok((top - needed) / PAGE * PAGE)
}

fn write_command_line(ram: &GuestRam, line: &[u8]) -> Result<(), BootError> {
    if line.contains(&0) {
        return Err(BootError::ZeroByte);
    }
    if line.len() >= COMMAND_LINE_MAX {
        return Err(BootError::CommandLineTooLong { length: line.len() });
    }
    ram.mmap().write_slice(line, GuestAddress(COMMAND_LINE))?;
    ram.mmap()
        .write_obj(0u8, GuestAddress(COMMAND_LINE + line.len() as u64))?;
    Ok(())
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
            ..Msrs::default()
        },
        ..CpuState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: KernelImage = KernelImage {
        entry: 0x10_0000,
        end: 0x20_0010,
        shared_page: None,
        trace_ring: None,
    };

    fn ram() -> GuestRam {
        GuestRam::new(8 << 20).expect("address space")
    }

    #[test]
    fn the_guest_finds_its_command_line_and_initramfs() {
        let ram = ram();
        let info = BootInfo {
            command_line: b"init=/bin/x",
            initramfs: &[&[7; 4000], &[8; 1000]],
            acpi: false,
        };
        write_boot_info(&ram, &KERNEL, &info).expect("everything fits");
        let read = |at: u64| {
            ram.mmap()
                .read_obj::<u64>(GuestAddress(at))
                .expect("inside RAM")
        };
        assert_eq!(read(START_INFO) as u32, XEN_HVM_START_MAGIC_VALUE);
        assert_eq!(read(START_INFO + 24), COMMAND_LINE);
        let (initramfs, size) = (read(MODULE_LIST), read(MODULE_LIST + 8));
        assert_eq!((initramfs, size), ((8 << 20) - 8192, 5000));
        assert_eq!(read(initramfs), 0x0707_0707_0707_0707);
        assert_eq!(read(initramfs + 3996), 0x0808_0808_0707_0707);
        let mut line = [0xff; 12];
        ram.mmap()
            .read_slice(&mut line, GuestAddress(COMMAND_LINE))
            .expect("inside RAM");
        assert_eq!(&line, b"init=/bin/x\0");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ram = ram();
        let large = vec![0; 7 << 20];
        let info = BootInfo {
            command_line: b"",
            initramfs: &[&large],
            acpi: false,
        };
        let error = write_boot_info(&ram, &KERNEL, &info).expect_err("no room");
        assert!(matches!(
            error,
            BootError::TooLarge {
                what: "the initramfs",
                ..
            }
        ));
        let line = "x".repeat(COMMAND_LINE_MAX);
        let info = BootInfo {
            command_line: line.as_bytes(),
            initramfs: &[],
            acpi: false,
        };
        let error = write_boot_info(&ram, &KERNEL, &info).expect_err("too long");
        assert!(matches!(error, BootError::CommandLineTooLong { .. }));
    }
}
