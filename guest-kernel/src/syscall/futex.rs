//! Calls about futexes.

use abi::virtual_map::USER_END;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{AddressSpace, UserPtr};

use crate::proc::futex::{self, Expected, Key, Lock};
use crate::proc::wait_queue::Deadline;
use crate::proc::{current, current_thread, table};
use crate::syscall::process_memory::check_inspectable;
use crate::syscall::time::{self, deadline_after};
use crate::syscall::{Errno, SyscallResult};

/// `set_robust_list(head, size)`
pub fn set_robust_list(&[head, size, ..]: &Arguments) -> SyscallResult {
    if size != futex::ROBUST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    current_thread().set_robust_list(head);
    Ok(0)
}

/// `get_robust_list(tid, head, size)`
pub fn get_robust_list(&[tid, head, size, ..]: &Arguments) -> SyscallResult {
    let thread = match tid as u32 {
        0 => current_thread(),
        tid => table::thread(tid).ok_or(Errno::ESRCH)?,
    };
    check_inspectable(thread.process())?;
    let space = current().space();
    UserPtr::new(size).write(&space, &futex::ROBUST_HEAD_SIZE)?;
    UserPtr::new(head).write(&space, &thread.robust_list())?;
    Ok(0)
}

/// `futex(address, operation, value, timeout, address_2, value_3)`; for operations on two words
/// the timeout is a count
pub fn futex(
    &[address, operation, value, timeout, address_2, value_3]: &Arguments,
) -> SyscallResult {
    let operation = operation as u32;
    let is_private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let space = current().space();
    let key = |address| key(&space, address, is_private);
    let lock = |address| {
        let key = key(address)?;
        Ok::<_, Errno>(Lock { key, address })
    };
    let expected = |value| {
        let key = key(address)?;
        Ok::<_, Errno>(Expected {
            key,
            address,
            value,
        })
    };
    let value = value as u32;
    let bits = value_3 as u32;
    let command = operation & linux::FUTEX_CMD_MASK as u32;
    let may_choose_clock = matches!(
        command,
        linux::FUTEX_WAIT_BITSET | linux::FUTEX_WAIT_REQUEUE_PI | linux::FUTEX_LOCK_PI2
    );
    if operation & linux::FUTEX_CLOCK_REALTIME != 0 && !may_choose_clock {
        return Err(Errno::ENOSYS);
    }
    match command {
        linux::FUTEX_WAIT | linux::FUTEX_WAIT_BITSET => {
            let is_wait = command == linux::FUTEX_WAIT;
            let deadline = deadline(operation, is_wait, timeout)?;
            let bits = if is_wait { futex::ANY } else { bits };
            let waited = futex::wait(&space, key(address)?, address, value, bits, deadline);
            waited.map_err(|errno| match deadline {
                Some(Deadline::Boot(ns)) if is_wait => time::note_deadline(ns, errno),
                _ => errno,
            })?;
            Ok(0)
        }
        linux::FUTEX_WAKE => futex::wake(key(address)?, futex::ANY, wake_count(value)),
        linux::FUTEX_WAKE_BITSET => futex::wake(key(address)?, bits, wake_count(value)),
        linux::FUTEX_REQUEUE | linux::FUTEX_CMP_REQUEUE => {
            let (from, to) = (key(address)?, key(address_2)?);
            if (value as i32) < 0 || (timeout as i32) < 0 {
                return Err(Errno::EINVAL);
            }
            if command == linux::FUTEX_CMP_REQUEUE
                && UserPtr::<u32>::new(address).read(&space)? != bits
            {
                return Err(Errno::EAGAIN);
            }
            futex::requeue(from, value.into(), to, timeout as u32 as u64)
        }
        linux::FUTEX_WAKE_OP => {
            let (first, second) = (key(address)?, key(address_2)?);
            let wakes_second = change(&space, address_2, bits)?;
            let woken = futex::wake(first, futex::ANY, wake_count(value))?;
            let more = match wakes_second {
                true => futex::wake(second, futex::ANY, wake_count(timeout as u32))?,
                false => 0,
            };
            Ok(woken + more)
        }
        linux::FUTEX_LOCK_PI | linux::FUTEX_LOCK_PI2 => {
            // The first of the two has but one clock.
            let clock = match command {
                linux::FUTEX_LOCK_PI => linux::FUTEX_CLOCK_REALTIME,
                _ => operation,
            };
            let deadline = deadline(clock, false, timeout)?;
            futex::lock(&space, lock(address)?, true, deadline)?;
            Ok(0)
        }
        linux::FUTEX_TRYLOCK_PI => {
            futex::lock(&space, lock(address)?, false, None)?;
            Ok(0)
        }
        linux::FUTEX_UNLOCK_PI => {
            futex::unlock(&space, lock(address)?)?;
            Ok(0)
        }
        linux::FUTEX_WAIT_REQUEUE_PI | linux::FUTEX_CMP_REQUEUE_PI if address == address_2 => {
            Err(Errno::EINVAL)
        }
        linux::FUTEX_WAIT_REQUEUE_PI => {
            let deadline = deadline(operation, false, timeout)?;
            let lock = lock(address_2)?;
            futex::wait_for_lock(&space, expected(value)?, lock, deadline)?;
            Ok(0)
        }
        linux::FUTEX_CMP_REQUEUE_PI => {
            // More than the owner of a lock cannot go on.
            if value != 1 || (timeout as i32) < 0 {
                return Err(Errno::EINVAL);
            }
            let (word, lock) = (expected(bits)?, lock(address_2)?);
            futex::requeue_to_lock(&space, word, lock, timeout as u32 as u64)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The word at `address`, which has to be there if others may share it.
pub(super) fn key(space: &AddressSpace, address: u64, is_private: bool) -> Result<Key, Errno> {
    if address.is_multiple_of(size_of::<u32>() as u64) {
        if address >= USER_END {
            return Err(Errno::EFAULT);
        }
        if !is_private {
            UserPtr::<u32>::new(address).read(space)?;
        }
    }
    Key::new(space, address, is_private)
}

/// Linux wakes one thread before it looks at the count, which has a sign.
pub(super) fn wake_count(value: u32) -> u64 {
    (value as i32).max(1) as u64
}

/// Changes the word at `address` as FUTEX_WAKE_OP's last argument says, and compares what it was
/// before.
///
/// # Errors
/// ENOSYS: there is no such operation. EFAULT.
fn change(space: &AddressSpace, address: u64, code: u32) -> Result<bool, Errno> {
    const SHIFT: u32 = linux::FUTEX_OP_OPARG_SHIFT;
    let operation = code >> 28;
    // Both arguments have 12 bits and a sign.
    let argument = ((code << 8) as i32 >> 20) as u32;
    let compared = (code << 20) as i32 >> 20;
    let argument = match operation & SHIFT {
        0 => argument,
        _ => 1_u32 << (argument % u32::BITS),
    };
    let old = UserPtr::<u32>::new(address).update(space, |old| {
        Ok(Some(match operation & !SHIFT {
            linux::FUTEX_OP_SET => argument,
            linux::FUTEX_OP_ADD => old.wrapping_add(argument),
            linux::FUTEX_OP_OR => old | argument,
            linux::FUTEX_OP_ANDN => old & !argument,
            linux::FUTEX_OP_XOR => old ^ argument,
            _ => return Err(Errno::ENOSYS),
        }))
    })?;
    let old = old as i32;
    match code >> 24 & 0xf {
        linux::FUTEX_OP_CMP_EQ => Ok(old == compared),
        linux::FUTEX_OP_CMP_NE => Ok(old != compared),
        linux::FUTEX_OP_CMP_LT => Ok(old < compared),
        linux::FUTEX_OP_CMP_LE => Ok(old <= compared),
        linux::FUTEX_OP_CMP_GT => Ok(old > compared),
        linux::FUTEX_OP_CMP_GE => Ok(old >= compared),
        _ => Err(Errno::ENOSYS),
    }
}

/// When a wait ends: the time at `timeout`, unless that is null, is a duration for
/// FUTEX_WAIT and a moment otherwise.
fn deadline(operation: u32, is_duration: bool, timeout: u64) -> Result<Option<Deadline>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let timeout = time::read_ns(timeout)?;
    Ok(Some(if is_duration {
        Deadline::Boot(deadline_after(timeout))
    } else if operation & linux::FUTEX_CLOCK_REALTIME != 0 {
        Deadline::Day(timeout)
    } else {
        Deadline::Boot(timeout)
    }))
}
