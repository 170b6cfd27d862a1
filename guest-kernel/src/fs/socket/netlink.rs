//! Netlink sockets (NETLINK_ROUTE), as far as libraries ask which network interfaces there
//! are: the loopback interface and its addresses.

use core::net::{Ipv4Addr, Ipv6Addr};

use abi::Errno;
use linux_raw_sys::{if_arp, net, netlink as linux};
use mm::{OutOfMemory, Shared};

use crate::fs::socket::address::Address;
use crate::fs::socket::bytes::Bytes;
use crate::fs::socket::endpoint::{Endpoint, Patience};
use crate::fs::socket::message::{self, Attached};
use crate::fs::socket::transport::{self, Outgoing, Parcel};
use crate::proc::current;

/// What the loopback interface is called.
pub const INTERFACE: &[u8; 3] = b"lo\0";
/// Its number.
pub const INTERFACE_NUMBER: u32 = 1;
/// Its kind (ARPHRD_LOOPBACK).
pub const INTERFACE_KIND: u16 = 772;
/// It is up, running and the loopback.
pub const INTERFACE_FLAGS: u32 = if_arp::net_device_flags::IFF_UP as u32
    | if_arp::net_device_flags::IFF_LOOPBACK as u32
    | if_arp::net_device_flags::IFF_RUNNING as u32;
/// Bytes of its longest packet.
pub const INTERFACE_MTU: u32 = 65_536;

/// It has a carrier.
const LOWER_UP: u32 = if_arp::net_device_flags::IFF_LOWER_UP as u32;
/// Packets that its queue holds.
const QUEUE_LEN: u32 = 1000;

/// Bytes of a `struct nlmsghdr`, and to what messages and attributes are aligned.
const HEADER_SIZE: usize = 16;
const ALIGNMENT: usize = 4;
/// Bytes of a `struct rtattr`.
const ATTRIBUTE_SIZE: usize = 4;

/// A message being written.
struct Writer {
    bytes: [u8; 128],
    len: usize,
}

impl Writer {
    fn new(kind: u32, flags: u32, question: &Question) -> Self {
        let mut writer = Self {
            bytes: [0; 128],
            len: 4,
        };
        writer.put(&(kind as u16).to_le_bytes());
        writer.put(&(flags as u16).to_le_bytes());
        writer.put(&question.number.to_le_bytes());
        writer.put(&question.port.to_le_bytes());
        writer
    }

    fn put(&mut self, value: &[u8]) {
        self.bytes[self.len..][..value.len()].copy_from_slice(value);
        self.len += value.len();
    }

    fn attribute(&mut self, kind: u32, value: &[u8]) {
        self.put(&((ATTRIBUTE_SIZE + value.len()) as u16).to_le_bytes());
        self.put(&(kind as u16).to_le_bytes());
        self.put(value);
        self.len = self.len.next_multiple_of(ALIGNMENT);
    }

    fn end(&mut self) -> &[u8] {
        self.bytes[..4].copy_from_slice(&(self.len as u32).to_le_bytes());
        &self.bytes[..self.len]
    }
}

/// What a program asks.
struct Question {
    kind: u32,
    flags: u32,
    /// The program's number of the question.
    number: u32,
    /// The number of the socket.
    port: u32,
    /// Addresses of which family.
    family: u32,
}

/// Gives the socket a number: that of the process if the program does not choose.
pub fn bind(endpoint: &Endpoint, number: u32) {
    let number = match number {
        0 => current().pid(),
        number => number,
    };
    endpoint.name.replace(Address::Netlink(number));
}

fn number(endpoint: &Endpoint) -> u32 {
    match *endpoint.name.borrow() {
        Address::Netlink(number) => number,
        _ => 0,
    }
}

/// Answers a question.
///
/// # Errors
/// EINVAL: too short. EFAULT, ENOBUFS.
pub fn send(endpoint: &Shared<Endpoint>, outgoing: Outgoing<'_>) -> Result<u64, Errno> {
    let len = outgoing.source.left();
    let bytes = message::gather(outgoing.source)?;
    let header = bytes.piece(0);
    let word = |at: usize| {
        let word = header.get(at..).and_then(<[u8]>::first_chunk).copied();
        word.map(u32::from_le_bytes).ok_or(Errno::EINVAL)
    };
    if number(endpoint) == 0 {
        bind(endpoint, 0);
    }
    let question = Question {
        kind: word(4)? & 0xffff,
        flags: word(4)? >> 16,
        number: word(8)?,
        port: number(endpoint),
        family: header.get(HEADER_SIZE).copied().map_or(0, u32::from),
    };
    answer(endpoint, &question)?;
    Ok(len as u64)
}

