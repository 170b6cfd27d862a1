//! Unix sockets: between processes of this machine, by names of this machine.

use abi::Errno;
use mm::Shared;

use crate::fs::socket::address::{Address, UnixName};
use crate::fs::socket::endpoint::{Endpoint, Family, Patience, Shut, Stage, Style};
use crate::fs::socket::message::{self, Credentials, Inbox};
use crate::fs::socket::transport::{self, Outgoing, Parcel};
use crate::fs::socket::{names, path, rights};

/// Messages that may wait for a socket, but for one (`net.unix.max_dgram_qlen`).
pub const MOST_MESSAGES: usize = 10;

/// What Linux has of the room for a message's bytes beside them.
const OVERHEAD: usize = 32;

/// Two sockets that are connected to each other.
///
/// # Errors
/// ENOBUFS, ENOMEM.
pub fn pair(style: Style) -> Result<[Shared<Endpoint>; 2], Errno> {
    let [one, other] = [
        Endpoint::new(Family::Unix, style, 0),
        Endpoint::new(Family::Unix, style, 0),
    ];
    let (one, other) = (one?, other?);
    for end in [&one, &other] {
        end.credentials.set(Credentials::own());
    }
    Endpoint::connect(&one, &other);
    Ok([one, other])
}

/// The name that a program gave: a path ends at a zero.
fn trim(name: &[u8]) -> &[u8] {
    match name {
        [] | [0, ..] => name,
        _ => name.split(|&byte| byte == 0).next().unwrap_or(name),
    }
}

/// Gives it a name: of its own choice if that is empty.
///
/// # Errors
/// EINVAL: it has one. EADDRINUSE; those of paths.
pub fn bind(endpoint: &Shared<Endpoint>, name: &[u8]) -> Result<(), Errno> {
    let has_name = !matches!(*endpoint.name.borrow(), Address::None);
    let name = match trim(name) {
        [] if has_name => return Ok(()),
        [0, ..] if has_name => return Err(Errno::EINVAL),
        path if has_name => {
            return Err(match path::exists(path)? {
                true => Errno::EADDRINUSE,
                false => Errno::EINVAL,
            });
        }
        [] => choose(endpoint.style)?,
        name @ [0, ..] => {
            let name = UnixName::new(name, None)?;
            if names::unix(&name, endpoint.style).is_some() {
                return Err(Errno::EADDRINUSE);
            }
            name
        }
        path => path::make(path)?,
    };
    endpoint.name.replace(Address::Unix(name));
    names::insert(endpoint);
    Ok(())
}

/// An abstract name that nobody has: five digits.
fn choose(style: Style) -> Result<Shared<UnixName>, Errno> {
    /// Names that are tried.
    const NAMES: u64 = 0x10_0000;
    let first = arch::random::number();
    for number in 0..NAMES {
        let number = first.wrapping_add(number) % NAMES;
        let mut bytes = [0; 6];
        for (place, byte) in bytes[1..].iter_mut().enumerate() {
            let digit = number >> (16 - 4 * place) & 0xf;
            *byte = b"0123456789abcdef"[digit as usize];
        }
        let name = UnixName::new(&bytes, None)?;
        if names::unix(&name, style).is_none() {
            return Ok(name);
        }
    }
    Err(Errno::ENOSPC)
}

/// The socket with that name.
fn find(name: &[u8], style: Style) -> Result<Shared<Endpoint>, Errno> {
    let name = match trim(name) {
        [] => return Err(Errno::EINVAL),
        name @ [0, ..] => UnixName::new(name, None)?,
        path => path::find(path)?,
    };
    let found = names::unix(&name, style).ok_or(Errno::ECONNREFUSED)?;
    match found.style == style {
        true => Ok(found),
        false => Err(Errno::EPROTOTYPE),
    }
}

