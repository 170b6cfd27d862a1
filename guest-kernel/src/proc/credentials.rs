//! Who a process is: the users and groups that it acts as (Linux, credentials(7)).
//!
//! The rules of each call are in [`Ids`], for users and groups alike; what a process may do
//! to files is decided in `fs`.

mod groups;

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::Shared;

pub use groups::Groups;

/// In a call, the one that stays as it is.
pub const SAME: u32 = u32::MAX;

/// The users, or groups, that a process acts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Who has started it.
    pub real: u32,
    /// Whose rights it has.
    pub effective: u32,
    /// Whose rights it can have again.
    pub saved: u32,
    /// As whom it uses files: nearly always the effective one.
    pub files: u32,
}

impl Ids {
    /// One for everything.
    pub const fn all(id: u32) -> Self {
        Self {
            real: id,
            effective: id,
            saved: id,
            files: id,
        }
    }

    /// Whether these, as no superuser, may send signals to a process of `target`.
    pub fn may_signal(self, target: Self) -> bool {
        let mut own = [self.real, self.effective].into_iter();
        own.any(|id| id == target.real || id == target.saved)
    }

    /// Fails unless all of `wanted` but [`SAME`] are among `allowed`.
    fn check(wanted: &[u32], allowed: &[u32]) -> Result<(), Errno> {
        let is_allowed = |id: &u32| *id == SAME || allowed.contains(id);
        match wanted.iter().all(is_allowed) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }

    /// As `setuid` says: everything if `privileged`, else the effective one.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub fn set(self, id: u32, privileged: bool) -> Result<Self, Errno> {
        if id == SAME {
            return Err(Errno::EINVAL);
        }
        if privileged {
            return Ok(Self::all(id));
        }
        Self::check(&[id], &[self.real, self.saved])?;
        Ok(Self {
            effective: id,
            files: id,
            ..self
        })
    }

    /// As `setreuid` says.
    ///
    /// # Errors
    /// EPERM.
    pub fn set_real(self, real: u32, effective: u32, privileged: bool) -> Result<Self, Errno> {
        if !privileged {
            Self::check(&[real], &[self.real, self.effective])?;
            Self::check(&[effective], &[self.real, self.effective, self.saved])?;
        }
        let now = or(effective, self.effective);
        let keeps_saved = real == SAME && (effective == SAME || effective == self.real);
        Ok(Self {
            real: or(real, self.real),
            effective: now,
            saved: if keeps_saved { self.saved } else { now },
            files: now,
        })
    }

    /// As `setresuid` says.
    ///
    /// # Errors
    /// EPERM.
    pub fn set_each(self, wanted: [u32; 3], privileged: bool) -> Result<Self, Errno> {
        if !privileged {
            Self::check(&wanted, &[self.real, self.effective, self.saved])?;
        }
        let [real, effective, saved] = wanted;
        let effective = or(effective, self.effective);
        Ok(Self {
            real: or(real, self.real),
            effective,
            saved: or(saved, self.saved),
            files: effective,
        })
    }

    /// As `setfsuid` says, which never fails.
    pub fn set_files(self, id: u32, privileged: bool) -> Self {
        let Self {
            real,
            effective,
            saved,
            files,
        } = self;
        let is_allowed = privileged || [real, effective, saved, files].contains(&id);
        match is_allowed && id != SAME {
            true => Self { files: id, ..self },
            false => self,
        }
    }
}

fn or(id: u32, before: u32) -> u32 {
    if id == SAME { before } else { id }
}

/// Whose rights a program has, if its file says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Its owner's.
    pub user: Option<u32>,
    /// Its group's.
    pub group: Option<u32>,
}

impl Rights {
    /// Real and effective user, real and effective group that a process of these credentials
    /// will have.
    pub fn ids(self, credentials: &Credentials) -> [u32; 4] {
        let (users, groups) = (credentials.users(), credentials.groups());
        [
            users.real,
            self.user.unwrap_or(users.effective),
            groups.real,
            self.group.unwrap_or(groups.effective),
        ]
    }
}

