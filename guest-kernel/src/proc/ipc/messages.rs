//! Queues of messages, each with a type by which it can be chosen.

use core::cell::{Cell, RefCell};

use abi::Errno;
use arch::clock;
use mm::{AddressSpace, Owned, Shared, UserSlice, quota};
use single_cpu::SingleCpu;

use crate::proc::ipc::{Item, NO_WAIT, Permissions, Table};
use crate::proc::scheduler::current;
use crate::proc::settings::Setting;
use crate::proc::wait_queue::WaitQueue;

/// Bytes of the longest message.
pub const LONGEST: u64 = 8192;
/// Bytes in a queue, unless it is told otherwise.
pub const ROOM: u64 = 16384;

/// Flag of a receiver that takes the front of a message that is too long.
const CUT: u32 = 0o10000;
/// Flag of a receiver that wants any type but the one it names.
const EXCEPT: u32 = 0o20000;
/// Flag of one that wants a copy, which Linux has for checkpoints.
const COPY: u32 = 0o40000;

/// Bytes of a message that are kept together.
const CHUNK: usize = 112;

/// All queues.
pub static QUEUES: SingleCpu<Table<Queue>> = SingleCpu::new(Table::new());

/// A queue.
pub struct Queue {
    permissions: Permissions,
    messages: RefCell<Messages>,
    /// Bytes that it may have.
    pub room: Cell<u64>,
    /// When a message was last sent, and received.
    pub times: [Cell<u64>; 2],
    /// Who did that.
    pub last_users: [Cell<u32>; 2],
    /// Who waits for room.
    senders: WaitQueue,
    /// Who waits for messages.
    receivers: WaitQueue,
    is_removed: Cell<bool>,
}

/// Messages, in the order in which they are received if nobody chooses.
#[derive(Default)]
pub struct Messages {
    first: Option<Owned<Message>>,
    count: u64,
    bytes: u64,
}

/// A message.
pub struct Message {
    /// Its type, or its priority.
    pub kind: i64,
    /// Bytes of its text.
    pub len: u64,
    text: Option<Owned<Chunk>>,
    next: Option<Owned<Message>>,
}

struct Chunk {
    bytes: [u8; CHUNK],
    next: Option<Owned<Chunk>>,
}

impl Item for Queue {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

/// The number of the queue with this key, made if `flags` say so.
///
/// # Errors
/// ENOENT, EEXIST, ENOSPC, ENOMEM.
pub fn get(key: i32, flags: u32) -> Result<u64, Errno> {
    QUEUES.get(
        key,
        flags,
        Setting::Queues.get(),
        |_| Ok(()),
        |permissions| {
            Ok(Shared::new(Queue {
                permissions,
                messages: RefCell::default(),
                room: Cell::new(ROOM),
                times: [const { Cell::new(0) }; 2],
                last_users: [const { Cell::new(0) }; 2],
                senders: WaitQueue::new(),
                receivers: WaitQueue::new(),
                is_removed: Cell::new(false),
            })?)
        },
    )
}

/// Removes a queue; who waits there fails.
pub fn remove(queue: &Shared<Queue>) {
    QUEUES.remove(queue);
    queue.is_removed.set(true);
    queue.messages.borrow_mut().clear();
    queue.senders.wake_all();
    queue.receivers.wake_all();
}

/// Copies a message in.
///
/// # Errors
/// EFAULT, ENOMEM.
pub fn copy_in(space: &AddressSpace, kind: i64, text: UserSlice) -> Result<Owned<Message>, Errno> {
    quota::check_file()?;
    let mut message = Owned::new(Message {
        kind,
        len: text.len(),
        text: None,
        next: None,
    })?;
    // From its end, so that each chunk is put before the others.
    let mut at = text.len().next_multiple_of(CHUNK as u64);
    while at > 0 {
        at -= CHUNK as u64;
        quota::check_file()?;
        let mut chunk = Chunk {
            bytes: [0; CHUNK],
            next: message.text.take(),
        };
        text.part(at, CHUNK as u64)
            .copy_in(space, &mut chunk.bytes)?;
        message.text = Some(Owned::new(chunk)?);
    }
    Ok(message)
}

impl Message {
    /// Copies its text out, as much as there is room for.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_out(&self, space: &AddressSpace, text: UserSlice) -> Result<(), Errno> {
        let mut at = 0;
        let mut next = self.text.as_deref();
        while let Some(chunk) = next {
            let part = text.part(at, CHUNK as u64);
            part.copy_out(space, &chunk.bytes[..part.len() as usize])?;
            at += CHUNK as u64;
            next = chunk.next.as_deref();
        }
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // One by one: a long list would take a stack as deep.
        let mut next = self.text.take();
        while let Some(mut chunk) = next {
            next = chunk.next.take();
        }
    }
}

