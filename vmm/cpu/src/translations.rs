//! What the emulator's translator tells of what it makes.

use std::ops::Range;

/// Somebody who is told of translations.
pub trait TranslationSink: Send + Sync {
    /// Code of the guest has been translated. The guest waits until this returns.
    fn add(&self, translation: Translation);
}

/// Blocks of the guest's code that were translated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// When, in nanoseconds of guest time.
    pub ns: u64,
    /// The number of the vCPU that executes it.
    pub cpu: u8,
    /// Its privilege level, 0 to 3.
    pub ring: u8,
    /// The host's code.
    pub code: Vec<u8>,
    /// Where that is executed.
    pub address: u64,
    /// The blocks, in the order of the host's code.
    pub blocks: Vec<TranslatedBlock>,
    /// Where in the host's code what is rare begins, that of all blocks: ways out and in.
    pub rare: usize,
}

/// A block of the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslatedBlock {
    /// Where it begins.
    pub address: u64,
    /// Its code.
    pub code: Vec<u8>,
    /// Its instructions, and the host's for them, in order: at least one, and all of the block.
    pub pieces: Vec<Piece>,
}

/// Instructions that have host code of their own: one, some that are pushed together, or all
/// that are left to the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the block's code.
    pub guest: Range<usize>,
    /// Bytes of the translation's.
    pub host: Range<usize>,
}

impl TranslatedBlock {
    /// Which bytes of the translation's code are this block's.
    pub fn host(&self) -> Range<usize> {
        let start = self.pieces.first().map_or(0, |piece| piece.host.start);
        let end = self.pieces.last().map_or(start, |piece| piece.host.end);
        start..end
    }
}