fn answer(endpoint: &Shared<Endpoint>, question: &Question) -> Result<(), Errno> {
    let mut all = Bytes::new();
    let mut add = |mut writer: Writer| {
        all.append(writer.end())
            .map_err(|OutOfMemory| Errno::ENOBUFS)
    };
    let wants_all = question.flags & linux::NLM_F_DUMP == linux::NLM_F_DUMP;
    let is_asked = |family| [net::AF_UNSPEC, family].contains(&question.family);
    match question.kind as u16 {
        kind if !wants_all || !is_known(kind) => {
            let mut error = Writer::new(linux::NLMSG_ERROR, 0, question);
            let errno = Errno::EOPNOTSUPP.number() as i32;
            error.put(&(-errno).to_le_bytes());
            // What it was about: the header of the question.
            error.put(&(HEADER_SIZE as u32).to_le_bytes());
            error.put(&(question.kind as u16).to_le_bytes());
            error.put(&(question.flags as u16).to_le_bytes());
            error.put(&question.number.to_le_bytes());
            error.put(&question.port.to_le_bytes());
            add(error)?;
            return push(endpoint, &all);
        }
        RTM_GETLINK => add(interface(question))?,
        RTM_GETADDR => {
            if is_asked(net::AF_INET) {
                let ip = Ipv4Addr::LOCALHOST.octets();
                add(address(question, net::AF_INET, 8, &ip))?;
            }
            if is_asked(net::AF_INET6) {
                let ip = Ipv6Addr::LOCALHOST.octets();
                add(address(question, net::AF_INET6, 128, &ip))?;
            }
        }
        _ => {}
    }
    let mut done = Writer::new(linux::NLMSG_DONE, linux::NLM_F_MULTI, question);
    done.put(&[0; 4]);
    add(done)?;
    push(endpoint, &all)
}

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;

fn is_known(kind: u16) -> bool {
    [RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE].contains(&kind)
}

fn interface(question: &Question) -> Writer {
    let mut link = Writer::new(RTM_NEWLINK.into(), linux::NLM_F_MULTI, question);
    link.put(&[net::AF_UNSPEC as u8, 0]);
    link.put(&INTERFACE_KIND.to_le_bytes());
    link.put(&INTERFACE_NUMBER.to_le_bytes());
    link.put(&(INTERFACE_FLAGS | LOWER_UP).to_le_bytes());
    link.put(&[0; 4]);
    link.attribute(linux::IFLA_IFNAME as u32, INTERFACE);
    link.attribute(linux::IFLA_TXQLEN as u32, &QUEUE_LEN.to_le_bytes());
    link.attribute(linux::IFLA_MTU as u32, &INTERFACE_MTU.to_le_bytes());
    link.attribute(linux::IFLA_ADDRESS as u32, &[0; 6]);
    link.attribute(linux::IFLA_BROADCAST as u32, &[0; 6]);
    link
}

fn address(question: &Question, family: u32, prefix: u8, ip: &[u8]) -> Writer {
    /// It stays; it is for this machine alone.
    const PERMANENT: u8 = 0x80;
    const SCOPE_HOST: u8 = 254;
    let mut address = Writer::new(RTM_NEWADDR.into(), linux::NLM_F_MULTI, question);
    address.put(&[family as u8, prefix, PERMANENT, SCOPE_HOST]);
    address.put(&INTERFACE_NUMBER.to_le_bytes());
    address.attribute(linux::IFA_ADDRESS as u32, ip);
    if family == net::AF_INET {
        address.attribute(linux::IFA_LOCAL as u32, ip);
        address.attribute(linux::IFA_LABEL as u32, INTERFACE);
    }
    address
}

/// Puts what nobody has asked for into a socket's inbox.
///
/// # Errors
/// ENOBUFS: there is no room.
pub fn push_unasked(endpoint: &Shared<Endpoint>, message: &[u8]) -> Result<(), Errno> {
    let mut bytes = Bytes::new();
    let appended = bytes.append(message);
    appended.map_err(|OutOfMemory| Errno::ENOBUFS)?;
    push(endpoint, &bytes)
}

/// Puts an answer into the socket's own inbox.
fn push(endpoint: &Shared<Endpoint>, bytes: &Bytes) -> Result<(), Errno> {
    let parcel = Parcel {
        from: Address::Netlink(0),
        bytes,
        attached: Attached::default(),
    };
    transport::deliver(
        endpoint,
        endpoint,
        parcel,
        (Patience::None, usize::MAX),
        || Ok(()),
    )
    .map_err(|_| Errno::ENOBUFS)
}
