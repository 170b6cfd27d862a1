//! What TCP and UDP have in common: addresses of this machine, and ports.

use core::cell::Cell;
use core::net::{Ipv4Addr, Ipv6Addr};

use abi::Errno;
use mm::Shared;

use crate::fs::socket::address::{Address, InetAddress};
use crate::fs::socket::endpoint::{Endpoint, Family, Stage, Style};
use crate::fs::socket::names;
use crate::fs::socket::options::Kept;
use crate::proc::capability::Capability;
use crate::proc::current;

/// Ports below are the superuser's.
pub const FIRST_FREE_TO_ALL: u16 = 1024;

/// Ports that sockets get which ask for none (`net.ipv4.ip_local_port_range`).
const FIRST_PORT: u16 = 32_768;
const LAST_PORT: u16 = 60_999;

static NEXT_PORT: single_cpu::SingleCpu<Cell<u16>> =
    single_cpu::SingleCpu::new(Cell::new(FIRST_PORT));

/// Whether messages of `endpoint` can be for a machine of that kind.
fn check_family(endpoint: &Endpoint, address: InetAddress, is_v6: bool) -> Result<(), Errno> {
    if is_v6 != (endpoint.family == Family::Inet6) {
        return Err(Errno::EAFNOSUPPORT);
    }
    match is_v6 && address.is_v4() && endpoint.options.has(Kept::Only6) {
        true => Err(Errno::ENETUNREACH),
        false => Ok(()),
    }
}

/// Gives it an address.
///
/// # Errors
/// EINVAL: it has one. EAFNOSUPPORT, EADDRNOTAVAIL, EADDRINUSE.
pub fn bind(endpoint: &Shared<Endpoint>, address: InetAddress, is_v6: bool) -> Result<(), Errno> {
    check_family(endpoint, address, is_v6)?;
    if !address.is_any() && !address.is_local() && !endpoint.options.has(Kept::FreeBind) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let is_reserved = (1..FIRST_FREE_TO_ALL).contains(&address.port);
    if is_reserved && !current().may(Capability::NetBindService) {
        return Err(Errno::EACCES);
    }
    if endpoint.name.borrow().inet().is_some() || endpoint.stage.get() != Stage::Idle {
        return Err(Errno::EINVAL);
    }
    let chosen = address;
    let address = match address.port {
        0 => InetAddress {
            port: free_port(endpoint, address.ip)?,
            ..address
        },
        _ if is_taken(endpoint, address) => return Err(Errno::EADDRINUSE),
        _ => address,
    };
    endpoint.chosen.set(Some(chosen));
    set_name(endpoint, address);
    Ok(())
}

/// Takes away what no program has chosen of its address: a port stays for a chosen machine.
pub fn forget_name(endpoint: &Shared<Endpoint>) {
    let (chosen, name) = (endpoint.chosen.get(), endpoint.name.borrow().inet());
    match (chosen, name) {
        (Some(chosen), Some(name)) if !chosen.is_any() || chosen.port != 0 => {
            set_name(
                endpoint,
                InetAddress {
                    ip: chosen.ip,
                    ..name
                },
            );
        }
        _ => {
            names::remove(endpoint);
            endpoint.name.replace(Address::None);
        }
    }
}

/// Gives it an address by which others find it.
pub fn set_name(endpoint: &Shared<Endpoint>, address: InetAddress) {
    names::remove(endpoint);
    endpoint.name.replace(Address::Inet(address));
    names::insert(endpoint);
}

/// Whether others have that port, so that `endpoint` cannot have it.
fn is_taken(endpoint: &Endpoint, address: InetAddress) -> bool {
    names::of_port(endpoint.protocol, address.port)
        .any(|other| conflicts(endpoint, address, &other))
}

/// Whether another socket listens on the address of one that is to listen.
pub fn is_listened_to(endpoint: &Endpoint, address: InetAddress) -> bool {
    names::of_port(endpoint.protocol, address.port).any(|other| {
        !core::ptr::eq::<Endpoint>(&*other, endpoint)
            && other.stage.get() == Stage::Listening
            && conflicts(endpoint, address, &other)
    })
}

