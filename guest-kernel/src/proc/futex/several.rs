//! Waiting for any of several words (`futex_waitv`).
//!
//! A thread has one link for a list to wait in, so who waits for several words is in a list
//! apart, which is looked at after that of the word. Seldom is anybody there. Rejected: a link for
//! each word, which every thread would have, or the table allocate.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{AddressSpace, Owned, UserPtr};

use crate::proc::futex::{Key, TABLE};
use crate::proc::scheduler::{self, current_thread};
use crate::proc::wait_queue::Deadline;

/// Most words.
const MOST: usize = linux::FUTEX_WAITV_MAX as usize;

/// What a thread waits for.
pub struct Several {
    keys: [Key; MOST],
    addresses: [u64; MOST],
    values: [u32; MOST],
    count: usize,
    /// Which of them has been woken.
    woken: Option<usize>,
}

/// A word, and what it must hold.
#[derive(Clone, Copy)]
pub struct Expected {
    /// Which.
    pub key: Key,
    /// Where it is.
    pub address: u64,
    /// What it must hold.
    pub value: u32,
}

impl Several {
    /// Of up to [`MOST`] words the first.
    ///
    /// # Errors
    /// There is no memory; those of `word`.
    pub fn new(
        count: usize,
        mut word: impl FnMut(usize) -> Result<Expected, Errno>,
    ) -> Result<Owned<Self>, Errno> {
        mm::check_object()?;
        let mut several = Owned::new(Self {
            keys: [Key::NOWHERE; MOST],
            addresses: [0; MOST],
            values: [0; MOST],
            count: count.min(MOST),
            woken: None,
        })?;
        for number in 0..several.count {
            let Expected {
                key,
                address,
                value,
            } = word(number)?;
            several.keys[number] = key;
            several.addresses[number] = address;
            several.values[number] = value;
        }
        Ok(several)
    }
}

/// Waits until one of the words, each of which must hold what is expected now, is woken, at most
/// until the deadline. Returns which.
///
/// # Errors
/// EAGAIN: one holds something else. ETIMEDOUT. RESTART: a signal came. EFAULT.
pub fn wait_any(
    space: &AddressSpace,
    several: Owned<Several>,
    deadline: Option<Deadline>,
) -> Result<u64, Errno> {
    let words = several.addresses.iter().zip(&several.values);
    for (&address, &value) in words.take(several.count) {
        if UserPtr::<u32>::new(address).read(space)? != value {
            return Err(Errno::EAGAIN);
        }
    }
    let thread = current_thread();
    if thread.needs_attention() {
        return Err(Errno::RESTART);
    }
    thread.futexes.replace(Some(several));
    TABLE.several.push_back(thread);
    let is_late = scheduler::block(deadline);
    TABLE.several.remove(thread);
    let woken = thread.futexes.take().and_then(|several| several.woken);
    match woken {
        Some(number) => Ok(number as u64),
        None if is_late => Err(Errno::ETIMEDOUT),
        None => Err(Errno::RESTART),
    }
}

/// Wakes up to `count` threads that wait for the word among others; says how many.
pub(super) fn wake(key: Key, count: u64) -> u64 {
    let mut woken = 0;
    for thread in TABLE.several.iter() {
        if woken == count {
            break;
        }
        let mut several = thread.futexes.borrow_mut();
        let Some(several) = several.as_mut() else {
            continue;
        };
        let keys = &several.keys[..several.count];
        if let Some(number) = keys.iter().position(|&own| own == key) {
            several.woken = Some(number);
            TABLE.several.remove(thread);
            scheduler::wake(thread);
            woken += 1;
        }
    }
    woken
}
