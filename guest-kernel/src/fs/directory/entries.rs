//! The entries of a directory that is kept in memory: names and what they stand for.
//!
//! ```text
//! few:   one chunk of entries, each beside a hash of its name
//! more:  place -> group -> chunk, and heads of chains of places with like hashes
//! ```
//!
//! An entry keeps its place until it is removed, and the place is its offset for
//! `getdents64`: a program may remove what it has read and go on. A look-up compares
//! hashes first, and follows one of [`HEADS`] chains, so that it does not take longer in a
//! directory of thousands.
//! Rejected: a tree by hash, whose entries move as it grows, so that a listing misses some.

use abi::Errno;
use mm::{Owned, Shared};

use crate::fs::bytes::Bytes;
use crate::fs::node::Node;

/// Entries in a chunk.
const CHUNK: usize = 16;
/// Chunks in a group.
const GROUP: usize = 64;
/// Groups in a directory.
const GROUPS: usize = 128;
/// Chains of entries: a power of two.
const HEADS: usize = 256;
/// No place.
const NONE: u32 = u32::MAX;

/// A name and what it stands for.
pub struct Entry {
    /// The name.
    pub name: Bytes,
    /// The node.
    pub node: Shared<Node>,
}

struct Chunk {
    /// Hashes of the names; 0 where there is none.
    hashes: [u32; CHUNK],
    /// For an entry, the next of its chain; else the next free place.
    next: [u32; CHUNK],
    entries: [Option<Entry>; CHUNK],
}

impl Chunk {
    const EMPTY: Self = Self {
        hashes: [0; CHUNK],
        next: [NONE; CHUNK],
        entries: [const { None }; CHUNK],
    };
}

type Group = [Option<Owned<Chunk>>; GROUP];

/// Everything of a directory with more than a chunk of entries.
struct Table {
    groups: Owned<[Option<Owned<Group>>; GROUPS]>,
    heads: Owned<[u32; HEADS]>,
}

enum Chunks {
    None,
    One(Owned<Chunk>),
    Many(Table),
}

/// Entries by name and by place.
pub struct Entries {
    chunks: Chunks,
    count: u32,
    /// One past the last place that was ever used.
    end: u32,
    /// The first place that is free again.
    free: u32,
}

/// FNV-1a, and never 0.
fn hash(name: &[u8]) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.iter().fold(0x811c_9dc5, step).max(1)
}

fn head(hash: u32) -> usize {
    (hash ^ hash >> 16) as usize % HEADS
}

impl Entries {
    /// None.
    pub const EMPTY: Self = Self {
        chunks: Chunks::None,
        count: 0,
        end: 0,
        free: NONE,
    };

    fn chunk(&self, place: u32) -> Option<&Chunk> {
        let number = place as usize / CHUNK;
        match &self.chunks {
            Chunks::One(chunk) if number == 0 => Some(chunk),
            Chunks::Many(table) => {
                table.groups.get(number / GROUP)?.as_ref()?[number % GROUP].as_deref()
            }
            _ => None,
        }
    }

    fn chunk_mut(&mut self, place: u32) -> Option<&mut Chunk> {
        let number = place as usize / CHUNK;
        match &mut self.chunks {
            Chunks::One(chunk) if number == 0 => Some(chunk),
            Chunks::Many(table) => {
                let group = table.groups.get_mut(number / GROUP)?.as_mut()?;
                group[number % GROUP].as_deref_mut()
            }
            _ => None,
        }
    }

    /// The place of the entry with this name.
    fn place(&self, name: &[u8]) -> Option<u32> {
        let hash = hash(name);
        let is_it = |chunk: &Chunk, at: usize| {
            let entry = chunk.entries[at].as_ref();
            chunk.hashes[at] == hash && entry.is_some_and(|entry| *entry.name == *name)
        };
        match &self.chunks {
            Chunks::None => None,
            Chunks::One(chunk) => {
                let at = (0..CHUNK).find(|&at| is_it(chunk, at))?;
                Some(at as u32)
            }
            Chunks::Many(table) => {
                let mut place = table.heads[head(hash)];
                loop {
                    let (chunk, at) = (self.chunk(place)?, place as usize % CHUNK);
                    if is_it(chunk, at) {
                        return Some(place);
                    }
                    place = chunk.next[at];
                }
            }
        }
    }

