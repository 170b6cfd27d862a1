//! I/O ports and interrupt lines of the machine.

/// First port of the 16550A serial console (COM1 of a PC).
pub const SERIAL: u16 = 0x3f8;
/// Number of consecutive ports that a 16550A claims.
pub const SERIAL_LEN: u16 = 8;
/// Global system interrupt of the serial console (ISA IRQ 4, edge-triggered).
pub const SERIAL_GSI: u32 = 4;
/// First port of the 16550A that links two machines (COM2 of a PC). A machine without a
/// link has nothing there.
pub const LINK: u16 = 0x2f8;
/// Global system interrupt of the link (ISA IRQ 3, edge-triggered).
pub const LINK_GSI: u32 = 3;
/// Port of the debug-exit device: see [`crate::debug_exit`].
pub const DEBUG_EXIT: u16 = 0xf4;
/// Number of consecutive ports that the debug-exit device claims.
pub const DEBUG_EXIT_LEN: u16 = 4;
/// Port of the trace doorbell: a write says that the ring of [`crate::trace`] is full. The
/// kernel uses it only while the VMM traces.
pub const TRACE_DOORBELL: u16 = 0xf8;

/// Guest-physical address of the I/O APIC's register window (PC standard).
pub const IO_APIC: u64 = 0xfec0_0000;
/// Guest-physical address of the local APIC's register window (reset value of
/// IA32_APIC_BASE; Intel SDM vol. 3A 11.4.1).
pub const LOCAL_APIC: u64 = 0xfee0_0000;
