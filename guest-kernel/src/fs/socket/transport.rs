//! How bytes move between endpoints: as a stream, or message by message.

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::poll::Readiness;
use crate::fs::socket::address::Address;
use crate::fs::socket::bytes::{self, Bytes};
use crate::fs::socket::endpoint::{Endpoint, Family, Patience, Shut, Stage};
use crate::fs::socket::message::{self, Attached, Credentials, Record};
use crate::fs::socket::options::Kept;
use crate::fs::socket::rights::{self, Rights};
use crate::fs::socket::unix::MOST_MESSAGES;
use crate::fs::transfer::{self, Next, Source, Step, Target};

/// What is to be sent.
pub struct Outgoing<'a> {
    /// The bytes.
    pub source: &'a mut dyn Source,
    /// What comes with them.
    pub attached: Attached,
    /// How long to wait for room.
    pub patience: Patience,
}

/// What is to be received, and then what was.
pub struct Incoming<'a> {
    /// Where the bytes go.
    pub target: &'a mut dyn Target,
    /// How long to wait for some.
    pub patience: Patience,
    /// It stays there, to be received again.
    pub peek: bool,
    /// Wait until there is no room for more.
    pub wait_all: bool,
    /// Who sent it.
    pub from: Address,
    /// The same, as the kernel knows them.
    pub credentials: Credentials,
    /// Files that came with it.
    pub rights: Option<Rights>,
    /// Length of the message: longer than what was received if that was cut.
    pub len: u64,
}

impl<'a> Incoming<'a> {
    /// Nothing yet.
    pub fn new(target: &'a mut dyn Target, patience: Patience) -> Self {
        Self {
            target,
            patience,
            peek: false,
            wait_all: false,
            from: Address::None,
            credentials: Credentials::NOBODY,
            rights: None,
            len: 0,
        }
    }
}

/// Bytes that may wait for `receiver` if they come from `sender`.
fn capacity(sender: &Endpoint, receiver: &Endpoint) -> usize {
    let room = match receiver.family {
        Family::Unix => &sender.options.send_room,
        _ => &receiver.options.receive_room,
    };
    room.get() as usize
}

/// Whom a connected socket sends to.
fn receiver(endpoint: &Endpoint) -> Result<Shared<Endpoint>, Errno> {
    let is_unix = endpoint.family == Family::Unix;
    if !is_unix {
        endpoint.check_error()?;
    }
    if endpoint.has_shut(Shut::SEND) {
        return Err(Errno::EPIPE);
    }
    let peer = endpoint.peer().filter(|_| endpoint.is_connected());
    let peer = peer.ok_or(match is_unix {
        true => Errno::ENOTCONN,
        false => Errno::EPIPE,
    })?;
    match is_unix && peer.has_shut(Shut::RECEIVE) {
        true => Err(Errno::EPIPE),
        false => Ok(peer),
    }
}

/// Who is said to have sent something: who it says, or if either wants to know who it is.
fn credentials(sender: &Endpoint, receiver: &Endpoint, attached: &Attached) -> Credentials {
    let wants = |endpoint: &Endpoint| endpoint.options.has(Kept::PassCredentials);
    match attached.credentials {
        Some(credentials) => credentials,
        None if wants(sender) || wants(receiver) => Credentials::real(),
        None => Credentials::UNTOLD,
    }
}

