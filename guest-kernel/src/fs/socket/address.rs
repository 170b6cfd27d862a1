//! Addresses of sockets: what Linux's `struct sockaddr` says.

use core::net::{Ipv4Addr, Ipv6Addr};

use abi::Errno;
use linux_raw_sys::net as linux;
use mm::Shared;

use crate::fs::node::Node;
use crate::fs::socket::endpoint::Family;

/// Bytes of the longest address (`struct sockaddr_storage`).
pub const MAX_SIZE: usize = 128;
/// Bytes of `sockaddr_un`'s path.
const PATH_SIZE: usize = 108;
/// Bytes of `struct sockaddr_in`, `sockaddr_in6` as it was at first and is, `sockaddr_nl`.
const INET4_SIZE: usize = 16;
const OLD_INET6_SIZE: usize = 24;
const INET6_SIZE: usize = 28;
const NETLINK_SIZE: usize = 12;
/// Bytes of the family, in front of all.
const FAMILY_SIZE: usize = 2;

/// Whom a socket is known as.
#[derive(Clone)]
pub enum Address {
    /// Nobody.
    None,
    /// A name of a Unix socket.
    Unix(Shared<UnixName>),
    /// A port of a machine.
    Inet(InetAddress),
    /// A number of a Netlink socket.
    Netlink(u32),
}

/// A name of a Unix socket.
pub struct UnixName {
    bytes: [u8; PATH_SIZE],
    len: usize,
    /// Its node in the file tree, if the name is a path.
    pub node: Option<Shared<Node>>,
}

impl UnixName {
    /// A name with these bytes: an abstract one starts with a zero.
    ///
    /// # Errors
    /// EINVAL: too long. ENOMEM.
    pub fn new(name: &[u8], node: Option<Shared<Node>>) -> Result<Shared<Self>, Errno> {
        let mut bytes = [0; PATH_SIZE];
        let place = bytes.get_mut(..name.len()).ok_or(Errno::EINVAL)?;
        place.copy_from_slice(name);
        Ok(Shared::new(Self {
            bytes,
            len: name.len(),
            node,
        })?)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A port of a machine. Those of IPv4 are mapped into IPv6's (::ffff:0:0/96).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetAddress {
    /// The machine.
    pub ip: Ipv6Addr,
    /// The port.
    pub port: u16,
}

impl InetAddress {
    /// Any machine of IPv6, or of IPv4.
    pub fn any(is_v6: bool, port: u16) -> Self {
        let ip = match is_v6 {
            true => Ipv6Addr::UNSPECIFIED,
            false => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
        };
        Self { ip, port }
    }

    /// Whether it is a machine of IPv4.
    pub fn is_v4(self) -> bool {
        self.ip.to_ipv4_mapped().is_some()
    }

    /// Whether it means any machine.
    pub fn is_any(self) -> bool {
        self.ip.is_unspecified() || self.ip.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED)
    }

    /// Whether it is this machine.
    pub fn is_local(self) -> bool {
        match self.ip.to_ipv4_mapped() {
            Some(ip) => ip.is_loopback(),
            None => self.ip.is_loopback(),
        }
    }
}

/// What a program gave as an address.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// Nobody: a connection is to be undone.
    Unspecified,
    /// A name of a Unix socket: a path, an abstract name with a zero in front, or none.
    Unix(&'a [u8]),
    /// A port of a machine, by IPv6's structure or not.
    Inet(InetAddress, bool),
    /// A number of a Netlink socket.
    Netlink(u32),
}

impl<'a> Given<'a> {
    /// What is in a program's `struct sockaddr`.
    ///
    /// # Errors
    /// EINVAL: too short. EAFNOSUPPORT.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Errno> {
        let family = bytes.first_chunk().ok_or(Errno::EINVAL)?;
        let long_enough = |size| match bytes.len() >= size {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        };
        match u32::from(u16::from_le_bytes(*family)) {
            linux::AF_UNSPEC => Ok(Self::Unspecified),
            linux::AF_UNIX => Ok(Self::Unix(&bytes[FAMILY_SIZE..])),
            linux::AF_INET => {
                long_enough(INET4_SIZE)?;
                let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Ok(Self::Inet(inet(ip.to_ipv6_mapped(), bytes), false))
            }
            linux::AF_INET6 => {
                long_enough(OLD_INET6_SIZE)?;
                let ip: [u8; 16] = bytes[8..].first_chunk().copied().unwrap_or_default();
                Ok(Self::Inet(inet(ip.into(), bytes), true))
            }
            linux::AF_NETLINK => {
                long_enough(NETLINK_SIZE)?;
                let number = bytes[4..].first_chunk().copied().unwrap_or_default();
                Ok(Self::Netlink(u32::from_le_bytes(number)))
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }
}

fn inet(ip: Ipv6Addr, bytes: &[u8]) -> InetAddress {
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    InetAddress { ip, port }
}

impl Address {
    /// As a program of a socket of this family has it in memory, and how long that is.
    pub fn encode(&self, family: Family) -> ([u8; MAX_SIZE], usize) {
        let mut bytes = [0; MAX_SIZE];
        bytes[..FAMILY_SIZE].copy_from_slice(&(family.number() as u16).to_le_bytes());
        let mut put = |at: usize, value: &[u8]| bytes[at..][..value.len()].copy_from_slice(value);
        let len = match (self, family) {
            (Self::Unix(name), _) => {
                put(FAMILY_SIZE, name.bytes());
                // A path ends with a zero.
                FAMILY_SIZE + name.bytes().len() + usize::from(name.node.is_some())
            }
            (Self::Inet(address), family) => {
                put(2, &address.port.to_be_bytes());
                match address.ip.to_ipv4_mapped() {
                    Some(ip) if family == Family::Inet4 => {
                        put(4, &ip.octets());
                        INET4_SIZE
                    }
                    _ => {
                        put(8, &address.ip.octets());
                        INET6_SIZE
                    }
                }
            }
            (Self::Netlink(number), _) => {
                put(4, &number.to_le_bytes());
                NETLINK_SIZE
            }
            (Self::None, Family::Unix) => FAMILY_SIZE,
            (Self::None, Family::Inet4) => INET4_SIZE,
            (Self::None, Family::Inet6) => INET6_SIZE,
            (Self::None, Family::Netlink) => NETLINK_SIZE,
        };
        (bytes, len)
    }

    /// The port of a machine, if it is one.
    pub fn inet(&self) -> Option<InetAddress> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }
}