/// Who a process is.
pub struct Credentials {
    users: Cell<Ids>,
    groups: Cell<Ids>,
    others: RefCell<Option<Shared<Groups>>>,
}

impl Credentials {
    /// The superuser.
    pub const fn superuser() -> Self {
        Self {
            users: Cell::new(Ids::all(0)),
            groups: Cell::new(Ids::all(0)),
            others: RefCell::new(None),
        }
    }

    /// Users.
    pub fn users(&self) -> Ids {
        self.users.get()
    }

    /// Changes them.
    pub fn set_users(&self, users: Ids) {
        self.users.set(users);
    }

    /// Groups.
    pub fn groups(&self) -> Ids {
        self.groups.get()
    }

    /// Changes them.
    pub fn set_groups(&self, groups: Ids) {
        self.groups.set(groups);
    }

    /// The groups that it is in beside its own, unless there are none.
    pub fn others(&self) -> Option<Shared<Groups>> {
        self.others.borrow().clone()
    }

    /// Changes them.
    pub fn set_others(&self, others: Option<Shared<Groups>>) {
        drop(self.others.replace(others));
    }

    /// Whether all users and groups are the real ones of `other`.
    pub fn are_of(&self, other: &Self) -> bool {
        self.are_all(other.users().real, other.groups().real)
    }

    /// Whether it acts as this user and group, and can act as no other.
    pub fn are_all(&self, user: u32, group: u32) -> bool {
        let is_all = |ids: Ids, id| [ids.real, ids.effective, ids.saved] == [id; 3];
        is_all(self.users(), user) && is_all(self.groups(), group)
    }

    /// Whether it uses files as a member of this group.
    pub fn is_in(&self, group: u32) -> bool {
        let is_other = |others: &Shared<Groups>| others.contains(group);
        self.groups.get().files == group || self.others.borrow().as_ref().is_some_and(is_other)
    }

    /// Becomes who `other` is.
    pub fn become_as(&self, other: &Self) {
        self.users.set(other.users.get());
        self.groups.set(other.groups.get());
        self.set_others(other.others());
    }

    /// Runs another program.
    pub fn change_program(&self, rights: Rights) {
        for (ids, id) in [(&self.users, rights.user), (&self.groups, rights.group)] {
            let before = ids.get();
            let effective = id.unwrap_or(before.effective);
            ids.set(Ids {
                real: before.real,
                effective,
                saved: effective,
                files: effective,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ids, SAME};
    use abi::Errno;

    const OTHER: Ids = Ids {
        real: 1,
        effective: 2,
        saved: 3,
        files: 2,
    };

    #[test]
    fn the_superuser_becomes_anybody_for_good() {
        assert_eq!(Ids::all(0).set(5, true), Ok(Ids::all(5)));
        assert_eq!(Ids::all(5).set(0, false), Err(Errno::EPERM));
        assert_eq!(Ids::all(0).set(SAME, true), Err(Errno::EINVAL));
    }

    #[test]
    fn others_change_among_who_they_are() {
        let after = |effective| Ids {
            effective,
            files: effective,
            ..OTHER
        };
        assert_eq!(OTHER.set(1, false), Ok(after(1)));
        assert_eq!(OTHER.set(3, false), Ok(after(3)));
        assert_eq!(OTHER.set(2, false), Err(Errno::EPERM));
        assert_eq!(OTHER.set_each([SAME, 3, SAME], false), Ok(after(3)));
        assert_eq!(OTHER.set_each([4, SAME, SAME], false), Err(Errno::EPERM));
        assert_eq!(OTHER.set_files(3, false).files, 3);
        assert_eq!(OTHER.set_files(4, false), OTHER);
    }

    #[test]
    fn the_saved_one_follows_the_effective_one() {
        let swapped = OTHER.set_real(2, 1, false);
        let expected = Ids {
            real: 2,
            effective: 1,
            saved: 1,
            files: 1,
        };
        assert_eq!(swapped, Ok(expected));
        let back = OTHER.set_real(SAME, 1, false).map(|ids| ids.saved);
        assert_eq!(back, Ok(3));
        assert_eq!(OTHER.set_real(3, SAME, false), Err(Errno::EPERM));
    }
}
