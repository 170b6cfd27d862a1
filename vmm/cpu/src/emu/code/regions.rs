//! Which blocks were translated together: if one of them is dropped, so is the translation.

use crate::emu::code::op::{Block, Handler, Op};

/// The translator, as blocks know it.
#[derive(Clone, Copy)]
pub struct Translator {
    /// Entries of a block before it is translated.
    pub after: u16,
    /// The [`code`](Block::code) of a block that is not.
    pub code: u64,
    /// What counts its entries: its first op's handler, whatever its CPU.
    pub counter: Handler<()>,
}

/// All regions, by numbers from 1 on.
pub struct Regions {
    members: Vec<Vec<*const Block>>,
}

impl Regions {
    /// None.
    pub const fn new() -> Self {
        Self {
            members: Vec::new(),
        }
    }

    /// Adds one; returns its number.
    pub fn add(&mut self, members: Vec<*const Block>) -> u32 {
        self.members.push(members);
        self.members.len() as u32
    }

    /// Makes the members of these regions (0: none) as they were before they were entered; without
    /// a translator there are none.
    ///
    /// # Safety
    /// They are live or dropped, and of none is a reference to an op held.
    pub unsafe fn drop_all(&mut self, numbers: &[u32], translator: Option<Translator>) {
        let Some(translator) = translator else {
            return;
        };
        for &number in numbers {
            let place = (number as usize).wrapping_sub(1);
            let members = self.members.get_mut(place).map(std::mem::take);
            for block in members.into_iter().flatten() {
                // SAFETY: the caller vouches for them.
                unsafe {
                    let header = &*block;
                    header.code.set(translator.code);
                    header.region.set(0);
                    header.heat.set(0);
                    Op::set_handler(Block::first::<()>(block), translator.counter);
                }
            }
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.members.clear();
    }
}
