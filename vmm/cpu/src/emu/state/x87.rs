//! x87 and MMX state.
//!
//! Registers are kept by their physical number, as MMX instructions name them; st(i) is
//! the register `top + i`. Of the tags only empty or not is state (the kind of a number
//! is worked out when a tag word is stored), as in processors and in `fxsave`.

use x86::fx;

use crate::FxState;
use crate::emu::state::control::to_canonical;
use crate::emu::state::registers::{Registers, Slot};

/// Bits of the status word (Intel SDM vol. 1 8.1.3).
pub mod status {
    pub const INVALID: u16 = 1;
    pub const OVERFLOW: u16 = 1 << 3;
    pub const UNDERFLOW: u16 = 1 << 4;
    /// Exception flags.
    pub const EXCEPTIONS: u16 = 0x3f;
    /// A stack fault, that is, an invalid operation on an empty or full register.
    pub const STACK_FAULT: u16 = 1 << 6;
    /// An unmasked exception is pending.
    pub const SUMMARY: u16 = 1 << 7;
    pub const TOP_SHIFT: u32 = 11;
    pub const TOP: u16 = 7 << TOP_SHIFT;
    /// Once the mark of a busy processor; now equal to `SUMMARY`.
    pub const BUSY: u16 = 1 << 15;
}

/// Bits of the control word that can be written, and one that always reads as one.
const CONTROL_MASK: u16 = 0x1f7f;
const CONTROL_FIXED: u16 = 1 << 6;
/// The 80 bits of a register.
const REGISTER: u128 = u128::MAX >> 48;

/// The state.
#[repr(C, align(16))]
#[derive(Clone, Debug)]
pub struct X87 {
    /// Physical registers: 80 bits each.
    pub registers: [u128; 8],
    pub control: u16,
    pub status: u16,
    /// A bit for each physical register that is not empty.
    pub full: u8,
    /// The last instruction's opcode, its address, and that of its operand.
    pub opcode: u16,
    pub instruction: u64,
    pub data: u64,
    /// The selectors that go with the addresses.
    pub instruction_selector: u16,
    pub data_selector: u16,
}

impl X87 {
    /// Bits of an opcode that are kept.
    pub const OPCODE_MASK: u16 = 0x7ff;

    /// State after `fninit`, with registers of zeros.
    pub const fn new() -> Self {
        Self {
            registers: [0; 8],
            control: fx::CONTROL_INITIAL,
            status: 0,
            full: 0,
            opcode: 0,
            instruction: 0,
            data: 0,
            instruction_selector: 0,
            data_selector: 0,
        }
    }

    /// `fninit`: the registers' contents stay.
    pub fn init(&mut self) {
        *self = Self {
            registers: self.registers,
            ..Self::new()
        };
    }

    /// Physical number of st(0).
    pub fn top(&self) -> usize {
        usize::from((self.status & status::TOP) >> status::TOP_SHIFT)
    }

    /// Whether an exception waits for the next waiting instruction.
    #[inline(always)]
    pub fn pending(&self) -> bool {
        self.status & status::SUMMARY != 0
    }

    /// Changes the control word, which may unmask exceptions that are flagged.
    pub fn set_control(&mut self, value: u16) {
        self.control = value & CONTROL_MASK | CONTROL_FIXED;
        self.summarize();
    }

    /// Derives the summary bit from flags and masks.
    pub fn summarize(&mut self) {
        let both = status::SUMMARY | status::BUSY;
        self.status &= !both;
        if self.status & !self.control & status::EXCEPTIONS != 0 {
            self.status |= both;
        }
    }

    /// st(0) to st(7).
    pub fn stack(&self) -> [u128; 8] {
        let top = self.top();
        std::array::from_fn(|i| self.registers[(top + i) % 8])
    }

    /// Sets st(0) to st(7).
    pub fn set_stack(&mut self, values: [u128; 8]) {
        let top = self.top();
        for (i, value) in values.into_iter().enumerate() {
            self.registers[(top + i) % 8] = value & REGISTER;
        }
    }

    /// An MMX instruction begins: all registers are valid and st(0) is register 0.
    #[inline(always)]
    pub fn begin_mmx(&mut self) {
        self.full = 0xff;
        self.status &= !status::TOP;
    }

