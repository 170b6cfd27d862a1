//! Calls about threads.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use linux_raw_sys::prctl::{PR_GET_NAME, PR_SET_NAME};
use mm::UserPtr;

use crate::proc::futex::{self, Key};
use crate::proc::process::Name;
use crate::proc::{current, current_thread};
use crate::syscall::time::deadline_after;
use crate::syscall::{Errno, SyscallResult, process, time};

/// `set_tid_address(address)`
pub fn set_tid_address(&[address, ..]: &Arguments) -> SyscallResult {
    let thread = current_thread();
    thread.set_clear_at_end(address);
    Ok(thread.tid().into())
}

/// `set_robust_list(head, size)`: accepted without effect: a mutex whose owner has ended
/// stays locked here.
pub fn set_robust_list(&[_, size, ..]: &Arguments) -> SyscallResult {
    if size != size_of::<linux::robust_list_head>() as u64 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// `arch_prctl(code, address)`: reads and sets the bases of fs and gs.
pub fn arch_prctl(&[code, address, ..]: &Arguments) -> SyscallResult {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    let context = current_thread().context();
    context.note_bases();
    let bases = context.bases();
    let changed = match code {
        SET_FS => bases.with_fs(address),
        SET_GS => bases.with_gs(address),
        GET_FS => return write_base(address, bases.fs()),
        GET_GS => return write_base(address, bases.gs()),
        _ => return Err(Errno::EINVAL),
    };
    context.use_bases(changed.ok_or(Errno::EPERM)?);
    Ok(0)
}

fn write_base(address: u64, base: u64) -> SyscallResult {
    UserPtr::new(address).write(&current().space(), &[base])?;
    Ok(0)
}

/// `prctl(option, ...)`: the name of the process, and that is all.
pub fn prctl(&[option, name, ..]: &Arguments) -> SyscallResult {
    let process = current();
    let name = UserPtr::<[u64; 2]>::new(name);
    match option as u32 {
        PR_SET_NAME => {
            let words = name.read(&process.space())?;
            let bytes = words.map(u64::to_le_bytes);
            process.set_name(Name::new(bytes.as_flattened()));
        }
        PR_GET_NAME => {
            let bytes = u128::from_le_bytes(process.name().padded());
            let words = [bytes as u64, (bytes >> 64) as u64];
            name.write(&process.space(), &words)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// `futex(address, operation, value, timeout, address_2, value_3)`; for a requeue the timeout is a
/// count
pub fn futex(
    &[address, operation, value, timeout, address_2, value_3]: &Arguments,
) -> SyscallResult {
    let operation = operation as u32;
    let is_private = operation & linux::FUTEX_PRIVATE_FLAG != 0;
    let space = current().space();
    let key = |address| Key::new(&space, address, is_private);
    let value = value as u32;
    let count = u64::from(value);
    let bits = value_3 as u32;
    let command = operation & linux::FUTEX_CMD_MASK as u32;
    match command {
        linux::FUTEX_WAIT | linux::FUTEX_WAIT_BITSET => {
            let is_wait = command == linux::FUTEX_WAIT;
            let deadline = deadline(operation, is_wait, timeout)?;
            let bits = if is_wait { futex::ANY } else { bits };
            let waited = futex::wait(&space, key(address)?, address, value, bits, deadline);
            waited.map_err(|errno| match deadline {
                Some(deadline) if is_wait => time::note_deadline(deadline, errno),
                _ => errno,
            })?;
            Ok(0)
        }
        linux::FUTEX_WAKE => futex::wake(key(address)?, futex::ANY, count),
        linux::FUTEX_WAKE_BITSET => futex::wake(key(address)?, bits, count),
        linux::FUTEX_REQUEUE | linux::FUTEX_CMP_REQUEUE => {
            let (from, to) = (key(address)?, key(address_2)?);
            if command == linux::FUTEX_CMP_REQUEUE
                && UserPtr::<u32>::new(address).read(&space)? != bits
            {
                return Err(Errno::EAGAIN);
            }
            Ok(futex::requeue(from, count, to, timeout & 0xffff_ffff))
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// When a wait ends: the time at `timeout`, unless that is null, is a duration for
/// FUTEX_WAIT and a moment otherwise.
fn deadline(operation: u32, is_duration: bool, timeout: u64) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let timeout = time::read_ns(timeout)?;
    Ok(Some(if is_duration {
        deadline_after(timeout)
    } else if operation & linux::FUTEX_CLOCK_REALTIME != 0 {
        time::since_boot(timeout)
    } else {
        timeout
    }))
}

/// `sched_getaffinity(pid, size, mask)`: there is one CPU.
pub fn sched_getaffinity(&[pid, size, mask, ..]: &Arguments) -> SyscallResult {
    const MASK_SIZE: u64 = size_of::<u64>() as u64;
    process::process_of(pid)?;
    if size < MASK_SIZE || !size.is_multiple_of(MASK_SIZE) {
        return Err(Errno::EINVAL);
    }
    UserPtr::new(mask).write(&current().space(), &[1_u64])?;
    Ok(MASK_SIZE)
}

/// `getcpu(cpu, node)`
pub fn getcpu(&[cpu, node, ..]: &Arguments) -> SyscallResult {
    for address in [cpu, node] {
        if address != 0 {
            UserPtr::new(address).write(&current().space(), &0_u32)?;
        }
    }
    Ok(0)
}
