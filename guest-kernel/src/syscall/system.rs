//! Calls about the machine.

use arch::random;
use arch::trap::Arguments;
use mm::{UserPtr, UserSlice, frames, free_frames};

use crate::proc::{current, system, table};
use crate::syscall::SyscallResult;
use crate::syscall::time::{NS_PER_S, now_ns};

/// Bytes in a field of `struct new_utsname`.
const FIELD: usize = 65;
const FIELDS: usize = 6;

/// `uname(buffer)`
pub fn uname(&[buffer, ..]: &Arguments) -> SyscallResult {
    const TEXTS: [&str; FIELDS] = [
        system::KERNEL_NAME,
        "ringfence",
        system::RELEASE,
        system::VERSION,
        "x86_64",
        "(none)",
    ];
    let mut name = [0; FIELD * FIELDS];
    for (field, text) in name.chunks_exact_mut(FIELD).zip(TEXTS) {
        field[..text.len()].copy_from_slice(text.as_bytes());
    }
    let target = UserSlice::new(buffer, name.len() as u64);
    target.copy_out(&current().space(), &name)?;
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
pub fn getrandom(&[buffer, size, ..]: &Arguments) -> SyscallResult {
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
