//! The code around each sequence: it loads the registers that the sequence starts with
//! and stores those that it ends with, all in ring 3, and goes on to the next sequence.
//!
//! ```text
//! load(slot):   current = slot; wrfsbase; wrgsbase; fxrstor64; vinsertf128 y, y, [..], 1 x 16;
//!               popfq; mov r, [..] x 15; mov rsp; jmp [start]
//! store(slot):  mov [..], r x 16; rdfsbase; rdgsbase; pushfq; fxsave64;
//!               vextractf128 [..], y, 1 x 16; jmp [next]
//! stop:         int3
//! ```
//!
//! Addresses are below 2 GiB, so every operand is an absolute `[disp32]` and no register
//! is needed to find the block that belongs to a slot.

use super::case::Registers;
use super::layout::{FRAME_CODE, FRAME_CODE_LEN, FRAME_DATA, SLOTS, frame_gpa};
use super::memory::Memory;

/// Bytes of code for a slot: loading, then storing.
const SLOT_CODE: u64 = 0x400;
const STORE_OFFSET: u64 = SLOT_CODE / 2;
/// Bytes of data for a slot.
const SLOT_DATA: u64 = 0x800;
/// Where the code after the last sequence lies.
const STOP: u64 = FRAME_CODE + SLOTS as u64 * SLOT_CODE;
/// Where the number of the slot at work lies.
const CURRENT: u64 = FRAME_DATA + SLOTS as u64 * SLOT_DATA;

const _: () = assert!(SLOTS as u64 * SLOT_CODE < FRAME_CODE_LEN);
const _: () = assert!(CURRENT < FRAME_DATA + super::layout::FRAME_DATA_LEN);

/// Offsets in a block of registers, which begins with the general ones.
const FLAGS: u64 = 16 * 8;
/// Where to start, or where to go on afterwards.
const TARGET: u64 = 17 * 8;
const FS_BASE: u64 = 18 * 8;
const GS_BASE: u64 = 19 * 8;
const FX: u64 = 20 * 8;
const YMM_HIGH: u64 = FX + 512;

const _: () = assert!(YMM_HIGH + 16 * 16 <= SLOT_DATA / 2);

/// Where the code that loads the registers of `slot` begins.
pub fn load_address(slot: usize) -> u64 {
    FRAME_CODE + slot as u64 * SLOT_CODE
}

/// Where the code that stores the registers of `slot` begins: every sequence ends there.
pub fn store_address(slot: usize) -> u64 {
    load_address(slot) + STORE_OFFSET
}

/// Address after the one instruction that ends a batch.
pub const STOPPED: u64 = STOP + 1;

/// Whether `rip` is in the frame.
pub fn contains(rip: u64) -> bool {
    (FRAME_CODE..FRAME_CODE + FRAME_CODE_LEN).contains(&rip)
}

/// Whether `rip` is where registers are stored, with nothing stored yet.
pub fn is_store(rip: u64) -> bool {
    (0..SLOTS).any(|slot| store_address(slot) == rip)
}

fn initial_block(slot: usize) -> u64 {
    FRAME_DATA + slot as u64 * SLOT_DATA
}

fn final_block(slot: usize) -> u64 {
    initial_block(slot) + SLOT_DATA / 2
}

/// Numbers of registers in encodings.
const RAX: usize = 0;
pub const RSP: usize = 4;

/// Puts machine code together.
struct Code(Vec<u8>);

impl Code {
    /// `opcode` with register field `reg` and the operand at `address`.
    fn absolute(&mut self, opcode: &[u8], reg: usize, address: u64) {
        self.0.extend_from_slice(opcode);
        self.0.extend_from_slice(&[(reg as u8 & 7) << 3 | 4, 0x25]);
        self.0.extend_from_slice(&(address as u32).to_le_bytes());
    }
    fn load(&mut self, reg: usize, address: u64) {
        self.absolute(&[0x48 | (reg as u8 >> 3) << 2, 0x8b], reg, address);
    }
    fn store(&mut self, reg: usize, address: u64) {
        self.absolute(&[0x48 | (reg as u8 >> 3) << 2, 0x89], reg, address);
    }
    fn rsp_immediate(&mut self, value: u64) {
        self.0.extend_from_slice(&[0x48, 0xc7, 0xc4]);
        self.0.extend_from_slice(&(value as u32).to_le_bytes());
    }
    /// `rdfsbase`, `rdgsbase`, `wrfsbase` or `wrgsbase` with RAX.
    fn segment_base(&mut self, which: u8) {
        self.0
            .extend_from_slice(&[0xf3, 0x48, 0x0f, 0xae, 0xc0 | which << 3]);
    }
    /// `vinsertf128` (opcode 18) or `vextractf128` (19) of all registers with the high halves
    /// at `address`, where there is AVX.
    fn high_halves(&mut self, opcode: u8, address: u64) {
        const PREFIX: u8 = 0xc4;
        const MAP_0F3A: u8 = 0x63;
        /// 66, and 256 bits.
        const WIDE: u8 = 0x05;
        for reg in (0..16_u8).filter(|_| super::layout::has_avx()) {
            let high = reg >> 3;
            let vvvv = if opcode == 0x18 { !reg & 15 } else { 15 };
            let vex = [PREFIX, MAP_0F3A | (1 - high) << 7, vvvv << 3 | WIDE, opcode];
            self.absolute(&vex, reg.into(), address + 16 * u64::from(reg));
            self.0.push(1);
        }
    }
    fn jump_through(&mut self, address: u64) {
        self.absolute(&[0xff], 4, address);
    }
}

