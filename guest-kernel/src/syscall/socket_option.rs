//! `setsockopt` and `getsockopt`.

use arch::trap::Arguments;
use linux_raw_sys::net;
use mm::{UserPtr, UserSlice};

use crate::fs::socket::options::Linger;
use crate::fs::socket::{Endpoint, Family, Shut, Socket, Stage};
use crate::proc::current;
use crate::syscall::socket;
use crate::syscall::time::{NS_PER_S, NS_PER_US};
use crate::syscall::{Errno, SyscallResult};

/// Bytes of an int.
const INT: u64 = 4;

/// What the kernel calls the way in which TCP avoids congestion.
const CONGESTION: &[u8] = b"cubic\0\0\0\0\0\0\0\0\0\0\0";

/// `setsockopt(fd, level, option, address, len)`
pub fn setsockopt(&[fd, level, option, address, len, ..]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    let socket = socket::of(&file)?;
    let options = &socket.endpoint().options;
    let (level, option) = (level as u32, option as u32);
    let len = len as u32;
    if i32::try_from(len).is_err() {
        return Err(Errno::EINVAL);
    }
    check_level(socket.endpoint(), level)?;
    let int = || -> Result<i32, Errno> {
        if u64::from(len) < INT {
            return Err(Errno::EINVAL);
        }
        Ok(UserPtr::<u32>::new(address).read(&current().space())? as i32)
    };
    match (level, option) {
        (net::SOL_SOCKET, net::SO_RCVBUF | net::SO_RCVBUFFORCE) => options.set_receive_room(int()?),
        (net::SOL_SOCKET, net::SO_SNDBUF | net::SO_SNDBUFFORCE) => options.set_send_room(int()?),
        (net::SOL_SOCKET, net::SO_LINGER) => {
            if u64::from(len) < 2 * INT {
                return Err(Errno::EINVAL);
            }
            let [is_on, seconds] = UserPtr::<[u32; 2]>::new(address).read(&current().space())?;
            options.linger.set(Linger {
                is_on: is_on != 0,
                seconds,
            });
        }
        (net::SOL_SOCKET, net::SO_RCVTIMEO) => options.receive_timeout.set(timeout(address, len)?),
        (net::SOL_SOCKET, net::SO_SNDTIMEO) => options.send_timeout.set(timeout(address, len)?),
        (net::SOL_TCP, net::TCP_CONGESTION) => {
            let mut name = [0; CONGESTION.len()];
            let size = u64::from(len).min(name.len() as u64 - 1);
            UserSlice::new(address, size).copy_in(&current().space(), &mut name)?;
            let known = [CONGESTION, b"reno\0\0\0\0\0\0\0\0\0\0\0\0"];
            if !known.contains(&&name[..]) {
                return Err(Errno::ENOENT);
            }
        }
        _ => options.set_number(level, option, byte_or_int(level, address, len, int)?)?,
    }
    Ok(0)
}

