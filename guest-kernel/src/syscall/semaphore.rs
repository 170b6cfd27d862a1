//! Calls of System V's semaphores.

use arch::trap::Arguments;
use mm::{Frame, OutOfMemory, UserSlice};

use crate::proc::current;
use crate::proc::ipc::semaphores::{self, Operation, SETS, Semaphore};
use crate::proc::ipc::{Item, READ, SLOTS, WRITE};
use crate::syscall::ipc::{
    INFO, REMOVE, SET, STAT, VERSION_64, described, item, pair, put, seconds, set_permissions,
};
use crate::syscall::time::{deadline_after, read_ns};
use crate::syscall::{Errno, SyscallResult};

// Commands (Linux, include/uapi/linux/sem.h).
const GET_PID: u32 = 11;
const GET_VALUE: u32 = 12;
const GET_ALL: u32 = 13;
const GET_WAITING: u32 = 14;
const GET_WAITING_ZERO: u32 = 15;
const SET_VALUE: u32 = 16;
const SET_ALL: u32 = 17;
const SEM_STAT: u32 = 18;
const SEM_INFO: u32 = 19;
const SEM_STAT_ANY: u32 = 20;

/// Bytes of a `struct sembuf`.
const OPERATION_SIZE: usize = 6;

/// `semget(key, count, flags)`
pub fn semget(&[key, count, flags, ..]: &Arguments) -> SyscallResult {
    semaphores::get(key as i32, count as i32 as u64, flags as u32)
}

/// `semop(id, operations, count)`
pub fn semop(&[id, operations, count, ..]: &Arguments) -> SyscallResult {
    semtimedop(&[id, operations, count, 0, 0, 0])
}

/// `semtimedop(id, operations, count, timeout)`
pub fn semtimedop(&[id, address, count, timeout, ..]: &Arguments) -> SyscallResult {
    let count = count as u32 as usize;
    let set = SETS.find(id)?;
    match count {
        0 => return Err(Errno::EINVAL),
        1..=semaphores::MOST_OPERATIONS => {}
        _ => return Err(Errno::E2BIG),
    }
    let deadline = match timeout {
        0 => None,
        timeout => Some(deadline_after(read_ns(timeout)?)),
    };
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let bytes = UserSlice::new(address, (count * OPERATION_SIZE) as u64);
    let bytes = bytes.copy_in(&current().space(), frame.bytes_mut())?;
    let mut operations = [Operation::default(); semaphores::MOST_OPERATIONS];
    let (fields, _) = bytes.as_chunks::<2>();
    let (fields, _) = fields.as_chunks::<3>();
    for (operation, [number, change, flags]) in operations.iter_mut().zip(fields) {
        *operation = Operation {
            number: u16::from_le_bytes(*number),
            change: i16::from_le_bytes(*change),
            flags: u16::from_le_bytes(*flags),
        };
    }
    set.operate(&operations[..count], deadline)?;
    Ok(0)
}

/// `semctl(id, number, command, argument)`
pub fn semctl(&[id, number, command, argument, ..]: &Arguments) -> SyscallResult {
    let command = command as u32 & !VERSION_64;
    if matches!(command, INFO | SEM_INFO) {
        let (count, highest, total) = SETS.count(|set| set.len as u64);
        let (used, values) = match command {
            INFO => (20, semaphores::HIGHEST as u32),
            _ => (count as u32, total as u32),
        };
        let all = (SLOTS * semaphores::MOST) as u32;
        put(
            argument,
            [
                pair(all, SLOTS as u32),
                pair(all, all),
                pair(semaphores::MOST as u32, semaphores::MOST_OPERATIONS as u32),
                pair(semaphores::MOST_OPERATIONS as u32, used),
                pair(semaphores::HIGHEST as u32, values),
            ],
        )?;
        return Ok(highest);
    }
    let by_slot = matches!(command, SEM_STAT | SEM_STAT_ANY);
    let wanted = match command {
        STAT | SEM_STAT | GET_VALUE | GET_ALL | GET_PID | GET_WAITING | GET_WAITING_ZERO => READ,
        SET_VALUE | SET_ALL => WRITE,
        _ => 0,
    };
    let (set, result) = item(&SETS, id, by_slot, wanted)?;
    let one = || {
        let number = usize::try_from(number as i32).map_err(|_| Errno::EINVAL)?;
        set.semaphores().get(number).ok_or(Errno::EINVAL)
    };
    let count = |which: usize| one().map(|one| u64::from(one.waiting[which].get()));
    let space = current().space();
    match command {
        REMOVE => {
            set.permissions().check_owner()?;
            semaphores::remove(&set);
        }
        SET => set_permissions(set.permissions(), argument)?,
        STAT | SEM_STAT | SEM_STAT_ANY => {
            let changed = set.permissions().changed.get();
            let rest = [
                seconds(set.operated.get()),
                0,
                seconds(changed),
                0,
                set.len as u64,
            ];
            put::<13>(argument, described(set.permissions(), &rest))?;
        }
        GET_VALUE => return one().map(|one| one.value.get().into()),
        GET_PID => return one().map(|one| one.last_user.get().into()),
        GET_WAITING => return count(0),
        GET_WAITING_ZERO => return count(1),
        GET_ALL => {
            let address = |number: usize| argument.wrapping_add(2 * number as u64);
            let value = |one: &Semaphore| one.value.get().to_le_bytes();
            for (number, one) in set.semaphores().iter().enumerate() {
                UserSlice::new(address(number), 2).copy_out(&space, &value(one))?;
            }
        }
        SET_VALUE => {
            one()?;
            set.set(number as usize, value(argument as i32)?);
        }
        SET_ALL => {
            let mut bytes = [0; 2 * semaphores::MOST];
            let all = UserSlice::new(argument, 2 * set.len as u64);
            let (values, _) = all.copy_in(&space, &mut bytes)?.as_chunks::<2>();
            let of = |bytes: &[u8; 2]| value(u16::from_le_bytes(*bytes).into());
            if values.iter().any(|bytes| of(bytes).is_err()) {
                return Err(Errno::ERANGE);
            }
            for (number, bytes) in values.iter().enumerate() {
                set.set(number, of(bytes)?);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(result)
}

/// A value that a semaphore can have.
fn value(value: i32) -> Result<u16, Errno> {
    match (0..=semaphores::HIGHEST).contains(&value) {
        true => Ok(value as u16),
        false => Err(Errno::ERANGE),
    }
}
