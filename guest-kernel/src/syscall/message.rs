//! Calls that send and receive messages.

use core::mem::{offset_of, size_of};

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use linux_raw_sys::net::{self, msghdr};
use mm::{UserPtr, UserSlice};

use crate::fs::OpenFile;
use crate::fs::socket::address::Address;
use crate::fs::socket::{Attached, Incoming, Outgoing, Socket};
use crate::fs::transfer::{Transfer, UserBytes};
use crate::proc::current;
use crate::syscall::ancillary::{self, Received};
use crate::syscall::socket::{self, Sockaddr};
use crate::syscall::time::{now_ns, read_ns};
use crate::syscall::{Errno, SyscallResult};

/// Flags of `recvmsg` that it returns.
const RETURNED: [u32; 2] = [net::MSG_TRUNC, net::MSG_CTRUNC];

/// In `recvmmsg`: wait for the first message alone (MSG_WAITFORONE).
const WAIT_FOR_ONE: u32 = 0x1_0000;

/// Bytes of a `struct mmsghdr`, and where in it the length of the message goes.
const MMSGHDR_SIZE: u64 = 64;
const MMSGHDR_LEN: u64 = size_of::<msghdr>() as u64;

/// A program's `struct msghdr`.
struct Header {
    address: u64,
    name: u64,
    name_len: u32,
    vectors: u64,
    vector_count: u64,
    control: u64,
    control_len: u64,
}

impl Header {
    fn read(address: u64) -> Result<Self, Errno> {
        let mut bytes = [0; size_of::<msghdr>()];
        let place = UserSlice::new(address, bytes.len() as u64);
        place.copy_in(&current().space(), &mut bytes)?;
        let word = |at: usize| {
            let word = bytes[at..].first_chunk().copied();
            u64::from_le_bytes(word.unwrap_or_default())
        };
        let header = Self {
            address,
            name: word(offset_of!(msghdr, msg_name)),
            name_len: word(offset_of!(msghdr, msg_namelen)) as u32,
            vectors: word(offset_of!(msghdr, msg_iov)),
            vector_count: word(offset_of!(msghdr, msg_iovlen)),
            control: word(offset_of!(msghdr, msg_control)),
            control_len: word(offset_of!(msghdr, msg_controllen)),
        };
        match i32::try_from(header.name_len) {
            Ok(_) => Ok(header),
            Err(_) => Err(Errno::EINVAL),
        }
    }

    fn bytes(&self) -> Result<UserBytes, Errno> {
        if self.vector_count > u64::from(linux::UIO_MAXIOV) {
            return Err(Errno::EMSGSIZE);
        }
        UserBytes::vectors(self.vectors, self.vector_count)
    }
}

/// Sends with flags of `send`; `name` is a `struct sockaddr` and its length.
fn send(
    file: &OpenFile,
    mut bytes: UserBytes,
    flags: u32,
    name: Option<Sockaddr>,
    attached: Attached,
) -> SyscallResult {
    let socket = socket::of(file)?;
    if flags & net::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let nonblocking = file.is_nonblocking() || flags & net::MSG_DONTWAIT != 0;
    let outgoing = Outgoing {
        source: &mut bytes,
        attached,
        patience: socket.patience_to_send(nonblocking),
    };
    let to = name.as_ref().map(Sockaddr::parse).transpose()?;
    socket.send(to, outgoing, flags & net::MSG_NOSIGNAL != 0)
}

/// `sendto(fd, buffer, len, flags, address, address_len)`
pub fn sendto(&[fd, buffer, len, flags, address, address_len]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    let bytes = UserBytes::one(buffer, len)?;
    let name = match address {
        0 => None,
        _ => Some(Sockaddr::read(address, address_len)?),
    };
    send(&file, bytes, flags as u32, name, Attached::default())
}

/// `sendmsg(fd, message, flags)`
pub fn sendmsg(&[fd, message, flags, ..]: &Arguments) -> SyscallResult {
    send_one(&*socket::file(fd)?, message, flags as u32)
}

fn send_one(file: &OpenFile, message: u64, flags: u32) -> SyscallResult {
    let header = Header::read(message)?;
    let name = match (header.name, header.name_len) {
        (0, _) | (_, 0) => None,
        (name, len) => Some(Sockaddr::read(name, len.into())?),
    };
    let bytes = header.bytes()?;
    let family = socket::of(file)?.endpoint().family;
    let attached = ancillary::read(family, header.control, header.control_len)?;
    send(file, bytes, flags, name, attached)
}

/// `sendmmsg(fd, messages, count, flags)`
pub fn sendmmsg(&[fd, messages, count, flags, ..]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    each(messages, count, |_, message| {
        send_one(&file, message, flags as u32)
    })
}