fn conflicts(endpoint: &Endpoint, address: InetAddress, other: &Endpoint) -> bool {
    let Some(name) = other.name.borrow().inet() else {
        return false;
    };
    let both = |option| endpoint.options.has(option) && other.options.has(option);
    if both(Kept::ReusePort) {
        return false;
    }
    if both(Kept::ReuseAddress) && other.stage.get() != Stage::Listening {
        return false;
    }
    // A socket for any machine of IPv6 is one for IPv4, unless it says otherwise.
    let is_only = |socket: &Endpoint| socket.options.has(Kept::Only6);
    let is_for_all =
        |socket: &Endpoint, name: InetAddress| name.ip.is_unspecified() && !is_only(socket);
    if address.is_v4() != name.is_v4() {
        return match name.is_v4() {
            true => is_for_all(endpoint, address),
            false => is_for_all(other, name),
        };
    }
    address.ip == name.ip || address.is_any() || name.is_any()
}

/// A port that nobody has.
fn free_port(endpoint: &Endpoint, ip: Ipv6Addr) -> Result<u16, Errno> {
    for _ in FIRST_PORT..=LAST_PORT {
        let port = NEXT_PORT.get();
        NEXT_PORT.set(if port == LAST_PORT {
            FIRST_PORT
        } else {
            port + 1
        });
        let has_port = names::of_port(endpoint.protocol, port).next().is_some();
        if !has_port && !is_taken(endpoint, InetAddress { ip, port }) {
            return Ok(port);
        }
    }
    Err(Errno::EADDRINUSE)
}

/// Gives it a port if it has none.
///
/// # Errors
/// EAGAIN: there is none.
pub fn bind_any(endpoint: &Shared<Endpoint>) -> Result<InetAddress, Errno> {
    if let Some(name) = endpoint.name.borrow().inet() {
        return Ok(name);
    }
    let any = InetAddress::any(endpoint.family == Family::Inet6, 0);
    let port = free_port(endpoint, any.ip).map_err(|_| match endpoint.style {
        Style::Stream => Errno::EADDRNOTAVAIL,
        _ => Errno::EAGAIN,
    })?;
    let name = InetAddress { port, ..any };
    set_name(endpoint, name);
    Ok(name)
}

/// Where messages to `address` go: this machine, or nowhere.
///
/// # Errors
/// EAFNOSUPPORT, ENETUNREACH.
pub fn route(endpoint: &Endpoint, address: InetAddress, is_v6: bool) -> Result<InetAddress, Errno> {
    // A socket of IPv6 takes addresses of IPv4 in the older structure too.
    check_family(endpoint, address, is_v6 || endpoint.family == Family::Inet6)?;
    let ip = match address.is_any() {
        true if address.is_v4() => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        true => Ipv6Addr::LOCALHOST,
        false => address.ip,
    };
    let to = InetAddress { ip, ..address };
    match to.is_local() {
        true => Ok(to),
        false => Err(Errno::ENETUNREACH),
    }
}

/// The address from which a socket named `name` sends to a machine `to`.
pub fn source(name: InetAddress, to: InetAddress) -> InetAddress {
    let ip = match name.is_any() {
        false => name.ip,
        true if to.is_v4() => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        true => Ipv6Addr::LOCALHOST,
    };
    InetAddress { ip, ..name }
}

/// The best of the sockets with a port for what `from` sends to it: one connected to that
/// sender, then one with just this address, then one for any, the latest first.
pub fn find(
    protocol: u32,
    to: InetAddress,
    from: InetAddress,
    is_fit: impl Fn(&Endpoint) -> bool,
) -> Option<Shared<Endpoint>> {
    let score = |endpoint: &Endpoint| {
        let name = endpoint.name.borrow().inet()?;
        let by_address = match name.ip == to.ip {
            true => 2,
            false if name.ip.is_unspecified() => {
                let takes = !to.is_v4() || !endpoint.options.has(Kept::Only6);
                takes.then_some(0)?
            }
            false if name.is_any() && to.is_v4() => 1,
            false => return None,
        };
        let peer = endpoint.peer_name.borrow().inet();
        match peer.filter(|_| endpoint.stage.get() == Stage::Connected) {
            Some(peer) if peer == from => Some(by_address + 4),
            Some(_) => None,
            None => Some(by_address),
        }
    };
    let all = names::of_port(protocol, to.port).filter(|endpoint| is_fit(endpoint));
    let scored = all.filter_map(|endpoint| Some((score(&endpoint)?, endpoint)));
    let best = scored.max_by_key(|(score, endpoint)| {
        // Of equal listeners, the one with fewest connections waiting.
        let waiting = endpoint.pending.borrow().connections.len();
        (*score, core::cmp::Reverse(waiting))
    });
    best.map(|(_, endpoint)| endpoint)
}
