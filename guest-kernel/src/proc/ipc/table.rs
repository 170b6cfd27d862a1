//! Objects by number and by key.
//!
//! A number has a slot's in its low half and counts upwards in its high half, so that the
//! number of an object that was removed is not that of the next one in its slot.

use core::cell::{Cell, RefCell};

use abi::Errno;
use arch::clock;
use mm::{Owned, Shared, quota};

use crate::proc::capability::Capability;
use crate::proc::ipc::{CREATE, EXCLUSIVE, PRIVATE};
use crate::proc::scheduler::current;

/// Objects of a kind that there can be: what fits into a kernel object.
pub const SLOTS: usize = 500;

/// What slots are numbered below, as in Linux (IPCMNI).
const SPAN: u32 = 1 << 15;
/// What the other half is below.
const SEQUENCES: u32 = 1 << 16;

const MODE_MASK: u32 = 0o777;

/// What all objects have. Moments are counts of the time-stamp counter.
pub struct Permissions {
    /// Its key; [`PRIVATE`] if it has none any more.
    pub key: Cell<i32>,
    /// Permission bits, and what the kind adds to them.
    pub mode: Cell<u32>,
    /// Its owner.
    pub user: Cell<u32>,
    /// Its owner's group.
    pub group: Cell<u32>,
    /// The high half of its number.
    pub sequence: u32,
    /// When it was made or last changed.
    pub changed: Cell<u64>,
    /// The process that made it.
    pub creator: u32,
    /// User and group of that process.
    pub made_by: [u32; 2],
}

impl Permissions {
    /// Fails unless the process may use the object in these ways, which are bits of a mode.
    ///
    /// # Errors
    /// EACCES.
    pub fn check(&self, wanted: u32) -> Result<(), Errno> {
        let process = current();
        let credentials = &process.credentials;
        let ([maker, group], user) = (self.made_by, credentials.users().effective);
        let mode = self.mode.get();
        let allowed = if user == maker || user == self.user.get() {
            mode >> 6
        } else if credentials.is_in(group) || credentials.is_in(self.group.get()) {
            mode >> 3
        } else {
            mode
        };
        match wanted & !allowed & 0o7 == 0 || process.may(Capability::IpcOwner) {
            true => Ok(()),
            false => Err(Errno::EACCES),
        }
    }

    /// Fails unless the process is the owner or the maker, or has this right.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_owner_or(&self, right: Capability) -> Result<(), Errno> {
        let process = current();
        let user = process.credentials.users().effective;
        match user == self.made_by[0] || user == self.user.get() {
            true => Ok(()),
            false => process.require(right),
        }
    }

    /// Fails unless the process may do what only owner and maker may.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_owner(&self) -> Result<(), Errno> {
        self.check_owner_or(Capability::SysAdmin)
    }
}

/// An object of a table.
pub trait Item {
    /// What all objects have.
    fn permissions(&self) -> &Permissions;
}

type Slots<T> = [Option<Shared<T>>; SLOTS];

/// All objects of a kind.
pub struct Table<T: 'static> {
    /// Made for the first of them.
    slots: RefCell<Option<Owned<Slots<T>>>>,
    sequence: Cell<u32>,
}

impl<T: Item> Table<T> {
    /// No objects.
    pub const fn new() -> Self {
        Self {
            slots: RefCell::new(None),
            sequence: Cell::new(0),
        }
    }

