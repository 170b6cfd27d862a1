//! Queues of messages with priorities, found by name (POSIX, `mq_open`).
//!
//! A queue is a file that is in no directory: its node has owner, mode and times, and its name is
//! in a table of all queues. It ends when it has no name and nobody has it open.

use core::cell::RefCell;
use core::iter;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{FilePages, Owned, Shared, UserSlice};
use single_cpu::SingleCpu;

use crate::fs::bytes::Bytes;
use crate::fs::events::Event;
use crate::fs::events::epoll::Watches;
use crate::fs::locks::Owner;
use crate::fs::mount;
use crate::fs::node::{Kind, Node};
use crate::fs::number_map::NumberMap;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::permission::{self, READ, WRITE};
use crate::fs::poll::{self, Readiness};
use crate::fs::socket::netlink;
use crate::proc::capability::Capability;
use crate::proc::ipc::messages::{Message, Messages, copy_in};
use crate::proc::settings::Setting;
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::wait_queue::{Deadline, WaitQueue, Woken};
use crate::proc::{current, table};

/// What a queue has if it is not told otherwise, and may have of an ordinary user.
pub const MESSAGES_MAX: u64 = 10;
/// The same of the bytes of a message.
pub const SIZE_MAX: u64 = 8192;
/// What those of the superuser may have (Linux, HARD_MSGMAX and HARD_MSGSIZEMAX).
const HARD_MESSAGES_MAX: u64 = 65_536;
const HARD_SIZE_MAX: u64 = 16 << 20;
/// Priorities are below this.
pub const PRIORITIES: u64 = 32_768;

/// What Linux counts for a message and for a priority, beside the bytes, against a user's limit.
const MESSAGE_COST: u64 = 48;
const PRIORITY_COST: u64 = 48;

/// What there is of a queue as long as it has a name or is open.
struct Slot {
    /// Who has made it, and what it costs him.
    user: u32,
    cost: u64,
    /// The queue, if it has a name.
    named: Option<Shared<Queue>>,
}

/// All queues, those too that are open and have no name any more.
static QUEUES: SingleCpu<RefCell<NumberMap<Slot>>> = SingleCpu::new(RefCell::new(NumberMap::EMPTY));

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Most messages.
    pub messages: u64,
    /// Most bytes of each.
    pub bytes: u64,
}

/// Bytes of what a listener is told by a socket. The last says what has happened.
pub const COOKIE: usize = 32;

/// How a listener hears.
pub enum Hearing {
    /// Not: only nobody else shall.
    Not,
    /// By a signal, and the value with it.
    Signal(Signal, u64),
    /// By what comes to a socket of Netlink.
    Socket(Shared<OpenFile>, [u8; COOKIE]),
}

/// Who hears of the next message that comes to an empty queue.
pub struct Listener {
    /// The process that has asked for it, by its descriptors, and its number.
    pub owner: Owner,
    /// Its number.
    pub pid: u32,
    /// How it hears.
    pub hearing: Hearing,
}

impl Hearing {
    /// Says by a socket, if it is to be so, that a message has come or none will be told. Where
    /// there is no room it is lost.
    fn say(self, has_come: bool) {
        /// Linux, NOTIFY_WOKENUP and NOTIFY_REMOVED.
        const COME: u8 = 1;
        const REMOVED: u8 = 2;
        if let Self::Socket(file, mut cookie) = self
            && let Object::Socket(socket) = file.object()
        {
            cookie[COOKIE - 1] = if has_come { COME } else { REMOVED };
            let _ = netlink::push_unasked(socket.endpoint(), &cookie);
        }
    }
}

/// A queue.
pub struct Queue {
    name: Bytes,
    /// Number of its slot.
    slot: usize,
    node: Shared<Node>,
    size: Size,
    messages: RefCell<Messages>,
    listener: RefCell<Option<Listener>>,
    senders: WaitQueue,
    receivers: WaitQueue,
    watches: Watches,
}

/// How a call waits: not at all, or until a moment, if there is one.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not.
    None,
    /// Until then, or as long as it takes.
    Until(Option<Deadline>),
}

fn find(name: &[u8]) -> Option<Shared<Queue>> {
    let queues = QUEUES.borrow();
    let mut named = slots(&queues).filter_map(|slot| slot.named.as_ref());
    named.find(|queue| *queue.name == *name).cloned()
}

