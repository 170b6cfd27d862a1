//! Calls of POSIX message queues (Linux, mq_overview(7)).

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Shared, UserPtr, UserSlice};

use crate::fs::events::queue::{
    self, COOKIE, Hearing, Listener, PRIORITIES, Patience, Queue, Size,
};
use crate::fs::locks::Owner;
use crate::fs::socket::Family;
use crate::fs::{self, Object, OpenFile, bytes::NAME_MAX, events::Event};
use crate::proc::current;
use crate::proc::signal::Signal;
use crate::proc::wait_queue::Deadline;
use crate::syscall::path::Path;
use crate::syscall::time::read_ns;
use crate::syscall::{Errno, SyscallResult, descriptor};

/// `struct mq_attr`: flags, most messages, most bytes of one, messages that there are, nothing.
type Attributes = [u64; 8];

/// The name at `address`: what comes after the slash that libraries take away.
fn name_at(address: u64) -> Result<Path, Errno> {
    let name = Path::read(address)?;
    match name.bytes() {
        b"" => Err(Errno::ENOENT),
        bytes if bytes.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        b"." | b".." => Err(Errno::EACCES),
        bytes if bytes.contains(&b'/') => Err(Errno::EACCES),
        _ => Ok(name),
    }
}

/// `mq_open(name, flags, mode, attributes)`
pub fn mq_open(&[name, flags, mode, attributes, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    let size = match attributes {
        address if address != 0 && flags & linux::O_CREAT != 0 => {
            let words: Attributes = UserPtr::new(address).read(&current().space())?;
            Some(Size {
                messages: words[1],
                bytes: words[2],
            })
        }
        _ => None,
    };
    let name = name_at(name)?;
    let files = fs::files();
    files.check_room(descriptor::limit())?;
    let mode = mode as u32 & !fs::mask();
    let file = queue::open(name.bytes(), flags, mode, size)?;
    descriptor::add(file, 0, true)
}

/// `mq_unlink(name)`
pub fn mq_unlink(&[name, ..]: &Arguments) -> SyscallResult {
    queue::unlink(name_at(name)?.bytes())?;
    Ok(0)
}

fn queue_of(file: &OpenFile) -> Result<&Shared<Queue>, Errno> {
    match file.object() {
        Object::Event(Event::Queue(queue)) => Ok(queue),
        _ => Err(Errno::EBADF),
    }
}

/// How long to wait for an open queue: until the time of day at `deadline`, if there is one.
fn patience(file: &OpenFile, deadline: Option<Deadline>) -> Patience {
    match file.is_nonblocking() {
        true => Patience::None,
        false => Patience::Until(deadline),
    }
}

fn deadline_at(address: u64) -> Result<Option<Deadline>, Errno> {
    match address {
        0 => Ok(None),
        address => Ok(Some(Deadline::Day(read_ns(address)?))),
    }
}

/// `mq_timedsend(fd, text, length, priority, deadline)`
pub fn mq_timedsend(&[fd, text, len, priority, deadline, ..]: &Arguments) -> SyscallResult {
    let deadline = deadline_at(deadline)?;
    let priority = priority as u32;
    if u64::from(priority) >= PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let file = fs::file(fd)?;
    let queue = queue_of(&file)?;
    if !file.is_writable() {
        return Err(Errno::EBADF);
    }
    queue.send(
        priority,
        UserSlice::new(text, len),
        patience(&file, deadline),
    )?;
    Ok(0)
}

/// `mq_timedreceive(fd, text, length, priority, deadline)`
pub fn mq_timedreceive(&[fd, text, len, priority, deadline, ..]: &Arguments) -> SyscallResult {
    let deadline = deadline_at(deadline)?;
    let file = fs::file(fd)?;
    let queue = queue_of(&file)?;
    if !file.is_readable() {
        return Err(Errno::EBADF);
    }
    if len < queue.size().bytes {
        return Err(Errno::EMSGSIZE);
    }
    let message = queue.receive(patience(&file, deadline))?;
    let space = current().space();
    if priority != 0 {
        UserPtr::new(priority).write(&space, &(message.kind as u32))?;
    }
    message.copy_out(&space, UserSlice::new(text, message.len))?;
    Ok(message.len)
}

/// `mq_notify(fd, event)`
pub fn mq_notify(&[fd, event, ..]: &Arguments) -> SyscallResult {
    let hearing = match event {
        0 => None,
        address => {
            let [value, kind]: [u64; 2] = UserPtr::new(address).read(&current().space())?;
            Some(hearing(value, kind as u32, (kind >> 32) as u32)?)
        }
    };
    let file = fs::file(fd)?;
    let queue = queue_of(&file)?;
    let files = fs::files();
    let owner = Owner::process(&*files);
    let Some(hearing) = hearing else {
        queue.stop_listening(owner);
        return Ok(0);
    };
    queue.listen(Listener {
        owner,
        pid: current().pid(),
        hearing,
    })?;
    files.note_locks();
    Ok(0)
}

/// How a `struct sigevent` says that a message is told. A library's thread waits at a socket of
/// Netlink, whose descriptor is in place of the signal, for a cookie, which is at `value`.
fn hearing(value: u64, number: u32, kind: u32) -> Result<Hearing, Errno> {
    match kind {
        linux::SIGEV_NONE => Ok(Hearing::Not),
        linux::SIGEV_SIGNAL => {
            let signal = Signal::new(number.into());
            Ok(Hearing::Signal(signal.ok_or(Errno::EINVAL)?, value))
        }
        linux::SIGEV_THREAD => {
            let mut cookie = [0; COOKIE];
            UserSlice::new(value, COOKIE as u64).copy_in(&current().space(), &mut cookie)?;
            let file = fs::file(number.into())?;
            match file.object() {
                Object::Socket(socket) if socket.endpoint().family == Family::Netlink => {}
                Object::Socket(_) => return Err(Errno::EINVAL),
                _ => return Err(Errno::ENOTSOCK),
            }
            Ok(Hearing::Socket(file, cookie))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `mq_getsetattr(fd, new, old)`
pub fn mq_getsetattr(&[fd, new, old, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    let flags = match new {
        0 => None,
        address => {
            let words: Attributes = UserPtr::new(address).read(&space)?;
            if words[0] & !u64::from(linux::O_NONBLOCK) != 0 {
                return Err(Errno::EINVAL);
            }
            Some(words[0])
        }
    };
    let file = fs::file(fd)?;
    let queue = queue_of(&file)?;
    let size = queue.size();
    let before = u64::from(file.flags() & linux::O_NONBLOCK);
    let words = [before, size.messages, size.bytes, queue.count(), 0, 0, 0, 0];
    if let Some(flags) = flags {
        file.set_nonblocking(flags != 0);
    }
    if old != 0 {
        UserPtr::<Attributes>::new(old).write(&space, &words)?;
    }
    Ok(0)
}
