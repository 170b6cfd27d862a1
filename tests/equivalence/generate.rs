//! Makes random sequences: picks forms, gives them operands that mostly make sense, and
//! initial registers and memory to go with them.
//!
//! A register that nothing has written has its initial value, and that is chosen when it
//! is first needed: as the base of an address it becomes whatever makes the address hit
//! the place that was picked. So most accesses hit mapped memory although operands are
//! random.

use std::sync::Arc;

use iced_x86::{
    Code, Decoder, Encoder, EncodingKind, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, Register,
};
use x86::RFlags;

use super::case::{DECODER, INITIAL_FLAGS, Patch, Registers};
use super::forms::{self, Kind};
use super::frame::RSP;
use super::layout::{self, CODE_LEN, DATA_LEN, PAGE};
use super::menu::{Menu, Setting};
use super::rng::Rng;
use super::sketch::{Holder, Item, Label, Sketch};
use super::{fx, operands, undefined};

/// Most instructions in a sequence.
const LONGEST: u64 = 8;
/// Tries for one instruction before the sequence does with fewer.
const TRIES: usize = 20;

/// A sequence in the making.
pub struct Generator<'a> {
    pub rng: Rng,
    pub slot: usize,
    setting: &'a Setting,
    infos: &'a mut InstructionInfoFactory,
    /// Initial registers, where they are chosen.
    initial: [Option<u64>; 16],
    /// Registers that no longer have their initial value.
    changed: [bool; 16],
    /// Initial vector registers, where they are chosen.
    vectors: [Option<[u128; 2]>; 16],
    /// Those that no longer have their initial value.
    vector_changed: [bool; 16],
    /// What pushes and pops have added to RSP.
    stack_offset: u64,
    items: Vec<Item>,
    labels: Vec<Label>,
    patches: Vec<Patch>,
    /// Flags that are undefined at this point.
    undefined: u32,
}

impl<'a> Generator<'a> {
    /// Sequence number `number` of `seed`, for `slot`.
    pub fn sequence(
        seed: u64,
        number: u64,
        slot: usize,
        menu: &Menu,
        setting: &'a Setting,
        infos: &'a mut InstructionInfoFactory,
    ) -> Sketch {
        let mut generator = Self {
            rng: Rng::new(seed, number),
            slot,
            setting,
            infos,
            initial: [None; 16],
            changed: [false; 16],
            vectors: [None; 16],
            vector_changed: [false; 16],
            stack_offset: 0,
            items: Vec::new(),
            labels: Vec::new(),
            patches: Vec::new(),
            undefined: 0,
        };
        generator.fill(menu);
        generator.finish()
    }

    fn fill(&mut self, menu: &Menu) {
        let theme = match self.rng.below(20) {
            0..10 => Kind::Integer,
            10..15 => Kind::Vector,
            15..19 => Kind::X87,
            _ => Kind::Privileged,
        };
        let length = 1 + self.rng.below(LONGEST);
        for _ in 0..length {
            for _ in 0..TRIES {
                let form = menu.pick(theme, &mut self.rng);
                if self.add(form.code).is_some() {
                    break;
                }
            }
        }
    }

    /// Adds an instruction of this form; `None` if its operands came out impossible.
    fn add(&mut self, code: Code) -> Option<()> {
        let (instruction, target) = operands::make(self, code)?;
        let mut item = Item {
            instruction,
            target,
            raw: None,
        };
        // Whatever prefix a reserved no-op has, it is one.
        let odd = match code.mnemonic() {
            Mnemonic::Reservednop => 60,
            _ => 4,
        };
        let instruction = match self.rng.chance(odd) {
            true => self.mangle(&mut item)?,
            false => check_encoding(&instruction)?,
        };
        if undefined::read_by(&instruction) & self.undefined != 0 {
            return None;
        }
        // A branch may skip what defines flags again.
        let before = self.undefined;
        self.undefined = undefined::after(&instruction, before);
        let branches = self.items.iter().any(|item| item.target.is_some());
        if branches || !self.labels.is_empty() {
            self.undefined |= before;
        }
        self.note_writes(&instruction);
        self.items.push(item);
        Some(())
    }