fn slots(queues: &NumberMap<Slot>) -> impl Iterator<Item = &Slot> {
    let numbers = iter::successors(queues.next(0), |number| queues.next(number + 1));
    numbers.filter_map(|number| queues.get(number))
}

/// Opens the queue of this name, made with `mode` and `size` if `flags` say so.
///
/// # Errors
/// ENOENT, EEXIST, EACCES, EINVAL: a size that cannot be. ENOSPC: too many queues. EMFILE: the
/// user's would be too large. ENFILE, ENOMEM.
pub fn open(
    name: &[u8],
    flags: u32,
    mode: u32,
    size: Option<Size>,
) -> Result<Shared<OpenFile>, Errno> {
    let queue = match find(name) {
        Some(_) if flags & linux::O_CREAT != 0 && flags & linux::O_EXCL != 0 => {
            return Err(Errno::EEXIST);
        }
        Some(queue) => {
            let wanted = match flags & linux::O_ACCMODE {
                linux::O_RDONLY => READ,
                linux::O_WRONLY => WRITE,
                linux::O_RDWR => READ | WRITE,
                _ => return Err(Errno::EINVAL),
            };
            permission::check(&queue.node, wanted)?;
            queue
        }
        None if flags & linux::O_CREAT == 0 => return Err(Errno::ENOENT),
        None => make(name, mode, size)?,
    };
    let hidden = mount::hidden()?;
    let opened = Opened {
        mount: hidden.mount,
        node: queue.node.clone(),
        directory: hidden.node,
        name: queue.name.duplicate()?,
    };
    let flags = flags & (linux::O_ACCMODE | linux::O_NONBLOCK);
    OpenFile::at(Object::Event(Event::Queue(queue)), flags, opened)
}

fn make(name: &[u8], mode: u32, size: Option<Size>) -> Result<Shared<Queue>, Errno> {
    let size = size.unwrap_or(Size {
        messages: MESSAGES_MAX,
        bytes: SIZE_MAX,
    });
    let process = current();
    let user = process.credentials.users().files;
    let most = match process.may(Capability::SysResource) {
        true => [HARD_MESSAGES_MAX, HARD_SIZE_MAX],
        false => [MESSAGES_MAX, SIZE_MAX],
    };
    let is_possible = (1..=most[0]).contains(&size.messages) && (1..=most[1]).contains(&size.bytes);
    if !is_possible {
        return Err(Errno::EINVAL);
    }
    let limit = process.limits().soft(linux::RLIMIT_MSGQUEUE);
    if cost_of(user).saturating_add(size.cost()) > limit {
        return Err(Errno::EMFILE);
    }
    mm::check_object()?;
    let slot = QUEUES.borrow_mut().first_missing(0);
    let count = slots(&QUEUES.borrow()).count();
    if count as u64 >= Setting::MessageQueues.get() {
        return Err(Errno::ENOSPC);
    }
    let pages = Shared::new(FilePages::new(&[]))?;
    let node = Node::new(Kind::File(pages), mode)?;
    node.set_owner(user, process.credentials.groups().files);
    node.set_links(1);
    let queue = Shared::new(Queue {
        name: Bytes::name(name)?,
        slot,
        node,
        size,
        messages: RefCell::default(),
        listener: RefCell::new(None),
        senders: WaitQueue::new(),
        receivers: WaitQueue::new(),
        watches: Watches::new(),
    })?;
    let entry = Slot {
        user,
        cost: size.cost(),
        named: Some(queue.clone()),
    };
    QUEUES.borrow_mut().put(slot, entry, false)?;
    Ok(queue)
}

impl Size {
    /// What a queue of this size costs its user.
    fn cost(self) -> u64 {
        let priorities = self.messages.min(PRIORITIES) * PRIORITY_COST;
        self.messages * (MESSAGE_COST + self.bytes) + priorities
    }
}

/// What the queues cost that a user has made.
fn cost_of(user: u32) -> u64 {
    let queues = QUEUES.borrow();
    let own = slots(&queues).filter(|slot| slot.user == user);
    own.map(|slot| slot.cost).sum()
}