    pub fn mmx(&self, number: usize) -> u64 {
        self.registers[number % 8] as u64
    }

    pub fn set_mmx(&mut self, number: usize, value: u64) {
        self.registers[number % 8] = u128::from(value) | 0xffff << 64;
    }
}

/// The tag of an empty register.
const EMPTY: u16 = 3;

impl X87 {
    /// The tag word as `fnstenv` stores it.
    pub fn tag_word(&self) -> u16 {
        const ZERO: u16 = 1;
        const SPECIAL: u16 = 2;
        let mut word = 0;
        for (i, &value) in self.registers.iter().enumerate() {
            let (exponent, fraction) = ((value >> 64) as u16 & 0x7fff, value as u64);
            let tag = if self.full >> i & 1 == 0 {
                EMPTY
            } else if exponent == 0 && fraction == 0 {
                ZERO
            } else if exponent == 0 || exponent == 0x7fff || fraction >> 63 == 0 {
                SPECIAL
            } else {
                0
            };
            word |= tag << (2 * i);
        }
        word
    }

    /// Sets the tags from a word, of which only empty or not counts.
    pub fn set_tag_word(&mut self, word: u16) {
        self.full = (0..8)
            .filter(|i| word >> (2 * i) & EMPTY != EMPTY)
            .fold(0, |full, i| full | 1 << i);
    }
}

/// What `fxsave` stores (Intel SDM vol. 1 10.5.1): the part of the 512 bytes that is not
/// reserved.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Image {
    control: u16,
    status: u16,
    full: u8,
    reserved: u8,
    opcode: u16,
    instruction: u64,
    data: u64,
    mxcsr: u32,
    mxcsr_mask: u32,
    stack: [u128; 8],
    xmms: [u128; 16],
}

/// Bytes that the image takes in memory.
pub const IMAGE_SIZE: u64 = fx::LEN as u64;
const _: () = assert!(size_of::<Image>() == 416);

/// How an image is laid out, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Addresses of 64 bits, instead of 32 and a selector.
    pub wide: bool,
    /// Number of XMM registers, up to 16.
    pub xmms: usize,
}

impl Layout {
    /// The whole state.
    const WHOLE: Self = Self {
        wide: true,
        xmms: 16,
    };

    /// Bytes that `fxsave` writes.
    pub fn len(self) -> usize {
        std::mem::offset_of!(Image, xmms) + 16 * self.xmms
    }

    fn pack(self, address: u64, selector: u16) -> u64 {
        if self.wide {
            address
        } else {
            address & 0xffff_ffff | u64::from(selector) << 32
        }
    }

    fn unpack(self, value: u64) -> (u64, u16) {
        if self.wide {
            (to_canonical(value), 0)
        } else {
            (value & 0xffff_ffff, (value >> 32) as u16)
        }
    }
}

impl Image {
    /// An image of zeros.
    pub const ZERO: Self = Self {
        control: 0,
        status: 0,
        full: 0,
        reserved: 0,
        opcode: 0,
        instruction: 0,
        data: 0,
        mxcsr: 0,
        mxcsr_mask: 0,
        stack: [0; 8],
        xmms: [0; 16],
    };

    /// MXCSR in the image.
    pub fn mxcsr(&self) -> u32 {
        self.mxcsr
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; size_of::<Self>()] {
        // SAFETY: the struct has no padding.
        unsafe { &*(&raw const *self).cast() }
    }

    /// The bytes, any of which may be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8; size_of::<Self>()] {
        // SAFETY: the struct has no padding, and any bytes make one.
        unsafe { &mut *(&raw mut *self).cast() }
    }
}

impl Registers {
    /// Writes the state into the image at `to`. Exception flags must have been
    /// collected.
    ///
    /// # Safety
    /// `to` is aligned and its first `layout.len()` bytes may be written.
    #[inline]
    pub unsafe fn write_image(&self, to: *mut Image, layout: Layout) {
        // SAFETY: the caller vouches for the place.
        unsafe {
            self.write_x87(to, layout);
            self.write_mxcsr(to);
            self.write_xmms(to, layout);
        }
    }

