//! Where a path does not go, though it could (`openat2`).

use abi::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::mount::{Location, Mount};

bitflags! {
    /// What a walk does not do. For a walk that stays in a directory, that is the root of its start.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rules: u32 {
        /// Come to another mount.
        const NO_MOUNTS = linux::RESOLVE_NO_XDEV;
        /// Follow links of `/proc` to what a process has.
        const NO_JUMPS = linux::RESOLVE_NO_MAGICLINKS;
        /// Follow any link.
        const NO_LINKS = linux::RESOLVE_NO_SYMLINKS;
        /// Leave the directory.
        const BENEATH = linux::RESOLVE_BENEATH;
        /// The same, but what would leave it is in it, as if it were the root.
        const IN_ROOT = linux::RESOLVE_IN_ROOT;
    }
}

impl Rules {
    /// Whether the walk stays in a directory.
    pub fn are_scoped(self) -> bool {
        self.intersects(Self::BENEATH | Self::IN_ROOT)
    }

    /// The mount that is not to be left, where it is known before a step.
    pub(super) fn mount(self, mount: &Shared<Mount>) -> Option<Shared<Mount>> {
        self.contains(Self::NO_MOUNTS).then(|| mount.clone())
    }

    /// Fails if that mount was left for `to`.
    ///
    /// # Errors
    /// EXDEV.
    pub(super) fn check_mount(
        self,
        from: Option<Shared<Mount>>,
        to: &Shared<Mount>,
    ) -> Result<(), Errno> {
        match from {
            Some(from) if !Shared::is_same(&from, to) => Err(Errno::EXDEV),
            _ => Ok(()),
        }
    }

    /// Fails if the parent of `here` is out of bounds.
    ///
    /// # Errors
    /// EXDEV.
    pub(super) fn check_parent(self, here: &Location, root: &Location) -> Result<(), Errno> {
        match self.contains(Self::BENEATH) && here.is_same(root) {
            true => Err(Errno::EXDEV),
            false => Ok(()),
        }
    }

    /// Fails if a link that is seen through `mount` may not lead to the root.
    ///
    /// # Errors
    /// EXDEV.
    pub(super) fn check_absolute(
        self,
        mount: &Shared<Mount>,
        root: &Location,
    ) -> Result<(), Errno> {
        if self.contains(Self::BENEATH) {
            return Err(Errno::EXDEV);
        }
        self.check_mount(self.mount(mount), &root.mount)
    }

    /// Fails if a link of `/proc`, which is seen through `from`, may not lead to what is seen
    /// through `to`, or to what is on no mount.
    ///
    /// # Errors
    /// ELOOP: it may lead nowhere. EXDEV.
    pub(super) fn check_jump(
        self,
        from: &Shared<Mount>,
        to: Option<&Shared<Mount>>,
    ) -> Result<(), Errno> {
        if self.intersects(Self::NO_LINKS | Self::NO_JUMPS) {
            return Err(Errno::ELOOP);
        }
        let stays = to.is_some_and(|to| Shared::is_same(from, to));
        match self.are_scoped() || self.contains(Self::NO_MOUNTS) && !stays {
            true => Err(Errno::EXDEV),
            false => Ok(()),
        }
    }
}
