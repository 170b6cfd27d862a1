//! Sets of files to wait for (`epoll`).
//!
//! A [`Watch`] is one file of a set, under one descriptor. It hangs in up to three places:
//!
//! ```text
//! Epoll   items: by descriptor ------+---> Watch ---> the open file, which it does not keep
//!         ready: those to look at ---+       ^
//! Object  watches: of its open files --------+
//! ```
//!
//! An object that changes puts its watches among the ready ones of their sets and wakes who
//! waits there. Whoever waits looks at the ready ones only: a watch that finds its file not
//! ready leaves the list, and one that has been told stays in it if it is level-triggered, so
//! that it is looked at again. So a wait takes as many steps as files have changed, however
//! many are in the set.
//!
//! A watch ends when its file does, or its set. Rejected: watches that keep their files, which
//! would then never end.

mod set;

use core::cell::Cell;
use core::cell::RefCell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Shared, Weak};
use single_cpu::SingleCpu;

pub use set::{Control, Epoll, Found};

use crate::fs::open_file::OpenFile;
use crate::fs::poll::Readiness;
use crate::fs::shared_list::{Link, Linked, SharedList};

/// Bits of a watch's events that say how it is told, and not of what.
const WAYS: u32 = linux::EPOLLET | linux::EPOLLONESHOT | linux::EPOLLEXCLUSIVE | linux::EPOLLWAKEUP;

/// A file in a set.
pub struct Watch {
    /// The set; of none, the file's recipient is told by a signal.
    epoll: Option<Weak<Epoll>>,
    file: Weak<OpenFile>,
    fd: usize,
    /// What is to be told and how, with the bits of `epoll_event`.
    events: Cell<u32>,
    /// What the program is told with it.
    data: Cell<u64>,
    /// Another file that had the same descriptor.
    next_of_fd: RefCell<Option<Shared<Watch>>>,
    in_object: Link<Watch>,
    in_ready: Link<Watch>,
}

impl Watch {
    fn new(
        epoll: Option<Weak<Epoll>>,
        file: &Shared<OpenFile>,
        fd: usize,
        events: u32,
        data: u64,
    ) -> Result<Shared<Self>, Errno> {
        Ok(Shared::new(Self {
            epoll,
            file: Shared::downgrade(file).ok_or(Errno::ENOMEM)?,
            fd,
            events: Cell::new(events),
            data: Cell::new(data),
            next_of_fd: RefCell::new(None),
            in_object: Link::new(),
            in_ready: Link::new(),
        })?)
    }

    fn epoll(&self) -> Option<Shared<Epoll>> {
        self.epoll.as_ref()?.upgrade()
    }

    fn tell_recipient(&self, what: Readiness) {
        if let Some(file) = self.file.upgrade() {
            let wanted = Readiness::from_bits_retain(self.events.get() as u16);
            let what = what & wanted;
            file.recipient().tell(file.signal(), self.fd, what);
        }
    }

    fn has(&self, way: u32) -> bool {
        self.events.get() & way != 0
    }

    /// Whether it has been told once and is to be told no more.
    fn is_disabled(&self) -> bool {
        self.events.get() & !WAYS == 0
    }

    /// Whether any of `what` is to be told.
    fn wants(&self, what: Readiness) -> bool {
        let wanted = Readiness::from_bits_retain(self.events.get() as u16);
        !self.is_disabled() && what.intersects(wanted | Readiness::ALWAYS)
    }

    /// What of it is to be told, if anything.
    fn found(&self) -> Readiness {
        let wanted = Readiness::from_bits_retain(self.events.get() as u16);
        match self.file.upgrade() {
            Some(file) if !self.is_disabled() => file.readiness() & (wanted | Readiness::ALWAYS),
            _ => Readiness::empty(),
        }
    }
}

/// The watches of an object.
pub enum OfObject {}

impl Linked<OfObject> for Watch {
    fn link(&self) -> &Link<Self> {
        &self.in_object
    }
}

/// The watches of a set that are to be looked at.
pub enum Ready {}

impl Linked<Ready> for Watch {
    fn link(&self) -> &Link<Self> {
        &self.in_ready
    }
}

/// Number of the event that is being told, so that no set is told twice of one.
static EVENT: SingleCpu<Cell<u64>> = SingleCpu::new(Cell::new(0));

fn next_event() -> u64 {
    let event = EVENT.get() + 1;
    EVENT.set(event);
    event
}

/// Who wants to hear that an object changes.
pub struct Watches(SharedList<Watch, OfObject>);

impl Watches {
    /// Nobody.
    pub const fn new() -> Self {
        Self(SharedList::new())
    }

    /// Whether it is nobody.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells those that want any of `what`.
    #[inline]
    pub fn ring(&self, what: Readiness) {
        if !self.is_empty() {
            self.ring_all(what, next_event());
        }
    }

    #[inline(never)]
    fn ring_all(&self, what: Readiness, event: u64) {
        let mut woken = false;
        for watch in self.iter().filter(|watch| watch.wants(what)) {
            let Some(epoll) = watch.epoll() else {
                watch.tell_recipient(what);
                continue;
            };
            // Of those that are exclusive, one that somebody waits for is enough.
            let is_exclusive = watch.has(linux::EPOLLEXCLUSIVE);
            if !is_exclusive || !woken {
                let has_waiter = epoll.note(watch, event);
                woken |= is_exclusive && has_waiter;
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = Shared<Watch>> + use<> {
        core::iter::successors(self.0.first(), |watch| {
            SharedList::<Watch, OfObject>::after(watch)
        })
    }

    /// Ends the watches of an open file that ends.
    #[inline]
    pub fn file_ends(&self, file: &OpenFile) {
        if !self.0.is_empty() {
            self.remove_file(file);
        }
    }

    #[inline(never)]
    fn remove_file(&self, file: &OpenFile) {
        let mut next = self.0.first();
        while let Some(watch) = next {
            next = SharedList::<Watch, OfObject>::after(&watch);
            if watch.file.is_to(file) {
                self.0.remove(&watch);
                if let Some(epoll) = watch.epoll() {
                    epoll.forget(&watch);
                }
            }
        }
    }

    /// Has the recipient of an open file of the object told, if it is not yet, by this descriptor.
    ///
    /// # Errors
    /// There is no memory.
    pub fn tell_by_signal(&self, file: &Shared<OpenFile>, fd: usize) -> Result<(), Errno> {
        let mut events = Readiness::empty();
        events.set(Readiness::READ, file.is_readable());
        events.set(Readiness::WRITE, file.is_writable());
        mm::check_object()?;
        let watch = Watch::new(None, file, fd, events.bits().into(), 0)?;
        self.0.push_back(watch);
        Ok(())
    }

    /// Undoes [`Self::tell_by_signal`].
    pub fn stop_telling(&self, file: &OpenFile) {
        let mut watches = self.iter();
        let own = watches.find(|watch| watch.epoll.is_none() && watch.file.is_to(file));
        if let Some(watch) = own {
            self.0.remove(&watch);
        }
    }
}