/// Sends bytes of a stream.
///
/// # Errors
/// EPIPE, ENOTCONN, ECONNRESET; EAGAIN, EINTR, EFAULT, ENOBUFS before anything is sent.
pub fn send_stream(endpoint: &Endpoint, outgoing: &mut Outgoing<'_>) -> Result<u64, Errno> {
    let Outgoing {
        source,
        attached,
        patience,
    } = outgoing;
    let peer = receiver(endpoint)?;
    let credentials = credentials(endpoint, &peer, attached);
    if peer.is_closed() {
        // It answers by resetting the connection, which the next call finds out.
        endpoint.error.set(Some(Errno::EPIPE));
        endpoint.shut(Shut::all());
        endpoint.changed();
        return Ok(source.left() as u64);
    }
    let mut is_sent = false;
    let result = transfer::run(&mut **source, |source, _| {
        receiver(endpoint)?;
        let rights = &mut attached.rights;
        let has_rights = rights.is_some();
        let mut inbox = peer.inbox.borrow_mut();
        let room = inbox.room(capacity(endpoint, &peer));
        if room > 0 {
            let step = inbox.write(source, room, credentials, rights);
            drop(inbox);
            let step = step.map_err(|OutOfMemory| Errno::ENOBUFS)?;
            if has_rights && rights.is_none() {
                rights::note(&peer);
            }
            is_sent |= step.moved > 0;
            return Ok(step);
        }
        drop(inbox);
        if core::mem::take(&mut is_sent) {
            peer.has_arrived();
        }
        patience.wait(&peer.room)?;
        Ok(Step {
            moved: 0,
            next: Next::More,
        })
    });
    if is_sent {
        peer.has_arrived();
    }
    result
}

/// What a stream that has no more bytes does: whether it is at its end.
fn check_end(endpoint: &Endpoint) -> Result<bool, Errno> {
    let has_ended = endpoint.has_shut(Shut::RECEIVE);
    if endpoint.error.get() == Some(Errno::EPIPE) && has_ended {
        return Ok(true);
    }
    endpoint.check_error()?;
    match endpoint.stage.get() {
        _ if has_ended => Ok(true),
        Stage::Connected | Stage::Told | Stage::Connecting => Ok(false),
        _ if endpoint.family == Family::Unix => Err(Errno::EINVAL),
        _ => Err(Errno::ENOTCONN),
    }
}

/// Receives bytes of a stream; 0 at its end.
///
/// # Errors
/// ENOTCONN or EINVAL, ECONNRESET; EAGAIN, EINTR, EFAULT before anything is received.
pub fn receive_stream(endpoint: &Endpoint, incoming: &mut Incoming<'_>) -> Result<u64, Errno> {
    let Incoming {
        target,
        patience,
        peek,
        wait_all,
        credentials,
        rights,
        ..
    } = incoming;
    let by_sender = endpoint.options.has(Kept::PassCredentials);
    let mut current: Option<Shared<Record>> = None;
    let mut is_read = false;
    let result = transfer::run(&mut **target, |target, done| {
        let mut inbox = endpoint.inbox.borrow_mut();
        let offset = if *peek { done as usize } else { 0 };
        let record = inbox.first().filter(|_| inbox.len() > offset);
        let Some(record) = record else {
            drop(inbox);
            if (done > 0 && !*wait_all) || check_end(endpoint)? {
                return Ok(Step::stop());
            }
            if core::mem::take(&mut is_read) {
                wake_senders(endpoint);
            }
            patience.wait(&endpoint.arrived)?;
            return Ok(Step {
                moved: 0,
                next: Next::More,
            });
        };
        if !(current.as_ref()).is_some_and(|current| Shared::is_same(current, &record)) {
            let is_other = by_sender && record.credentials() != *credentials;
            if done > 0 && (rights.is_some() || is_other) {
                return Ok(Step::stop());
            }
            *credentials = record.credentials();
            *rights = record.rights(*peek);
            current = Some(record.clone());
        }
        let piece = inbox.piece(offset);
        let wanted = piece.len().min(target.left());
        let wanted = if *peek {
            wanted
        } else {
            wanted.min(record.len())
        };
        let moved = target.put(&piece[..wanted]);
        if !*peek && moved > 0 {
            inbox.skip(moved);
            is_read = true;
        }
        Ok(Step::copied(moved, wanted))
    });
    if is_read {
        wake_senders(endpoint);
    }
    incoming.len = *result.as_ref().unwrap_or(&0);
    result
}

/// There is room again.
fn wake_senders(endpoint: &Endpoint) {
    endpoint.has_room();
}

/// A message on its way.
pub struct Parcel<'a> {
    /// Whom it is from.
    pub from: Address,
    /// Its bytes.
    pub bytes: &'a Bytes,
    /// What comes with them.
    pub attached: Attached,
}

