//! Values by small numbers, such as descriptors, with a mark for each.
//!
//! Chunks are made as numbers are used: those of low numbers hang in the map itself, the rest
//! in a tree of two levels, so that a program with few descriptors has one chunk and nothing
//! else. A map that is short of memory fails as it grows, and has changed nothing.
//!
//! ```text
//! number   0..16  16..32 ...  112..128 | from 128 on: far -> middle -> chunk
//! ```

use mm::{OutOfMemory, Owned};

/// One past the highest number.
pub const LIMIT: usize = TOPS * MIDDLE_SPAN;

/// Numbers in a chunk: as many as a word has bits.
const CHUNK: usize = u16::BITS as usize;
/// Chunks in the map itself.
const NEAR: usize = 8;
/// Chunks in a middle, and middles.
const MIDDLE: usize = 256;
const TOPS: usize = 256;
const MIDDLE_SPAN: usize = MIDDLE * CHUNK;

struct Chunk<T> {
    used: u16,
    marks: u16,
    values: [Option<T>; CHUNK],
}

type Middle<T> = [Option<Owned<Chunk<T>>>; MIDDLE];
type Top<T> = [Option<Owned<Middle<T>>>; TOPS];

/// The map.
pub struct NumberMap<T> {
    near: [Option<Owned<Chunk<T>>>; NEAR],
    far: Option<Owned<Top<T>>>,
    /// All numbers below this are used.
    first_free: usize,
}

impl<T> NumberMap<T> {
    /// No values.
    pub const EMPTY: Self = Self {
        near: [const { None }; NEAR],
        far: None,
        first_free: 0,
    };

    #[inline]
    fn chunk(&self, number: usize) -> Option<&Chunk<T>> {
        match self.near.get(number / CHUNK) {
            Some(chunk) => chunk.as_deref(),
            None => self.far_chunk(number),
        }
    }

    #[inline(never)]
    fn far_chunk(&self, number: usize) -> Option<&Chunk<T>> {
        let middle = self.far.as_ref()?.get(number / MIDDLE_SPAN)?;
        middle.as_ref()?[number / CHUNK % MIDDLE].as_deref()
    }

    fn chunk_mut(&mut self, number: usize) -> Option<&mut Chunk<T>> {
        match self.near.get_mut(number / CHUNK) {
            Some(chunk) => chunk.as_deref_mut(),
            None => {
                let middle = self.far.as_mut()?.get_mut(number / MIDDLE_SPAN)?;
                middle.as_mut()?[number / CHUNK % MIDDLE].as_deref_mut()
            }
        }
    }

    fn make_chunk(&mut self, number: usize) -> Result<&mut Chunk<T>, OutOfMemory> {
        let place = match self.near.get_mut(number / CHUNK) {
            Some(place) => place,
            None => {
                mm::check_object()?;
                let far = get_or_make(&mut self.far, || [const { None }; TOPS])?;
                let middle = &mut far[number / MIDDLE_SPAN];
                let middle = get_or_make(middle, || [const { None }; MIDDLE])?;
                &mut middle[number / CHUNK % MIDDLE]
            }
        };
        get_or_make(place, || Chunk {
            used: 0,
            marks: 0,
            values: [const { None }; CHUNK],
        })
    }

    /// The value of `number`.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.chunk(number)?.values[number % CHUNK].as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.chunk_mut(number)?.values[number % CHUNK].as_mut()
    }

    /// Gives `number`, which is below [`LIMIT`], a value and a mark or none, and returns the
    /// value before.
    ///
    /// # Errors
    /// There is no memory.
    pub fn put(&mut self, number: usize, value: T, mark: bool) -> Result<Option<T>, OutOfMemory> {
        let chunk = self.make_chunk(number)?;
        chunk.used |= bit(number);
        chunk.set_mark(number, mark);
        Ok(chunk.values[number % CHUNK].replace(value))
    }

    /// Takes the value of `number` out.
    pub fn take(&mut self, number: usize) -> Option<T> {
        let chunk = self.chunk_mut(number)?;
        let value = chunk.values[number % CHUNK].take()?;
        chunk.used &= !bit(number);
        self.first_free = self.first_free.min(number);
        Some(value)
    }

    /// Whether `number` has a mark; `None` if it has no value.
    pub fn mark(&self, number: usize) -> Option<bool> {
        let chunk = self.chunk(number)?;
        (chunk.used & bit(number) != 0).then_some(chunk.marks & bit(number) != 0)
    }

    /// Gives `number` a mark or takes it away; `None` if it has no value.
    pub fn set_mark(&mut self, number: usize, mark: bool) -> Option<()> {
        let chunk = self.chunk_mut(number)?;
        if chunk.used & bit(number) == 0 {
            return None;
        }
        chunk.set_mark(number, mark);
        Some(())
    }

    /// The lowest number from `from` on that has no value; [`LIMIT`] if there is none.
    pub fn first_missing(&mut self, from: usize) -> usize {
        let start = from.max(self.first_free);
        let free = self.find(start, |chunk| chunk.map_or(u16::MAX, |chunk| !chunk.used));
        if from <= self.first_free {
            self.first_free = free;
        }
        free
    }

    /// The lowest number from `from` on that has a value.
    pub fn next(&self, from: usize) -> Option<usize> {
        let next = self.find(from, |chunk| chunk.map_or(0, |chunk| chunk.used));
        (next < LIMIT).then_some(next)
    }

    /// The lowest number from `from` on that has a value and a mark.
    pub fn next_marked(&self, from: usize) -> Option<usize> {
        let next = self.find(from, |chunk| {
            chunk.map_or(0, |chunk| chunk.used & chunk.marks)
        });
        (next < LIMIT).then_some(next)
    }

    /// The lowest number from `from` on whose bit `bits` gives for its chunk. A map without a
    /// tree has nothing there to be looked at.
    fn find(&self, from: usize, bits: impl Fn(Option<&Chunk<T>>) -> u16) -> usize {
        let mut number = from;
        for chunk in self.near.iter().skip(from / CHUNK) {
            let wanted = bits(chunk.as_deref()) >> (number % CHUNK);
            if wanted != 0 {
                return number + wanted.trailing_zeros() as usize;
            }
            number = (number / CHUNK + 1) * CHUNK;
        }
        while number < LIMIT {
            let wanted = bits(self.far_chunk(number)) >> (number % CHUNK);
            if wanted != 0 {
                return number + wanted.trailing_zeros() as usize;
            }
            let next_chunk = (number / CHUNK + 1) * CHUNK;
            number = match &self.far {
                None => break,
                Some(far) if far[number / MIDDLE_SPAN].is_some() => next_chunk,
                Some(_) => (number / MIDDLE_SPAN + 1) * MIDDLE_SPAN,
            };
        }
        LIMIT
    }
}

