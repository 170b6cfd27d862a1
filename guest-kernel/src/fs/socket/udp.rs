//! UDP between sockets of this machine.

use abi::Errno;
use linux_raw_sys::net::IPPROTO_UDP;
use mm::Shared;

use crate::fs::socket::address::{Address, InetAddress};
use crate::fs::socket::endpoint::{Endpoint, Patience, Shut, Stage};
use crate::fs::socket::inet;
use crate::fs::socket::message;
use crate::fs::socket::transport::{self, Outgoing, Parcel};

/// Number of the protocol.
pub const PROTOCOL: u32 = IPPROTO_UDP as u32;

/// Longest message: that of an IPv4 packet but for both headers.
const MAX_LEN: usize = 65_507;

/// Sends to `to` from now on, and receives from there alone.
///
/// # Errors
/// EAGAIN: there is no port. As for [`inet::route`].
pub fn connect(endpoint: &Shared<Endpoint>, to: InetAddress, is_v6: bool) -> Result<(), Errno> {
    let to = inet::route(endpoint, to, is_v6)?;
    let name = inet::bind_any(endpoint)?;
    inet::set_name(endpoint, inet::source(name, to));
    endpoint.peer_name.replace(Address::Inet(to));
    endpoint.stage.set(Stage::Connected);
    Ok(())
}

/// Sends to nobody but those who are named from now on, and from any address again.
pub fn disconnect(endpoint: &Shared<Endpoint>) {
    endpoint.peer_name.replace(Address::None);
    endpoint.stage.set(Stage::Idle);
    inet::forget_name(endpoint);
}

/// Sends a message: lost if there is no room for it, or nobody has the port.
///
/// # Errors
/// EDESTADDRREQ, EMSGSIZE, EPIPE, EINVAL, EFAULT, ENOBUFS, ECONNREFUSED (of the message
/// before); as for [`connect`].
pub fn send(
    endpoint: &Shared<Endpoint>,
    to: Option<(InetAddress, bool)>,
    outgoing: Outgoing<'_>,
) -> Result<u64, Errno> {
    let len = outgoing.source.left();
    if len > MAX_LEN {
        return Err(Errno::EMSGSIZE);
    }
    let name = inet::bind_any(endpoint)?;
    let (to, is_v6) = match (to, endpoint.peer_name.borrow().inet()) {
        (Some(to), _) => to,
        (None, Some(peer)) => (peer, !peer.is_v4()),
        (None, None) => return Err(Errno::EDESTADDRREQ),
    };
    if to.port == 0 {
        return Err(Errno::EINVAL);
    }
    endpoint.check_error()?;
    if endpoint.has_shut(Shut::SEND) {
        return Err(Errno::EPIPE);
    }
    let to = inet::route(endpoint, to, is_v6)?;
    let from = inet::source(name, to);
    let bytes = message::gather(outgoing.source)?;
    let Some(receiver) = inet::find(PROTOCOL, to, from, |_| true) else {
        // The answer is that nobody has the port (ICMP), which connected sockets hear of.
        if endpoint.stage.get() == Stage::Connected {
            endpoint.error.set(Some(Errno::ECONNREFUSED));
            endpoint.has_arrived();
        }
        return Ok(len as u64);
    };
    let parcel = Parcel {
        from: Address::Inet(from),
        bytes: &bytes,
        attached: outgoing.attached,
    };
    let room = (Patience::None, usize::MAX);
    let delivered = transport::deliver(endpoint, &receiver, parcel, room, || Ok(()));
    match delivered {
        Ok(()) | Err(Errno::EAGAIN) => Ok(len as u64),
        Err(errno) => Err(errno),
    }
}
