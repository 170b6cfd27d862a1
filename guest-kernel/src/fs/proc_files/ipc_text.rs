//! The tables of System V's objects (`/proc/sysvipc`), which `ipcs` shows.

use core::fmt::{self, Write};

use abi::virtual_map::PAGE_SIZE;
use arch::clock;

use crate::fs::proc_files::text::NS_PER_S;
use crate::proc::ipc::messages::QUEUES;
use crate::proc::ipc::semaphores::SETS;
use crate::proc::ipc::shared_memory::SEGMENTS;
use crate::proc::ipc::{Item, Permissions, SLOTS, Table};
use crate::proc::system;

/// Seconds after 1970 at a count of the time-stamp counter; 0 if it never was.
fn seconds(count: u64) -> u64 {
    match count {
        0 => 0,
        count => clock::at_ns(count).wrapping_add(system::boot_time_ns()) / NS_PER_S,
    }
}

/// Calls `write_row` with each object, once its key, number and mode have been written.
fn write_each<T: Item>(
    table: &Table<T>,
    to: &mut dyn Write,
    write_row: impl Fn(&mut dyn Write, &T, Owners<'_>) -> fmt::Result,
) -> fmt::Result {
    for slot in 0..SLOTS as u32 {
        let Some(item) = table.at(slot) else { continue };
        let permissions = item.permissions();
        let (key, mode) = (permissions.key.get(), permissions.mode.get());
        let number = table.number_of(&item).unwrap_or(0);
        write!(to, "{key:>10} {number:>10}  {mode:>4o} ")?;
        write_row(to, &item, Owners(permissions))?;
    }
    Ok(())
}

/// User and group of the owner, and those of the maker.
struct Owners<'a>(&'a Permissions);

impl fmt::Display for Owners<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [maker, group] = self.0.made_by;
        let owner = (self.0.user.get(), self.0.group.get());
        write!(to, "{:>5} {:>5} {maker:>5} {group:>5}", owner.0, owner.1)
    }
}

/// `/proc/sysvipc/shm`.
pub fn write_segments(to: &mut dyn Write) -> fmt::Result {
    to.write_str(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  \
         cgid      atime      dtime      ctime                   rss                  swap\n",
    )?;
    write_each(&SEGMENTS, to, |to, segment, owners| {
        let (size, attached) = (segment.size, segment.attachments());
        let (maker, last) = (segment.permissions().creator, segment.last_user.get());
        write!(
            to,
            "{size:>21} {maker:>5} {last:>5}  {attached:>5} {owners}"
        )?;
        for count in [
            &segment.attached,
            &segment.detached,
            &segment.permissions().changed,
        ] {
            write!(to, " {:>10}", seconds(count.get()))?;
        }
        writeln!(to, " {:>21} {:>21}", segment.frames() * PAGE_SIZE, 0)
    })
}

/// `/proc/sysvipc/msg`.
pub fn write_queues(to: &mut dyn Write) -> fmt::Result {
    to.write_str(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid  \
         \u{20}   stime      rtime      ctime\n",
    )?;
    write_each(&QUEUES, to, |to, queue, owners| {
        let (messages, bytes) = queue.content();
        let [sender, receiver] = queue.last_users.each_ref().map(|user| user.get());
        let [sent, received] = queue.times.each_ref().map(|time| seconds(time.get()));
        let changed = seconds(queue.permissions().changed.get());
        write!(to, " {bytes:>10} {messages:>10} {sender:>5} {receiver:>5} ")?;
        writeln!(to, "{owners} {sent:>10} {received:>10} {changed:>10}")
    })
}

/// `/proc/sysvipc/sem`.
pub fn write_sets(to: &mut dyn Write) -> fmt::Result {
    to.write_str(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    )?;
    write_each(&SETS, to, |to, set, owners| {
        let (operated, changed) = (set.operated.get(), set.permissions().changed.get());
        let [operated, changed] = [operated, changed].map(seconds);
        writeln!(to, "{:>10} {owners} {operated:>10} {changed:>10}", set.len)
    })
}
