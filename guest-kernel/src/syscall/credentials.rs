//! Calls about the users and groups that a process acts as.

use arch::trap::Arguments;
use mm::{UserPtr, UserSlice};

use crate::proc::capability::Capability;
use crate::proc::credentials::{Groups, Ids};
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

/// Which of the ids of a process.
#[derive(Clone, Copy)]
enum Which {
    Users,
    Groups,
}

impl Which {
    fn get(self) -> Ids {
        match self {
            Self::Users => current().credentials.users(),
            Self::Groups => current().credentials.groups(),
        }
    }

    /// Sets them to what `change` makes of them for a process that is privileged, or not.
    fn change(self, change: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> SyscallResult {
        let credentials = &current().credentials;
        let before = self.get();
        let right = match self {
            Self::Users => Capability::Setuid,
            Self::Groups => Capability::Setgid,
        };
        let ids = change(before, current().may(right))?;
        match self {
            Self::Users => {
                credentials.set_users(ids);
                current().change_attributes(|own| *own = own.of_users(before, ids));
            }
            Self::Groups => credentials.set_groups(ids),
        }
        if (before.effective, before.files) != (ids.effective, ids.files) {
            current().change_attributes(|own| *own = own.as_another());
        }
        Ok(0)
    }

    fn tell(self, places: [u64; 3]) -> SyscallResult {
        let ids = self.get();
        let space = current().space();
        for (place, id) in places.into_iter().zip([ids.real, ids.effective, ids.saved]) {
            UserPtr::new(place).write(&space, &id)?;
        }
        Ok(0)
    }

    fn set_files(self, id: u64) -> SyscallResult {
        let before = self.get();
        self.change(|ids, privileged| Ok(ids.set_files(id as u32, privileged)))?;
        if let Self::Users = self {
            let after = self.get();
            current().change_attributes(|own| *own = own.of_files(before, after));
        }
        Ok(before.files.into())
    }
}

/// `getuid()`
pub fn getuid(_: &Arguments) -> SyscallResult {
    Ok(Which::Users.get().real.into())
}

/// `geteuid()`
pub fn geteuid(_: &Arguments) -> SyscallResult {
    Ok(Which::Users.get().effective.into())
}

/// `getgid()`
pub fn getgid(_: &Arguments) -> SyscallResult {
    Ok(Which::Groups.get().real.into())
}

/// `getegid()`
pub fn getegid(_: &Arguments) -> SyscallResult {
    Ok(Which::Groups.get().effective.into())
}

/// `setuid(user)`
pub fn setuid(&[user, ..]: &Arguments) -> SyscallResult {
    Which::Users.change(|ids, privileged| ids.set(user as u32, privileged))
}

/// `setgid(group)`
pub fn setgid(&[group, ..]: &Arguments) -> SyscallResult {
    Which::Groups.change(|ids, privileged| ids.set(group as u32, privileged))
}

/// `setreuid(real, effective)`
pub fn setreuid(&[real, effective, ..]: &Arguments) -> SyscallResult {
    Which::Users.change(|ids, privileged| ids.set_real(real as u32, effective as u32, privileged))
}

/// `setregid(real, effective)`
pub fn setregid(&[real, effective, ..]: &Arguments) -> SyscallResult {
    Which::Groups.change(|ids, privileged| ids.set_real(real as u32, effective as u32, privileged))
}

/// `setresuid(real, effective, saved)`
pub fn setresuid(&[real, effective, saved, ..]: &Arguments) -> SyscallResult {
    let wanted = [real, effective, saved].map(|id| id as u32);
    Which::Users.change(|ids, privileged| ids.set_each(wanted, privileged))
}

/// `setresgid(real, effective, saved)`
pub fn setresgid(&[real, effective, saved, ..]: &Arguments) -> SyscallResult {
    let wanted = [real, effective, saved].map(|id| id as u32);
    Which::Groups.change(|ids, privileged| ids.set_each(wanted, privileged))
}

/// `getresuid(real, effective, saved)`
pub fn getresuid(&[real, effective, saved, ..]: &Arguments) -> SyscallResult {
    Which::Users.tell([real, effective, saved])
}

/// `getresgid(real, effective, saved)`
pub fn getresgid(&[real, effective, saved, ..]: &Arguments) -> SyscallResult {
    Which::Groups.tell([real, effective, saved])
}

/// `setfsuid(user)`: who it was before.
pub fn setfsuid(&[user, ..]: &Arguments) -> SyscallResult {
    Which::Users.set_files(user)
}

/// `setfsgid(group)`: which it was before.
pub fn setfsgid(&[group, ..]: &Arguments) -> SyscallResult {
    Which::Groups.set_files(group)
}

/// `getgroups(size, list)`: how many there are.
pub fn getgroups(&[size, list, ..]: &Arguments) -> SyscallResult {
    let size = usize::try_from(size as i32).map_err(|_| Errno::EINVAL)?;
    let process = current();
    let Some(groups) = process.credentials.others() else {
        return Ok(0);
    };
    if size != 0 {
        if groups.len() > size {
            return Err(Errno::EINVAL);
        }
        for (start, piece) in groups.pieces() {
            let bytes = piece.as_flattened();
            place(list, start, bytes).copy_out(&process.space(), bytes)?;
        }
    }
    Ok(groups.len() as u64)
}

/// `setgroups(size, list)`
pub fn setgroups(&[size, list, ..]: &Arguments) -> SyscallResult {
    let process = current();
    process.require(Capability::Setgid)?;
    let groups = match size as u32 as usize {
        0 => None,
        size => Some(Groups::new(size, |start, piece| {
            let bytes = piece.as_flattened_mut();
            place(list, start, bytes).copy_in(&process.space(), bytes)?;
            Ok(())
        })?),
    };
    process.credentials.set_others(groups);
    Ok(0)
}

/// Where `bytes` of a list of groups are, behind `start` groups.
fn place(list: u64, start: usize, bytes: &[u8]) -> UserSlice {
    let offset = (start * size_of::<u32>()) as u64;
    UserSlice::new(list.wrapping_add(offset), bytes.len() as u64)
}
