//! On which CPUs a thread may run (R33).

use linux_raw_sys::general as linux;

use crate::syscall::{Result, call};

/// Words of a set: as many CPUs as C libraries allow for.
const WORDS: usize = 16;

/// A set of CPUs.
#[derive(Clone, Copy)]
pub struct Processors([u64; WORDS]);

impl Processors {
    /// Those that this thread may run on.
    pub fn allowed() -> Result<Self> {
        let mut words = [0; WORDS];
        let arguments = [0, size_of_val(&words) as u64, words.as_mut_ptr() as u64];
        // SAFETY: the kernel writes as much as there is room for at most.
        unsafe { call(linux::__NR_sched_getaffinity, arguments) }?;
        Ok(Self(words))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Just one of them: the one with index `n`, or in the next round through all.
    ///
    /// # Panics
    /// The set is empty.
    pub fn only(&self, n: usize) -> Self {
        let mut left = n % self.count();
        let mut one = Self([0; WORDS]);
        for (word, &all) in one.0.iter_mut().zip(&self.0) {
            let bits = (0..u64::BITS).map(|bit| 1 << bit);
            for bit in bits.filter(|bit| all & bit != 0) {
                if left == 0 {
                    *word = bit;
                    return one;
                }
                left -= 1;
            }
        }
        one
    }

    /// Has this thread, and those that it makes from now on, run there alone.
    pub fn keep_to(&self) -> Result<()> {
        let arguments = [0, size_of_val(&self.0) as u64, self.0.as_ptr() as u64];
        // SAFETY: the kernel only reads the words.
        unsafe { call(linux::__NR_sched_setaffinity, arguments) }.map(drop)
    }
}

/// Asks for [`barrier`]s.
pub fn register_barriers() -> Result<()> {
    membarrier(linux::membarrier_cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

/// Has every CPU that runs this program make a memory barrier.
///
/// # Errors
/// Nobody has asked for barriers.
pub fn barrier() -> Result<()> {
    membarrier(linux::membarrier_cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn membarrier(command: linux::membarrier_cmd) -> Result<()> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_membarrier, [command as u64, 0, 0]) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Processors, WORDS};

    #[test]
    fn single_ones_are_found_in_all_words() {
        let mut words = [0; WORDS];
        (words[0], words[2]) = (0b1010, 1 << 63);
        let set = Processors(words);
        assert_eq!(set.count(), 3);
        let one = |n| set.only(n).0;
        assert_eq!((one(0)[0], one(1)[0]), (0b10, 0b1000));
        assert_eq!((one(2)[0], one(2)[2], one(3)[0]), (0, 1 << 63, 0b10));
    }

    /// On the host the same calls reach Linux.
    #[test]
    fn a_thread_is_where_it_wants_to_be() {
        let allowed = Processors::allowed().expect("Linux has the call");
        std::thread::spawn(move || {
            allowed.only(0).keep_to().expect("it may run there");
            let now = Processors::allowed().expect("Linux has the call");
            assert_eq!((now.count(), now.0), (1, allowed.only(0).0));
        })
        .join()
        .expect("that holds");
    }
}