impl Messages {
    fn push(&mut self, message: Owned<Message>) {
        self.count += 1;
        self.bytes += message.len;
        let mut place = &mut self.first;
        while let Some(message) = place {
            place = &mut message.next;
        }
        *place = Some(message);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Puts a message behind those of its kind and of higher ones.
    pub fn insert(&mut self, mut message: Owned<Message>) {
        self.count += 1;
        self.bytes += message.len;
        let mut place = &mut self.first;
        while place
            .as_ref()
            .is_some_and(|other| other.kind >= message.kind)
        {
            match place {
                Some(other) => place = &mut other.next,
                None => break,
            }
        }
        message.next = place.take();
        *place = Some(message);
    }

    /// Takes out the first.
    pub fn take_first(&mut self) -> Option<Owned<Message>> {
        self.take(Choice::Any, None).ok()
    }

    /// Takes out the first that `chooses` likes best.
    fn take(&mut self, choice: Choice, longest: Option<u64>) -> Result<Owned<Message>, Errno> {
        let kind = self.best(choice).ok_or(Errno::ENOMSG)?;
        let mut place = &mut self.first;
        while place.as_ref().is_some_and(|message| message.kind != kind) {
            match place {
                Some(message) => place = &mut message.next,
                None => break,
            }
        }
        let is_too_long = |message: &Owned<Message>| longest.is_some_and(|most| message.len > most);
        if place.as_ref().is_some_and(is_too_long) {
            return Err(Errno::E2BIG);
        }
        let mut message = place.take().ok_or(Errno::ENOMSG)?;
        *place = message.next.take();
        self.count -= 1;
        self.bytes -= message.len;
        Ok(message)
    }

    /// The type of the message that is chosen.
    fn best(&self, choice: Choice) -> Option<i64> {
        let mut next = self.first.as_deref();
        let kinds = core::iter::from_fn(|| {
            let message = next?;
            next = message.next.as_deref();
            Some(message.kind)
        });
        let mut liked = kinds.filter(|&kind| match choice {
            Choice::Any => true,
            Choice::Only(only) => kind == only,
            Choice::Not(not) => kind != not,
            Choice::UpTo(highest) => kind <= highest,
        });
        match choice {
            Choice::UpTo(_) => liked.min(),
            _ => liked.next(),
        }
    }

    fn clear(&mut self) {
        while let Some(mut message) = self.first.take() {
            self.first = message.next.take();
        }
        (self.count, self.bytes) = (0, 0);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Which message a receiver wants.
#[derive(Clone, Copy)]
enum Choice {
    Any,
    Only(i64),
    Not(i64),
    /// The lowest type, up to this one.
    UpTo(i64),
}

impl Queue {
    /// Messages that there are, and bytes in them.
    pub fn content(&self) -> (u64, u64) {
        let messages = self.messages.borrow();
        (messages.count, messages.bytes)
    }

    /// Sends a message, once there is room.
    ///
    /// # Errors
    /// EINVAL: it is too long, or its type is not positive. EAGAIN: there is no room. EIDRM: the
    /// queue was removed. EFAULT, ENOMEM, RESTART_UNHANDLED.
    pub fn send(&self, kind: i64, text: UserSlice, flags: u32) -> Result<(), Errno> {
        if text.len() > LONGEST || kind < 1 {
            return Err(Errno::EINVAL);
        }
        let message = copy_in(&current().space(), kind, text)?;
        loop {
            let (count, bytes) = self.content();
            let room = self.room.get();
            // A message without bytes takes room too.
            if bytes + message.len <= room && count < room {
                break;
            }
            self.wait(&self.senders, flags, Errno::EAGAIN)?;
        }
        self.messages.borrow_mut().push(message);
        self.note(0);
        self.receivers.wake_all();
        Ok(())
    }

    /// Receives a message as `wanted` and `flags` choose, once there is one: its type goes to
    /// `place`, its text behind that. Returns the text's length.
    ///
    /// # Errors
    /// E2BIG: there is not that much room. ENOMSG: there is none. EIDRM: the queue was removed.
    /// EINVAL, EFAULT, RESTART_UNHANDLED.
    pub fn receive(&self, place: u64, most: u64, wanted: i64, flags: u32) -> Result<u64, Errno> {
        if i64::try_from(most).is_err() {
            return Err(Errno::EINVAL);
        }
        if flags & COPY != 0 {
            return Err(Errno::ENOSYS);
        }
        let choice = match wanted {
            0 => Choice::Any,
            1.. if flags & EXCEPT != 0 => Choice::Not(wanted),
            1.. => Choice::Only(wanted),
            _ => Choice::UpTo(wanted.saturating_neg()),
        };
        let longest = (flags & CUT == 0).then_some(most);
        let message = loop {
            let taken = self.messages.borrow_mut().take(choice, longest);
            match taken {
                Err(Errno::ENOMSG) => self.wait(&self.receivers, flags, Errno::ENOMSG)?,
                other => break other?,
            }
        };
        self.note(1);
        self.senders.wake_all();
        let space = current().space();
        let len = message.len.min(most);
        let (kind, text) = (
            UserSlice::new(place, 8),
            UserSlice::new(place.wrapping_add(8), len),
        );
        kind.copy_out(&space, &message.kind.to_le_bytes())?;
        message.copy_out(&space, text)?;
        Ok(len)
    }

    fn wait(&self, queue: &WaitQueue, flags: u32, otherwise: Errno) -> Result<(), Errno> {
        if flags & NO_WAIT != 0 {
            return Err(otherwise);
        }
        let woken = queue.sleep();
        match (self.is_removed.get(), woken) {
            (true, _) => Err(Errno::EIDRM),
            (_, Ok(())) => Ok(()),
            (_, Err(_)) => Err(Errno::RESTART_UNHANDLED),
        }
    }

    fn note(&self, which: usize) {
        self.times[which].set(clock::counter());
        self.last_users[which].set(current().pid());
    }

    /// Wakes senders, for whom there may be room now.
    pub fn wake_senders(&self) {
        self.senders.wake_all();
    }
}