/// Connects it to the socket with that name.
///
/// # Errors
/// ECONNREFUSED, EPROTOTYPE, EISCONN, EINVAL, EAGAIN, EINTR, EPERM; those of paths.
pub fn connect(endpoint: &Shared<Endpoint>, name: &[u8], patience: Patience) -> Result<(), Errno> {
    let other = find(name, endpoint.style)?;
    if endpoint.style == Style::Datagram {
        if !takes_from(&other, endpoint) {
            return Err(Errno::EPERM);
        }
        endpoint.peer_name.replace(other.name());
        let before = endpoint.peer.replace(Some(other));
        endpoint.stage.set(Stage::Connected);
        drop(before);
        return Ok(());
    }
    match endpoint.stage.get() {
        Stage::Idle => {}
        Stage::Connected => return Err(Errno::EISCONN),
        _ => return Err(Errno::EINVAL),
    }
    loop {
        if other.stage.get() != Stage::Listening || other.has_shut(Shut::RECEIVE) {
            return Err(Errno::ECONNREFUSED);
        }
        if other.takes_connection() {
            break;
        }
        patience.wait(&other.room)?;
    }
    let accepted = Endpoint::new(Family::Unix, endpoint.style, 0)?;
    accepted.name.replace(other.name());
    accepted.credentials.set(other.credentials.get());
    accepted.options.inherit(&other.options);
    endpoint.credentials.set(Credentials::own());
    Endpoint::connect(endpoint, &accepted);
    other.pending.borrow_mut().connections.push(accepted);
    other.changed();
    Ok(())
}

/// Whether `receiver`, of messages, is connected to nobody but `sender`.
fn takes_from(receiver: &Endpoint, sender: &Shared<Endpoint>) -> bool {
    let peer = receiver.peer.borrow();
    peer.as_ref()
        .is_none_or(|peer| Shared::is_same(peer, sender))
}

/// Sends a message, to the socket with that name or the one it is connected to.
///
/// # Errors
/// ENOTCONN, ECONNREFUSED, ECONNRESET, EPIPE, EMSGSIZE, EPERM; EAGAIN, EINTR, EFAULT,
/// ENOBUFS; as for [`connect`].
pub fn send(
    endpoint: &Shared<Endpoint>,
    name: Option<&[u8]>,
    outgoing: Outgoing<'_>,
) -> Result<u64, Errno> {
    endpoint.check_error()?;
    let receiver = match name.filter(|_| endpoint.style == Style::Datagram) {
        Some(name) => find(name, endpoint.style)?,
        None => endpoint.peer().ok_or(Errno::ENOTCONN)?,
    };
    let len = outgoing.source.left();
    if len + OVERHEAD > endpoint.options.send_room.get() as usize {
        return Err(Errno::EMSGSIZE);
    }
    let bytes = message::gather(outgoing.source)?;
    let check = || {
        if endpoint.has_shut(Shut::SEND) {
            return Err(Errno::EPIPE);
        }
        if receiver.is_closed() {
            if name.is_none() && endpoint.style == Style::Datagram {
                disconnect(endpoint);
            }
            return Err(Errno::ECONNREFUSED);
        }
        if receiver.has_shut(Shut::RECEIVE) {
            return Err(Errno::EPIPE);
        }
        match endpoint.style == Style::Datagram && !takes_from(&receiver, endpoint) {
            true => Err(Errno::EPERM),
            false => Ok(()),
        }
    };
    let most = match endpoint.style {
        Style::Datagram => MOST_MESSAGES,
        _ => usize::MAX,
    };
    let parcel = Parcel {
        from: endpoint.name(),
        bytes: &bytes,
        attached: outgoing.attached,
    };
    let room = (outgoing.patience, most);
    transport::deliver(endpoint, &receiver, parcel, room, check)?;
    Ok(len as u64)
}

/// Undoes the connection of a socket for messages, with what has arrived over it.
pub fn disconnect(endpoint: &Endpoint) {
    endpoint.stage.set(Stage::Idle);
    endpoint.peer_name.replace(Address::None);
    let peer = endpoint.peer.take();
    if peer.is_some() {
        rights::forget(endpoint);
        let inbox = endpoint.inbox.replace(Inbox::new());
        endpoint.room.wake_all();
        drop(inbox);
    }
}

/// Ends directions of a connection, for both sides.
pub fn shutdown(endpoint: &Endpoint, what: Shut) {
    endpoint.shut(what);
    if let Some(peer) = endpoint.peer().filter(|_| endpoint.style.has_connections()) {
        // What one sends no more the other receives no more.
        let mut of_peer = Shut::empty();
        of_peer.set(Shut::RECEIVE, what.contains(Shut::SEND));
        of_peer.set(Shut::SEND, what.contains(Shut::RECEIVE));
        peer.shut(of_peer);
        peer.changed();
    }
    endpoint.changed();
}

/// Ends a connection whose socket goes; it had not read all, or nobody had accepted it.
pub fn close(endpoint: &Endpoint, is_lossy: bool) {
    let Some(peer) = endpoint.peer.take() else {
        return;
    };
    if endpoint.style.has_connections() {
        peer.shut(Shut::all());
        if is_lossy {
            peer.error.set(Some(Errno::ECONNRESET));
        }
    }
    peer.changed();
}