impl<T: Clone> NumberMap<T> {
    /// A map with the same values and marks.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Self, OutOfMemory> {
        let mut copy = Self {
            first_free: self.first_free,
            ..Self::EMPTY
        };
        copy_chunks(&self.near, &mut copy.near)?;
        if let Some(far) = &self.far {
            let tops = copy.far.insert(Owned::new([const { None }; TOPS])?);
            for (from, to) in far.iter().zip(&mut **tops) {
                if let Some(from) = from {
                    let middle = to.insert(Owned::new([const { None }; MIDDLE])?);
                    copy_chunks(&**from, &mut **middle)?;
                }
            }
        }
        Ok(copy)
    }
}

fn copy_chunks<T: Clone>(
    from: &[Option<Owned<Chunk<T>>>],
    to: &mut [Option<Owned<Chunk<T>>>],
) -> Result<(), OutOfMemory> {
    for (from, to) in from.iter().zip(to) {
        if let Some(chunk) = from.as_ref().filter(|chunk| chunk.used != 0) {
            *to = Some(Owned::new(Chunk::clone(chunk))?);
        }
    }
    Ok(())
}

impl<T: Clone> Clone for Chunk<T> {
    /// Visits the numbers that are used: mostly three.
    fn clone(&self) -> Self {
        let mut values = [const { None }; CHUNK];
        let mut left = self.used;
        while left != 0 {
            let number = left.trailing_zeros() as usize;
            values[number].clone_from(&self.values[number]);
            left &= left - 1;
        }
        Self { values, ..*self }
    }
}

impl<T> Chunk<T> {
    fn set_mark(&mut self, number: usize, mark: bool) {
        match mark {
            true => self.marks |= bit(number),
            false => self.marks &= !bit(number),
        }
    }
}

fn bit(number: usize) -> u16 {
    1 << (number % CHUNK)
}

fn get_or_make<T>(
    place: &mut Option<Owned<T>>,
    make: impl FnOnce() -> T,
) -> Result<&mut T, OutOfMemory> {
    match place {
        Some(value) => Ok(value),
        None => Ok(place.insert(Owned::new(make())?)),
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, NumberMap};
    use fastrand::Rng;
    use mm::frames;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_what_a_tree_map_would_be() {
        let before = frames::free();
        let mut random = Rng::with_seed(7);
        let mut map = NumberMap::EMPTY;
        let mut expected = BTreeMap::new();
        for round in 0..20_000 {
            let number = match random.u8(..3) {
                0 => random.usize(..40),
                1 => random.usize(..300),
                _ => LIMIT - 1 - random.usize(..9000),
            };
            match random.u8(..3) {
                0 => assert_eq!(map.take(number), expected.remove(&number).map(|(v, _)| v)),
                1 => {
                    let mark = random.bool();
                    let old = expected.insert(number, (round, mark)).map(|(v, _)| v);
                    assert_eq!(map.put(number, round, mark), Ok(old));
                }
                _ => {
                    let missing = (number..LIMIT).find(|n| !expected.contains_key(n));
                    assert_eq!(map.first_missing(number), missing.unwrap_or(LIMIT));
                    let next = expected.range(number..).next().map(|(&n, _)| n);
                    assert_eq!(map.next(number), next);
                    let mut marked = expected.range(number..).filter(|(_, (_, mark))| *mark);
                    assert_eq!(map.next_marked(number), marked.next().map(|(&n, _)| n));
                    assert_eq!(
                        map.mark(number),
                        expected.get(&number).map(|&(_, mark)| mark)
                    );
                }
            }
        }
        let copy = map.duplicate().expect("there is memory");
        for (&number, &(value, mark)) in &expected {
            assert_eq!(
                (copy.get(number), copy.mark(number)),
                (Some(&value), Some(mark))
            );
        }
        drop((map, copy));
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn the_lowest_free_number_is_found_again() {
        let mut map = NumberMap::EMPTY;
        for number in 0..1000 {
            assert_eq!(map.first_missing(0), number);
            assert_eq!(map.put(number, (), false), Ok(None));
        }
        assert_eq!((map.take(3), map.take(700)), (Some(()), Some(())));
        assert_eq!((map.first_missing(0), map.first_missing(4)), (3, 700));
        assert_eq!(map.put(3, (), false), Ok(None));
        assert_eq!(map.first_missing(0), 700);
    }
}
