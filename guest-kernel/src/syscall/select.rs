//! `select`: waiting for several files, as sets of descriptors.

use arch::trap::Arguments;
use mm::{UserPtr, UserSlice};

use crate::fs;
use crate::fs::poll::Readiness;
use crate::proc::current;
use crate::syscall::poll::wait_for;
use crate::syscall::time::{NS_PER_S, NS_PER_US, now_ns, read_ns};
use crate::syscall::{Errno, SyscallResult, signal};

/// What a personality has that keeps timeouts (Linux, linux/personality.h).
const STICKY_TIMEOUTS: u32 = 0x400_0000;
const WORD_BITS: usize = u64::BITS as usize;
/// Descriptors in a set at most: as many as C libraries know of (FD_SETSIZE).
const MOST: usize = 1024;
const WORDS: usize = MOST / WORD_BITS;
const WORD_SIZE: usize = size_of::<u64>();

/// A set of descriptors: bit `n % 64` of word `n / 64`.
type Set = [u64; WORDS];

/// What makes a file belong to each set: reading, writing, and the third, for which there
/// is nothing here.
const MEANING: [Readiness; 3] = [
    Readiness::READ
        .union(Readiness::HANG_UP)
        .union(Readiness::ERROR),
    Readiness::WRITE.union(Readiness::ERROR),
    Readiness::PRIORITY,
];

/// `select(count, read, write, except, timeout)`, the timeout in seconds and microseconds;
/// what is left of it is told.
pub fn select(&[count, read, write, except, timeout, ..]: &Arguments) -> SyscallResult {
    let place = UserPtr::<[u64; 2]>::new(timeout);
    let ns = match timeout {
        0 => None,
        _ => Some(timeval_ns(place.read(&current().space())?)?),
    };
    wait(count, [read, write, except], ns, |left| {
        let left = [left / NS_PER_S, left % NS_PER_S / NS_PER_US];
        // As in Linux, a timeout that cannot be written to is no error.
        let _ = place.write(&current().space(), &left);
    })
}

/// `pselect6(count, read, write, except, timeout, signals)`: the timeout in seconds and
/// nanoseconds, and a pointer to address and size of the set of signals that are blocked
/// meanwhile.
pub fn pselect6(&[count, read, write, except, timeout, signals]: &Arguments) -> SyscallResult {
    let ns = match timeout {
        0 => None,
        address => Some(read_ns(address)?),
    };
    let [set, size] = match signals {
        0 => [0; 2],
        address => UserPtr::new(address).read(&current().space())?,
    };
    let blocked = signal::read_set(set, size)?;
    signal::with_blocked(blocked, || {
        wait(count, [read, write, except], ns, |left| {
            let left = [left / NS_PER_S, left % NS_PER_S];
            // As above.
            let _ = UserPtr::new(timeout).write(&current().space(), &left);
        })
    })
}

fn timeval_ns([seconds, us]: [u64; 2]) -> Result<u64, Errno> {
    let is_negative = |number| i64::try_from(number).is_err();
    if is_negative(seconds) || is_negative(us) {
        return Err(Errno::EINVAL);
    }
    let ns = us.saturating_mul(NS_PER_US);
    Ok(seconds.saturating_mul(NS_PER_S).saturating_add(ns))
}

/// Waits for a file of any of the three sets at `addresses`; `tell_left` is called with what
/// is left of the timeout.
fn wait(
    count: u64,
    addresses: [u64; 3],
    timeout: Option<u64>,
    tell_left: impl FnOnce(u64),
) -> SyscallResult {
    let count = usize::try_from(count as i32).map_err(|_| Errno::EINVAL)?;
    let count = count.min(MOST);
    let mut wanted = [[0; WORDS]; 3];
    for (set, address) in wanted.iter_mut().zip(addresses) {
        *set = read_set(address, count)?;
    }
    let start = now_ns();
    let mut ready = [[0; WORDS]; 3];
    let found = wait_for(timeout, || {
        ready = look(&wanted)?;
        let bits = ready.as_flattened().iter().map(|word| word.count_ones());
        Ok(bits.sum::<u32>().into())
    });
    // Some programs of other systems use the timeout again.
    let is_sticky = current().attributes().personality & STICKY_TIMEOUTS != 0;
    if let Some(timeout) = timeout.filter(|_| !is_sticky) {
        tell_left(timeout.saturating_sub(now_ns() - start));
    }
    let found = found?;
    for (set, address) in ready.iter().zip(addresses) {
        write_set(address, count, set)?;
    }
    Ok(found)
}

/// Which of the wanted files are ready.
fn look(wanted: &[Set; 3]) -> Result<[Set; 3], Errno> {
    let mut ready = [[0; WORDS]; 3];
    for word in 0..WORDS {
        let mut left = wanted[0][word] | wanted[1][word] | wanted[2][word];
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left -= bit;
            let fd = word * WORD_BITS + bit.trailing_zeros() as usize;
            let readiness = fs::file(fd as u64)?.readiness();
            for ((ready, wanted), meaning) in ready.iter_mut().zip(wanted).zip(MEANING) {
                if wanted[word] & bit != 0 && readiness.intersects(meaning) {
                    ready[word] |= bit;
                }
            }
        }
    }
    Ok(ready)
}

/// Bytes of a set of `count` descriptors, in whole words.
fn size(count: usize) -> u64 {
    (count.div_ceil(WORD_BITS) * WORD_SIZE) as u64
}

/// The first `count` descriptors of the set at `address`; none if that is null.
fn read_set(address: u64, count: usize) -> Result<Set, Errno> {
    let mut bytes = [[0; WORD_SIZE]; WORDS];
    if address != 0 {
        let source = UserSlice::new(address, size(count));
        source.copy_in(&current().space(), bytes.as_flattened_mut())?;
    }
    let mut set = bytes.map(u64::from_le_bytes);
    for (number, word) in set.iter_mut().enumerate() {
        let left = count.saturating_sub(number * WORD_BITS);
        if left < WORD_BITS {
            *word &= (1 << left) - 1;
        }
    }
    Ok(set)
}

fn write_set(address: u64, count: usize, set: &Set) -> Result<(), Errno> {
    if address != 0 {
        let bytes = set.map(u64::to_le_bytes);
        let len = size(count);
        let target = UserSlice::new(address, len);
        let bytes = &bytes.as_flattened()[..len as usize];
        target.copy_out(&current().space(), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_checked() {
        assert_eq!(timeval_ns([1, 5]), Ok(1_000_005_000));
        assert_eq!(timeval_ns([0, 2_000_000]), Ok(2_000_000_000));
        assert_eq!(timeval_ns([u64::MAX, 0]), Err(Errno::EINVAL));
        assert_eq!(timeval_ns([0, 1 << 63]), Err(Errno::EINVAL));
        assert_eq!(timeval_ns([i64::MAX as u64, 0]), Ok(u64::MAX));
    }

    #[test]
    fn sets_take_whole_words() {
        assert_eq!([0, 1, 64, 65, 256].map(size), [0, 8, 8, 16, 32]);
        assert_eq!(read_set(0, 256), Ok([0; WORDS]));
    }
}
