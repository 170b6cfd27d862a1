//! A saved extended state (`arch::extended_state`): an area of a frame, always one that the
//! CPU takes.

#![allow(unsafe_code)]

use core::cell::Cell;

use arch::extended_state::{self, LEGACY};
use single_cpu::SingleCpu;
use x86::{fx, xsave};

use crate::address_space::AddressSpace;
use crate::user_memory::BadAddress;
use crate::{Frame, OutOfMemory, UserSlice};

const WORD: usize = size_of::<u64>();
/// Words of the header: the components in use, two that must be zero in the standard format,
/// and then others that nobody looks at (Intel SDM vol. 1 13.4.2 and 13.8.1).
const CHECKED_WORDS: usize = 3;

/// How many there are.
static COUNT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// An extended state that is not in the CPU.
#[derive(Debug)]
pub struct ExtendedState(Frame);

impl Drop for ExtendedState {
    fn drop(&mut self) {
        COUNT.set(COUNT.get() - 1);
    }
}

impl ExtendedState {
    /// Whether there is any: a switch between threads asks this one word in place of two
    /// threads.
    #[inline]
    pub fn exists() -> bool {
        COUNT.get() != 0
    }

    /// The state after reset.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> Result<Self, OutOfMemory> {
        let frame = Frame::allocate_zeroed().ok_or(OutOfMemory)?;
        COUNT.set(COUNT.get() + 1);
        Ok(Self(frame))
    }

    /// The CPU's, as it is.
    ///
    /// # Errors
    /// There is no memory.
    pub fn of_cpu() -> Result<Self, OutOfMemory> {
        let mut state = Self::new()?;
        state.save(extended_state::in_use());
        Ok(state)
    }

    /// What is at `address` in the program's memory, with [`rest`](Self::rest) from there on.
    ///
    /// # Errors
    /// It is not the program's memory, there is no other, or the CPU has no such state.
    pub fn copy_in(space: &AddressSpace, address: u64) -> Result<Self, BadAddress> {
        let mut state = Self::new().map_err(|_| BadAddress)?;
        let rest = &mut state.0.bytes_mut()[fx::LEN..extended_state::size()];
        UserSlice::new(address, rest.len() as u64).copy_in(space, rest)?;
        if !is_valid(rest, extended_state::components()) {
            return Err(BadAddress);
        }
        // The processor does not look at them, but KVM does.
        rest[CHECKED_WORDS * WORD..xsave::HEADER_LEN].fill(0);
        Ok(state)
    }

    /// Replaces it by the CPU's, of which these components are in use. x87 and SSE, which are
    /// elsewhere, count as such.
    pub fn save(&mut self, in_use: u64) {
        // SAFETY: the frame is this value's alone, which is borrowed exclusively; it was
        // filled with zeros, or its header was checked.
        unsafe { extended_state::save(self.0.address(), in_use) }
        self.set_components(self.components() | LEGACY.bits());
    }

    /// Loads it into the CPU.
    pub fn load(&self) {
        // SAFETY: `save` left it there, or `copy_in` has checked it; zeros are valid.
        unsafe { extended_state::load(self.0.address()) }
    }

    /// Which components are not as after reset.
    pub fn components(&self) -> u64 {
        word(self.0.bytes(), xsave::IN_USE_AT / WORD)
    }

    /// Makes others than these as after reset.
    pub fn keep(&mut self, components: u64) {
        self.set_components(self.components() & components);
    }

    fn set_components(&mut self, components: u64) {
        self.0.bytes_mut()[xsave::IN_USE_AT..][..WORD].copy_from_slice(&components.to_le_bytes());
    }

    /// What the area has behind x87 and SSE; nothing if there is no extended state.
    pub fn rest(&self) -> &[u8] {
        &self.0.bytes()[fx::LEN..extended_state::size()]
    }
}

fn word(bytes: &[u8], number: usize) -> u64 {
    u64::from_le_bytes(bytes.as_chunks().0[number])
}

/// Whether a CPU with these components takes what is behind x87 and SSE.
fn is_valid(rest: &[u8], components: u64) -> bool {
    let unknown = word(rest, 0) & !components != 0;
    !unknown && (1..CHECKED_WORDS).all(|number| word(rest, number) == 0)
}

#[cfg(test)]
mod tests {
    use super::is_valid;
    use x86::xsave;

    #[test]
    fn headers_are_checked() {
        let with = |place: usize, byte: u8| {
            let mut rest = [0; xsave::HEADER_LEN];
            rest[0] = 7;
            rest[place] |= byte;
            is_valid(&rest, 7)
        };
        assert!(with(0, 4) && with(24, 1));
        let refused = [(0, 8), (7, 0x80), (8, 1), (15, 0x80), (16, 1), (23, 1)];
        assert!(refused.iter().all(|&(place, byte)| !with(place, byte)));
    }
}
