//! Requests of sockets: what is in their queues, and the one network interface that there is.

use core::net::Ipv4Addr;

use linux_raw_sys::{if_arp, ioctl, net};
use mm::{UserPtr, UserSlice};

use crate::fs::socket::netlink::{
    INTERFACE, INTERFACE_FLAGS, INTERFACE_KIND, INTERFACE_MTU, INTERFACE_NUMBER,
};
use crate::fs::socket::{Socket, Style};
use crate::proc::capability::Capability;
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

/// Bytes of an interface's name, and of a `struct ifreq`.
const NAME_SIZE: usize = 16;
const REQUEST_SIZE: usize = 40;

/// That an interface is up.
const UP: u16 = if_arp::net_device_flags::IFF_UP as u16;

/// `ioctl` of a socket.
pub fn request(socket: &Socket, request: u32, argument: u64) -> SyscallResult {
    let space = current().space();
    match request {
        ioctl::TIOCOUTQ => {
            UserPtr::new(argument).write(&space, &(socket.unread() as u32))?;
            Ok(0)
        }
        // Nothing is urgent here.
        ioctl::SIOCATMARK if socket.endpoint().style == Style::Stream => {
            UserPtr::new(argument).write(&space, &0_u32)?;
            Ok(0)
        }
        ioctl::SIOCGIFCONF => list(argument),
        ioctl::SIOCGIFNAME
        | ioctl::SIOCGIFINDEX
        | ioctl::SIOCGIFFLAGS
        | ioctl::SIOCGIFADDR
        | ioctl::SIOCGIFBRDADDR
        | ioctl::SIOCGIFNETMASK
        | ioctl::SIOCGIFMTU
        | ioctl::SIOCGIFHWADDR => of_interface(request, argument),
        ioctl::SIOCSIFFLAGS => set_flags(argument),
        _ => Err(Errno::ENOTTY),
    }
}

/// An IPv4 address as a `struct sockaddr` has it.
fn address(ip: Ipv4Addr) -> [u8; NAME_SIZE] {
    let mut bytes = [0; NAME_SIZE];
    bytes[..2].copy_from_slice(&(net::AF_INET as u16).to_le_bytes());
    bytes[4..8].copy_from_slice(&ip.octets());
    bytes
}

/// Lists the interfaces in a `struct ifconf`: how many bytes there is room for, and where;
/// without a place, it only says how many there would be.
fn list(argument: u64) -> SyscallResult {
    let space = current().space();
    let place = UserPtr::<[u64; 2]>::new(argument);
    let [room, buffer] = place.read(&space)?;
    let fits = room as u32 as usize >= REQUEST_SIZE;
    if buffer != 0 && fits {
        let mut bytes = [0; REQUEST_SIZE];
        bytes[..INTERFACE.len()].copy_from_slice(INTERFACE);
        bytes[NAME_SIZE..][..NAME_SIZE].copy_from_slice(&address(Ipv4Addr::LOCALHOST));
        UserSlice::new(buffer, REQUEST_SIZE as u64).copy_out(&space, &bytes)?;
    }
    let len = match buffer == 0 || fits {
        true => REQUEST_SIZE as u32,
        false => 0,
    };
    UserPtr::new(argument).write(&space, &len)?;
    Ok(0)
}

/// Tells something about the interface that a `struct ifreq` names.
fn of_interface(request: u32, argument: u64) -> SyscallResult {
    let space = current().space();
    let mut bytes = [0; REQUEST_SIZE];
    let place = UserSlice::new(argument, REQUEST_SIZE as u64);
    place.copy_in(&space, &mut bytes)?;
    let (name, value) = bytes.split_at_mut(NAME_SIZE);
    if request == ioctl::SIOCGIFNAME {
        let number = value.first_chunk().copied().map(u32::from_le_bytes);
        if number != Some(INTERFACE_NUMBER) {
            return Err(Errno::ENODEV);
        }
        name.fill(0);
        name[..INTERFACE.len()].copy_from_slice(INTERFACE);
    } else if !name.starts_with(INTERFACE) {
        return Err(Errno::ENODEV);
    }
    let mut put = |bytes: &[u8]| value[..bytes.len()].copy_from_slice(bytes);
    match request {
        ioctl::SIOCGIFINDEX => put(&INTERFACE_NUMBER.to_le_bytes()),
        ioctl::SIOCGIFFLAGS => put(&(INTERFACE_FLAGS as u16).to_le_bytes()),
        ioctl::SIOCGIFADDR => put(&address(Ipv4Addr::LOCALHOST)),
        ioctl::SIOCGIFNETMASK => put(&address(Ipv4Addr::new(255, 0, 0, 0))),
        ioctl::SIOCGIFBRDADDR => put(&address(Ipv4Addr::UNSPECIFIED)),
        ioctl::SIOCGIFMTU => put(&INTERFACE_MTU.to_le_bytes()),
        ioctl::SIOCGIFHWADDR => {
            let mut address = [0; NAME_SIZE];
            address[..2].copy_from_slice(&INTERFACE_KIND.to_le_bytes());
            put(&address);
        }
        _ => {}
    }
    place.copy_out(&space, &bytes)?;
    Ok(0)
}

/// Sets the flags of the interface, which is up and stays so.
fn set_flags(argument: u64) -> SyscallResult {
    let mut bytes = [0; REQUEST_SIZE];
    let place = UserSlice::new(argument, REQUEST_SIZE as u64);
    place.copy_in(&current().space(), &mut bytes)?;
    current().require(Capability::NetAdmin)?;
    let (name, value) = bytes.split_at(NAME_SIZE);
    let flags = u16::from_le_bytes([value[0], value[1]]);
    match name.starts_with(INTERFACE) {
        true if flags & UP != 0 => Ok(0),
        true => Err(Errno::EOPNOTSUPP),
        false => Err(Errno::ENODEV),
    }
}
