//! TCP between sockets of this machine: a reliable stream needs no packets.
//!
//! What is left of the protocol is what programs see: the three-way handshake is a place
//! among the listener's connections, FIN ends a direction, and RST is what a socket answers
//! that goes before it has read all.

use abi::Errno;
use arch::clock;
use linux_raw_sys::net::IPPROTO_TCP;
use mm::Shared;

use crate::fs::socket::address::{Address, InetAddress};
use crate::fs::socket::endpoint::{Endpoint, Patience, Shut, Stage};
use crate::fs::socket::{inet, names};

/// Number of the protocol.
pub const PROTOCOL: u32 = IPPROTO_TCP as u32;

/// Nanoseconds for which whoever ended a connection first keeps its port (TIME_WAIT).
const LINGERING_NS: u64 = 60_000_000_000;

/// Nanoseconds after which nobody has answered, with Linux's 6 attempts.
const CONNECT_NS: u64 = 127_000_000_000;

/// Takes connections from now on, so many beyond one before they are accepted.
///
/// # Errors
/// EINVAL: it is connected. EADDRINUSE.
pub fn listen(endpoint: &Shared<Endpoint>) -> Result<(), Errno> {
    match endpoint.stage.get() {
        Stage::Listening => return Ok(()),
        Stage::Idle => {}
        _ => return Err(Errno::EINVAL),
    }
    let name = inet::bind_any(endpoint)?;
    match inet::is_listened_to(endpoint, name) {
        true => Err(Errno::EADDRINUSE),
        false => Ok(()),
    }
}

/// Connects it. Without patience the result comes later, as on a real network.
///
/// # Errors
/// EISCONN, EALREADY, EINPROGRESS, EINVAL, ECONNREFUSED, ETIMEDOUT, EINTR, EADDRNOTAVAIL;
/// as for [`inet::route`].
pub fn connect(
    endpoint: &Shared<Endpoint>,
    to: InetAddress,
    is_v6: bool,
    patience: Patience,
) -> Result<(), Errno> {
    match endpoint.stage.get() {
        Stage::Connected => return Err(Errno::EISCONN),
        Stage::Listening => return Err(Errno::EISCONN),
        Stage::Told => {
            endpoint.stage.set(Stage::Connected);
            return Ok(());
        }
        Stage::Connecting if matches!(patience, Patience::None) => {
            return endpoint.check_error().and(Err(Errno::EALREADY));
        }
        Stage::Connecting => return wait(endpoint, patience),
        _ => {}
    }
    // What went wrong in the background is told once.
    endpoint.check_error()?;
    let to = inet::route(endpoint, to, is_v6)?;
    let name = inet::bind_any(endpoint)?;
    inet::set_name(endpoint, inet::source(name, to));
    endpoint.peer_name.replace(Address::Inet(to));
    endpoint.shut.set(Shut::empty());
    endpoint.stage.set(Stage::Connecting);
    go_on(endpoint);
    match patience {
        Patience::None => Err(Errno::EINPROGRESS),
        patience => wait(endpoint, patience),
    }
}

/// Waits until it is connected or refused.
///
/// # Errors
/// ECONNREFUSED, EINPROGRESS, ETIMEDOUT, EINTR.
pub fn wait(endpoint: &Shared<Endpoint>, patience: Patience) -> Result<(), Errno> {
    let deadline = clock::now_ns() + CONNECT_NS;
    let patience = match patience {
        Patience::Endless => Patience::Until(deadline),
        patience => patience,
    };
    loop {
        go_on(endpoint);
        endpoint.check_error()?;
        if endpoint.is_connected() {
            endpoint.stage.set(Stage::Connected);
            return Ok(());
        }
        let Some(listener) = listener(endpoint) else {
            continue;
        };
        patience.wait(&listener.room).map_err(|errno| match errno {
            Errno::EAGAIN if clock::now_ns() >= deadline => Errno::ETIMEDOUT,
            Errno::EAGAIN => Errno::EINPROGRESS,
            errno => errno,
        })?;
    }
}

