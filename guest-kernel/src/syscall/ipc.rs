//! Calls of System V's means of communication.
//!
//! Structures are arrays of 64-bit words here; two 32-bit fields that share one are [`pair`]ed.

use abi::virtual_map::PAGE_SIZE;
use arch::trap::Arguments;
use mm::page_tables::Access;
use mm::{Frame, OutOfMemory, Shared, UserPtr, UserSlice};

use crate::fs::stamp::Stamp;
use crate::proc::current;
use crate::proc::ipc::messages::{self, QUEUES};
use crate::proc::ipc::semaphores::{self, Operation, SETS, Semaphore};
use crate::proc::ipc::shared_memory::{self, Attachment, SEGMENTS, Segment};
use crate::proc::ipc::{Item, Permissions, SLOTS, Table};
use crate::syscall::time::{deadline_after, of_stamp, read_ns};
use crate::syscall::{Errno, SyscallResult};

// Commands (Linux, include/uapi/linux/ipc.h, shm.h, sem.h, msg.h).
const REMOVE: u32 = 0;
const SET: u32 = 1;
const STAT: u32 = 2;
const INFO: u32 = 3;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;
const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;
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
/// Says that structures are those of 64-bit programs, which have no others.
const VERSION_64: u32 = 0x100;

/// Flags of `shmat`.
const READ_ONLY: u32 = 0o10000;
const ROUND: u32 = 0o20000;
const REPLACE: u32 = 0o40000;
const EXECUTE: u32 = 0o100_000;

/// Words of a `struct ipc64_perm`.
const PERMISSION_WORDS: usize = 6;
/// Bytes of a `struct sembuf`.
const OPERATION_SIZE: usize = 6;

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Seconds after 1970 at a count of the time-stamp counter; 0 if it never was.
fn seconds(count: u64) -> u64 {
    match count {
        0 => 0,
        count => of_stamp(Stamp::Counted(count)).seconds as u64,
    }
}

fn put<const N: usize>(address: u64, words: [u64; N]) -> Result<(), Errno> {
    Ok(UserPtr::new(address).write(&current().space(), &words)?)
}

/// A `struct ipc64_perm`, and what follows it.
fn described<const N: usize>(permissions: &Permissions, rest: &[u64]) -> [u64; N] {
    let Permissions {
        key,
        mode,
        user,
        group,
        sequence,
        ..
    } = permissions;
    let mut words = [0; N];
    words[0] = pair(key.get() as u32, user.get());
    words[1] = pair(group.get(), 0);
    words[2] = pair(0, mode.get());
    words[3] = u64::from(*sequence as u16);
    words[PERMISSION_WORDS..][..rest.len()].copy_from_slice(rest);
    words
}

/// Takes owner and mode from the `struct ipc64_perm` at `address`.
fn set_permissions(permissions: &Permissions, address: u64) -> Result<(), Errno> {
    let words: [u64; PERMISSION_WORDS] = UserPtr::new(address).read(&current().space())?;
    let kept = permissions.mode.get() & !0o777;
    permissions.user.set((words[0] >> 32) as u32);
    permissions.group.set(words[1] as u32);
    permissions.mode.set(kept | (words[2] >> 32) as u32 & 0o777);
    permissions.changed.set(arch::clock::counter());
    Ok(())
}

/// What a command is about: by number, or by slot for those that look at all.
fn item<T: Item>(table: &Table<T>, id: u64, by_slot: bool) -> Result<(Shared<T>, u64), Errno> {
    let item = match by_slot {
        true => table.at(id as u32).ok_or(Errno::EINVAL)?,
        false => table.find(id)?,
    };
    let result = match by_slot {
        true => table.number_of(&item).unwrap_or(0),
        false => 0,
    };
    Ok((item, result))
}

/// `shmget(key, size, flags)`
pub fn shmget(&[key, size, flags, ..]: &Arguments) -> SyscallResult {
    const HUGE: u32 = 0o4000;
    if flags as u32 & HUGE != 0 {
        return Err(Errno::ENOMEM);
    }
    shared_memory::get(key as i32, size, flags as u32)
}

/// `shmat(id, address, flags)`
pub fn shmat(&[id, address, flags, ..]: &Arguments) -> SyscallResult {
    let has = |flag: u32| flags as u32 & flag != 0;
    let mut start = address;
    if !address.is_multiple_of(PAGE_SIZE) {
        if !has(ROUND) {
            return Err(Errno::EINVAL);
        }
        start -= address % PAGE_SIZE;
    }
    if start == 0 && (has(REPLACE) || address != 0) {
        return Err(Errno::EINVAL);
    }
    let mut access = Access::READ;
    access.set(Access::WRITE, !has(READ_ONLY));
    access.set(Access::EXECUTE, has(EXECUTE));
    shared_memory::attach(
        id,
        &Attachment {
            address: start,
            replaces: has(REPLACE),
            access,
        },
    )
}

/// `shmdt(address)`
pub fn shmdt(&[address, ..]: &Arguments) -> SyscallResult {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    shared_memory::detach(address)?;
    Ok(0)
}

