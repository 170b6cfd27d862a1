//! Sockets inside this machine: nothing leaves it.
//!
//! ```text
//! Socket        what an open file has; dropping it closes
//!   Endpoint    state; peers and names refer to it           endpoint, names, options
//!     Inbox     bytes and records that have arrived          message, bytes, rights
//!
//! unix   tcp  udp   netlink                                  what each family does
//!        `-inet-'
//!   transport                                                how bytes move
//! ```
//!
//! Rejected: packets, queues of them and a loopback interface, which would make TCP's
//! retransmission and timers for a network that loses nothing.

pub mod address;
mod as_file;
mod bytes;
mod chain;
mod endpoint;
mod inet;
mod kind;
mod message;
mod names;
pub mod netlink;
pub mod options;
mod path;
mod rights;
mod tcp;
mod transport;
mod udp;
mod unix;

use abi::Errno;
use arch::clock;
use mm::Shared;

pub use endpoint::{Endpoint, Family, Patience, Shut, Stage, Style};
pub use inet::FIRST_FREE_TO_ALL;
pub use message::{Attached, Credentials};
pub use rights::{MAX as MOST_RIGHTS, Rights, collect};
pub use transport::{Incoming, Outgoing};

use crate::fs::events::epoll::Watches;
use crate::fs::poll::Readiness;
use crate::fs::socket::address::{Address, Given};
use crate::fs::socket::message::Inbox;
use crate::proc::current;
use crate::proc::signal::{self, Signal};

/// Most connections that wait to be accepted (`net.core.somaxconn`).
const MOST_PENDING: u32 = 4096;

/// What an open file has of a socket.
pub struct Socket(Shared<Endpoint>);