    /// Puts a prefix before the instruction that it may not want. What comes out is left
    /// as it is, even if it is none. But what processors do with 66, f2 and f3 where no
    /// instruction has them is reserved (AMD APM vol. 3 1.2): some ignore them.
    fn mangle(&mut self, item: &mut Item) -> Option<Instruction> {
        const PREFIXES: [u8; 14] = [
            0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x40, 0x4f, 0x48,
        ];
        // Software-backed KVM executes these with prefixes that the processor refuses.
        let lenient = matches!(
            item.instruction.mnemonic(),
            Mnemonic::Lfence
                | Mnemonic::Mfence
                | Mnemonic::Sfence
                | Mnemonic::Nop
                | Mnemonic::Endbr32
                | Mnemonic::Endbr64
                | Mnemonic::Rdfsbase
                | Mnemonic::Rdgsbase
                | Mnemonic::Wrfsbase
                | Mnemonic::Wrgsbase
                // Another segment may make another alignment: see `operands::is_suitable`.
                | Mnemonic::Cmpxchg16b
                | Mnemonic::Fxsave
                | Mnemonic::Fxsave64
                | Mnemonic::Fxrstor
                | Mnemonic::Fxrstor64
        );
        if item.instruction.flow_control() != FlowControl::Next || lenient {
            return None;
        }
        let mut encoder = Encoder::new(64);
        encoder
            .encode(&item.instruction, layout::code(self.slot))
            .ok()?;
        let prefix = self.rng.pick(&PREFIXES);
        let mut bytes = vec![prefix];
        bytes.extend(encoder.take_buffer());
        let mut decoder = Decoder::with_ip(64, &bytes, 0, DECODER);
        let instruction = decoder.decode();
        let known = forms::exclusion(instruction.code()).is_none()
            && instruction.len() == bytes.len()
            && instruction.flow_control() == FlowControl::Next
            && operands::defined(self, &instruction);
        let is_vex = item.instruction.op_code().encoding() == EncodingKind::VEX;
        let reserved = matches!(prefix, 0x66 | 0xf2 | 0xf3) && !is_vex;
        if !known && (!instruction.is_invalid() || reserved) {
            return None;
        }
        item.instruction = instruction;
        item.raw = Some(bytes);
        Some(instruction)
    }

    fn note_writes(&mut self, instruction: &Instruction) {
        let stack_step = instruction.stack_pointer_increment();
        for used in self.infos.info(instruction).used_registers() {
            let writes = !matches!(
                used.access(),
                OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            );
            let full = used.register().full_register();
            if writes && full.is_vector_register() {
                self.vector_changed[full.number() % 16] = true;
            }
            if !writes || !full.is_gpr64() {
                continue;
            }
            let number = full.number();
            if number == RSP && stack_step != 0 && !names_rsp(instruction) {
                self.stack_offset = self.stack_offset.wrapping_add(stack_step as i64 as u64);
            } else {
                self.changed[number] = true;
            }
        }
    }

    /// What register `number` holds at this point, if that is known.
    pub fn known(&self, number: usize) -> Option<u64> {
        let offset = if number == RSP { self.stack_offset } else { 0 };
        match self.changed[number] {
            true => None,
            false => Some(self.initial[number]?.wrapping_add(offset)),
        }
    }

    /// Whether register `number` can still be given a value.
    pub fn is_free(&self, number: usize) -> bool {
        !self.changed[number] && self.initial[number].is_none()
    }

    /// Has register `number`, which is free, hold `value` at this point.
    pub fn assign(&mut self, number: usize, value: u64) {
        let offset = if number == RSP { self.stack_offset } else { 0 };
        self.initial[number] = Some(value.wrapping_sub(offset));
    }

    /// Has register `number`, which is free, hold the address of a later item.
    pub fn assign_label(&mut self, number: usize) {
        let item = self.forward();
        self.initial[number] = Some(0);
        self.changed[number] = true;
        self.labels.push(Label {
            holder: Holder::Register(number),
            item,
        });
    }

    /// Has vector register `number` hold indices of 8 bytes if `wide`, else of 4. `None` if
    /// it cannot be given a value any more.
    pub fn assign_indices(&mut self, number: usize, wide: bool) -> Option<()> {
        if self.vector_changed[number] || self.vectors[number].is_some() {
            return None;
        }
        let rng = &mut self.rng;
        let mut index = || match rng.below(32) {
            0 => rng.integer(),
            1 => rng.below(0x800).wrapping_neg(),
            _ => rng.below(64),
        };
        let mut half = || {
            let count = if wide { 2 } else { 4 };
            (0..count).fold(0, |half, _| {
                let (bits, value) = match wide {
                    true => (64, u128::from(index())),
                    false => (32, u128::from(index() as u32)),
                };
                half << bits | value
            })
        };
        self.vectors[number] = Some([half(), half()]);
        Some(())
    }

    /// Whether an instruction before may have reset a component of the extended state.
    pub fn has_reset(&self) -> bool {
        use Mnemonic as M;
        let mut before = self.items.iter().map(|item| item.instruction);
        before.any(|insn| {
            forms::has_area(insn.code()) || matches!(insn.mnemonic(), M::Vzeroupper | M::Vzeroall)
        })
    }

