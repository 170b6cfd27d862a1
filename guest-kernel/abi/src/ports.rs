//! I/O ports and interrupt lines of the machine.

/// First port of the 16550A serial console (COM1 of a PC).
pub const SERIAL: u16 = 0x3f8;
/// Number of consecutive ports that a 16550A claims.
pub const SERIAL_LEN: u16 = 8;
/// Global system interrupt of the serial console (ISA IRQ 4, edge-triggered).
pub const SERIAL_GSI: u32 = 4;
/// First port of the 16550A that links two machines (COM2 of a PC). A machine without a
/// link has no device there.
pub const LINK: u16 = 0x2f8;
/// Global system interrupt of the link (ISA IRQ 3, edge-triggered).
pub const LINK_GSI: u32 = 3;
/// First port of the 16550A that takes what programs write to standard error (COM3 of a PC).
/// The kernel only sends there, and only if the VMM says that it is there.
pub const ERRORS: u16 = 0x3e8;
/// First port of the 16550A that takes the kernel's own lines (COM4 of a PC); likewise.
pub const LOG: u16 = 0x2e8;
/// First port of the input stream: standard input that is no terminal. There only if the
/// VMM says so.
///
/// A read of 4 bytes says how many bytes can be read from [`INPUT_DATA`] at once, one item
/// of a byte each; [`INPUT_END`] once all have been read and no more will come. After a
/// read of 0 an edge of [`INPUT_GSI`] says that the value has changed.
pub const INPUT: u16 = 0x5e0;
/// Port of the input stream's bytes. Reads beyond the available bytes give 0xff.
pub const INPUT_DATA: u16 = INPUT + 4;
/// Number of consecutive ports that the input stream claims.
pub const INPUT_LEN: u16 = 8;
/// Global system interrupt of the input stream (ISA IRQ 5, edge-triggered).
pub const INPUT_GSI: u32 = 5;
/// The value of the input stream at its end.
pub const INPUT_END: u32 = u32::MAX;
/// Guest-physical address of the virtio console (VIRTIO 1.2, 4.2.2) beside the serial
/// console: output to either comes out at the same place in the order in which it was sent. It
/// receives what the serial console would, or the input stream, once the guest has asked that.
/// There only if the VMM says so.
pub const VIRTIO_CONSOLE: u64 = 0xfeb0_0000;
/// Global system interrupt of the virtio console (edge-triggered).
pub const VIRTIO_CONSOLE_GSI: u32 = 10;
/// Guest-physical address of the virtio console beside [`ERRORS`], which receives nothing.
pub const VIRTIO_ERRORS: u64 = 0xfeb0_1000;
/// Global system interrupt of that (edge-triggered).
pub const VIRTIO_ERRORS_GSI: u32 = 11;
/// Bytes in the register window of a virtio device.
pub const VIRTIO_LEN: u64 = 0x1000;
/// Port by which the kernel has the VMM, on a software-backed KVM, save the state of
/// `xsave` except AMX, or load it: a write of 4 bytes, the number of a page of RAM in bits
/// 31 to 1, and [`EXTENDED_STATE_LOAD`] or 0. The page is in the format of `xsave` (Intel
/// SDM vol. 1 13.4). Present only if the command line says so.
///
/// A load leaves x87 and SSE unchanged, and changes nothing if the page is no valid state
/// for the CPU.
pub const EXTENDED_STATE: u16 = 0x5e8;
/// Says that the state is to be loaded.
pub const EXTENDED_STATE_LOAD: u32 = 1;
/// Port by which the kernel asks for files of the host: a write of 4 bytes, the number of the
/// first page of the buffer of [`crate::host_files`]. Present only if the command line says
/// so.
pub const HOST_FILES: u16 = 0x5ec;
/// Port by which the kernel, on a software-backed KVM, has the VMM copy memory: a write of 4
/// bytes, the physical address of a request of [`crate::copies`]. Present only if the command
/// line says so.
pub const COPIES: u16 = 0x5f0;
/// Port by which a CPU of the kernel that waits for another one says so, on a software-backed KVM:
/// a write of 4 bytes, whatever they are. Present as [`COPIES`] is.
pub const YIELD: u16 = 0x5f4;
/// Port of the debug-exit device: see [`crate::debug_exit`].
pub const DEBUG_EXIT: u16 = 0xf4;
/// Number of consecutive ports that the debug-exit device claims.
pub const DEBUG_EXIT_LEN: u16 = 4;
/// Port of the trace doorbell: a write says that the ring of [`crate::trace`] is full. The
/// kernel uses it only while the VMM traces.
pub const TRACE_DOORBELL: u16 = 0xf8;
/// The ACPI sleep control register (ACPI 6.5 4.8.3.7); the sleep status register follows it.
pub const SLEEP_CONTROL: u16 = 0x600;
/// Number of ports that the two claim.
pub const SLEEP_LEN: u16 = 2;
/// The reset control register of a PC's chip set.
pub const RESET_CONTROL: u16 = 0xcf9;
/// Command and status of a PC's keyboard controller, which can reset the machine; here that
/// is all that it can do.
pub const KEYBOARD_COMMAND: u16 = 0x64;

/// Guest-physical address of the I/O APIC's register window (PC standard).
pub const IO_APIC: u64 = 0xfec0_0000;
/// Guest-physical address of the local APIC's register window (reset value of
/// IA32_APIC_BASE; Intel SDM vol. 3A 11.4.1).
pub const LOCAL_APIC: u64 = 0xfee0_0000;
