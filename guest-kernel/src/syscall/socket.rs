//! Calls about sockets and connections.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use mm::{Shared, UserPtr, UserSlice};

use crate::fs::open_file::Object;
use crate::fs::socket::address::{Address, Given, MAX_SIZE};
use crate::fs::socket::{Family, Shut, Socket};
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult, descriptor};

/// Flags beside a socket's style (SOCK_CLOEXEC, SOCK_NONBLOCK).
const FLAGS: u32 = linux::O_CLOEXEC | linux::O_NONBLOCK;

/// What `fd` stands for, which is a socket.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub fn file(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    let file = fs::file(fd)?;
    match file.object() {
        Object::Socket(_) => Ok(file),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// The socket that an open file is.
///
/// # Errors
/// ENOTSOCK.
pub fn of(file: &OpenFile) -> Result<&Socket, Errno> {
    match file.object() {
        Object::Socket(socket) => Ok(socket),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// Gives the current process a descriptor for a socket.
fn add(socket: Socket, flags: u32) -> SyscallResult {
    let status = linux::O_RDWR | flags & linux::O_NONBLOCK;
    let file = OpenFile::new(Object::Socket(socket), status)?;
    descriptor::add(file, 0, flags & linux::O_CLOEXEC != 0)
}

/// `socket(family, style, protocol)`
pub fn socket(&[family, style, protocol, ..]: &Arguments) -> SyscallResult {
    let style = style as u32;
    let socket = Socket::new(family as u32, style & !FLAGS, protocol as u32)?;
    add(socket, style & FLAGS)
}

/// `socketpair(family, style, protocol, address)`
pub fn socketpair(&[family, style, protocol, address, ..]: &Arguments) -> SyscallResult {
    let style = style as u32;
    let [one, other] = Socket::pair(family as u32, style & !FLAGS, protocol as u32)?;
    let one = add(one, style & FLAGS)?;
    let files = fs::files();
    let close = |fd, errno| {
        // It is this process's own; another thread may have closed it by now.
        let _ = files.close(fd);
        errno
    };
    let other = add(other, style & FLAGS).map_err(|errno| close(one, errno))?;
    // Two ints: the low half is the first.
    let told = UserPtr::new(address).write(&current().space(), &(one | other << 32));
    told.map_err(|_| close(one, close(other, Errno::EFAULT)))?;
    Ok(0)
}

/// The `struct sockaddr` of a program.
pub struct Sockaddr {
    bytes: [u8; MAX_SIZE],
    len: usize,
}

impl Sockaddr {
    /// Copies `len` bytes from `address`.
    ///
    /// # Errors
    /// EINVAL: too long. EFAULT.
    pub fn read(address: u64, len: u64) -> Result<Self, Errno> {
        let mut bytes = [0; MAX_SIZE];
        let len = len as u32 as usize;
        if len > MAX_SIZE {
            return Err(Errno::EINVAL);
        }
        UserSlice::new(address, len as u64).copy_in(&current().space(), &mut bytes[..len])?;
        Ok(Self { bytes, len })
    }

    /// What it says.
    ///
    /// # Errors
    /// EINVAL, EAFNOSUPPORT.
    pub fn parse(&self) -> Result<Given<'_>, Errno> {
        Given::parse(&self.bytes[..self.len])
    }
}

/// Tells a program an address: as much as fits in front of `len`, a pointer to an int, which
/// then says how long it is.
pub fn tell(name: &Address, family: Family, place: u64, len: u64) -> SyscallResult {
    let space = current().space();
    let len = UserPtr::<u32>::new(len);
    let room = i32::from_le_bytes(len.read(&space)?.to_le_bytes());
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let (bytes, size) = name.encode(family);
    let part = &bytes[..size.min(room)];
    UserSlice::new(place, part.len() as u64).copy_out(&space, part)?;
    len.write(&space, &(size as u32))?;
    Ok(0)
}

/// `bind(fd, address, len)`
pub fn bind(&[fd, address, len, ..]: &Arguments) -> SyscallResult {
    let file = file(fd)?;
    of(&file)?.bind(Sockaddr::read(address, len)?.parse()?)?;
    Ok(0)
}

/// `listen(fd, backlog)`: a negative number is a large one.
pub fn listen(&[fd, backlog, ..]: &Arguments) -> SyscallResult {
    of(&*file(fd)?)?.listen(backlog as u32)?;
    Ok(0)
}

/// `connect(fd, address, len)`
pub fn connect(&[fd, address, len, ..]: &Arguments) -> SyscallResult {
    let file = file(fd)?;
    let socket = of(&file)?;
    let patience = socket.patience_to_send(file.is_nonblocking());
    socket.connect(Sockaddr::read(address, len)?.parse()?, patience)?;
    Ok(0)
}

/// `accept(fd, address, len)`
pub fn accept(&[fd, address, len, ..]: &Arguments) -> SyscallResult {
    accept_with(fd, address, len, 0)
}

/// `accept4(fd, address, len, flags)`
pub fn accept4(&[fd, address, len, flags, ..]: &Arguments) -> SyscallResult {
    accept_with(fd, address, len, flags as u32)
}

fn accept_with(fd: u64, address: u64, len: u64, flags: u32) -> SyscallResult {
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let file = file(fd)?;
    let socket = of(&file)?;
    fs::files().check_room(descriptor::limit())?;
    let accepted = socket.accept(socket.patience_to_receive(file.is_nonblocking()))?;
    if address != 0 {
        let endpoint = accepted.endpoint();
        tell(&peer_name(&accepted), endpoint.family, address, len)?;
    }
    add(accepted, flags)
}

/// The address of whom a socket is connected to.
fn peer_name(socket: &Socket) -> Address {
    socket.endpoint().peer_name.borrow().clone()
}

/// `getsockname(fd, address, len)`
pub fn getsockname(&[fd, address, len, ..]: &Arguments) -> SyscallResult {
    let file = file(fd)?;
    let endpoint = of(&file)?.endpoint();
    tell(&endpoint.name(), endpoint.family, address, len)
}

/// `getpeername(fd, address, len)`
pub fn getpeername(&[fd, address, len, ..]: &Arguments) -> SyscallResult {
    let file = file(fd)?;
    let socket = of(&file)?;
    let endpoint = socket.endpoint();
    if !socket.has_peer() {
        return Err(Errno::ENOTCONN);
    }
    tell(&peer_name(socket), endpoint.family, address, len)
}

/// `shutdown(fd, how)`
pub fn shutdown(&[fd, how, ..]: &Arguments) -> SyscallResult {
    let what = match how as u32 {
        net::SHUT_RD => Shut::RECEIVE,
        net::SHUT_WR => Shut::SEND,
        net::SHUT_RDWR => Shut::all(),
        _ => return Err(Errno::EINVAL),
    };
    of(&*file(fd)?)?.shutdown(what)?;
    Ok(0)
}