    /// The number of the object with this key, or of one that `make` makes, as `flags` say.
    /// `check` sees one that was there.
    ///
    /// # Errors
    /// ENOENT, EEXIST, ENOSPC: there are `most`. EACCES: `flags` have permissions that one
    /// that was there does not give. ENOMEM, and those of the functions.
    pub fn get(
        &self,
        key: i32,
        flags: u32,
        most: u64,
        check: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce(Permissions) -> Result<Shared<T>, Errno>,
    ) -> Result<u64, Errno> {
        let has_key = |item: &T| item.permissions().key.get() == key;
        let found = self.find_by(|item| key != PRIVATE && has_key(item));
        if let Some((slot, item)) = found {
            if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                return Err(Errno::EEXIST);
            }
            check(&item)?;
            // What is asked for whichever class the caller is in.
            let wanted = flags >> 6 | flags >> 3 | flags;
            item.permissions().check(wanted & 0o7)?;
            return Ok(number(slot, &*item));
        }
        if key != PRIVATE && flags & CREATE == 0 {
            return Err(Errno::ENOENT);
        }
        quota::check_file()?;
        if self.count(|_| 0).0 >= most {
            return Err(Errno::ENOSPC);
        }
        let sequence = self.sequence.get();
        let process = current();
        let credentials = &process.credentials;
        let made_by = [credentials.users(), credentials.groups()].map(|ids| ids.effective);
        let item = make(Permissions {
            key: Cell::new(key),
            mode: Cell::new(flags & MODE_MASK),
            user: Cell::new(made_by[0]),
            group: Cell::new(made_by[1]),
            sequence,
            changed: Cell::new(clock::counter()),
            creator: process.pid(),
            made_by,
        })?;
        let mut slots = self.slots.borrow_mut();
        let slots = match &mut *slots {
            Some(slots) => slots,
            none => none.insert(Owned::new([const { None }; SLOTS])?),
        };
        let slot = slots.iter().position(Option::is_none);
        let slot = slot.ok_or(Errno::ENOSPC)?;
        self.sequence.set((sequence + 1) % SEQUENCES);
        let number = number(slot, &*item);
        slots[slot] = Some(item);
        Ok(number)
    }

    /// The object with this number.
    ///
    /// # Errors
    /// EINVAL: there is none. EIDRM: it was removed.
    pub fn find(&self, number: u64) -> Result<Shared<T>, Errno> {
        let number = u32::try_from(number as i32).map_err(|_| Errno::EINVAL)?;
        let item = self.at(number % SPAN).ok_or(Errno::EINVAL)?;
        match item.permissions().sequence == number / SPAN {
            true => Ok(item),
            false => Err(Errno::EIDRM),
        }
    }

    /// The object with this number, if the process may use it in these ways.
    ///
    /// # Errors
    /// EINVAL, EIDRM, EACCES.
    pub fn open(&self, number: u64, wanted: u32) -> Result<Shared<T>, Errno> {
        let item = self.find(number)?;
        item.permissions().check(wanted)?;
        Ok(item)
    }

    /// What is in a slot.
    pub fn at(&self, slot: u32) -> Option<Shared<T>> {
        self.slots.borrow().as_ref()?.get(slot as usize)?.clone()
    }

    /// The first object of which `is_it` says so, and its slot.
    pub fn find_by(&self, is_it: impl Fn(&T) -> bool) -> Option<(usize, Shared<T>)> {
        let slots = self.slots.borrow();
        let mut all = slots.iter().flat_map(|slots| slots.iter()).enumerate();
        all.find_map(|(slot, item)| {
            let item = item.as_ref().filter(|item| is_it(item))?;
            Some((slot, item.clone()))
        })
    }

    /// The number of an object.
    pub fn number_of(&self, item: &Shared<T>) -> Option<u64> {
        let is_it = |other: &T| core::ptr::eq(other, &**item);
        self.find_by(is_it).map(|(slot, item)| number(slot, &*item))
    }

    /// Takes an object out.
    pub fn remove(&self, item: &Shared<T>) {
        let is_it = |other: &T| core::ptr::eq(other, &**item);
        if let Some((slot, _)) = self.find_by(is_it) {
            let mut slots = self.slots.borrow_mut();
            let removed = slots.as_mut().and_then(|slots| slots[slot].take());
            drop(slots);
            drop(removed);
        }
    }

    /// How many there are, the highest slot in use, and the sum of `size` over all.
    pub fn count(&self, size: impl Fn(&T) -> u64) -> (u64, u64, u64) {
        let slots = self.slots.borrow();
        let used = slots.iter().flat_map(|slots| slots.iter()).enumerate();
        let mut used = used.filter_map(|(slot, item)| Some((slot as u64, item.as_ref()?)));
        used.by_ref()
            .fold((0, 0, 0), |(count, _, sum), (slot, item)| {
                (count + 1, slot, sum + size(item))
            })
    }
}

fn number(slot: usize, item: &impl Item) -> u64 {
    u64::from(item.permissions().sequence * SPAN) + slot as u64
}
