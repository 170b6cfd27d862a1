//! Where stubs are kept, each once. They go with the decoded blocks, whose ops call them.

use foldhash::{HashMap, HashMapExt};
use iced_x86::Instruction;

use crate::emu::code::executable::Executable;
use crate::emu::code::op::BLOCK_LIMIT;
use crate::emu::code::stub;

/// More bytes than any stub has.
const LONGEST: usize = 256;

/// All stubs.
pub struct Stubs {
    /// Made when the first stub is.
    memory: Option<Executable>,
    known: HashMap<Instruction, u64>,
    /// Something did not fit.
    is_full: bool,
}

impl Stubs {
    /// None.
    pub fn new() -> Self {
        Self {
            memory: None,
            known: HashMap::new(),
            is_full: false,
        }
    }

    /// Has them in memory without a file: see [`Executable::without_file`]. For later a confined
    /// thread could not make it.
    pub fn take_no_file(&mut self) {
        if self.memory.is_none() {
            self.memory = Executable::without_file();
        }
    }

    /// Whether those of a block may not fit any more.
    pub fn is_full(&self) -> bool {
        let memory = self.memory.as_ref();
        self.is_full || memory.is_some_and(|memory| memory.left() < BLOCK_LIMIT * LONGEST)
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.known.clear();
        self.is_full = false;
        if let Some(memory) = &mut self.memory {
            memory.clear();
        }
    }

    /// The address of the stub of `insn`; `None` if it cannot have one here.
    pub fn get(&mut self, insn: &Instruction) -> Option<u64> {
        let insn = stub::with_operand_at_hand(insn);
        if let Some(&known) = self.known.get(&insn) {
            return Some(known);
        }
        let code = stub::assemble(&insn).ok()?;
        debug_assert!(code.len() <= LONGEST, "{insn}");
        let address = self.keep(&code)?;
        self.known.insert(insn, address);
        Some(address)
    }

    /// Where `code` is executed from now on; `None` if it has no room, or may not be.
    pub fn keep(&mut self, code: &[u8]) -> Option<u64> {
        if self.memory.is_none() {
            self.memory = Executable::new();
        }
        let address = self.memory.as_mut()?.add(code);
        self.is_full |= address.is_none();
        address
    }
}
