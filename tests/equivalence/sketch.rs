//! A sequence before it has addresses: instructions with labels, which can be taken out
//! one by one.

use std::sync::Arc;

use iced_x86::{Encoder, Instruction, OpKind};

use super::case::{Case, Image, Patch, Registers};
use super::layout;

/// One instruction.
#[derive(Clone, Debug)]
pub struct Item {
    pub instruction: Instruction,
    /// The item that a direct branch goes to; the number of items is the end.
    pub target: Option<usize>,
    /// Its bytes, if it is not to be encoded: odd prefixes.
    pub raw: Option<Vec<u8>>,
}

/// Something that holds the address of an item.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub holder: Holder,
    pub item: usize,
}

/// What holds it.
#[derive(Clone, Copy, Debug)]
pub enum Holder {
    /// A general register, at the start.
    Register(usize),
    /// A word at this offset in the data pages.
    Memory(usize),
}

/// A sequence.
#[derive(Clone, Debug)]
pub struct Sketch {
    pub slot: usize,
    pub start: usize,
    pub items: Vec<Item>,
    pub labels: Vec<Label>,
    pub registers: Registers,
    pub image: Arc<Image>,
    pub patches: Vec<Patch>,
}

impl Sketch {
    /// Gives everything its address. `None` if it cannot be encoded.
    pub fn assemble(&self) -> Option<Case> {
        let mut encoder = Encoder::new(64);
        let begin = layout::code(self.slot) + self.start as u64;
        // Lengths do not depend on addresses; branches get a target nearby.
        let mut addresses = Vec::with_capacity(self.items.len() + 1);
        let mut ip = begin;
        for item in &self.items {
            addresses.push(ip);
            ip += item.encode(&mut encoder, ip, ip)?.len() as u64;
        }
        addresses.push(ip);
        let address_of = |item: usize| addresses[item.min(self.items.len())];
        let code: Option<Vec<_>> = self
            .items
            .iter()
            .zip(&addresses)
            .map(|(item, &ip)| item.encode(&mut encoder, ip, address_of(item.target.unwrap_or(0))))
            .collect();
        let mut case = Case {
            slot: self.slot,
            start: self.start,
            code: code?,
            registers: self.registers,
            image: Arc::clone(&self.image),
            patches: self.patches.clone(),
        };
        for label in &self.labels {
            let address = address_of(label.item);
            match label.holder {
                Holder::Register(number) => case.registers.gpr[number] = address,
                Holder::Memory(offset) => case.patches.push(Patch {
                    offset,
                    bytes: address.to_le_bytes().to_vec(),
                }),
            }
        }
        Some(case)
    }

    /// The same without the item at `index`.
    pub fn without(&self, index: usize) -> Self {
        let mut less = self.clone();
        less.items.remove(index);
        let targets = less
            .items
            .iter_mut()
            .filter_map(|item| item.target.as_mut());
        let labels = less.labels.iter_mut().map(|label| &mut label.item);
        for target in targets.chain(labels) {
            if *target > index {
                *target -= 1;
            }
        }
        less
    }
}

impl Item {
    /// Its bytes at `ip`, with `target` as the target if it is a direct branch.
    fn encode(&self, encoder: &mut Encoder, ip: u64, target: u64) -> Option<Vec<u8>> {
        if let Some(raw) = &self.raw {
            return Some(raw.clone());
        }
        let mut instruction = self.instruction;
        if instruction.op0_kind() == OpKind::NearBranch64 {
            instruction.set_near_branch64(target);
        }
        encoder.encode(&instruction, ip).ok()?;
        Some(encoder.take_buffer())
    }
}
