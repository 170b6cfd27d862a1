//! Calls about threads.

use arch::trap::Arguments;
use mm::UserPtr;

use crate::proc::rseq::Area;
use crate::proc::{current, current_thread};
use crate::syscall::{Errno, SyscallResult};

/// `set_tid_address(address)`
pub fn set_tid_address(&[address, ..]: &Arguments) -> SyscallResult {
    let thread = current_thread();
    thread.set_clear_at_end(address);
    Ok(thread.tid().into())
}

/// `arch_prctl(code, address)`: reads and sets the bases of fs and gs, and says what `cpuid` does.
pub fn arch_prctl(&[code, address, ..]: &Arguments) -> SyscallResult {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    const GET_CPUID: u64 = 0x1011;
    const SET_CPUID: u64 = 0x1012;
    let context = current_thread().context();
    context.note_bases();
    let bases = context.bases();
    let changed = match code {
        SET_FS => bases.with_fs(address),
        SET_GS => bases.with_gs(address),
        GET_FS => return write_base(address, bases.fs()),
        GET_GS => return write_base(address, bases.gs()),
        // Programs have `cpuid`, and nothing to take it from them.
        GET_CPUID => return Ok(1),
        SET_CPUID => return Err(Errno::ENODEV),
        _ => return Err(Errno::EINVAL),
    };
    context.use_bases(changed.ok_or(Errno::EPERM)?);
    Ok(0)
}

fn write_base(address: u64, base: u64) -> SyscallResult {
    UserPtr::new(address).write(&current().space(), &[base])?;
    Ok(0)
}

/// `getcpu(cpu, node)`
pub fn getcpu(&[cpu, node, ..]: &Arguments) -> SyscallResult {
    for (address, number) in [(cpu, current_thread().cpu()), (node, 0)] {
        if address != 0 {
            UserPtr::new(address).write(&current().space(), &(number as u32))?;
        }
    }
    Ok(0)
}

/// `rseq(area, size, flags, signature)`: shares an area with the kernel, or does no longer.
pub fn rseq(&[address, len, flags, signature, ..]: &Arguments) -> SyscallResult {
    const UNREGISTER: u32 = 1;
    let area = Area {
        address,
        len: len as u32,
        signature: signature as u32,
    };
    match flags as u32 {
        0 => current_thread().register_area(area)?,
        UNREGISTER => current_thread().unregister_area(area)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
