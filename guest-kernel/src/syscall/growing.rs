//! Structures that have grown and may grow more: a program says how long its own is, and whatever
//! one side does not know of is zero.

use core::mem::size_of;

use abi::virtual_map::PAGE_SIZE;
use mm::{UserPtr, UserSlice};

use crate::proc::current;
use crate::syscall::Errno;

const WORD: u64 = size_of::<u64>() as u64;

/// The words that are known of a structure at `address`, which has `size` bytes.
///
/// # Errors
/// EINVAL: it is shorter than the first that there was, of `least` bytes. E2BIG: it is longer than
/// a page, or says what is not known. EFAULT.
pub fn read<const WORDS: usize>(
    address: u64,
    size: u64,
    least: u64,
) -> Result<[u64; WORDS], Errno> {
    if size < least {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let space = current().space();
    let mut words = [0; WORDS];
    for at in 0..size / WORD {
        let word = UserPtr::<u64>::new(address.wrapping_add(at * WORD)).read(&space)?;
        match words.get_mut(at as usize) {
            Some(place) => *place = word,
            None if word == 0 => {}
            None => return Err(Errno::E2BIG),
        }
    }
    let mut tail = [0; WORD as usize];
    let rest = UserSlice::new(address.wrapping_add(size / WORD * WORD), size % WORD);
    match rest
        .copy_in(&space, &mut tail)?
        .iter()
        .all(|byte| *byte == 0)
    {
        true => Ok(words),
        false => Err(Errno::E2BIG),
    }
}
