//! Calls of System V's shared memory and messages, and what those of its semaphores share with them.
//!
//! Structures are arrays of 64-bit words here; two 32-bit fields that share one are [`pair`]ed.

use abi::virtual_map::PAGE_SIZE;
use arch::trap::Arguments;
use mm::page_tables::Access;
use mm::{Shared, UserPtr, UserSlice};

use crate::fs::stamp::Stamp;
use crate::proc::capability::Capability;
use crate::proc::credentials::SAME;
use crate::proc::current;
use crate::proc::ipc::messages::{self, QUEUES};
use crate::proc::ipc::shared_memory::{self, Attachment, SEGMENTS, Segment};
use crate::proc::ipc::{Item, Permissions, READ, SLOTS, Table, WRITE};
use crate::proc::settings::Setting;
use crate::syscall::time::of_stamp;
use crate::syscall::{Errno, SyscallResult, advice};

// Commands (Linux, include/uapi/linux/ipc.h, shm.h, msg.h).
pub(super) const REMOVE: u32 = 0;
pub(super) const SET: u32 = 1;
pub(super) const STAT: u32 = 2;
pub(super) const INFO: u32 = 3;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;
const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;
/// Says that structures are those of 64-bit programs, which have no others.
pub(super) const VERSION_64: u32 = 0x100;

/// Flags of `shmat`.
const READ_ONLY: u32 = 0o10000;
const ROUND: u32 = 0o20000;
const REPLACE: u32 = 0o40000;
const EXECUTE: u32 = 0o100_000;

/// Words of a `struct ipc64_perm`.
const PERMISSION_WORDS: usize = 6;

pub(super) fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Seconds after 1970 at a count of the time-stamp counter; 0 if it never was.
pub(super) fn seconds(count: u64) -> u64 {
    match count {
        0 => 0,
        count => of_stamp(Stamp::Counted(count)).seconds as u64,
    }
}

pub(super) fn put<const N: usize>(address: u64, words: [u64; N]) -> Result<(), Errno> {
    Ok(UserPtr::new(address).write(&current().space(), &words)?)
}

/// A `struct ipc64_perm`, and what follows it.
pub(super) fn described<const N: usize>(permissions: &Permissions, rest: &[u64]) -> [u64; N] {
    let Permissions {
        key,
        mode,
        user,
        group,
        sequence,
        made_by: [maker, makers_group],
        ..
    } = permissions;
    let mut words = [0; N];
    words[0] = pair(key.get() as u32, user.get());
    words[1] = pair(group.get(), *maker);
    words[2] = pair(*makers_group, mode.get());
    words[3] = u64::from(*sequence as u16);
    words[PERMISSION_WORDS..][..rest.len()].copy_from_slice(rest);
    words
}

/// Takes owner and mode from the `struct ipc64_perm` at `address`.
pub(super) fn set_permissions(permissions: &Permissions, address: u64) -> Result<(), Errno> {
    let words: [u64; PERMISSION_WORDS] = UserPtr::new(address).read(&current().space())?;
    permissions.check_owner()?;
    let kept = permissions.mode.get() & !0o777;
    let owner = [(words[0] >> 32) as u32, words[1] as u32];
    if owner.contains(&SAME) {
        return Err(Errno::EINVAL);
    }
    permissions.user.set(owner[0]);
    permissions.group.set(owner[1]);
    permissions.mode.set(kept | (words[2] >> 32) as u32 & 0o777);
    permissions.changed.set(arch::clock::counter());
    Ok(())
}

/// What a command is about: by number, or by slot for those that look at all. The process must
/// have these permissions.
pub(super) fn item<T: Item>(
    table: &Table<T>,
    id: u64,
    by_slot: bool,
    wanted: u32,
) -> Result<(Shared<T>, u64), Errno> {
    let item = match by_slot {
        true => table.at(id as u32).ok_or(Errno::EINVAL)?,
        false => table.find(id)?,
    };
    item.permissions().check(wanted)?;
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
            let most = shared_memory::MOST;
            let [size, segments] = [Setting::SegmentSize, Setting::Segments].map(Setting::get);
            put(structure, [size, 1, segments, segments, most, 0, 0, 0, 0])?;
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
    let wanted = match command {
        STAT | SHM_STAT => READ,
        _ => 0,
    };
    let (segment, result) = item(&SEGMENTS, id, by_slot, wanted)?;
    match command {
        REMOVE => {
            segment.permissions().check_owner()?;
            shared_memory::remove(&segment);
        }
        SET => set_permissions(segment.permissions(), structure)?,
        SHM_UNLOCK => {
            segment.permissions().check_owner_or(Capability::IpcLock)?;
            segment.unlock();
        }
        SHM_LOCK => {
            segment.permissions().check_owner_or(Capability::IpcLock)?;
            segment.lock(advice::check_may_lock()?)?;
        }
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

/// `msgget(key, flags)`
pub fn msgget(&[key, flags, ..]: &Arguments) -> SyscallResult {
    messages::get(key as i32, flags as u32)
}

/// `msgsnd(id, message, size, flags)`: the message is its type and its text.
pub fn msgsnd(&[id, message, size, flags, ..]: &Arguments) -> SyscallResult {
    let kind = UserPtr::<u64>::new(message).read(&current().space())?;
    let queue = QUEUES.open(id, WRITE)?;
    let text = UserSlice::new(message.wrapping_add(8), size);
    queue.send(kind as i64, text, flags as u32)?;
    Ok(0)
}

/// `msgrcv(id, message, size, type, flags)`
pub fn msgrcv(&[id, message, size, kind, flags, ..]: &Arguments) -> SyscallResult {
    let queue = QUEUES.open(id, READ)?;
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
            pair(Setting::Queues.get() as u32, 16),
            pair(headers, 0xffff),
        ];
        put(structure, words)?;
        return Ok(highest);
    }
    let by_slot = matches!(command, MSG_STAT | MSG_STAT_ANY);
    let wanted = match command {
        STAT | MSG_STAT => READ,
        _ => 0,
    };
    let (queue, result) = item(&QUEUES, id, by_slot, wanted)?;
    match command {
        REMOVE => {
            queue.permissions().check_owner()?;
            messages::remove(&queue);
        }
        SET => {
            const ROOM_AT: u64 = 88;
            let room = UserPtr::<u64>::new(structure.wrapping_add(ROOM_AT));
            let room = room.read(&current().space())?;
            if room > messages::ROOM && !current().may(Capability::SysResource) {
                queue.permissions().check_owner()?;
                return Err(Errno::EPERM);
            }
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