impl Socket {
    /// A new socket, as `socket` has its arguments.
    ///
    /// # Errors
    /// EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL; ENOBUFS, ENOMEM.
    pub fn new(family: u32, style: u32, protocol: u32) -> Result<Self, Errno> {
        let (family, style, protocol) = kind::parse(family, style, protocol)?;
        Ok(Self(Endpoint::new(family, style, protocol)?))
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// As for [`new`](Self::new), and EOPNOTSUPP: not Unix sockets.
    pub fn pair(family: u32, style: u32, protocol: u32) -> Result<[Self; 2], Errno> {
        match kind::parse(family, style, protocol)? {
            (Family::Unix, style, _) => Ok(unix::pair(style)?.map(Self)),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Its state.
    pub fn endpoint(&self) -> &Shared<Endpoint> {
        &self.0
    }

    /// Whether it is connected to somebody, who may have gone.
    pub fn has_peer(&self) -> bool {
        let endpoint = &self.0;
        tcp::go_on(endpoint);
        let is_reset = self.is_tcp() && endpoint.has_shut(Shut::all());
        match endpoint.family {
            Family::Netlink => true,
            _ => endpoint.is_connected() && !is_reset,
        }
    }

    fn is_tcp(&self) -> bool {
        self.0.protocol == tcp::PROTOCOL
    }

    /// How long a call waits, if it waits so many nanoseconds or, with 0, endlessly.
    fn patience(nonblocking: bool, timeout: u64) -> Patience {
        match timeout {
            _ if nonblocking => Patience::None,
            0 => Patience::Endless,
            timeout => Patience::Until(clock::now_ns().saturating_add(timeout)),
        }
    }

    /// How long a call waits that receives.
    pub fn patience_to_receive(&self, nonblocking: bool) -> Patience {
        Self::patience(nonblocking, self.0.options.receive_timeout.get())
    }

    /// How long a call waits that sends.
    pub fn patience_to_send(&self, nonblocking: bool) -> Patience {
        Self::patience(nonblocking, self.0.options.send_timeout.get())
    }

    /// Gives it an address.
    ///
    /// # Errors
    /// EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL; those of paths.
    pub fn bind(&self, address: Given<'_>) -> Result<(), Errno> {
        match (self.0.family, address) {
            (Family::Unix, Given::Unix(name)) => unix::bind(&self.0, name),
            (Family::Netlink, Given::Netlink(number)) => {
                netlink::bind(&self.0, number);
                Ok(())
            }
            (Family::Inet4 | Family::Inet6, Given::Inet(address, is_v6)) => {
                inet::bind(&self.0, address, is_v6)
            }
            (Family::Inet4 | Family::Inet6, _) => Err(Errno::EAFNOSUPPORT),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    /// EOPNOTSUPP: not by messages. EINVAL, EADDRINUSE.
    pub fn listen(&self, backlog: u32) -> Result<(), Errno> {
        if !self.0.style.has_connections() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.is_tcp() {
            tcp::listen(&self.0)?;
        } else {
            let is_bound = !matches!(*self.0.name.borrow(), Address::None);
            if !is_bound || !matches!(self.0.stage.get(), Stage::Idle | Stage::Listening) {
                return Err(Errno::EINVAL);
            }
        }
        self.0.credentials.set(Credentials::own());
        self.0.stage.set(Stage::Listening);
        self.0.pending.borrow_mut().backlog = backlog.min(MOST_PENDING) as usize;
        self.0.changed();
        Ok(())
    }

    /// Connects it, or if so given undoes the connection.
    ///
    /// # Errors
    /// ECONNREFUSED, EISCONN, EINPROGRESS, EALREADY, ETIMEDOUT, ENETUNREACH, EAFNOSUPPORT,
    /// EPROTOTYPE, EINVAL, EAGAIN, EINTR; those of paths.
    pub fn connect(&self, address: Given<'_>, patience: Patience) -> Result<(), Errno> {
        match (self.0.family, address) {
            (Family::Unix, Given::Unix(name)) => unix::connect(&self.0, name, patience),
            (Family::Unix, Given::Unspecified) if self.0.style == Style::Datagram => {
                unix::disconnect(&self.0);
                Ok(())
            }
            (Family::Unix, _) => Err(Errno::EINVAL),
            (Family::Netlink, Given::Netlink(_)) => Ok(()),
            (Family::Netlink, _) => Err(Errno::EINVAL),
            (_, Given::Inet(address, is_v6)) if self.is_tcp() => {
                tcp::connect(&self.0, address, is_v6, patience)
            }
            (_, Given::Inet(address, is_v6)) => udp::connect(&self.0, address, is_v6),
            (_, Given::Unspecified) if self.is_tcp() => {
                self.close();
                self.0.stage.set(Stage::Idle);
                Ok(())
            }
            (_, Given::Unspecified) => {
                udp::disconnect(&self.0);
                Ok(())
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// Takes a connection that somebody has made.
    ///
    /// # Errors
    /// EOPNOTSUPP, EINVAL: takes none. EAGAIN, EINTR.
    pub fn accept(&self, patience: Patience) -> Result<Self, Errno> {
        if !self.0.style.has_connections() {
            return Err(Errno::EOPNOTSUPP);
        }
        loop {
            if self.0.stage.get() != Stage::Listening {
                return Err(Errno::EINVAL);
            }
            let was_full = !self.0.takes_connection();
            if let Some(connection) = self.0.accept() {
                names::insert_connection(&connection);
                self.0.has_room();
                if was_full {
                    names::tell_connecting();
                }
                return Ok(Self(connection));
            }
            if self.0.has_shut(Shut::RECEIVE) {
                return Err(Errno::EINVAL);
            }
            patience.wait(&self.0.arrived)?;
        }
    }

    /// Ends directions.
    ///
    /// # Errors
    /// ENOTCONN, EOPNOTSUPP.
    pub fn shutdown(&self, what: Shut) -> Result<(), Errno> {
        match self.0.family {
            Family::Unix => unix::shutdown(&self.0, what),
            Family::Netlink => return Err(Errno::EOPNOTSUPP),
            _ if self.is_tcp() => {
                self.settle(Patience::None)?;
                tcp::shutdown(&self.0, what)?;
            }
            _ => {
                self.0.shut(what);
                self.0.changed();
                if self.0.stage.get() != Stage::Connected {
                    return Err(Errno::ENOTCONN);
                }
            }
        }
        Ok(())
    }

    /// Lets a connection come about that `connect` has not waited for.
    fn settle(&self, patience: Patience) -> Result<(), Errno> {
        if self.0.stage.get() != Stage::Connecting {
            return Ok(());
        }
        tcp::go_on(&self.0);
        match (self.0.stage.get(), patience) {
            (Stage::Connecting, Patience::None) => Err(Errno::EAGAIN),
            (Stage::Connecting, patience) => tcp::wait(&self.0, patience),
            _ => Ok(()),
        }
    }

    /// Sends to `to`, or whom it is connected to. A signal tells too that a stream has no
    /// reader any more, unless it is `quiet`.
    ///
    /// # Errors
    /// EPIPE, ENOTCONN, EISCONN, EDESTADDRREQ, ECONNREFUSED, ECONNRESET, EMSGSIZE,
    /// EOPNOTSUPP, ENETUNREACH, EAGAIN, EINTR, EFAULT, ENOBUFS.
    pub fn send(
        &self,
        to: Option<Given<'_>>,
        mut outgoing: Outgoing<'_>,
        quiet: bool,
    ) -> Result<u64, Errno> {
        let endpoint = &self.0;
        if endpoint.style == Style::Stream {
            if to.is_some() && endpoint.family == Family::Unix {
                return Err(match endpoint.is_connected() {
                    true => Errno::EISCONN,
                    false => Errno::EOPNOTSUPP,
                });
            }
            self.settle(outgoing.patience)?;
            let result = transport::send_stream(endpoint, &mut outgoing);
            if result == Err(Errno::EPIPE) && !quiet {
                signal::send(current(), Signal::SIGPIPE);
            }
            return result;
        }
        match (endpoint.family, to) {
            (Family::Unix, None) => unix::send(endpoint, None, outgoing),
            (Family::Unix, Some(Given::Unix(name))) => unix::send(endpoint, Some(name), outgoing),
            (Family::Netlink, _) => netlink::send(endpoint, outgoing),
            (Family::Unix, Some(_)) => Err(Errno::EINVAL),
            (_, None) => udp::send(endpoint, None, outgoing),
            (_, Some(Given::Inet(address, is_v6))) => {
                udp::send(endpoint, Some((address, is_v6)), outgoing)
            }
            (_, Some(_)) => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// Receives bytes of a stream or a message, and says how many; 0 at the end.
    ///
    /// # Errors
    /// ENOTCONN, EINVAL, ECONNREFUSED, ECONNRESET, EAGAIN, EINTR, EFAULT.
    pub fn receive(&self, incoming: &mut Incoming<'_>) -> Result<u64, Errno> {
        match self.0.style {
            Style::Stream => {
                self.settle(incoming.patience)?;
                transport::receive_stream(&self.0, incoming)
            }
            _ => transport::receive_message(&self.0, incoming),
        }
    }

    /// What went wrong and nobody has been told; it is told now.
    pub fn take_error(&self) -> Option<Errno> {
        tcp::go_on(&self.0);
        self.0.error.take()
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        if self.0.stage.get() == Stage::Listening {
            let has_connection = self.0.pending.borrow().connections.len() > 0;
            let mut ready = Readiness::empty();
            ready.set(Readiness::READ, has_connection);
            return ready;
        }
        tcp::go_on(&self.0);
        transport::readiness(&self.0)
    }

    /// Whoever wants to hear that it becomes ready.
    pub fn watches(&self) -> &Watches {
        self.0.watches()
    }

    /// Ends all that others see of it.
    fn close(&self) {
        let endpoint = &self.0;
        let has_listened = endpoint.stage.get() == Stage::Listening;
        rights::forget(endpoint);
        let inbox = endpoint.inbox.replace(Inbox::new());
        let linger = endpoint.options.linger.get();
        let is_lossy = !inbox.is_empty() || (linger.is_on && linger.seconds == 0);
        match endpoint.family {
            Family::Unix => {
                endpoint.stage.set(Stage::Closed);
                names::remove(endpoint);
                while let Some(connection) = endpoint.accept() {
                    connection.stage.set(Stage::Closed);
                    rights::forget(&connection);
                    unix::close(&connection, true);
                }
                unix::close(endpoint, !inbox.is_empty());
            }
            _ if self.is_tcp() => {
                tcp::reset_pending(endpoint);
                tcp::close(endpoint, is_lossy);
            }
            _ => {
                endpoint.stage.set(Stage::Closed);
                names::remove(endpoint);
            }
        }
        endpoint.changed();
        if has_listened {
            names::tell_connecting();
        }
        // Files in it may be sockets, which close in turn: nothing is borrowed.
        drop(inbox);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