    /// The entry with this name.
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        self.at(self.place(name)?)
    }

    fn at(&self, place: u32) -> Option<&Entry> {
        self.chunk(place)?.entries[place as usize % CHUNK].as_ref()
    }

    /// The first entry at place `from` or after it, and its place.
    pub fn next(&self, from: usize) -> Option<(usize, &Entry)> {
        let from = u32::try_from(from).unwrap_or(NONE);
        let mut places = from..self.end;
        places.find_map(|place| Some((place as usize, self.at(place)?)))
    }

    /// Puts an entry in; no other has its name.
    ///
    /// # Errors
    /// ENOMEM; ENOSPC: there are too many.
    pub fn insert(&mut self, entry: Entry) -> Result<(), Errno> {
        let place = self.prepare()?;
        let hash = hash(&entry.name);
        let at = place as usize % CHUNK;
        let Some(chunk) = self.chunk_mut(place) else {
            unreachable!("it was prepared");
        };
        let after = core::mem::replace(&mut chunk.next[at], NONE);
        chunk.hashes[at] = hash;
        chunk.entries[at] = Some(entry);
        if place == self.end {
            self.end += 1;
        } else {
            self.free = after;
        }
        self.count += 1;
        self.chain(place, hash);
        Ok(())
    }

    /// A free place, in a chunk that is there.
    fn prepare(&mut self) -> Result<u32, Errno> {
        if self.free != NONE {
            return Ok(self.free);
        }
        let number = self.end as usize / CHUNK;
        if matches!(self.chunks, Chunks::One(_)) && number == 1 {
            self.grow()?;
        }
        match &mut self.chunks {
            Chunks::None => self.chunks = Chunks::One(Owned::new(Chunk::EMPTY)?),
            Chunks::One(_) => {}
            Chunks::Many(table) => {
                let group = table.groups.get_mut(number / GROUP);
                let group = group.ok_or(Errno::ENOSPC)?;
                let group = match group {
                    Some(group) => group,
                    None => group.insert(Owned::new([const { None }; GROUP])?),
                };
                let chunk = &mut group[number % GROUP];
                if chunk.is_none() {
                    *chunk = Some(Owned::new(Chunk::EMPTY)?);
                }
            }
        }
        Ok(self.end)
    }

    /// Makes a table for the first chunk, which is full.
    fn grow(&mut self) -> Result<(), Errno> {
        let mut table = Table {
            groups: Owned::new([const { None }; GROUPS])?,
            heads: Owned::new([NONE; HEADS])?,
        };
        let group = table.groups[0].insert(Owned::new([const { None }; GROUP])?);
        if let Chunks::One(chunk) = core::mem::replace(&mut self.chunks, Chunks::None) {
            group[0] = Some(chunk);
        }
        self.chunks = Chunks::Many(table);
        for place in 0..CHUNK as u32 {
            let hash = self
                .chunk(place)
                .map_or(0, |chunk| chunk.hashes[place as usize]);
            self.chain(place, hash);
        }
        Ok(())
    }

    /// Puts a place in front of its chain, if there are chains.
    fn chain(&mut self, place: u32, hash: u32) {
        if let Chunks::Many(table) = &mut self.chunks {
            let next = core::mem::replace(&mut table.heads[head(hash)], place);
            self.set_next(place, next);
        }
    }

    fn set_next(&mut self, place: u32, next: u32) {
        if let Some(chunk) = self.chunk_mut(place) {
            chunk.next[place as usize % CHUNK] = next;
        }
    }

    fn next_of(&self, place: u32) -> u32 {
        self.chunk(place)
            .map_or(NONE, |chunk| chunk.next[place as usize % CHUNK])
    }

    /// Takes a place out of its chain, if there are chains.
    fn unchain(&mut self, place: u32, hash: u32) {
        let next = self.next_of(place);
        let Chunks::Many(table) = &mut self.chunks else {
            return;
        };
        let first = &mut table.heads[head(hash)];
        if *first == place {
            *first = next;
            return;
        }
        let mut before = *first;
        while before != NONE {
            let after = self.next_of(before);
            if after == place {
                self.set_next(before, next);
                return;
            }
            before = after;
        }
    }

    /// Takes the entry with this name out.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let place = self.place(name)?;
        self.unchain(place, hash(name));
        let free = self.free;
        let chunk = self.chunk_mut(place)?;
        let at = place as usize % CHUNK;
        chunk.hashes[at] = 0;
        chunk.next[at] = free;
        let entry = chunk.entries[at].take();
        self.free = place;
        self.count -= 1;
        if self.count == 0 {
            *self = Self::EMPTY;
        }
        entry
    }

    /// Takes an entry out, of entries that are to end: nothing is found in them any more.
    pub fn take_last(&mut self) -> Option<Entry> {
        while self.end > 0 {
            let place = self.end - 1;
            self.end = place;
            let chunk = self.chunk_mut(place)?;
            if let Some(entry) = chunk.entries[place as usize % CHUNK].take() {
                return Some(entry);
            }
        }
        *self = Self::EMPTY;
        None
    }

    /// Makes a name stand for another node, and returns the one before.
    pub fn replace(&mut self, name: &[u8], node: Shared<Node>) -> Option<Shared<Node>> {
        let place = self.place(name)?;
        let entry = self.chunk_mut(place)?.entries[place as usize % CHUNK].as_mut()?;
        Some(core::mem::replace(&mut entry.node, node))
    }
}

#[cfg(test)]
mod tests;
