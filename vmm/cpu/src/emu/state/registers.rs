//! What instructions compute on: general registers, flags, XMM registers, x87 and MXCSR.

use std::arch::x86_64::__m128i;

use x86::fx;

use crate::emu::arithmetic::flags::Flags;
use crate::emu::arithmetic::value::{Int, Plain, xmm_zero};
use crate::emu::state::mxcsr;
use crate::emu::state::x87::X87;

/// A register operand: byte offset into the array of general registers (8 for each; 1
/// more for ah, ch, dh, bh) or of XMM registers (16 for each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(pub u8);

impl Slot {
    /// General register `number` (0 to 15).
    pub const fn gpr(number: usize) -> Self {
        Self((number as u8 & 15) * 8)
    }
    /// XMM register `number` (0 to 15).
    pub const fn xmm(number: usize) -> Self {
        Self((number as u8 & 15) * 16)
    }
    /// Stands for no register in addresses: reads as zero.
    pub const ZERO: Self = Self(16 * 8);
    pub const RAX: Self = Self::gpr(0);
    pub const AH: Self = Self(1);
    pub const RCX: Self = Self::gpr(1);
    pub const RDX: Self = Self::gpr(2);
    pub const RBX: Self = Self::gpr(3);
    pub const RSP: Self = Self::gpr(4);
    pub const RBP: Self = Self::gpr(5);
    pub const RSI: Self = Self::gpr(6);
    pub const RDI: Self = Self::gpr(7);
    pub const R11: Self = Self::gpr(11);
}

/// The general registers and a zero, addressed by [`Slot`].
#[repr(C, align(16))]
pub struct Gprs([u64; 17]);

impl Gprs {
    /// Reads the value at `slot`.
    #[inline(always)]
    pub fn read<T: Plain>(&self, slot: Slot) -> T {
        debug_assert!(u64::from(slot.0) + T::SIZE <= size_of::<Self>() as u64);
        // SAFETY: slots of general registers are at most 128 (they are made by
        // `Slot::gpr` and the decoder only), so 8 bytes there are inside the array.
        unsafe {
            self.0
                .as_ptr()
                .byte_add(usize::from(slot.0))
                .cast::<T>()
                .read_unaligned()
        }
    }

    /// Writes the value at `slot`, and no other bytes.
    #[inline(always)]
    pub fn write<T: Plain>(&mut self, slot: Slot, value: T) {
        debug_assert!(u64::from(slot.0) + T::SIZE <= 128);
        // SAFETY: as in `read`.
        unsafe {
            self.0
                .as_mut_ptr()
                .byte_add(usize::from(slot.0))
                .cast::<T>()
                .write_unaligned(value);
        }
    }

    /// The sixteen registers.
    pub fn all(&self) -> [u64; 16] {
        std::array::from_fn(|i| self.0[i])
    }

    /// Replaces the sixteen registers.
    pub fn set_all(&mut self, values: &[u64; 16]) {
        self.0[..16].copy_from_slice(values);
    }
}

/// The XMM registers, addressed by [`Slot`]. One more than there are, so that any slot
/// is inside.
#[repr(C, align(16))]
pub struct Xmms([__m128i; 17]);

impl Xmms {
    const ZERO: Self = Self([xmm_zero(); 17]);

    /// Reads the low bytes of the register at `slot`.
    #[inline(always)]
    pub fn read<T: Plain>(&self, slot: Slot) -> T {
        const { assert!(u8::MAX as usize + 16 <= size_of::<Self>()) };
        // SAFETY: a slot is at most 255 and `T` has at most 16 bytes, so they are inside.
        unsafe {
            self.0
                .as_ptr()
                .byte_add(usize::from(slot.0))
                .cast::<T>()
                .read_unaligned()
        }
    }

    /// Writes the low bytes of the register at `slot`; the others stay.
    #[inline(always)]
    pub fn write<T: Plain>(&mut self, slot: Slot, value: T) {
        // SAFETY: as in `read`.
        unsafe {
            self.0
                .as_mut_ptr()
                .byte_add(usize::from(slot.0))
                .cast::<T>()
                .write_unaligned(value);
        }
    }
}

/// The registers. Those that every instruction touches come first.
#[repr(C)]
pub struct Registers {
    pub gprs: Gprs,
    /// The arithmetic flags.
    pub flags: Flags,
    /// Instruction pointer; current only outside the engine.
    pub rip: u64,
    pub xmms: Xmms,
    /// See [`mxcsr`] for where exception flags gather.
    pub mxcsr: u32,
    /// The bits of MXCSR that exist.
    pub mxcsr_mask: u32,
    /// Bits 255 to 128 of each YMM register.
    pub ymm_high: [u128; 16],
    pub x87: X87,
}

impl Registers {
    /// Zeros, with x87 and MXCSR as after reset.
    pub fn new() -> Self {
        Self {
            gprs: Gprs([0; 17]),
            flags: Flags(0),
            rip: 0,
            xmms: Xmms::ZERO,
            mxcsr: fx::MXCSR_INITIAL,
            mxcsr_mask: mxcsr::host_mask(),
            ymm_high: [0; 16],
            x87: X87::new(),
        }
    }

    /// All of a vector register.
    pub fn vector(&self, number: usize) -> [u8; 32] {
        let low: u128 = self.xmms.read(Slot::xmm(number));
        let halves = [low, self.ymm_high[number & 15]].map(u128::to_le_bytes);
        std::array::from_fn(|i| halves[i / 16][i % 16])
    }

    /// Sets all of a vector register.
    pub fn set_vector(&mut self, number: usize, value: &[u8; 32]) {
        let [low, high] = [0, 16].map(|start| {
            let mut half = [0; 16];
            half.copy_from_slice(&value[start..start + 16]);
            u128::from_le_bytes(half)
        });
        self.xmms.write(Slot::xmm(number), low);
        self.ymm_high[number & 15] = high;
    }

    /// Reads a general register.
    #[inline(always)]
    pub fn get<T: Int>(&self, slot: Slot) -> T {
        self.gprs.read(slot)
    }

    /// Writes a general register: 32 bits clear the upper half, 8 and 16 leave it.
    #[inline(always)]
    pub fn set<T: Int>(&mut self, slot: Slot, value: T) {
        if T::BITS == 32 {
            self.gprs.write(slot, value.zero_extend());
        } else {
            self.gprs.write(slot, value);
        }
    }
}
