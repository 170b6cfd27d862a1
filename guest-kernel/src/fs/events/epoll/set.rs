//! The set itself: what is in it, what is ready, and who waits.

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{OutOfMemory, Shared, Weak};

use crate::fs::events::Event;
use crate::fs::events::epoll::{Ready, WAYS, Watch, Watches, next_event};
use crate::fs::number_map::NumberMap;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::poll::{self, Readiness};
use crate::fs::shared_list::SharedList;
use crate::proc::wait_queue::WaitQueue;

/// Sets that may be in each other: a set, one in it, one in that, and so on (Linux,
/// EP_MAX_NESTS).
const MAX_NESTED: u32 = 5;

/// What EPOLLEXCLUSIVE may be with.
const WITH_EXCLUSIVE: u32 = linux::EPOLLIN
    | linux::EPOLLOUT
    | linux::EPOLLERR
    | linux::EPOLLHUP
    | linux::EPOLLWAKEUP
    | linux::EPOLLET
    | linux::EPOLLEXCLUSIVE;

/// A set of files to wait for.
pub struct Epoll {
    own: RefCell<Option<Weak<Epoll>>>,
    items: RefCell<NumberMap<Shared<Watch>>>,
    ready: SharedList<Watch, Ready>,
    waiters: WaitQueue,
    /// The sets that this one is in.
    watches: Watches,
    /// The last event that it was told of.
    told: Cell<u64>,
    /// Sets in it or around it, one in another, as the look with this number found.
    height: Cell<(u64, u32)>,
}

/// A change of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A file more, with these events and data.
    Add(u32, u64),
    /// Other events and data.
    Change(u32, u64),
    /// One file less.
    Remove,
}