/// Whoever listens where `endpoint` connects to.
fn listener(endpoint: &Endpoint) -> Option<Shared<Endpoint>> {
    let [from, to] = [&endpoint.name, &endpoint.peer_name].map(|name| name.borrow().inet());
    let listens =
        |other: &Endpoint| other.stage.get() == Stage::Listening && !other.has_shut(Shut::RECEIVE);
    inet::find(PROTOCOL, to?, from?, listens)
}

/// Connects a socket that waits for that, if whoever listens has room; refuses it if nobody
/// does. Called when it connects, and whenever it is looked at afterwards.
pub fn go_on(endpoint: &Shared<Endpoint>) {
    if endpoint.stage.get() != Stage::Connecting {
        return;
    }
    let result = match listener(endpoint) {
        Some(listener) if listener.takes_connection() => establish(endpoint, &listener),
        Some(_) => return,
        None => Err(Errno::ECONNREFUSED),
    };
    if let Err(errno) = result {
        endpoint.stage.set(Stage::Idle);
        endpoint.shut(Shut::all());
        endpoint.error.set(Some(errno));
    }
}

fn establish(endpoint: &Shared<Endpoint>, listener: &Endpoint) -> Result<(), Errno> {
    let accepted = Endpoint::new(listener.family, endpoint.style, PROTOCOL)?;
    accepted.name.replace(endpoint.peer_name.borrow().clone());
    accepted.options.inherit(&listener.options);
    Endpoint::connect(endpoint, &accepted);
    endpoint.stage.set(Stage::Told);
    listener.pending.borrow_mut().connections.push(accepted);
    listener.has_arrived();
    Ok(())
}

/// Ends directions of a connection.
///
/// # Errors
/// ENOTCONN.
pub fn shutdown(endpoint: &Endpoint, what: Shut) -> Result<(), Errno> {
    match endpoint.stage.get() {
        Stage::Listening if !what.contains(Shut::RECEIVE) => return Ok(()),
        Stage::Listening => {
            reset_pending(endpoint);
            endpoint.stage.set(Stage::Idle);
            endpoint.changed();
            return Ok(());
        }
        _ if endpoint.is_connected() && !endpoint.has_shut(Shut::all()) => {}
        _ => return Err(Errno::ENOTCONN),
    }
    if what.contains(Shut::SEND) {
        finish(endpoint);
    }
    endpoint.shut(what);
    endpoint.changed();
    Ok(())
}

/// Tells the peer that no more bytes come (FIN).
fn finish(endpoint: &Endpoint) {
    if endpoint.has_shut(Shut::SEND) {
        return;
    }
    if let Some(peer) = endpoint.peer() {
        endpoint.ended_first.set(!peer.has_shut(Shut::SEND));
        peer.shut(Shut::RECEIVE);
        peer.changed();
    }
}

/// Resets the connections that nobody has accepted.
pub fn reset_pending(endpoint: &Endpoint) {
    while let Some(connection) = endpoint.accept() {
        connection.stage.set(Stage::Closed);
        if let Some(peer) = connection.peer.take() {
            reset(&peer);
        }
    }
}

/// Takes what RST says.
fn reset(endpoint: &Endpoint) {
    if endpoint.is_closed() {
        // Nobody needs to remember it any more.
        names::remove(endpoint);
        return;
    }
    endpoint
        .error
        .set(Some(match endpoint.has_shut(Shut::RECEIVE) {
            true => Errno::EPIPE,
            false => Errno::ECONNRESET,
        }));
    endpoint.shut(Shut::all());
    endpoint.changed();
}

/// Ends a connection whose socket goes, which had not read all or wants no end in order.
pub fn close(endpoint: &Endpoint, is_lossy: bool) {
    endpoint.stage.set(Stage::Closed);
    if !is_lossy {
        finish(endpoint);
    }
    let Some(peer) = endpoint.peer.take() else {
        names::remove(endpoint);
        return;
    };
    if is_lossy {
        reset(&peer);
    }
    match !is_lossy && endpoint.ended_first.get() {
        true => names::linger(endpoint, clock::now_ns() + LINGERING_NS),
        false => names::remove(endpoint),
    }
}