fn load_code(slot: usize) -> Vec<u8> {
    let block = initial_block(slot);
    let mut code = Code(Vec::new());
    // mov dword [CURRENT], slot
    code.absolute(&[0xc7], 0, CURRENT);
    code.0.extend_from_slice(&(slot as u32).to_le_bytes());
    for (segment, offset) in [(2, FS_BASE), (3, GS_BASE)] {
        code.load(RAX, block + offset);
        code.segment_base(segment); // wrfsbase, wrgsbase
    }
    // fxrstor64
    code.absolute(&[0x48, 0x0f, 0xae], 1, block + FX);
    code.high_halves(0x18, block + YMM_HIGH);
    code.rsp_immediate(block + FLAGS);
    code.0.push(0x9d); // popfq
    for reg in (0..16).filter(|&reg| reg != RSP).chain([RSP]) {
        code.load(reg, block + reg as u64 * 8);
    }
    code.jump_through(block + TARGET);
    code.0
}

fn store_code(slot: usize) -> Vec<u8> {
    let block = final_block(slot);
    let mut code = Code(Vec::new());
    for reg in 0..16 {
        code.store(reg, block + reg as u64 * 8);
    }
    for (segment, offset) in [(0, FS_BASE), (1, GS_BASE)] {
        code.segment_base(segment); // rdfsbase, rdgsbase
        code.store(RAX, block + offset);
    }
    code.rsp_immediate(block + FLAGS + 8);
    code.0.push(0x9c); // pushfq
    // fxsave64
    code.absolute(&[0x48, 0x0f, 0xae], 0, block + FX);
    code.high_halves(0x19, block + YMM_HIGH);
    code.jump_through(block + TARGET);
    code.0
}

/// Writes the code for all slots.
pub fn build(memory: &mut Memory) {
    let mut put = |address: u64, bytes: &[u8]| {
        assert!(bytes.len() as u64 <= STORE_OFFSET, "code overlaps the next");
        memory.write(frame_gpa(address), bytes);
    };
    for slot in 0..SLOTS {
        put(load_address(slot), &load_code(slot));
        put(store_address(slot), &store_code(slot));
    }
    put(STOP, &[0xcc]);
}

/// Says what `slot` starts with and where, and which slot comes after it; none: the stop.
pub fn set(memory: &mut Memory, slot: usize, start: u64, initial: &Registers, next: Option<usize>) {
    let mut put = |block: u64, registers: &Registers, target: u64| {
        let block = frame_gpa(block);
        memory.write_words(block, &registers.gpr);
        let Registers {
            flags,
            fs_base,
            gs_base,
            ..
        } = *registers;
        memory.write_words(block + FLAGS, &[flags, target, fs_base, gs_base]);
        memory.write(block + FX, &registers.fx);
        let halves = registers.ymm_high.map(u128::to_le_bytes);
        memory.write(block + YMM_HIGH, halves.as_flattened());
    };
    put(initial_block(slot), initial, start);
    put(
        final_block(slot),
        &Registers::ZERO,
        next.map_or(STOP, load_address),
    );
}

/// What `slot` ended with.
pub fn get(memory: &Memory, slot: usize) -> Registers {
    let block = frame_gpa(final_block(slot));
    let [flags, _, fs_base, gs_base] = memory.words(block + FLAGS);
    let mut fx = [0; 512];
    fx.copy_from_slice(memory.bytes(block + FX, 512));
    Registers {
        gpr: memory.words(block),
        flags,
        fs_base,
        gs_base,
        fx,
        ymm_high: std::array::from_fn(|n| {
            let [low, high] = memory.words(block + YMM_HIGH + 16 * n as u64);
            u128::from(low) | u128::from(high) << 64
        }),
    }
}

/// The slot at work.
pub fn current(memory: &Memory) -> usize {
    let [word] = memory.words(frame_gpa(CURRENT));
    (word as u32 as usize).min(SLOTS - 1)
}
