//! The interrupt descriptor table: 256 gates, all kernel-chosen (Intel SDM vol. 3A
//! 7.14.1).
//!
//! It is a constant, which needs addresses known before linking: the 256 stubs are 16 bytes
//! each and come first in the image (`kernel.ld` asserts it). Rejected: filling the table
//! at boot, which costs 2,000 instructions.

use core::arch::asm;
use core::mem::size_of;

use abi::virtual_map::{KERNEL_BASE, KERNEL_LOAD};

use crate::descriptors::{
    IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI, KERNEL_CODE, TableRegister,
};
use crate::trap::vector;

const STUBS: u64 = KERNEL_BASE + KERNEL_LOAD;
const STUB_SIZE: u64 = 16;

/// A 64-bit interrupt gate: interrupts are off in the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Gate {
    offset_0: u16,
    selector: u16,
    ist: u8,
    attributes: u8,
    offset_16: u16,
    offset_32: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Gate>() == 16);

impl Gate {
    const PRESENT: u8 = 1 << 7;
    const DPL_SHIFT: u32 = 5;
    const INTERRUPT: u8 = 0xe;

    const fn new(target: u64, ist: u8, privilege: u8) -> Self {
        Self {
            offset_0: target as u16,
            selector: KERNEL_CODE,
            ist,
            attributes: Self::PRESENT | Self::INTERRUPT | privilege << Self::DPL_SHIFT,
            offset_16: (target >> 16) as u16,
            offset_32: (target >> 32) as u32,
            reserved: 0,
        }
    }

    /// The gate of a vector. Only what a program may raise on purpose has DPL 3: `int3`,
    /// and `int 0x80`. Any other `int n` in ring 3 is #GP.
    const fn of(number: u8) -> Self {
        let ist = match number {
            vector::DF => IST_DOUBLE_FAULT,
            vector::NMI => IST_NMI,
            vector::MC => IST_MACHINE_CHECK,
            _ => 0,
        };
        let privilege = match number {
            vector::BP | vector::INT_80 => 3,
            _ => 0,
        };
        Self::new(STUBS + number as u64 * STUB_SIZE, ist, privilege)
    }
}

#[repr(C, align(16))]
struct Idt([Gate; 256]);

static IDT: Idt = {
    let mut gates = [Gate::of(0); 256];
    let mut number = 1;
    while number < gates.len() {
        gates[number] = Gate::of(number as u8);
        number += 1;
    }
    Idt(gates)
};

/// Makes the CPU use the table.
pub fn load() {
    let register = TableRegister {
        limit: (size_of::<Idt>() - 1) as u16,
        base: (&raw const IDT) as u64,
    };
    // SAFETY: every gate leads to a stub of trap.S, and the table is never written.
    unsafe {
        asm!("lidt [{}]", in(reg) &raw const register, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, IDT, STUBS};

    #[test]
    fn a_gate_spreads_its_target() {
        let gate = Gate::new(0x1234_5678_9abc_def0, 1, 3);
        let expected = Gate {
            offset_0: 0xdef0,
            selector: 8,
            ist: 1,
            attributes: 0xee,
            offset_16: 0x9abc,
            offset_32: 0x1234_5678,
            reserved: 0,
        };
        assert_eq!(gate, expected);
    }

    #[test]
    fn programs_may_raise_two_vectors_only() {
        let open: Vec<_> = (0..256).filter(|&n| IDT.0[n].attributes == 0xee).collect();
        assert_eq!(open, [3, 0x80]);
        assert!(IDT.0.iter().all(|gate| gate.attributes & 0x9f == 0x8e));
    }

    #[test]
    fn every_gate_has_its_own_stub() {
        for (number, gate) in IDT.0.iter().enumerate() {
            let low = u64::from(gate.offset_16) << 16 | u64::from(gate.offset_0);
            let target = u64::from(gate.offset_32) << 32 | low;
            assert_eq!(target, STUBS + 16 * number as u64);
        }
    }
}
