//! Watches of files and directories, and the queue in which programs find what happened
//! (`inotify`). What is told when is in [`notify`](crate::fs::notify).
//!
//! ```text
//! Inotify  items: by number ---+---> Watch ---> the node, which it does not keep
//!          queue: events       |       ^
//! LISTS    by the node's number -------+
//! ```
//!
//! A node has no more than a count of who watches it: only if there is one are its watches looked
//! for, in a table of lists. A watch ends with its node, which lives as long as it has a name or
//! is open, or with its [`Inotify`]. Rejected: a list in each node, of which there are thousands.

mod queue;

use core::cell::{Cell, RefCell};
use core::fmt;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Shared, Weak};
use single_cpu::SingleCpu;

use crate::fs::events::epoll::Watches;
use crate::fs::events::inotify::queue::Queue;
use crate::fs::node::{Kind, Node};
use crate::fs::number_map::{self, NumberMap};
use crate::fs::poll::{self, Readiness};
use crate::fs::shared_list::{Link, Linked, SharedList};
use crate::fs::transfer::Target;
use crate::proc::settings::{MOST_INOTIFY_QUEUES, Setting};
use crate::proc::wait_queue::WaitQueue;

pub use queue::MAX_EVENTS;

/// A node counts its watches, one of each instance at most.
const _: () = assert!(MOST_INOTIFY_QUEUES <= u8::MAX as u64);
/// Watches that there can be, as on a small machine's Linux.
pub const MAX_WATCHES: usize = 65_536;

/// What a watch says beside its events.
const WAYS: u32 = linux::IN_ONESHOT | linux::IN_EXCL_UNLINK;

const LISTS_LEN: usize = 64;
static LISTS: SingleCpu<[SharedList<Watch, OfNodes>; LISTS_LEN]> =
    SingleCpu::new([const { SharedList::new() }; LISTS_LEN]);
static INSTANCES: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));
/// How many watches there are.
static COUNT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// Whether anybody watches anything: what happens need not be told otherwise.
#[inline]
pub fn is_used() -> bool {
    COUNT.get() != 0
}

/// What happened to a node, or to what is called `name` in it.
#[derive(Clone, Copy)]
pub struct Happened<'n> {
    /// A bit of Linux's, and whether it is of a directory.
    pub event: u32,
    /// The same for both events of a move.
    pub cookie: u32,
    /// Empty if it is the node itself.
    pub name: &'n [u8],
    /// Whether what has the name has lost it.
    pub is_unlinked: bool,
}

impl Happened<'_> {
    /// To the node itself.
    pub fn to_itself(event: u32) -> Self {
        Self {
            event,
            cookie: 0,
            name: b"",
            is_unlinked: false,
        }
    }
}

/// A node that is watched.
pub struct Watch {
    inotify: Weak<Inotify>,
    node: Weak<Node>,
    /// One of `/proc`, which nobody else keeps.
    _kept: Option<Shared<Node>>,
    number: u32,
    /// Events, and [`WAYS`].
    mask: Cell<u32>,
    list: usize,
    in_list: Link<Watch>,
}

/// The watches of some nodes.
enum OfNodes {}

impl Linked<OfNodes> for Watch {
    fn link(&self) -> &Link<Self> {
        &self.in_list
    }
}

fn list_of(node: &Node) -> usize {
    node.number() as usize % LISTS_LEN
}

/// The watches of `node`.
fn watches_of(node: &Node) -> impl Iterator<Item = Shared<Watch>> {
    let mut next = match node.is_watched() {
        true => LISTS[list_of(node)].first(),
        false => None,
    };
    core::iter::from_fn(move || {
        let watch = next.take()?;
        next = SharedList::<Watch, OfNodes>::after(&watch);
        Some(watch)
    })
    .filter(|watch| watch.node.is_to(node))
}

/// Tells those who watch `node`.
pub fn tell(node: &Node, happened: Happened<'_>) {
    for watch in watches_of(node) {
        let mask = watch.mask.get();
        let is_wanted = happened.event & mask & linux::IN_ALL_EVENTS != 0;
        if !is_wanted || happened.is_unlinked && mask & linux::IN_EXCL_UNLINK != 0 {
            continue;
        }
        let Some(inotify) = watch.inotify.upgrade() else {
            continue;
        };
        inotify.push(watch.number, happened);
        if mask & linux::IN_ONESHOT != 0 {
            inotify.end(&watch);
        }
    }
}

/// Ends the watches of a node that ends.
#[inline(never)]
pub fn node_ends(node: &Node) {
    tell(node, Happened::to_itself(linux::IN_DELETE_SELF));
    for watch in watches_of(node) {
        if let Some(inotify) = watch.inotify.upgrade() {
            inotify.end(&watch);
        }
    }
}

/// Watches, and what has been told of them.
pub struct Inotify {
    own: RefCell<Option<Weak<Inotify>>>,
    items: RefCell<NumberMap<Shared<Watch>>>,
    last_number: Cell<usize>,
    queue: Queue,
    readers: WaitQueue,
    watches: Watches,
}

impl Inotify {
    /// One without watches.
    ///
    /// # Errors
    /// EMFILE: there are too many. ENOMEM.
    pub fn new() -> Result<Shared<Self>, Errno> {
        if INSTANCES.get() as u64 >= Setting::InotifyQueues.get() {
            return Err(Errno::EMFILE);
        }
        INSTANCES.set(INSTANCES.get() + 1);
        // If there is no memory the value is dropped, which decrements the count.
        let inotify = Shared::new(Self {
            own: RefCell::new(None),
            items: RefCell::new(NumberMap::EMPTY),
            last_number: Cell::new(0),
            queue: Queue::new(),
            readers: WaitQueue::new(),
            watches: Watches::new(),
        })?;
        *inotify.own.borrow_mut() = Shared::downgrade(&inotify);
        Ok(inotify)
    }

