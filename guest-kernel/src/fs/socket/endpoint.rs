//! The state of a socket, which its open file has, and those refer to that are connected to
//! it or find it by name.
//!
//! ```text
//! OpenFile --> Socket --> Endpoint --peer--> Endpoint <-- Socket <-- OpenFile
//!                           inbox              inbox
//! ```
//!
//! What somebody sends goes into the inbox of the receiver. A connection needs no packets: it
//! is two endpoints that are each other's peers. Dropping the [`Socket`] closes an endpoint
//! and cuts what it refers to, so that no cycle is left.
//!
//! [`Socket`]: crate::fs::socket::Socket

use core::cell::{Cell, RefCell};

use abi::Errno;
use bitflags::bitflags;
use linux_raw_sys::net as linux;
use mm::{Shared, frames};

use crate::fs::events::epoll::Watches;
use crate::fs::poll::{self, Readiness};
use crate::fs::socket::address::{Address, InetAddress};
use crate::fs::socket::chain::{Chain, Chained, Next};
use crate::fs::socket::message::{Credentials, Inbox};
use crate::fs::socket::options::Options;
use crate::proc::wait_queue::{WaitQueue, Woken};

/// There may be a socket for so many frames of memory.
const FRAMES_PER_SOCKET: u64 = 8;

#[cfg(not(test))]
static COUNT: single_cpu::SingleCpu<Cell<u64>> = single_cpu::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// What addresses a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Names on this machine.
    Unix,
    /// IPv4.
    Inet4,
    /// IPv6.
    Inet6,
    /// Questions to the kernel.
    Netlink,
}

impl Family {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            Self::Unix => linux::AF_UNIX,
            Self::Inet4 => linux::AF_INET,
            Self::Inet6 => linux::AF_INET6,
            Self::Netlink => linux::AF_NETLINK,
        }
    }
}

/// How a socket's bytes belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A connection without boundaries.
    Stream,
    /// Messages, to and from anybody.
    Datagram,
    /// Messages of a connection.
    Sequence,
}

impl Style {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            Self::Stream => linux::SOCK_STREAM,
            Self::Datagram => linux::SOCK_DGRAM,
            Self::Sequence => linux::SOCK_SEQPACKET,
        }
    }

    /// Whether such sockets are connected before they send.
    pub fn has_connections(self) -> bool {
        self != Self::Datagram
    }
}

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not connected, or a datagram socket.
    Idle,
    /// It waits until whom it connects to has room for it.
    Connecting,
    /// A connection is there, which `connect` has not told yet.
    Told,
    /// It is connected.
    Connected,
    /// It takes connections.
    Listening,
    /// Its open file is gone.
    Closed,
    /// The same; others cannot have its port until so many nanoseconds after boot.
    Lingers(u64),
}

bitflags! {
    /// What a socket does no more.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Shut: u8 {
        /// It receives nothing more than it has.
        const RECEIVE = 1;
        /// It sends nothing.
        const SEND = 2;
    }
}

/// Connections that a listening socket has not accepted.
pub struct Pending {
    /// The connections.
    pub connections: Chain<Endpoint, Bound>,
    /// Beyond one, so many can be there.
    pub backlog: usize,
}

/// The state of a socket.
pub struct Endpoint {
    /// What addresses it has.
    pub family: Family,
    /// How its bytes belong together.
    pub style: Style,
    /// Number of its protocol.
    pub protocol: u32,
    /// Where it is in its life.
    pub stage: Cell<Stage>,
    /// What it does no more.
    pub shut: Cell<Shut>,
    /// It ended its side of a connection before the other did.
    pub ended_first: Cell<bool>,
    /// What the next call fails with.
    pub error: Cell<Option<Errno>>,
    /// What programs set.
    pub options: Options,
    /// What has arrived.
    pub inbox: RefCell<Inbox>,
    /// Those who wait for something to arrive.
    pub arrived: WaitQueue,
    /// Those who wait for room in the inbox, or among the connections.
    pub room: WaitQueue,
    /// Sets of files that it is in.
    pub watches: Watches,
    /// Whom it is connected to.
    pub peer: RefCell<Option<Shared<Endpoint>>>,
    /// Its address.
    pub name: RefCell<Address>,
    /// The part of it that a program has chosen: any machine, or port 0, if that was left open.
    pub chosen: Cell<Option<InetAddress>>,
    /// That of its peer.
    pub peer_name: RefCell<Address>,
    /// Who made it.
    pub credentials: Cell<Credentials>,
    /// Who made its peer.
    pub peer_credentials: Cell<Credentials>,
    /// Connections that it has not accepted.
    pub pending: RefCell<Pending>,
    /// Messages in which it is on its way.
    pub on_its_way: Cell<usize>,
    /// It is among those with files in their inboxes.
    pub carries: Cell<bool>,
    /// Whether the collection of those has found somebody who can read it.
    pub is_reachable: Cell<bool>,
    next: Next<Self>,
    next_carrier: Next<Self>,
}

/// Chains of endpoints with a name, or of those that are pending.
pub enum Bound {}

impl Chained<Bound> for Endpoint {
    fn next(&self) -> &Next<Self> {
        &self.next
    }
}

/// Chain of endpoints with files in their inboxes.
pub enum Carriers {}