/// Takes the name of a queue away.
///
/// # Errors
/// ENOENT; EPERM: it is another user's.
pub fn unlink(name: &[u8]) -> Result<(), Errno> {
    let queue = find(name).ok_or(Errno::ENOENT)?;
    permission::check_owner(&queue.node)?;
    queue.node.set_links(0);
    let mut queues = QUEUES.borrow_mut();
    let slot = queues.get_mut(queue.slot);
    let named = slot.and_then(|slot| slot.named.take());
    drop(queues);
    // It may end now, when nothing is borrowed.
    drop(named);
    Ok(())
}

impl Drop for Queue {
    fn drop(&mut self) {
        let slot = QUEUES.borrow_mut().take(self.slot);
        drop(slot);
    }
}

impl Queue {
    /// What it holds at most.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How many messages it has.
    pub fn count(&self) -> u64 {
        self.messages.borrow().count()
    }

    /// Sends a message, once there is room.
    ///
    /// # Errors
    /// EMSGSIZE; EAGAIN, ETIMEDOUT, RESTART instead of waiting on; EFAULT, ENOMEM.
    pub fn send(&self, priority: u32, text: UserSlice, patience: Patience) -> Result<(), Errno> {
        if text.len() > self.size.bytes {
            return Err(Errno::EMSGSIZE);
        }
        let message = copy_in(&current().space(), priority.into(), text)?;
        while self.count() >= self.size.messages {
            wait(&self.senders, patience)?;
        }
        let was_empty = self.count() == 0;
        let is_awaited = !self.receivers.is_empty();
        self.messages.borrow_mut().insert(message);
        self.node.times().note_modification();
        if was_empty && !is_awaited {
            self.tell();
        }
        self.receivers.wake_all();
        poll::changed_at(&self.watches, Readiness::READ);
        Ok(())
    }

    /// Takes out the message with the highest priority, once there is one.
    ///
    /// # Errors
    /// EAGAIN, ETIMEDOUT, RESTART instead of waiting on.
    pub fn receive(&self, patience: Patience) -> Result<Owned<Message>, Errno> {
        let message = loop {
            let first = self.messages.borrow_mut().take_first();
            match first {
                Some(message) => break message,
                None => wait(&self.receivers, patience)?,
            }
        };
        self.node.times().note_access();
        self.senders.wake_all();
        poll::changed_at(&self.watches, Readiness::WRITE);
        Ok(message)
    }

    /// Tells the listener, for the only time.
    fn tell(&self) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        let process = table::process(listener.pid);
        if let (Hearing::Signal(signal, value), Some(process)) = (&listener.hearing, process) {
            let sender = current();
            let from = [sender.pid(), sender.credentials.users().real];
            let mut cause = Cause::sender(from, linux::SI_MESGQ);
            cause.words[1] = *value;
            // Without room for the value it is lost, as on Linux.
            let _ = signal::send_for(process, *signal, cause);
        }
        listener.hearing.say(true);
    }

    /// Has `listener` hear of the next message.
    ///
    /// # Errors
    /// EBUSY: somebody does already.
    pub fn listen(&self, listener: Listener) -> Result<(), Errno> {
        let mut place = self.listener.borrow_mut();
        if place.is_some() {
            return Err(Errno::EBUSY);
        }
        *place = Some(listener);
        Ok(())
    }

    /// Has that process, which closes a descriptor of it or says so, not hear any more.
    pub fn stop_listening(&self, owner: Owner) {
        let is_own = |listener: &mut Listener| listener.owner == owner;
        let gone = self.listener.borrow_mut().take_if(is_own);
        if let Some(listener) = gone {
            listener.hearing.say(false);
        }
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let count = self.count();
        let mut ready = Readiness::empty();
        ready.set(Readiness::READ, count > 0);
        ready.set(Readiness::WRITE, count < self.size.messages);
        ready
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }
}

fn wait(queue: &WaitQueue, patience: Patience) -> Result<(), Errno> {
    match patience {
        Patience::None => Err(Errno::EAGAIN),
        Patience::Until(None) => Ok(queue.sleep()?),
        Patience::Until(Some(deadline)) => match queue.sleep_by(deadline)? {
            Woken::Up => Ok(()),
            Woken::TimedOut => Err(Errno::ETIMEDOUT),
        },
    }
}
