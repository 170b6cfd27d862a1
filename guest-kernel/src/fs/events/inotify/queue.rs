//! The queue of events that nobody has read yet (inotify(7)).

use core::cell::Cell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::bytes::{Bytes, NAME_MAX};
use crate::fs::events::give;
use crate::fs::events::inotify::Happened;
use crate::fs::shared_list::{Link, Linked, SharedList};
use crate::fs::transfer::Target;

/// Events in a queue, as on Linux; one more says that some are lost.
pub const MAX_EVENTS: usize = 16_384;
/// Bytes of a `struct inotify_event` without its name, and what names are padded to.
const HEADER: usize = 16;
const NO_WATCH: u32 = u32::MAX;

/// An event in a queue.
struct Item {
    number: u32,
    event: u32,
    cookie: u32,
    name: Bytes,
    in_queue: Link<Item>,
}

/// Those of a queue.
enum OfQueue {}

impl Linked<OfQueue> for Item {
    fn link(&self) -> &Link<Self> {
        &self.in_queue
    }
}

impl Item {
    fn new(number: u32, event: u32, cookie: u32, name: &[u8]) -> Result<Shared<Self>, Errno> {
        Ok(Shared::new(Self {
            number,
            event,
            cookie,
            name: Bytes::name(name)?,
            in_queue: Link::new(),
        })?)
    }

    /// Bytes of its name with at least one zero; none of no name.
    fn name_size(&self) -> usize {
        match self.name.len() {
            0 => 0,
            len => (len + 1).next_multiple_of(HEADER),
        }
    }

    fn size(&self) -> usize {
        HEADER + self.name_size()
    }

    /// As `struct inotify_event`.
    fn bytes<'b>(&self, buffer: &'b mut [u8; ITEM_MAX]) -> &'b [u8] {
        let fields = [
            self.number,
            self.event,
            self.cookie,
            self.name_size() as u32,
        ];
        buffer[..HEADER].copy_from_slice(fields.map(u32::to_le_bytes).as_flattened());
        buffer[HEADER..][..self.name.len()].copy_from_slice(&self.name);
        &buffer[..self.size()]
    }

    /// Whether an event with these fields would say nothing new after this one.
    fn is_same(&self, number: u32, event: u32, name: &[u8]) -> bool {
        (self.number, self.event) == (number, event)
            && *self.name == *name
            && self.event & linux::IN_IGNORED == 0
    }
}

const ITEM_MAX: usize = HEADER + (NAME_MAX + 1).next_multiple_of(HEADER);

/// Events, the oldest first.
pub struct Queue {
    items: SharedList<Item, OfQueue>,
    /// Bytes of all of them.
    size: Cell<usize>,
    /// Whether one of them says that some are lost.
    has_lost: Cell<bool>,
}

impl Queue {
    /// No events.
    pub const fn new() -> Self {
        Self {
            items: SharedList::new(),
            size: Cell::new(0),
            has_lost: Cell::new(false),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of all events.
    pub fn size(&self) -> u64 {
        self.size.get() as u64
    }

    /// Adds what happened to the watch with this number; whether there is more to read now.
    pub fn push(&self, number: u32, happened: Happened<'_>) -> bool {
        let Happened { cookie, name, .. } = happened;
        let event = happened.event & !kind_untold(happened.event);
        let last = self.items.last();
        if last.is_some_and(|last| last.is_same(number, event, name)) {
            return false;
        }
        let item = match self.items.len() < MAX_EVENTS && mm::check_object().is_ok() {
            true => Item::new(number, event, cookie, name).ok(),
            false => None,
        };
        let lost = || match self.has_lost.get() {
            true => None,
            false => {
                let item = Item::new(NO_WATCH, linux::IN_Q_OVERFLOW, 0, b"").ok()?;
                self.has_lost.set(true);
                Some(item)
            }
        };
        let Some(item) = item.or_else(lost) else {
            return false;
        };
        self.size.set(self.size.get() + item.size());
        self.items.push_back(item);
        true
    }

    /// Takes as many events as there is room for.
    ///
    /// # Errors
    /// EINVAL: no room for the first. EFAULT.
    pub fn read(&self, target: &mut dyn Target) -> Result<u64, Errno> {
        let mut done = 0;
        while let Some(item) = self.items.first() {
            if item.size() > target.left() {
                return match done {
                    0 => Err(Errno::EINVAL),
                    done => Ok(done),
                };
            }
            self.items.remove(&item);
            self.size.set(self.size.get() - item.size());
            if item.event & linux::IN_Q_OVERFLOW != 0 {
                self.has_lost.set(false);
            }
            done += give(target, item.bytes(&mut [0; ITEM_MAX]))?;
        }
        Ok(done)
    }
}

/// What is not told of the end and of a move of a node itself: whether it is a directory.
fn kind_untold(event: u32) -> u32 {
    match event & (linux::IN_DELETE_SELF | linux::IN_MOVE_SELF) {
        0 => 0,
        _ => linux::IN_ISDIR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::transfer::tests::Buffer;
    use mm::frames;

    /// Bytes of the first events.
    fn read(queue: &Queue, room: usize) -> Result<Vec<u8>, Errno> {
        let mut target = Buffer::room(room);
        queue.read(&mut target)?;
        Ok(target.bytes)
    }

    fn named(event: u32, name: &[u8]) -> Happened<'_> {
        Happened {
            name,
            ..Happened::to_itself(event)
        }
    }

    #[test]
    fn what_nobody_reads_is_lost_once() {
        let before = frames::free();
        let queue = Queue::new();
        for number in 0..MAX_EVENTS as u32 + 10 {
            queue.push(number, Happened::to_itself(linux::IN_OPEN));
        }
        assert_eq!(queue.size(), (HEADER * (MAX_EVENTS + 1)) as u64);
        let all = read(&queue, usize::MAX / 2).expect("there are some");
        let lost = [NO_WATCH, linux::IN_Q_OVERFLOW, 0, 0].map(u32::to_le_bytes);
        assert_eq!(all[all.len() - HEADER..], *lost.as_flattened());
        assert!(queue.is_empty());
        queue.push(1, Happened::to_itself(linux::IN_OPEN));
        assert_eq!(read(&queue, 100).map(|bytes| bytes.len()), Ok(HEADER));
        drop(queue);
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn names_are_padded_and_events_told_once_in_a_row() {
        let queue = Queue::new();
        let long = [b'x'; NAME_MAX];
        for name in [&b"a"[..], b"a", b"b", &long] {
            queue.push(7, named(linux::IN_CREATE, name));
        }
        assert_eq!(queue.size(), (2 * 32 + HEADER + 256) as u64);
        assert_eq!(read(&queue, 31), Err(Errno::EINVAL));
        let first = read(&queue, 63).expect("there is one");
        assert_eq!(
            (first[12], &first[HEADER..HEADER + 2], first.len()),
            (16, &b"a\0"[..], 32)
        );
        assert_eq!(read(&queue, 400).map(|bytes| bytes.len()), Ok(32 + 272));
    }
}
