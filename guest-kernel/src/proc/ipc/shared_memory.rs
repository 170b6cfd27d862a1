//! Shared memory: files without a name that are found by number. Who has one attached is who
//! has it mapped, so nothing is counted.

use core::cell::Cell;

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;
use arch::clock;
use mm::area::{Locking, MayWrite};
use mm::file_pages::{FilePages, MAX_LEN};
use mm::mapping::{Backing, Place, Request};
use mm::page_tables::Access;
use mm::{Shared, spaces};
use single_cpu::SingleCpu;

use crate::proc::ipc::{EXECUTE, Item, PRIVATE, Permissions, READ, Table, WRITE};
use crate::proc::scheduler::current;
use crate::proc::settings::Setting;

/// All segments.
pub static SEGMENTS: SingleCpu<Table<Segment>> = SingleCpu::new(Table::new());

/// What is told as the most bytes of a segment, and pages of all: no limit (Linux, SHMMAX).
pub const MOST: u64 = u64::MAX - (1 << 24);

/// Segments that go with their last user.
static LEAVING: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// Bit of the mode of a segment that goes with its last user (Linux, SHM_DEST).
const GOING: u32 = 0o1000;
/// Bit of the mode of one that shall stay in memory (SHM_LOCKED).
const LOCKED: u32 = 0o2000;

/// A segment.
pub struct Segment {
    permissions: Permissions,
    file: Shared<FilePages>,
    /// The key that it was made with.
    made_with: i32,
    /// Bytes, as they were asked for.
    pub size: u64,
    /// When it was last attached.
    pub attached: Cell<u64>,
    /// When it was last detached.
    pub detached: Cell<u64>,
    /// Who did that last.
    pub last_user: Cell<u32>,
}