/// Calls `act` with each `struct msghdr`, tells its result, and returns how many there were
/// before the first that failed.
fn each(
    messages: u64,
    count: u64,
    mut act: impl FnMut(u64, u64) -> SyscallResult,
) -> SyscallResult {
    let count = u64::from(count as u32).min(linux::UIO_MAXIOV.into());
    for number in 0..count {
        let message = messages.wrapping_add(number * MMSGHDR_SIZE);
        let told = act(number, message).and_then(|len| {
            let place = UserPtr::<u32>::new(message.wrapping_add(MMSGHDR_LEN));
            Ok(place.write(&current().space(), &(len as u32))?)
        });
        match told {
            Ok(()) => {}
            Err(errno) if number == 0 => return Err(errno),
            Err(_) => return Ok(number),
        }
    }
    Ok(count)
}

/// Receives with flags of `recv`.
fn receive<'a>(
    file: &OpenFile,
    bytes: &'a mut UserBytes,
    flags: u32,
) -> Result<(u64, Incoming<'a>), Errno> {
    let socket = socket::of(file)?;
    if flags & net::MSG_OOB != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & net::MSG_ERRQUEUE != 0 {
        return Err(Errno::EAGAIN);
    }
    let nonblocking = file.is_nonblocking() || flags & net::MSG_DONTWAIT != 0;
    let mut incoming = Incoming::new(bytes, socket.patience_to_receive(nonblocking));
    incoming.peek = flags & net::MSG_PEEK != 0;
    incoming.wait_all = flags & net::MSG_WAITALL != 0;
    let count = socket.receive(&mut incoming)?;
    let wants_len = flags & net::MSG_TRUNC != 0;
    let count = if wants_len {
        incoming.len.max(count)
    } else {
        count
    };
    Ok((count, incoming))
}

/// `recvfrom(fd, buffer, len, flags, address, address_len)`
pub fn recvfrom(&[fd, buffer, len, flags, address, address_len]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    let mut bytes = UserBytes::one(buffer, len)?;
    let (count, incoming) = receive(&file, &mut bytes, flags as u32)?;
    if address != 0 {
        let endpoint = socket::of(&file)?.endpoint();
        match names_sender(socket::of(&file)?, &incoming) {
            true => socket::tell(&incoming.from, endpoint.family, address, address_len)?,
            false => {
                let room = UserPtr::<u32>::new(address_len).read(&current().space())?;
                if i32::try_from(room).is_err() {
                    return Err(Errno::EINVAL);
                }
                UserPtr::new(address_len).write(&current().space(), &0_u32)?;
                0
            }
        };
    }
    Ok(count)
}

/// Whether a program is told who sent what it receives.
fn names_sender(socket: &Socket, incoming: &Incoming<'_>) -> bool {
    let is_named = !matches!(incoming.from, Address::None);
    is_named && !socket.endpoint().style.has_connections()
}

/// `recvmsg(fd, message, flags)`
pub fn recvmsg(&[fd, message, flags, ..]: &Arguments) -> SyscallResult {
    receive_one(&*socket::file(fd)?, message, flags as u32)
}

fn receive_one(file: &OpenFile, message: u64, flags: u32) -> SyscallResult {
    let header = Header::read(message)?;
    let socket = socket::of(file)?;
    let mut bytes = header.bytes()?;
    let room = bytes.left() as u64;
    let (count, incoming) = receive(file, &mut bytes, flags)?;
    let space = current().space();
    let [truncated, control_truncated] = RETURNED;
    let mut returned = flags & net::MSG_CMSG_CLOEXEC;
    if incoming.len > room {
        returned |= truncated;
    }
    let place = |offset: usize| header.address.wrapping_add(offset as u64);
    if header.name != 0 {
        let mut len = 0;
        if names_sender(socket, &incoming) {
            let (bytes, size) = incoming.from.encode(socket.endpoint().family);
            let part = &bytes[..size.min(header.name_len as usize)];
            UserSlice::new(header.name, part.len() as u64).copy_out(&space, part)?;
            len = size as u32;
        }
        UserPtr::new(place(offset_of!(msghdr, msg_namelen))).write(&space, &len)?;
    }
    let received = Received {
        credentials: incoming.credentials,
        rights: incoming.rights,
        close_on_exec: flags & net::MSG_CMSG_CLOEXEC != 0,
    };
    let written = ancillary::write(socket, received, header.control, header.control_len)?;
    if written.is_cut {
        returned |= control_truncated;
    }
    UserPtr::new(place(offset_of!(msghdr, msg_controllen))).write(&space, &written.len)?;
    UserPtr::new(place(offset_of!(msghdr, msg_flags))).write(&space, &returned)?;
    Ok(count)
}

/// `recvmmsg(fd, messages, count, flags, timeout)`: the timeout is looked at when a message
/// has come.
pub fn recvmmsg(&[fd, messages, count, flags, timeout, ..]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    let flags = flags as u32;
    let deadline = match timeout {
        0 => u64::MAX,
        address => now_ns().saturating_add(read_ns(address)?),
    };
    each(messages, count, |number, message| {
        if number > 0 && now_ns() >= deadline {
            return Err(Errno::EAGAIN);
        }
        let waits = number == 0 || flags & WAIT_FOR_ONE == 0;
        let flags = if waits {
            flags
        } else {
            flags | net::MSG_DONTWAIT
        };
        receive_one(&file, message, flags & !WAIT_FOR_ONE)
    })
}