/// Fails for a level that sockets of this kind do not have.
fn check_level(endpoint: &Endpoint, level: u32) -> Result<(), Errno> {
    let is_tcp = endpoint.protocol == net::IPPROTO_TCP as u32;
    match (level, endpoint.family) {
        (net::SOL_SOCKET, _) => Ok(()),
        (_, Family::Unix) => Err(Errno::EOPNOTSUPP),
        (net::SOL_TCP, _) if is_tcp => Ok(()),
        (net::SOL_IP, Family::Inet4 | Family::Inet6) => Ok(()),
        (net::SOL_IPV6, Family::Inet6) => Ok(()),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// The value of an option: those of IP may be a byte.
fn byte_or_int(
    level: u32,
    address: u64,
    len: u32,
    int: impl Fn() -> Result<i32, Errno>,
) -> Result<i32, Errno> {
    if level != net::SOL_IP || len == 0 || u64::from(len) >= INT {
        return int();
    }
    let mut byte = [0];
    UserSlice::new(address, 1).copy_in(&current().space(), &mut byte)?;
    Ok(byte[0].into())
}

/// A program's `struct timeval` in nanoseconds; 0, and what is negative, is no limit.
fn timeout(address: u64, len: u32) -> Result<u64, Errno> {
    if u64::from(len) < 16 {
        return Err(Errno::EINVAL);
    }
    let [seconds, us] = UserPtr::<[u64; 2]>::new(address).read(&current().space())?;
    if us >= NS_PER_S / NS_PER_US {
        return Err(Errno::EDOM);
    }
    match i64::try_from(seconds) {
        Ok(_) => Ok(seconds
            .saturating_mul(NS_PER_S)
            .saturating_add(us * NS_PER_US)),
        // It does not wait at all.
        Err(_) => Ok(1),
    }
}

/// `getsockopt(fd, level, option, address, len)`
pub fn getsockopt(&[fd, level, option, address, len, ..]: &Arguments) -> SyscallResult {
    let file = socket::file(fd)?;
    let socket = socket::of(&file)?;
    let (level, option) = (level as u32, option as u32);
    let space = current().space();
    let room = UserPtr::<u32>::new(len).read(&space)?;
    let room = i32::try_from(room).map_err(|_| Errno::EINVAL)? as usize;
    let endpoint = socket.endpoint();
    check_level(endpoint, level).map_err(|errno| match endpoint.family {
        Family::Inet4 => Errno::EOPNOTSUPP,
        _ => errno,
    })?;
    let mut bytes = [0; VALUE_SIZE];
    let size = value(socket, level, option, &mut bytes)?;
    let part = &bytes[..size.min(room)];
    UserSlice::new(address, part.len() as u64).copy_out(&space, part)?;
    UserPtr::new(len).write(&space, &(part.len() as u32))?;
    Ok(0)
}

/// Bytes of the longest value, `struct tcp_info` as far as it has had names for long.
const VALUE_SIZE: usize = 104;

/// Puts the value of an option into `bytes` and says how long it is.
fn value(
    socket: &Socket,
    level: u32,
    option: u32,
    bytes: &mut [u8; VALUE_SIZE],
) -> Result<usize, Errno> {
    let endpoint = socket.endpoint();
    let options = &endpoint.options;
    let mut put = |words: &[u32]| {
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(4 * words.len())
    };
    let mut timeval = |ns: u64| {
        let [seconds, us] = [ns / NS_PER_S, ns % NS_PER_S / NS_PER_US];
        put(&[seconds as u32, (seconds >> 32) as u32, us as u32, 0])
    };
    match (level, option) {
        (net::SOL_SOCKET, net::SO_RCVTIMEO) => timeval(options.receive_timeout.get()),
        (net::SOL_SOCKET, net::SO_SNDTIMEO) => timeval(options.send_timeout.get()),
        (net::SOL_SOCKET, net::SO_TYPE) => put(&[endpoint.style.number()]),
        (net::SOL_SOCKET, net::SO_DOMAIN) => put(&[endpoint.family.number()]),
        (net::SOL_SOCKET, net::SO_PROTOCOL) => put(&[endpoint.protocol]),
        (net::SOL_SOCKET, net::SO_ACCEPTCONN) => {
            put(&[u32::from(endpoint.stage.get() == Stage::Listening)])
        }
        (net::SOL_SOCKET, net::SO_ERROR) => {
            let errno = socket.take_error();
            put(&[errno.map_or(0, |errno| errno.number() as u32)])
        }
        (net::SOL_SOCKET, net::SO_RCVBUF) => put(&[options.receive_room.get()]),
        (net::SOL_SOCKET, net::SO_SNDBUF) => put(&[options.send_room.get()]),
        (net::SOL_SOCKET, net::SO_SNDLOWAT) => put(&[1]),
        (net::SOL_SOCKET, net::SO_LINGER) => {
            let Linger { is_on, seconds } = options.linger.get();
            put(&[u32::from(is_on), seconds])
        }
        (net::SOL_SOCKET, net::SO_PEERCRED) => {
            let peer = endpoint.peer_credentials.get();
            put(&[peer.pid, peer.user, peer.group])
        }
        (net::SOL_TCP, net::TCP_INFO) => {
            put(&[tcp_state(socket)])?;
            Ok(VALUE_SIZE)
        }
        (net::SOL_TCP, net::TCP_CONGESTION) => {
            bytes[..CONGESTION.len()].copy_from_slice(CONGESTION);
            Ok(CONGESTION.len())
        }
        _ => put(&[options.number(level, option)? as u32]),
    }
}

/// The state of TCP's protocol in which a connection would be.
fn tcp_state(socket: &Socket) -> u32 {
    const ESTABLISHED: u32 = 1;
    const SYN_SENT: u32 = 2;
    const FIN_WAIT2: u32 = 5;
    const CLOSE: u32 = 7;
    const CLOSE_WAIT: u32 = 8;
    const LISTEN: u32 = 10;
    let endpoint = socket.endpoint();
    match (endpoint.stage.get(), endpoint.shut.get()) {
        (Stage::Listening, _) => LISTEN,
        (Stage::Connecting, _) => SYN_SENT,
        (Stage::Connected | Stage::Told, Shut::RECEIVE) => CLOSE_WAIT,
        (Stage::Connected | Stage::Told, Shut::SEND) => FIN_WAIT2,
        (Stage::Connected | Stage::Told, shut) if shut.is_empty() => ESTABLISHED,
        _ => CLOSE,
    }
}