/// `shmctl(id, command, structure)`
pub fn shmctl(&[id, command, structure, ..]: &Arguments) -> SyscallResult {
    let command = command as u32 & !VERSION_64;
    let by_slot = matches!(command, SHM_STAT | SHM_STAT_ANY);
    match command {
        INFO => {
            let most = u64::MAX - (1 << 24);
            put(
                structure,
                [most, 1, SLOTS as u64, SLOTS as u64, most, 0, 0, 0, 0],
            )?;
            return Ok(SEGMENTS.count(|_| 0).1);
        }
        SHM_INFO => {
            let pages = |segment: &Segment| segment.size.div_ceil(PAGE_SIZE);
            let (count, highest, total) = SEGMENTS.count(pages);
            let (_, _, frames) = SEGMENTS.count(Segment::frames);
            put(structure, [count, total, frames, 0, 0, 0])?;
            return Ok(highest);
        }
        REMOVE | SET | STAT | SHM_STAT | SHM_STAT_ANY | SHM_LOCK | SHM_UNLOCK => {}
        _ => return Err(Errno::EINVAL),
    }
    let (segment, result) = item(&SEGMENTS, id, by_slot)?;
    match command {
        REMOVE => shared_memory::remove(&segment),
        SET => set_permissions(segment.permissions(), structure)?,
        // Memory stays where it is anyway.
        SHM_LOCK => segment.set_locked(true),
        SHM_UNLOCK => segment.set_locked(false),
        _ => {
            let permissions = segment.permissions();
            let rest = [
                segment.size,
                seconds(segment.attached.get()),
                seconds(segment.detached.get()),
                seconds(permissions.changed.get()),
                pair(permissions.creator, segment.last_user.get()),
                segment.attachments(),
            ];
            put::<14>(structure, described(permissions, &rest))?;
        }
    }
    Ok(result)
}

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
    let (set, result) = item(&SETS, id, by_slot)?;
    let one = || {
        let number = usize::try_from(number as i32).map_err(|_| Errno::EINVAL)?;
        set.semaphores().get(number).ok_or(Errno::EINVAL)
    };
    let count = |which: usize| one().map(|one| u64::from(one.waiting[which].get()));
    let space = current().space();
    match command {
        REMOVE => semaphores::remove(&set),
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

/// `msgget(key, flags)`
pub fn msgget(&[key, flags, ..]: &Arguments) -> SyscallResult {
    messages::get(key as i32, flags as u32)
}

/// `msgsnd(id, message, size, flags)`: the message is its type and its text.
pub fn msgsnd(&[id, message, size, flags, ..]: &Arguments) -> SyscallResult {
    let kind = UserPtr::<u64>::new(message).read(&current().space())?;
    let queue = QUEUES.find(id)?;
    let text = UserSlice::new(message.wrapping_add(8), size);
    queue.send(kind as i64, text, flags as u32)?;
    Ok(0)
}

/// `msgrcv(id, message, size, type, flags)`
pub fn msgrcv(&[id, message, size, kind, flags, ..]: &Arguments) -> SyscallResult {
    let queue = QUEUES.find(id)?;
    queue.receive(message, size, kind as i64, flags as u32)
}

/// `msgctl(id, command, structure)`
pub fn msgctl(&[id, command, structure, ..]: &Arguments) -> SyscallResult {
    let command = command as u32 & !VERSION_64;
    if matches!(command, INFO | MSG_INFO) {
        let (count, highest, queued) = QUEUES.count(|queue| queue.content().0);
        let (_, _, bytes) = QUEUES.count(|queue| queue.content().1);
        let room = messages::ROOM as u32;
        let [pool, map, headers] = match command {
            INFO => [SLOTS as u32 * room / 1024, room, room],
            _ => [count as u32, queued as u32, bytes as u32],
        };
        let words = [
            pair(pool, map),
            pair(messages::LONGEST as u32, room),
            pair(SLOTS as u32, 16),
            pair(headers, 0xffff),
        ];
        put(structure, words)?;
        return Ok(highest);
    }
    let by_slot = matches!(command, MSG_STAT | MSG_STAT_ANY);
    let (queue, result) = item(&QUEUES, id, by_slot)?;
    match command {
        REMOVE => messages::remove(&queue),
        SET => {
            const ROOM_AT: u64 = 88;
            let room = UserPtr::<u64>::new(structure.wrapping_add(ROOM_AT));
            let room = room.read(&current().space())?;
            set_permissions(queue.permissions(), structure)?;
            queue.room.set(room);
            queue.wake_senders();
        }
        STAT | MSG_STAT | MSG_STAT_ANY => {
            let (count, bytes) = queue.content();
            let rest = [
                seconds(queue.times[0].get()),
                seconds(queue.times[1].get()),
                seconds(queue.permissions().changed.get()),
                bytes,
                count,
                queue.room.get(),
                pair(queue.last_users[0].get(), queue.last_users[1].get()),
            ];
            put::<15>(structure, described(queue.permissions(), &rest))?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(result)
}
