//! Control messages: what comes with the bytes of a message (`cmsg(3)`).

use linux_raw_sys::net;
use mm::UserSlice;

use crate::fs;
use crate::fs::socket::options::Kept;
use crate::fs::socket::{Attached, Credentials, Family, MOST_RIGHTS, Rights, Socket};
use crate::proc::{current, table};
use crate::syscall::{Errno, descriptor};

/// Bytes of a `struct cmsghdr`: length, level and kind; to what messages are aligned.
const HEADER_SIZE: u64 = 16;
const ALIGNMENT: u64 = 8;
/// Bytes of a descriptor, and of a `struct ucred`.
const FD_SIZE: u64 = 4;
const CREDENTIALS_SIZE: usize = 12;

/// Most that a program may send (`net.core.optmem_max`).
const MOST: u64 = 131_072;

/// What the control messages of a program attach.
///
/// # Errors
/// EINVAL: malformed, or not for sockets of this family. EBADF, EPERM, ETOOMANYREFS, ENOBUFS,
/// EFAULT, ENOMEM.
pub fn read(family: Family, control: u64, len: u64) -> Result<Attached, Errno> {
    let mut attached = Attached::default();
    if len > MOST {
        return Err(Errno::ENOBUFS);
    }
    // Of all messages together; each goes in front of those before.
    let (mut reversed, mut count) = (Rights::new(), 0);
    let mut at = 0;
    while control != 0 && len.saturating_sub(at) >= HEADER_SIZE {
        let [size, level_and_kind] = read_words(control.wrapping_add(at))?;
        if size < HEADER_SIZE || size > len - at {
            return Err(Errno::EINVAL);
        }
        let data = UserSlice::new(control.wrapping_add(at + HEADER_SIZE), size - HEADER_SIZE);
        let (level, kind) = (level_and_kind as u32, (level_and_kind >> 32) as u32);
        match (level, kind) {
            (net::SOL_SOCKET, net::SCM_RIGHTS) if family == Family::Unix => {
                count += data.len() / FD_SIZE;
                if count > MOST_RIGHTS as u64 {
                    return Err(Errno::EINVAL);
                }
                read_rights(data, &mut reversed)?;
            }
            (net::SOL_SOCKET, net::SCM_CREDENTIALS) if family == Family::Unix => {
                attached.credentials = Some(read_credentials(data)?);
            }
            // Of Unix sockets, and nothing to others.
            (net::SOL_SOCKET, net::SCM_RIGHTS | net::SCM_CREDENTIALS) => {}
            (net::SOL_SOCKET, _) => return Err(Errno::EINVAL),
            // Others are for a network.
            _ => {}
        }
        at += size.next_multiple_of(ALIGNMENT);
    }
    attached.rights = (count > 0).then(|| reversed.reversed());
    Ok(attached)
}

fn read_words(address: u64) -> Result<[u64; 2], Errno> {
    let mut bytes = [[0; 8]; 2];
    UserSlice::new(address, HEADER_SIZE).copy_in(&current().space(), bytes.as_flattened_mut())?;
    Ok(bytes.map(u64::from_le_bytes))
}

fn read_rights(data: UserSlice, reversed: &mut Rights) -> Result<(), Errno> {
    for number in 0..data.len() / FD_SIZE {
        let mut fd = [0; FD_SIZE as usize];
        let place = data.part(number * FD_SIZE, FD_SIZE);
        place.copy_in(&current().space(), &mut fd)?;
        reversed.push(fs::file(u32::from_le_bytes(fd).into())?)?;
    }
    Ok(())
}

fn read_credentials(data: UserSlice) -> Result<Credentials, Errno> {
    let mut bytes = [[0; 4]; 3];
    if data.len() != CREDENTIALS_SIZE as u64 {
        return Err(Errno::EINVAL);
    }
    data.copy_in(&current().space(), bytes.as_flattened_mut())?;
    let [pid, user, group] = bytes.map(u32::from_le_bytes);
    let credentials = Credentials { pid, user, group };
    credentials.check_own()?;
    // The superuser may pretend to be any process that there is.
    let is_there = table::processes().any(|process| process.pid() == pid);
    match is_there {
        true => Ok(credentials),
        false => Err(Errno::ESRCH),
    }
}

/// What came with a message.
pub struct Received {
    /// Who sent it.
    pub credentials: Credentials,
    /// Files that came with it.
    pub rights: Option<Rights>,
    /// Descriptors for them are closed by `execve`.
    pub close_on_exec: bool,
}

/// What a program has been told.
pub struct Written {
    /// Bytes of control messages.
    pub len: u64,
    /// There was no room for all.
    pub is_cut: bool,
}

/// Tells a program what came with a message, as far as there is room in `len` bytes from
/// `control`.
///
/// # Errors
/// EFAULT.
pub fn write(
    socket: &Socket,
    received: Received,
    control: u64,
    len: u64,
) -> Result<Written, Errno> {
    let mut written = Written {
        len: 0,
        is_cut: false,
    };
    let len = if control == 0 { 0 } else { len };
    if socket.endpoint().options.has(Kept::PassCredentials) {
        let Credentials { pid, user, group } = received.credentials;
        let bytes = [pid, user, group].map(u32::to_le_bytes);
        let bytes = bytes.as_flattened();
        let room = len.saturating_sub(HEADER_SIZE).min(bytes.len() as u64);
        written.is_cut |= room < bytes.len() as u64;
        if len >= HEADER_SIZE {
            let place = control.wrapping_add(HEADER_SIZE);
            let part = &bytes[..room as usize];
            UserSlice::new(place, room).copy_out(&current().space(), part)?;
            end(&mut written, net::SCM_CREDENTIALS, room, control, len)?;
        }
    }
    if let Some(rights) = received.rights {
        let close = received.close_on_exec;
        write_rights(&mut written, rights, close, control, len)?;
    }
    Ok(written)
}

/// Gives the process descriptors for files that came with a message; those for which there is
/// no room, or no descriptor, are closed.
fn write_rights(
    written: &mut Written,
    mut rights: Rights,
    close_on_exec: bool,
    control: u64,
    len: u64,
) -> Result<(), Errno> {
    let start = control.wrapping_add(written.len + HEADER_SIZE);
    let room = len.saturating_sub(written.len + HEADER_SIZE) / FD_SIZE;
    let mut count = 0;
    while let Some(file) = rights.pop() {
        let fd = match count < room {
            true => descriptor::add(file, 0, close_on_exec).ok(),
            false => None,
        };
        let Some(fd) = fd else {
            written.is_cut = true;
            break;
        };
        let place = UserSlice::new(start.wrapping_add(count * FD_SIZE), FD_SIZE);
        place.copy_out(&current().space(), &(fd as u32).to_le_bytes())?;
        count += 1;
    }
    match count {
        0 => Ok(()),
        _ => end(written, net::SCM_RIGHTS, count * FD_SIZE, control, len),
    }
}

/// Puts the header in front of a control message with `size` bytes, behind those before.
fn end(written: &mut Written, kind: u32, size: u64, control: u64, len: u64) -> Result<(), Errno> {
    let size = HEADER_SIZE + size;
    let words = [size, u64::from(net::SOL_SOCKET) | u64::from(kind) << 32];
    let bytes = words.map(u64::to_le_bytes);
    let place = UserSlice::new(control.wrapping_add(written.len), HEADER_SIZE);
    place.copy_out(&current().space(), bytes.as_flattened())?;
    written.len = (written.len + size.next_multiple_of(ALIGNMENT)).min(len);
    Ok(())
}
