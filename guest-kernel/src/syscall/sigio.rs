//! Who hears of an open file by signals: parts of `fcntl` and `ioctl`.

use linux_raw_sys::general::{self as linux, f_owner_ex};
use mm::{Shared, UserSlice};

use crate::fs::OpenFile;
use crate::fs::sigio::{Recipient, Who};
use crate::proc::current;
use crate::proc::signal::Signal;
use crate::syscall::{Errno, SyscallResult};

const _: () = assert!(size_of::<f_owner_ex>() == 8);

/// `FIOASYNC`: whether the int at `address` is not 0.
pub fn set_async(file: &Shared<OpenFile>, fd: u64, address: u64) -> SyscallResult {
    let mut value = [0; 4];
    UserSlice::new(address, 4).copy_in(&current().space(), &mut value)?;
    OpenFile::set_async(file, fd, value != [0; 4])?;
    Ok(0)
}

/// `F_SETOWN`: a process, or a group by its number negated.
pub fn set(file: &OpenFile, argument: u64) -> SyscallResult {
    let who = match argument as i32 {
        0 => Who::Nobody,
        i32::MIN => return Err(Errno::EINVAL),
        pid @ 1.. => Who::Process(pid.unsigned_abs()),
        group => Who::Group(group.unsigned_abs()),
    };
    file.set_recipient(Recipient::new(who)?);
    Ok(0)
}

/// `F_GETOWN`
pub fn get(file: &OpenFile) -> SyscallResult {
    Ok(match file.recipient().who() {
        Who::Nobody => 0,
        Who::Thread(number) | Who::Process(number) => number.into(),
        Who::Group(group) => u64::from(group).wrapping_neg(),
    })
}

/// `F_SETOWN_EX`, from an `f_owner_ex`: a kind and a number.
pub fn set_extended(file: &OpenFile, address: u64) -> SyscallResult {
    let mut bytes = [0; 8];
    UserSlice::new(address, 8).copy_in(&current().space(), &mut bytes)?;
    let bytes = u64::from_le_bytes(bytes);
    let (kind, number) = (bytes as u32, (bytes >> 32) as u32);
    let who = match kind {
        linux::F_OWNER_TID => Who::Thread(number),
        linux::F_OWNER_PID => Who::Process(number),
        linux::F_OWNER_PGRP => Who::Group(number),
        _ => return Err(Errno::EINVAL),
    };
    let who = if number == 0 { Who::Nobody } else { who };
    file.set_recipient(Recipient::new(who)?);
    Ok(0)
}

/// `F_GETOWN_EX`
pub fn get_extended(file: &OpenFile, address: u64) -> SyscallResult {
    let (kind, number) = match file.recipient().who() {
        Who::Nobody => (linux::F_OWNER_TID, 0),
        Who::Thread(tid) => (linux::F_OWNER_TID, tid),
        Who::Process(pid) => (linux::F_OWNER_PID, pid),
        Who::Group(group) => (linux::F_OWNER_PGRP, group),
    };
    let bytes = (u64::from(kind) | u64::from(number) << 32).to_le_bytes();
    UserSlice::new(address, 8).copy_out(&current().space(), &bytes)?;
    Ok(0)
}

/// `F_SETSIG`: the signal that says more than SIGIO does; 0 for none.
pub fn set_signal(file: &OpenFile, number: u64) -> SyscallResult {
    let signal = match number {
        0 => None,
        number => Some(Signal::new(number).ok_or(Errno::EINVAL)?),
    };
    file.set_signal(signal);
    Ok(0)
}

/// `F_GETSIG`
pub fn get_signal(file: &OpenFile) -> SyscallResult {
    Ok(file.signal().map_or(0, |signal| signal.number().into()))
}