impl Item for Segment {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

/// How a segment is attached.
pub struct Attachment {
    /// Where, or 0 for anywhere.
    pub address: u64,
    /// Whether it replaces what is there.
    pub replaces: bool,
    /// For what.
    pub access: Access,
}

/// The number of the segment with this key, made if `flags` say so.
///
/// # Errors
/// EINVAL: an impossible size, or it is smaller. ENOENT, EEXIST, ENOSPC, ENOMEM.
pub fn get(key: i32, size: u64, flags: u32) -> Result<u64, Errno> {
    let check = |segment: &Segment| match size > segment.size {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    };
    let most = Setting::Segments.get();
    SEGMENTS.get(key, flags, most, check, |permissions| {
        if size == 0 || size > MAX_LEN || size > Setting::SegmentSize.get() {
            return Err(Errno::EINVAL);
        }
        let file = Shared::new(FilePages::new(&[]))?;
        file.set_len(size.next_multiple_of(PAGE_SIZE))?;
        Ok(Shared::new(Segment {
            permissions,
            file,
            made_with: key,
            size,
            attached: Cell::new(0),
            detached: Cell::new(0),
            last_user: Cell::new(0),
        })?)
    })
}

/// Maps a segment and returns where.
///
/// # Errors
/// EINVAL: no such segment, or something is there. EIDRM, EACCES, ENOMEM.
pub fn attach(number: u64, attachment: &Attachment) -> Result<u64, Errno> {
    let bits = [
        (Access::READ, READ),
        (Access::WRITE, WRITE),
        (Access::EXECUTE, EXECUTE),
    ];
    let asked = bits
        .iter()
        .filter(|(access, _)| attachment.access.contains(*access));
    let segment = SEGMENTS.open(number, asked.map(|(_, bit)| bit).sum())?;
    let place = match (attachment.address, attachment.replaces) {
        (0, _) => Place::Near(0),
        (address, true) => Place::Replace(address),
        (address, false) => Place::Free(address),
    };
    let mapped = current().space().map(Request {
        place,
        len: segment.size,
        access: attachment.access,
        backing: Backing::SharedFile {
            file: segment.file.clone(),
            offset: 0,
            may_write: MayWrite(attachment.access.contains(Access::WRITE)),
        },
        populate: false,
        overcommit: true,
        locking: Locking::Unlocked,
    });
    let start = mapped.map_err(|errno| match errno {
        Errno::EEXIST | Errno::EPERM => Errno::EINVAL,
        other => other,
    })?;
    segment.attached.set(clock::counter());
    segment.last_user.set(current().pid());
    Ok(start)
}

/// Unmaps the segment that is attached at `address`.
///
/// # Errors
/// EINVAL: none is.
pub fn detach(address: u64) -> Result<(), Errno> {
    let space = current().space();
    let file = space.shared_file_at(address).ok_or(Errno::EINVAL)?;
    let is_it = |segment: &Segment| Shared::is_same(&segment.file, &file);
    let (_, segment) = SEGMENTS.find_by(is_it).ok_or(Errno::EINVAL)?;
    let size = segment.size.next_multiple_of(PAGE_SIZE);
    space.unmap_file(address, &file, size)?;
    segment.detached.set(clock::counter());
    segment.last_user.set(current().pid());
    drop(file);
    sweep();
    Ok(())
}

/// The key that the segment was made with whose bytes these are, and its number.
pub fn named(file: &Shared<FilePages>) -> Option<(i32, u64)> {
    let is_it = |segment: &Segment| Shared::is_same(&segment.file, file);
    let (_, segment) = SEGMENTS.find_by(is_it)?;
    Some((segment.made_with, SEGMENTS.number_of(&segment)?))
}

/// Removes a segment once nobody has it attached.
pub fn remove(segment: &Shared<Segment>) {
    let permissions = segment.permissions();
    if !segment.is_going() {
        permissions.key.set(PRIVATE);
        permissions.mode.set(permissions.mode.get() | GOING);
        LEAVING.set(LEAVING.get() + 1);
    }
    sweep();
}

/// Removes what nobody has attached any more of what was to be removed.
pub fn sweep() {
    while LEAVING.get() > 0 {
        let is_over = |segment: &Segment| segment.is_going() && !segment.is_attached();
        let Some((_, segment)) = SEGMENTS.find_by(is_over) else {
            return;
        };
        SEGMENTS.remove(&segment);
        LEAVING.set(LEAVING.get() - 1);
    }
}

impl Segment {
    fn is_going(&self) -> bool {
        self.permissions.mode.get() & GOING != 0
    }

    fn is_attached(&self) -> bool {
        // The segment's own share is the first.
        Shared::owners(&self.file) > 1
    }

    /// Locks it: all of its owner's that are locked may have `limit` bytes.
    ///
    /// # Errors
    /// ENOMEM: they would have more.
    pub fn lock(&self, limit: u64) -> Result<(), Errno> {
        let owner = |of: &Self| of.permissions.user.get();
        let whole = |of: &Self| of.size.next_multiple_of(PAGE_SIZE);
        let size = |of: &Self| match of.is_locked() && owner(of) == owner(self) {
            true => whole(of),
            false => 0,
        };
        let (_, _, locked) = SEGMENTS.count(size);
        if !self.is_locked() && locked.saturating_add(whole(self)) > limit {
            return Err(Errno::ENOMEM);
        }
        let mode = &self.permissions.mode;
        mode.set(mode.get() | LOCKED);
        Ok(())
    }

    /// Unlocks it.
    pub fn unlock(&self) {
        let mode = &self.permissions.mode;
        mode.set(mode.get() & !LOCKED);
    }

    fn is_locked(&self) -> bool {
        self.permissions.mode.get() & LOCKED != 0
    }

    /// How many mappings there are of it.
    pub fn attachments(&self) -> u64 {
        spaces::count_mappings(&self.file)
    }

    /// Pages of it that have been touched.
    pub fn frames(&self) -> u64 {
        self.file.frame_count()
    }
}
