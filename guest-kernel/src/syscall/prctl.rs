//! Calls by which a process says something of itself: `prctl`, capabilities, `personality`.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use linux_raw_sys::prctl as pr;
use mm::UserPtr;

use crate::proc::attributes::{ALL_CAPABILITIES, Capabilities};
use crate::proc::capability::Capability;
use crate::proc::process::Name;
use crate::proc::signal::Signal;
use crate::proc::{current, current_thread, table};
use crate::syscall::{Errno, SyscallResult};

/// One past the highest number of a capability.
const CAPABILITIES: u64 = ALL_CAPABILITIES.count_ones() as u64;

/// `prctl(option, ...)`
pub fn prctl(&[option, value, third, fourth, fifth, _]: &Arguments) -> SyscallResult {
    let process = current();
    let space = process.space();
    let attributes = process.attributes();
    let rest_is_zero = third == 0 && fourth == 0 && fifth == 0;
    let write_int = |number: u32| -> SyscallResult {
        UserPtr::new(value).write(&space, &number)?;
        Ok(0)
    };
    match option as u32 {
        pr::PR_SET_NAME => {
            let words = UserPtr::<[u64; 2]>::new(value).read(&space)?;
            let bytes = words.map(u64::to_le_bytes);
            current_thread().set_name(Name::new(bytes.as_flattened()));
        }
        pr::PR_GET_NAME => {
            let bytes = u128::from_le_bytes(current_thread().name().padded());
            let words = [bytes as u64, (bytes >> 64) as u64];
            UserPtr::new(value).write(&space, &words)?;
        }
        pr::PR_SET_PDEATHSIG => {
            let signal = Signal::new(value);
            if signal.is_none() && value != 0 {
                return Err(Errno::EINVAL);
            }
            process.change_attributes(|own| own.death_signal = signal);
        }
        pr::PR_GET_PDEATHSIG => {
            let signal = attributes.death_signal.map_or(0, Signal::number);
            return write_int(signal.into());
        }
        pr::PR_SET_CHILD_SUBREAPER => {
            process.change_attributes(|own| own.adopts_orphans = value != 0);
        }
        pr::PR_GET_CHILD_SUBREAPER => return write_int(attributes.adopts_orphans.into()),
        pr::PR_SET_NO_NEW_PRIVS if value == 1 && rest_is_zero => {
            process.change_attributes(|own| own.no_new_privileges = true);
        }
        pr::PR_GET_NO_NEW_PRIVS if value == 0 && rest_is_zero => {
            return Ok(attributes.no_new_privileges.into());
        }
        pr::PR_SET_DUMPABLE if value <= 1 => {
            process.change_attributes(|own| own.is_dumpable = value == 1);
        }
        pr::PR_GET_DUMPABLE => return Ok(attributes.is_dumpable.into()),
        pr::PR_SET_KEEPCAPS if value <= 1 => {
            process.change_attributes(|own| own.keeps_capabilities = value == 1);
        }
        pr::PR_GET_KEEPCAPS => return Ok(attributes.keeps_capabilities.into()),
        pr::PR_SET_THP_DISABLE if rest_is_zero => {
            process.change_attributes(|own| own.no_huge_pages = value != 0);
        }
        pr::PR_GET_THP_DISABLE if value == 0 && rest_is_zero => {
            return Ok(attributes.no_huge_pages.into());
        }
        pr::PR_SET_TIMERSLACK => {
            let slack = if value as i64 <= 0 {
                attributes.default_timer_slack
            } else {
                value
            };
            process.change_attributes(|own| own.timer_slack = slack);
        }
        pr::PR_GET_TIMERSLACK => return Ok(attributes.timer_slack),
        pr::PR_GET_SECCOMP | pr::PR_GET_SECUREBITS => {}
        pr::PR_GET_TID_ADDRESS => {
            let address = current_thread().clear_at_end();
            UserPtr::new(value).write(&space, &address)?;
        }
        pr::PR_CAPBSET_READ if value < CAPABILITIES => {
            return Ok(attributes.capabilities.bounding >> value & 1);
        }
        pr::PR_CAPBSET_DROP | pr::PR_SET_SECUREBITS if !process.may(Capability::Setpcap) => {
            return Err(Errno::EPERM);
        }
        pr::PR_CAPBSET_DROP if value < CAPABILITIES => {
            process.change_attributes(|own| own.capabilities.bounding &= !(1 << value));
        }
        // Nothing is ambient.
        pr::PR_CAP_AMBIENT
            if value as u32 == pr::PR_CAP_AMBIENT_CLEAR_ALL && rest_is_zero
                || value as u32 == pr::PR_CAP_AMBIENT_IS_SET
                    && third < CAPABILITIES
                    && [fourth, fifth] == [0; 2] => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Words of 32 bits for each set, as a version of the interface has them.
fn words_of_version(version: u32) -> Option<usize> {
    match version {
        linux::_LINUX_CAPABILITY_VERSION_1 => Some(1),
        linux::_LINUX_CAPABILITY_VERSION_2 | linux::_LINUX_CAPABILITY_VERSION_3 => Some(2),
        _ => None,
    }
}

/// `capget(header, data)`: version and process; then effective, permitted and inheritable ones,
/// 32 bits of each at a time.
pub fn capget(&[header, data, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    let [version, pid] = UserPtr::<[u32; 2]>::new(header).read(&space)?;
    let Some(words) = words_of_version(version) else {
        UserPtr::new(header).write(&space, &linux::_LINUX_CAPABILITY_VERSION_3)?;
        // A program may ask for no more than the version.
        return if data == 0 { Ok(0) } else { Err(Errno::EINVAL) };
    };
    if (pid as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let process = match pid {
        0 => current(),
        pid => table::thread(pid).ok_or(Errno::ESRCH)?.process(),
    };
    let own = process.attributes().capabilities;
    if data != 0 {
        for word in 0..words {
            let sets = [own.effective, own.permitted, own.inheritable];
            let part = sets.map(|set| (set >> (32 * word)) as u32);
            UserPtr::new(data + (word * size_of_val(&part)) as u64).write(&space, &part)?;
        }
    }
    Ok(0)
}

/// `capset(header, data)`: a process may give up capabilities that it is permitted to have.
pub fn capset(&[header, data, ..]: &Arguments) -> SyscallResult {
    let process = current();
    let space = process.space();
    let [version, pid] = UserPtr::<[u32; 2]>::new(header).read(&space)?;
    let Some(words) = words_of_version(version) else {
        UserPtr::new(header).write(&space, &linux::_LINUX_CAPABILITY_VERSION_3)?;
        return Err(Errno::EINVAL);
    };
    if pid != 0 && table::thread(pid).is_none_or(|thread| thread.process().pid() != process.pid()) {
        return Err(Errno::EPERM);
    }
    let mut sets = [0_u64; 3];
    for word in 0..words {
        let part = UserPtr::<[u32; 3]>::new(data + 12 * word as u64).read(&space)?;
        for (set, part) in sets.iter_mut().zip(part) {
            *set |= u64::from(part) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets.map(|set| set & ALL_CAPABILITIES);
    let old = process.attributes().capabilities;
    let (own, any) = (
        old.inheritable | old.permitted,
        old.inheritable | old.bounding,
    );
    let may_inherit = match process.may(Capability::Setpcap) {
        true => any,
        false => own & any,
    };
    if permitted & !old.permitted != 0
        || effective & !permitted != 0
        || inheritable & !may_inherit != 0
    {
        return Err(Errno::EPERM);
    }
    process.change_attributes(|own| {
        own.capabilities = Capabilities {
            effective,
            permitted,
            inheritable,
            ..old
        };
    });
    Ok(0)
}

/// `personality(persona)`: how to behave like another system, of which `select` alone takes
/// notice.
pub fn personality(&[persona, ..]: &Arguments) -> SyscallResult {
    const ASK: u32 = u32::MAX;
    let process = current();
    let old = process.attributes().personality;
    if persona as u32 != ASK {
        process.change_attributes(|own| own.personality = persona as u32);
    }
    Ok(old.into())
}