    /// Writes the x87 state. As in AMD processors, the last instruction is recorded only
    /// while an exception is pending (AMD APM vol. 2 11.4.4).
    ///
    /// # Safety
    /// As for [`write_image`](Self::write_image).
    #[inline]
    pub unsafe fn write_x87(&self, to: *mut Image, layout: Layout) {
        let x87 = &self.x87;
        // SAFETY: the caller vouches for the place.
        unsafe {
            (*to).control = x87.control;
            (*to).status = x87.status;
            (*to).full = x87.full;
            (*to).reserved = 0;
            let pending = x87.pending();
            let only = |value: u64| if pending { value } else { 0 };
            (*to).opcode = only(u64::from(x87.opcode)) as u16;
            (*to).instruction = only(layout.pack(x87.instruction, x87.instruction_selector));
            (*to).data = only(layout.pack(x87.data, x87.data_selector));
            (*to).stack = x87.stack();
        }
    }

    /// Writes MXCSR, whose exception flags must have been collected.
    ///
    /// # Safety
    /// As for [`write_image`](Self::write_image).
    #[inline]
    pub unsafe fn write_mxcsr(&self, to: *mut Image) {
        // SAFETY: the caller vouches for the place.
        unsafe {
            (*to).mxcsr = self.mxcsr;
            (*to).mxcsr_mask = self.mxcsr_mask;
        }
    }

    /// Writes the XMM registers.
    ///
    /// # Safety
    /// As for [`write_image`](Self::write_image).
    #[inline]
    pub unsafe fn write_xmms(&self, to: *mut Image, layout: Layout) {
        // SAFETY: the caller vouches for the place.
        unsafe {
            let xmms = (&raw mut (*to).xmms).cast::<u128>();
            for n in 0..layout.xmms {
                xmms.add(n).write(self.xmms.read(Slot::xmm(n)));
            }
        }
    }

    /// Takes over the image at `from`, but for MXCSR.
    ///
    /// # Safety
    /// `from` is aligned and its first `layout.len()` bytes may be read.
    #[inline]
    pub unsafe fn read_image(&mut self, from: *const Image, layout: Layout) {
        // SAFETY: the caller vouches for the place.
        unsafe {
            self.read_x87(from, layout);
            self.read_xmms(from, layout);
        }
    }

    /// Takes over the x87 state.
    ///
    /// # Safety
    /// As for [`read_image`](Self::read_image).
    #[inline]
    pub unsafe fn read_x87(&mut self, from: *const Image, layout: Layout) {
        let x87 = &mut self.x87;
        // SAFETY: the caller vouches for the place.
        unsafe {
            x87.control = (*from).control & CONTROL_MASK | CONTROL_FIXED;
            x87.status = (*from).status;
            x87.full = (*from).full;
            x87.opcode = (*from).opcode & X87::OPCODE_MASK;
            (x87.instruction, x87.instruction_selector) = layout.unpack((*from).instruction);
            (x87.data, x87.data_selector) = layout.unpack((*from).data);
            x87.set_stack((*from).stack);
            x87.summarize();
        }
    }

    /// Takes over the XMM registers.
    ///
    /// # Safety
    /// As for [`read_image`](Self::read_image).
    #[inline]
    pub unsafe fn read_xmms(&mut self, from: *const Image, layout: Layout) {
        // SAFETY: the caller vouches for the place.
        unsafe {
            let xmms = (&raw const (*from).xmms).cast::<u128>();
            for n in 0..layout.xmms {
                self.xmms.write(Slot::xmm(n), xmms.add(n).read());
            }
        }
    }

    /// The `fxsave64` image. Outside the engine.
    pub fn fx_image(&self) -> FxState {
        let mut image = Image::ZERO;
        // SAFETY: a local variable.
        unsafe { self.write_image(&raw mut image, Layout::WHOLE) };
        let mut state = FxState([0; fx::LEN]);
        state.0[..size_of::<Image>()].copy_from_slice(image.bytes());
        state
    }

    /// Takes over an `fxsave64` image. Outside the engine.
    pub fn set_fx_image(&mut self, state: &FxState) {
        let mut image = Image::ZERO;
        image
            .bytes_mut()
            .copy_from_slice(&state.0[..size_of::<Image>()]);
        // SAFETY: a local variable.
        unsafe { self.read_image(&raw const image, Layout::WHOLE) };
        self.mxcsr = image.mxcsr & self.mxcsr_mask;
    }
}