impl Chained<Carriers> for Endpoint {
    // One of several links to a next one, which the chain's kind says.
    #[allow(clippy::misnamed_getters)]
    fn next(&self) -> &Next<Self> {
        &self.next_carrier
    }
}

impl Endpoint {
    /// A socket that is neither bound nor connected.
    ///
    /// # Errors
    /// ENOBUFS: there are too many. ENOMEM.
    pub fn new(family: Family, style: Style, protocol: u32) -> Result<Shared<Self>, Errno> {
        if COUNT.get() >= frames::total() / FRAMES_PER_SOCKET {
            return Err(Errno::ENOBUFS);
        }
        COUNT.set(COUNT.get() + 1);
        Ok(Shared::new(Self {
            family,
            style,
            protocol,
            stage: Cell::new(Stage::Idle),
            shut: Cell::new(Shut::empty()),
            ended_first: Cell::new(false),
            error: Cell::new(None),
            options: Options::new(protocol == linux::IPPROTO_TCP as u32),
            inbox: RefCell::new(Inbox::new()),
            arrived: WaitQueue::new(),
            room: WaitQueue::new(),
            watches: Watches::new(),
            peer: RefCell::new(None),
            name: RefCell::new(Address::None),
            chosen: Cell::new(None),
            peer_name: RefCell::new(Address::None),
            credentials: Cell::new(Credentials::NOBODY),
            peer_credentials: Cell::new(Credentials::NOBODY),
            pending: RefCell::new(Pending {
                connections: Chain::new(),
                backlog: 0,
            }),
            on_its_way: Cell::new(0),
            carries: Cell::new(false),
            is_reachable: Cell::new(true),
            next: RefCell::new(None),
            next_carrier: RefCell::new(None),
        })?)
    }

    /// Whether it is connected, told or not.
    pub fn is_connected(&self) -> bool {
        matches!(self.stage.get(), Stage::Connected | Stage::Told)
    }

    /// Whether its open file is gone.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage.get(), Stage::Closed | Stage::Lingers(_))
    }

    /// Whom it is connected to.
    pub fn peer(&self) -> Option<Shared<Self>> {
        self.peer.borrow().clone()
    }

    /// Its address.
    pub fn name(&self) -> Address {
        self.name.borrow().clone()
    }

    /// Whether it does that no more.
    pub fn has_shut(&self, what: Shut) -> bool {
        self.shut.get().contains(what)
    }

    /// Does that no more.
    pub fn shut(&self, what: Shut) {
        self.shut.set(self.shut.get() | what);
    }

    /// Fails with what went wrong before, once.
    ///
    /// # Errors
    /// That.
    pub fn check_error(&self) -> Result<(), Errno> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Wakes all who wait for something of it.
    pub fn changed(&self) {
        self.arrived.wake_all();
        self.room.wake_all();
        self.tell(Readiness::all());
        self.tell_peer(Readiness::all());
    }

    /// Wakes those who wait for something to arrive.
    pub fn has_arrived(&self) {
        self.arrived.wake_all();
        self.tell(Readiness::READ);
    }

    /// Wakes those who wait for room in its inbox.
    pub fn has_room(&self) {
        self.room.wake_all();
        self.tell_peer(Readiness::WRITE);
    }

    /// Whoever wants to hear of it in a set of files. Without connections, many may wait for
    /// room in one inbox, and so all of them look.
    pub fn watches(&self) -> &Watches {
        match self.style.has_connections() {
            true => &self.watches,
            false => &poll::ANY,
        }
    }

    fn tell(&self, what: Readiness) {
        poll::changed_at(self.watches(), what);
    }

    fn tell_peer(&self, what: Readiness) {
        match self.peer() {
            Some(peer) => peer.tell(what),
            None => self.tell(what),
        }
    }

    /// Makes the two peers of each other.
    pub fn connect(one: &Shared<Self>, other: &Shared<Self>) {
        for (one, other) in [(one, other), (other, one)] {
            one.peer.replace(Some(other.clone()));
            one.peer_credentials.set(other.credentials.get());
            one.peer_name.replace(other.name());
            one.stage.set(Stage::Connected);
        }
    }

    /// Takes out a connection that is pending.
    pub fn accept(&self) -> Option<Shared<Self>> {
        self.pending.borrow_mut().connections.pop()
    }

    /// Whether another connection may wait to be accepted.
    pub fn takes_connection(&self) -> bool {
        let pending = self.pending.borrow();
        pending.connections.len() <= pending.backlog
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        COUNT.set(COUNT.get() - 1);
    }
}

/// How long a call waits.
#[derive(Clone, Copy)]
pub enum Patience {
    /// Not at all.
    None,
    /// As long as it takes.
    Endless,
    /// Until so many nanoseconds after boot.
    Until(u64),
}

impl Patience {
    /// Waits in `queue`.
    ///
    /// # Errors
    /// EAGAIN: no longer. EINTR, after which only an endless wait begins again.
    pub fn wait(self, queue: &WaitQueue) -> Result<(), Errno> {
        match self {
            Self::None => Err(Errno::EAGAIN),
            Self::Endless => Ok(queue.sleep()?),
            Self::Until(deadline) => match queue.sleep_until(deadline) {
                Ok(Woken::Up) => Ok(()),
                Ok(Woken::TimedOut) => Err(Errno::EAGAIN),
                Err(_) => Err(Errno::EINTR),
            },
        }
    }
}