/// What has been found of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Events.
    pub events: u32,
    /// What the program wants to be told with them.
    pub data: u64,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> Result<Shared<Self>, OutOfMemory> {
        let epoll = Shared::new(Self {
            own: RefCell::new(None),
            items: RefCell::new(NumberMap::EMPTY),
            ready: SharedList::new(),
            waiters: WaitQueue::new(),
            watches: Watches::new(),
            told: Cell::new(0),
            height: Cell::new((0, 0)),
        })?;
        *epoll.own.borrow_mut() = Shared::downgrade(&epoll);
        Ok(epoll)
    }

    /// The sets that this one is in.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Changes what is in the set about `file`, known as `fd`.
    ///
    /// # Errors
    /// EPERM: it is always ready. EINVAL: it is this set, or events that do not go together.
    /// EEXIST, ENOENT; ELOOP: sets would be in each other; ENOMEM.
    pub fn control(
        &self,
        fd: usize,
        file: &Shared<OpenFile>,
        control: Control,
    ) -> Result<(), Errno> {
        let watches = file.watches().ok_or(Errno::EPERM)?;
        let nested = nested(file);
        if nested.is_some_and(|nested| core::ptr::eq(&**nested, self)) {
            return Err(Errno::EINVAL);
        }
        let exclusive = |events: u32| events & linux::EPOLLEXCLUSIVE != 0;
        let is_invalid = match control {
            Control::Add(events, _) => {
                exclusive(events) && (events & !WITH_EXCLUSIVE != 0 || nested.is_some())
            }
            Control::Change(events, _) => exclusive(events),
            Control::Remove => false,
        };
        if is_invalid {
            return Err(Errno::EINVAL);
        }
        if let (Control::Add(..), Some(nested)) = (control, nested) {
            self.check_nesting(nested)?;
        }
        let existing = self.find(fd, file);
        match control {
            Control::Add(..) if existing.is_some() => Err(Errno::EEXIST),
            Control::Add(events, data) => self.add(fd, file, watches, events, data),
            Control::Change(events, data) => {
                let watch = existing.ok_or(Errno::ENOENT)?;
                if watch.has(linux::EPOLLEXCLUSIVE) {
                    return Err(Errno::EINVAL);
                }
                watch.events.set(events);
                watch.data.set(data);
                self.look_at(watch);
                Ok(())
            }
            Control::Remove => {
                let watch = existing.ok_or(Errno::ENOENT)?;
                watches.0.remove(&watch);
                self.forget(&watch);
                Ok(())
            }
        }
    }

    fn find(&self, fd: usize, file: &OpenFile) -> Option<Shared<Watch>> {
        let first = self.items.borrow().get(fd).cloned();
        let mut of_fd = core::iter::successors(first, |watch| watch.next_of_fd.borrow().clone());
        of_fd.find(|watch| watch.file.is_to(file))
    }

    fn add(
        &self,
        fd: usize,
        file: &Shared<OpenFile>,
        watches: &Watches,
        events: u32,
        data: u64,
    ) -> Result<(), Errno> {
        mm::check_object()?;
        let own = self.own.borrow().as_ref().and_then(Weak::upgrade);
        let epoll = own.as_ref().and_then(Shared::downgrade);
        let epoll = epoll.ok_or(Errno::ENOMEM)?;
        let watch = Watch::new(Some(epoll), file, fd, events, data)?;
        let same = self.items.borrow_mut().put(fd, watch.clone(), false)?;
        *watch.next_of_fd.borrow_mut() = same;
        watches.0.push_back(watch.clone());
        self.look_at(watch);
        Ok(())
    }

    /// Takes a watch out of the set; it hangs in no object any more.
    pub(super) fn forget(&self, watch: &Shared<Watch>) {
        self.ready.remove(watch);
        let first = self.items.borrow().get(watch.fd).cloned();
        let next = watch.next_of_fd.take();
        let Some(first) = first else { return };
        if !Shared::is_same(&first, watch) {
            let mut before =
                core::iter::successors(Some(first), |watch| watch.next_of_fd.borrow().clone());
            let is_next = |other: &Shared<Watch>| {
                let next = other.next_of_fd.borrow();
                next.as_ref()
                    .is_some_and(|next| Shared::is_same(next, watch))
            };
            if let Some(before) = before.find(is_next) {
                *before.next_of_fd.borrow_mut() = next;
            }
            return;
        }
        let mut items = self.items.borrow_mut();
        let removed = match next {
            // It takes a place that is there.
            Some(next) => items.put(watch.fd, next, false).ok().flatten(),
            None => items.take(watch.fd),
        };
        drop(items);
        drop(removed);
    }

    /// Its file may be ready already.
    fn look_at(&self, watch: Shared<Watch>) {
        if !watch.found().is_empty() {
            self.note(watch, next_event());
            poll::wake();
        }
    }

    /// A watch is to be looked at, because of this event. Returns whether a thread waits for that.
    pub(super) fn note(&self, watch: Shared<Watch>, event: u64) -> bool {
        let has_waiter = !self.waiters.is_empty();
        if !watch.in_ready.is_linked() {
            self.ready.push_back(watch);
        }
        if self.told.replace(event) != event {
            self.waiters.wake_all();
            self.watches.ring_all(Readiness::READ, event);
        }
        has_waiter
    }

    /// What a poll would find: ready files.
    pub fn readiness(&self) -> Readiness {
        while let Some(watch) = self.ready.first() {
            if !watch.found().is_empty() {
                return Readiness::READ;
            }
            self.ready.remove(&watch);
        }
        Readiness::empty()
    }

    /// Calls `tell` with up to `max` files that are ready, and returns how many it has taken;
    /// waits for one until so many nanoseconds after boot. `None` is no deadline.
    ///
    /// # Errors
    /// Those of `tell`, if it has taken none. RESTART_UNHANDLED: a signal came.
    pub fn wait(
        &self,
        deadline: Option<u64>,
        max: usize,
        mut tell: impl FnMut(u64, Found) -> Result<(), Errno>,
    ) -> Result<u64, Errno> {
        poll::wait_at(&self.waiters, deadline, || self.collect(max, &mut tell))
    }

    /// As [`wait`](Self::wait), without waiting.
    ///
    /// # Errors
    /// Those of `tell`, if it has taken none.
    pub fn collect(
        &self,
        max: usize,
        tell: &mut impl FnMut(u64, Found) -> Result<(), Errno>,
    ) -> Result<u64, Errno> {
        let mut told = 0;
        // Those that stay come at the end, and are not looked at twice.
        for _ in 0..self.ready.len() {
            if told == max as u64 {
                break;
            }
            let Some(watch) = self.ready.pop_front() else {
                break;
            };
            let found = watch.found();
            if found.is_empty() {
                continue;
            }
            let found = Found {
                events: found.bits().into(),
                data: watch.data.get(),
            };
            if let Err(errno) = tell(told, found) {
                self.keep_ready(watch, SharedList::push_front);
                return if told > 0 { Ok(told) } else { Err(errno) };
            }
            told += 1;
            if watch.has(linux::EPOLLONESHOT) {
                watch.events.set(watch.events.get() & WAYS);
            } else if !watch.has(linux::EPOLLET) {
                self.keep_ready(watch, SharedList::push_back);
            }
        }
        Ok(told)
    }

    /// Puts back a watch that is to be looked at again, unless it has ended meanwhile.
    fn keep_ready(&self, watch: Shared<Watch>, put: fn(&SharedList<Watch, Ready>, Shared<Watch>)) {
        if watch.in_object.is_linked() && !watch.in_ready.is_linked() {
            put(&self.ready, watch);
        }
    }

    /// Whether a set may be in this one.
    fn check_nesting(&self, nested: &Epoll) -> Result<(), Errno> {
        let look = next_event();
        let below = nested.height_below(look, self).ok_or(Errno::ELOOP)?;
        match below + self.depth(next_event()) < MAX_NESTED {
            true => Ok(()),
            false => Err(Errno::ELOOP),
        }
    }

    /// Sets below this one, one in another; `None` if `forbidden` is among them. A look goes
    /// into each set once.
    fn height_below(&self, look: u64, forbidden: &Epoll) -> Option<u32> {
        if core::ptr::eq(self, forbidden) {
            return None;
        }
        let (last_look, height) = self.height.get();
        if last_look == look {
            return Some(height);
        }
        let mut height = 0;
        let mut from = 0;
        loop {
            let items = self.items.borrow();
            let Some(fd) = items.next(from) else { break };
            let first = items.get(fd).cloned();
            drop(items);
            let of_fd = core::iter::successors(first, |watch| watch.next_of_fd.borrow().clone());
            for watch in of_fd {
                let file = watch.file.upgrade();
                if let Some(nested) = file.as_deref().and_then(nested) {
                    height = height.max(1 + nested.height_below(look, forbidden)?);
                }
            }
            from = fd + 1;
        }
        self.height.set((look, height));
        Some(height)
    }

    /// Sets that this one is in, one in another, and itself.
    fn depth(&self, look: u64) -> u32 {
        let (last_look, depth) = self.height.get();
        if last_look == look {
            return depth;
        }
        let above = self.watches.iter().filter_map(|watch| watch.epoll());
        let depth = 1 + above.map(|epoll| epoll.depth(look)).max().unwrap_or(0);
        self.height.set((look, depth));
        depth
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let mut from = 0;
        loop {
            let items = self.items.borrow();
            let Some(fd) = items.next(from) else { return };
            let Some(watch) = items.get(fd).cloned() else {
                return;
            };
            drop(items);
            let file = watch.file.upgrade();
            if let Some(watches) = file.as_ref().and_then(|file| file.watches()) {
                watches.0.remove(&watch);
            }
            self.forget(&watch);
            from = fd;
        }
    }
}

/// The set that a file is.
fn nested(file: &OpenFile) -> Option<&Shared<Epoll>> {
    match file.object() {
        Object::Event(Event::Epoll(epoll)) => Some(epoll),
        _ => None,
    }
}