    /// Watches `node` as `mask` says, or changes how it is watched, and returns the watch's
    /// number.
    ///
    /// # Errors
    /// EEXIST: it is watched, and shall not be yet. ENOSPC: too many are. ENOMEM.
    pub fn add(&self, node: &Shared<Node>, mask: u32) -> Result<u64, Errno> {
        let events = mask & (linux::IN_ALL_EVENTS | WAYS);
        let is_own = |watch: &Shared<Watch>| watch.inotify.is_to(self);
        if let Some(watch) = watches_of(node).find(is_own) {
            if mask & linux::IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let before = match mask & linux::IN_MASK_ADD {
                0 => 0,
                _ => watch.mask.get(),
            };
            watch.mask.set(before | events);
            return Ok(watch.number.into());
        }
        if COUNT.get() >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        mm::check_object().map_err(|_| Errno::ENOSPC)?;
        let number = self.free_number()?;
        let own = self.own.borrow().as_ref().and_then(Weak::upgrade);
        let own = own.as_ref().and_then(Shared::downgrade);
        let is_made_up = match node.kind() {
            Kind::Proc(_) => true,
            Kind::Directory(directory) => directory.is_generated(),
            _ => false,
        };
        let watch = Shared::new(Watch {
            inotify: own.ok_or(Errno::ENOMEM)?,
            node: Shared::downgrade(node).ok_or(Errno::ENOMEM)?,
            _kept: is_made_up.then(|| node.clone()),
            number: number as u32,
            mask: Cell::new(events),
            list: list_of(node),
            in_list: Link::new(),
        })?;
        let before = self.items.borrow_mut().put(number, watch.clone(), false)?;
        drop(before);
        self.last_number.set(number);
        node.count_watch(1);
        LISTS[watch.list].push_back(watch);
        COUNT.set(COUNT.get() + 1);
        Ok(number as u64)
    }

    /// The number of a new watch: those of watches that have ended come again late, since
    /// events of them may still be read.
    fn free_number(&self) -> Result<usize, Errno> {
        /// The first of them that is not used.
        const ROUND: usize = 4 * MAX_WATCHES;
        const _: () = assert!(ROUND < number_map::LIMIT);
        let mut items = self.items.borrow_mut();
        let next = items.first_missing(self.last_number.get() + 1);
        let number = if next < ROUND {
            next
        } else {
            items.first_missing(1)
        };
        match number < ROUND {
            true => Ok(number),
            false => Err(Errno::ENOSPC),
        }
    }

    /// Watches what has this number no longer.
    ///
    /// # Errors
    /// EINVAL: there is no such watch.
    pub fn remove(&self, number: u32) -> Result<(), Errno> {
        let watch = self.items.borrow().get(number as usize).cloned();
        self.end(&watch.ok_or(Errno::EINVAL)?);
        Ok(())
    }

    /// Ends a watch, and says so.
    fn end(&self, watch: &Shared<Watch>) {
        let owned = self.items.borrow_mut().take(watch.number as usize);
        leave_list(watch);
        drop(owned);
        self.push(watch.number, Happened::to_itself(linux::IN_IGNORED));
    }

    fn push(&self, number: u32, happened: Happened<'_>) {
        if self.queue.push(number, happened) {
            self.readers.wake_all();
            poll::changed_at(&self.watches, Readiness::READ);
        }
    }

    /// Takes as many events as there is room for, when there are any.
    ///
    /// # Errors
    /// EINVAL: no room for the first. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        while self.queue.is_empty() {
            match nonblocking {
                true => return Err(Errno::EAGAIN),
                false => self.readers.sleep()?,
            }
        }
        self.queue.read(target)
    }

    /// Bytes that could be read.
    pub fn available(&self) -> u64 {
        self.queue.size()
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        match self.queue.is_empty() {
            true => Readiness::empty(),
            false => Readiness::READ,
        }
    }

    /// Writes a line for each watch, as `/proc/PID/fdinfo` has them.
    ///
    /// # Errors
    /// `to` is full.
    pub fn write_watches(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let items = self.items.borrow();
        let mut next = items.next(0);
        while let Some(number) = next {
            if let Some(watch) = items.get(number) {
                let node = watch.node.upgrade().map_or(0, |node| node.number());
                let mask = watch.mask.get();
                write!(
                    to,
                    "inotify wd:{number:x} ino:{node:x} sdev:1 mask:{mask:x}"
                )?;
                writeln!(to, " ignored_mask:0")?;
            }
            next = items.next(number + 1);
        }
        Ok(())
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }
}

/// Takes a watch from those of its node.
fn leave_list(watch: &Shared<Watch>) {
    if !watch.in_list.is_linked() {
        return;
    }
    LISTS[watch.list].remove(watch);
    COUNT.set(COUNT.get() - 1);
    if let Some(node) = watch.node.upgrade() {
        node.count_watch(-1);
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        INSTANCES.set(INSTANCES.get() - 1);
        let items = self.items.get_mut();
        let mut next = items.next(0);
        while let Some(number) = next {
            if let Some(watch) = items.take(number) {
                leave_list(&watch);
            }
            next = items.next(number + 1);
        }
    }
}
