//! Host code under construction: instructions by iced's encoder, jumps to labels.

use iced_x86::{Code, ConditionCode, Encoder, IcedError, Instruction, MemoryOperand, Register};

/// A place in the code that jumps lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Where the code of a guest's instruction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes from the start.
    pub at: usize,
    /// The number of its block in the region, and its own in that.
    pub block: usize,
    pub n: usize,
}

/// Code that will be executed at `base`.
pub struct Assembler {
    encoder: Encoder,
    code: Vec<u8>,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    /// Distances of 32 bits, which end there, to labels.
    jumps: Vec<(usize, Label)>,
    /// In order.
    pub marks: Vec<Mark>,
}

impl Assembler {
    pub fn new() -> Self {
        Self {
            encoder: Encoder::new(64),
            code: Vec::new(),
            labels: Vec::new(),
            jumps: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Bytes of code so far.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Notes that the code of instruction `n` of a block begins here.
    pub fn mark(&mut self, block: usize, n: usize) {
        let at = self.len();
        self.marks.push(Mark { at, block, n });
    }

    /// A label that is nowhere yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts `label` here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// Puts `label` where `other` is.
    pub fn bind_like(&mut self, label: Label, other: Label) {
        self.labels[label.0] = self.labels[other.0];
    }

    /// How far from the start `label` is, once it is bound.
    pub fn offset(&self, label: Label) -> Option<usize> {
        self.labels[label.0]
    }

    /// Adds an instruction that does not depend on its address.
    ///
    /// # Errors
    /// It has no encoding in 64-bit code.
    pub fn add(&mut self, insn: &Instruction) -> Result<(), IcedError> {
        let result = self.encoder.encode(insn, 0);
        // After an error there is part of it.
        let mut bytes = self.encoder.take_buffer();
        if result.is_ok() {
            self.code.extend_from_slice(&bytes);
        }
        bytes.clear();
        self.encoder.set_buffer(bytes);
        result.map(drop)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    fn distance_to(&mut self, label: Label) {
        self.bytes(&[0; 4]);
        self.jumps.push((self.code.len(), label));
    }

    pub fn jump(&mut self, label: Label) {
        self.bytes(&[0xe9]);
        self.distance_to(label);
    }

    pub fn call(&mut self, label: Label) {
        self.bytes(&[0xe8]);
        self.distance_to(label);
    }

    pub fn jump_if(&mut self, condition: ConditionCode, label: Label) {
        // Conditions are in the order of their opcodes.
        self.bytes(&[0x0f, 0x80 + (condition as u8 - ConditionCode::o as u8)]);
        self.distance_to(label);
    }

    /// Jumps to `target`, anywhere.
    pub fn jump_far(&mut self, target: u64) {
        // jmp [rip]
        self.bytes(&[0xff, 0x25, 0, 0, 0, 0]);
        self.bytes(&target.to_le_bytes());
    }

    /// The address of `label` to r15.
    pub fn address_to_r15(&mut self, label: Label) {
        // lea r15, [rip + distance]
        self.bytes(&[0x4c, 0x8d, 0x3d]);
        self.distance_to(label);
    }

    /// The code, jumps resolved.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut code = std::mem::take(&mut self.code);
        for &(end, label) in &self.jumps {
            if let Some(target) = self.labels[label.0]
                && let Some(place) = code.get_mut(end - 4..end)
            {
                place.copy_from_slice(&(target as i32 - end as i32).to_le_bytes());
            }
        }
        code
    }
}

/// The instructions that translations are made of beside the guest's own.
impl Assembler {
    pub fn load(&mut self, to: Register, from: MemoryOperand) -> Result<(), IcedError> {
        self.add(&Instruction::with2(Code::Mov_r64_rm64, to, from)?)
    }

    pub fn store(&mut self, to: MemoryOperand, from: Register) -> Result<(), IcedError> {
        self.add(&Instruction::with2(Code::Mov_rm64_r64, to, from)?)
    }

    pub fn copy(&mut self, to: Register, from: Register) -> Result<(), IcedError> {
        self.add(&Instruction::with2(Code::Mov_r64_rm64, to, from)?)
    }

    /// Sets all 64 bits of `to`.
    pub fn set(&mut self, to: Register, value: u64) -> Result<(), IcedError> {
        let insn = if let Ok(value) = u32::try_from(value) {
            let low = Register::EAX + to.number() as u32;
            Instruction::with2(Code::Mov_r32_imm32, low, value)?
        } else if let Ok(value) = i32::try_from(value as i64) {
            Instruction::with2(Code::Mov_rm64_imm32, to, value)?
        } else {
            Instruction::with2(Code::Mov_r64_imm64, to, value)?
        };
        self.add(&insn)
    }

    pub fn address(&mut self, to: Register, of: MemoryOperand) -> Result<(), IcedError> {
        self.add(&Instruction::with2(Code::Lea_r64_m, to, of)?)
    }

    /// Adds to `to` without a change to flags.
    pub fn advance(&mut self, to: Register, by: i64) -> Result<(), IcedError> {
        self.address(to, at(to, by))
    }

    /// `code` with a register and a value in memory.
    pub fn with_memory(
        &mut self,
        code: Code,
        register: Register,
        memory: MemoryOperand,
    ) -> Result<(), IcedError> {
        self.add(&Instruction::with2(code, register, memory)?)
    }

    /// `code` with a value in memory and a register.
    pub fn with_memory_first(
        &mut self,
        code: Code,
        memory: MemoryOperand,
        register: Register,
    ) -> Result<(), IcedError> {
        self.add(&Instruction::with2(code, memory, register)?)
    }

    /// Compares 32 bits of memory with a value.
    pub fn compare(&mut self, memory: MemoryOperand, value: i32) -> Result<(), IcedError> {
        self.add(&Instruction::with2(Code::Cmp_rm32_imm8, memory, value)?)
    }

    /// `code` with a register and an immediate, which may get a shorter form.
    pub fn with_value(
        &mut self,
        code: Code,
        register: Register,
        value: i32,
    ) -> Result<(), IcedError> {
        let code = match (code, i8::try_from(value)) {
            (Code::Cmp_rm64_imm32, Ok(_)) => Code::Cmp_rm64_imm8,
            (Code::Cmp_rm32_imm32, Ok(_)) => Code::Cmp_rm32_imm8,
            (Code::Sub_rm64_imm32, Ok(_)) => Code::Sub_rm64_imm8,
            _ => code,
        };
        self.add(&Instruction::with2(code, register, value)?)
    }

    /// `code` with two registers.
    pub fn with_register(
        &mut self,
        code: Code,
        to: Register,
        from: Register,
    ) -> Result<(), IcedError> {
        self.add(&Instruction::with2(code, to, from)?)
    }
}

/// What is `displacement` bytes from the address in `base`.
pub fn at(base: Register, displacement: i64) -> MemoryOperand {
    let size = u32::from(displacement != 0);
    let none = Register::None;
    MemoryOperand::new(base, none, 1, displacement, size, false, none)
}