/// Puts a message into the inbox of `receiver`, behind `most` others, and waits for room
/// there.
///
/// # Errors
/// EAGAIN, EINTR, ENOBUFS; those of `check`, which is asked before and after waiting.
pub fn deliver(
    sender: &Endpoint,
    receiver: &Shared<Endpoint>,
    parcel: Parcel<'_>,
    (patience, most): (Patience, usize),
    check: impl Fn() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let Parcel {
        from,
        bytes,
        attached,
    } = parcel;
    let has_rights = attached.rights.is_some();
    let credentials = credentials(sender, receiver, &attached);
    let record = Record::new(bytes.len(), from, credentials, attached.rights);
    let record = record.map_err(|OutOfMemory| Errno::ENOBUFS)?;
    loop {
        check()?;
        let mut inbox = receiver.inbox.borrow_mut();
        if inbox.count() <= most && inbox.fits(bytes.len(), capacity(sender, receiver)) {
            let pushed = inbox.push(bytes, record.clone());
            drop(inbox);
            pushed.map_err(|OutOfMemory| Errno::ENOBUFS)?;
            if has_rights {
                record.enter();
                rights::note(receiver);
            }
            receiver.has_arrived();
            return Ok(());
        }
        drop(inbox);
        patience.wait(&receiver.room)?;
    }
}

/// Receives a message, or as much of it as there is room for; 0 at the end of a connection.
///
/// # Errors
/// EAGAIN, EINTR, EFAULT, ENOTCONN; what went wrong before.
pub fn receive_message(endpoint: &Endpoint, incoming: &mut Incoming<'_>) -> Result<u64, Errno> {
    let record = loop {
        endpoint.check_error()?;
        if let Some(record) = endpoint.inbox.borrow().first() {
            break record;
        }
        let waits = !matches!(incoming.patience, Patience::None);
        if endpoint.has_shut(Shut::RECEIVE) && (endpoint.style.has_connections() || waits) {
            return Ok(0);
        }
        if endpoint.style.has_connections() && !endpoint.is_connected() {
            return Err(Errno::ENOTCONN);
        }
        incoming.patience.wait(&endpoint.arrived)?;
    };
    incoming.len = record.len() as u64;
    incoming.from = record.source.clone();
    incoming.credentials = record.credentials();
    incoming.rights = record.rights(incoming.peek);
    let copied = message::copy_first(&endpoint.inbox, &record, &mut *incoming.target);
    if !incoming.peek {
        let mut inbox = endpoint.inbox.borrow_mut();
        if inbox
            .first()
            .is_some_and(|first| Shared::is_same(&first, &record))
        {
            inbox.skip(record.len());
        }
        drop(inbox);
        wake_senders(endpoint);
    }
    copied
}

/// What a poll would find of a socket that does not listen.
pub fn readiness(endpoint: &Endpoint) -> Readiness {
    let mut ready = Readiness::empty();
    let shut = endpoint.shut.get();
    let has_arrived = !endpoint.inbox.borrow().is_empty();
    ready.set(Readiness::READ, has_arrived || shut.contains(Shut::RECEIVE));
    ready.set(Readiness::READ_HANG_UP, shut.contains(Shut::RECEIVE));
    ready.set(Readiness::HANG_UP, shut == Shut::all());
    ready.set(Readiness::ERROR, endpoint.error.get().is_some());
    if endpoint.style.has_connections() {
        match endpoint.stage.get() {
            Stage::Idle => ready |= Readiness::HANG_UP,
            Stage::Connecting => return ready,
            _ => {}
        }
    }
    ready.set(
        Readiness::WRITE,
        shut.contains(Shut::SEND) || has_room(endpoint),
    );
    ready
}

/// Whether sending would not wait: a stream's reader has read a quarter of what fits.
fn has_room(endpoint: &Endpoint) -> bool {
    /// A part of the room in so many.
    const PART: usize = 4;
    let Some(peer) = endpoint.peer() else {
        return true;
    };
    let capacity = capacity(endpoint, &peer);
    let inbox = peer.inbox.borrow();
    match (endpoint.family, endpoint.style.has_connections()) {
        (_, true) => inbox.room(capacity) * PART >= capacity.min(bytes::LIMIT),
        (Family::Unix, false) => inbox.count() <= MOST_MESSAGES,
        _ => true,
    }
}
