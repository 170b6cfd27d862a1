//! Calls about the machine.

use arch::random;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{UserPtr, UserSlice, frames, free_frames};

use crate::proc::capability::Capability;
use crate::proc::system::{self, Name, Names};
use crate::proc::{current, table};
use crate::syscall::time::{NS_PER_S, now_ns};
use crate::syscall::{Errno, SyscallResult};

/// Bytes in a field of `struct new_utsname`.
const FIELD: usize = 65;
const FIELDS: usize = 6;

/// `uname(buffer)`
pub fn uname(&[buffer, ..]: &Arguments) -> SyscallResult {
    let mut name = [0; FIELD * FIELDS];
    let mut fields = name.chunks_exact_mut(FIELD);
    let mut put = |text: &[u8]| {
        if let Some(field) = fields.next() {
            field[..text.len()].copy_from_slice(text);
        }
    };
    put(system::KERNEL_NAME.as_bytes());
    current().with_names(|names| names.host.with(&mut put));
    put(system::RELEASE.as_bytes());
    put(system::VERSION.as_bytes());
    put(b"x86_64");
    current().with_names(|names| names.domain.with(&mut put));
    let target = UserSlice::new(buffer, name.len() as u64);
    target.copy_out(&current().space(), &name)?;
    Ok(0)
}

/// `sethostname(name, len)`
pub fn sethostname(&[name, len, ..]: &Arguments) -> SyscallResult {
    rename(|names| &names.host, name, len)
}

/// `setdomainname(name, len)`
pub fn setdomainname(&[name, len, ..]: &Arguments) -> SyscallResult {
    rename(|names| &names.domain, name, len)
}

fn rename(which: fn(&Names) -> &Name, address: u64, len: u64) -> SyscallResult {
    current().require(Capability::SysAdmin)?;
    let mut name = [0; Name::MAX];
    if len > name.len() as u64 {
        return Err(Errno::EINVAL);
    }
    let name = UserSlice::new(address, len).copy_in(&current().space(), &mut name)?;
    current().with_names(|names| which(names).set(name))?;
    Ok(0)
}

/// `sysinfo(info)`: `struct sysinfo` in words. Uptime, three loads, total and free memory,
/// shared memory and buffers, two of swap, processes, two of high memory, and the unit.
pub fn sysinfo(&[info, ..]: &Arguments) -> SyscallResult {
    const UNIT: u64 = frames::FRAME_SIZE as u64;
    let mut facts = [0_u64; 14];
    facts[0] = now_ns() / NS_PER_S;
    facts[4] = frames::total();
    facts[5] = free_frames();
    facts[10] = table::in_use() as u64;
    facts[13] = UNIT;
    UserPtr::new(info).write(&current().space(), &facts)?;
    Ok(0)
}

/// `getrandom(buffer, size, flags)`
pub fn getrandom(&[buffer, size, flags, ..]: &Arguments) -> SyscallResult {
    const BOTH: u32 = linux::GRND_RANDOM | linux::GRND_INSECURE;
    let flags = flags as u32;
    if flags & !(linux::GRND_NONBLOCK | BOTH) != 0 || flags & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let target = UserSlice::new(buffer, size);
    let space = current().space();
    target.check()?;
    let mut done = 0;
    while done < target.len() {
        let bytes = random::number().to_ne_bytes();
        let part = target.part(done, bytes.len() as u64);
        match part.copy_out(&space, &bytes[..part.len() as usize]) {
            Ok(()) => done += part.len(),
            Err(_) if done != 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}