    /// An item after the one at hand.
    pub fn forward(&mut self) -> usize {
        self.items.len() + 1 + self.rng.index(3)
    }

    /// Has memory at `address`, if it is a data page's, hold `bytes` at the start.
    pub fn patch(&mut self, address: u64, bytes: &[u8]) {
        let offset = address.wrapping_sub(layout::data(self.slot));
        if offset <= (DATA_LEN - bytes.len()) as u64 {
            self.patches.push(Patch {
                offset: offset as usize,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Has the word at `address` hold the address of a later item, or of the landing page.
    pub fn patch_label(&mut self, address: u64) {
        let offset = address.wrapping_sub(layout::data(self.slot));
        if offset > DATA_LEN as u64 - 8 {
            return;
        }
        if self.rng.chance(25) {
            let elsewhere = match self.rng.below(4) {
                0 => layout::data(self.slot) + self.rng.below(DATA_LEN as u64),
                1 => self.rng.bits(),
                _ => layout::LANDING + self.rng.below(PAGE),
            };
            self.patch(address, &elsewhere.to_le_bytes());
            return;
        }
        let item = self.forward();
        self.labels.push(Label {
            holder: Holder::Memory(offset as usize),
            item,
        });
    }

    /// Bases of FS and GS.
    pub fn segment_base(&self, segment: Register) -> u64 {
        match segment {
            Register::FS => self.setting.fs_base,
            Register::GS => self.setting.gs_base,
            _ => 0,
        }
    }

    fn finish(mut self) -> Sketch {
        let gpr = std::array::from_fn(|number| match self.initial[number] {
            Some(value) => value,
            None if number == RSP => operands::stack_address(&mut self),
            None => match self.rng.below(4) {
                0 => layout::data(self.slot) + self.rng.below(DATA_LEN as u64),
                _ => self.rng.integer(),
            },
        });
        // Mostly anywhere in the pages, often across their boundary, sometimes so that the
        // code runs into the end.
        let start = match self.rng.below(32) {
            0 => CODE_LEN as u64 - 1 - self.rng.below(40),
            1..8 => PAGE - 1 - self.rng.below(40),
            _ => self.rng.below(CODE_LEN as u64 - 256),
        };
        let mut fx = fx::random(&mut self.rng);
        let mut ymm_high = [0; 16];
        if layout::has_avx() {
            ymm_high = std::array::from_fn(|_| u128::from_le_bytes(self.rng.vector()));
        }
        for (number, value) in self.vectors.iter().enumerate() {
            if let Some([low, high]) = value {
                let at = fx::offset::XMM + 16 * number;
                fx[at..at + 16].copy_from_slice(&low.to_le_bytes());
                ymm_high[number] = *high;
            }
        }
        Sketch {
            slot: self.slot,
            start: start as usize,
            items: self.items,
            labels: self.labels,
            registers: Registers {
                gpr,
                flags: random_flags(&mut self.rng),
                fs_base: self.setting.fs_base,
                gs_base: self.setting.gs_base,
                fx,
                ymm_high,
            },
            image: Arc::clone(&self.setting.image),
            patches: self.patches,
        }
    }
}

/// The instruction as the decoder sees it, if that is what was meant.
fn check_encoding(instruction: &Instruction) -> Option<Instruction> {
    let mut encoder = Encoder::new(64);
    let ip = layout::code(0);
    let mut placed = *instruction;
    if placed.op0_kind() == iced_x86::OpKind::NearBranch64 {
        placed.set_near_branch64(ip);
    }
    encoder.encode(&placed, ip).ok()?;
    let bytes = encoder.take_buffer();
    let mut decoder = Decoder::with_ip(64, &bytes, ip, DECODER);
    let decoded = decoder.decode();
    (decoded.code() == instruction.code()).then_some(decoded)
}

fn names_rsp(instruction: &Instruction) -> bool {
    instruction.op_kinds().enumerate().any(|(i, kind)| {
        kind == iced_x86::OpKind::Register
            && instruction.op_register(i as u32).full_register() == Register::RSP
    })
}

/// Not NT: software-backed KVM loses it whenever the host is interrupted.
fn random_flags(rng: &mut Rng) -> u64 {
    const ARITHMETIC: u64 = 0x8d5;
    const DF: u64 = RFlags::DIRECTION_FLAG.bits();
    const AC: u64 = RFlags::ALIGNMENT_CHECK.bits();
    const ID: u64 = RFlags::ID.bits();
    let mut flags = INITIAL_FLAGS | rng.bits() & ARITHMETIC;
    for (flag, percent) in [(DF, 20), (AC, 4), (ID, 10)] {
        if rng.chance(percent) {
            flags |= flag;
        }
    }
    flags
}
