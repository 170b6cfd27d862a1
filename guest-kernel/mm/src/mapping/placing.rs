//! Where an area goes.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::Inner;
use crate::mapping::{LOWEST, Place, SEARCH_END};

/// Where MAP_32BIT has areas (Linux, arch/x86/kernel/sys_x86_64.c).
const LOW: Range<u64> = 0x4000_0000..0x8000_0000;

impl Inner {
    /// Where an area of `len` bytes goes.
    pub(crate) fn place(&mut self, place: Place, len: u64) -> Result<u64, Errno> {
        let range = |start: u64| match start.checked_add(len) {
            Some(end) => Ok(start..end),
            None => Err(Errno::ENOMEM),
        };
        match place {
            Place::Near(hint) => {
                let hint = range(hint & !(PAGE_SIZE - 1));
                match hint.and_then(|hint| self.check_place(&hint).map(|()| hint)) {
                    Ok(hint) if self.check_free(&hint).is_ok() => Ok(hint.start),
                    _ => self.find_gap(len).ok_or(Errno::ENOMEM),
                }
            }
            Place::Replace(start) => {
                self.check_place(&range(start)?)?;
                Ok(start)
            }
            Place::Low => {
                let end = LOW.end;
                self.gap_below(end, len)
                    .filter(|&start| start >= LOW.start)
                    .ok_or(Errno::ENOMEM)
            }
            Place::Free(start) => {
                let range = range(start)?;
                self.check_place(&range)?;
                self.check_free(&range)?;
                Ok(start)
            }
        }
    }

    pub(crate) fn check_place(&self, range: &Range<u64>) -> Result<(), Errno> {
        if !range.start.is_multiple_of(PAGE_SIZE) || range.is_empty() {
            return Err(Errno::EINVAL);
        }
        if range.start < LOWEST {
            return Err(Errno::EPERM);
        }
        if range.end > USER_END {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    pub(crate) fn check_free(&self, range: &Range<u64>) -> Result<(), Errno> {
        match self.areas.at_or_after(range.start) {
            Some(area) if area.start < range.end => Err(Errno::EEXIST),
            _ => Ok(()),
        }
    }

    /// The highest gap of `len` bytes, from where one was found the last time or else from
    /// the top.
    pub(crate) fn find_gap(&mut self, len: u64) -> Option<u64> {
        let below = |end| self.gap_below(end, len);
        let start = below(self.search_from).or_else(|| below(SEARCH_END))?;
        self.search_from = start;
        Some(start)
    }

    /// The highest gap of `len` bytes below `end`.
    fn gap_below(&self, mut end: u64, len: u64) -> Option<u64> {
        loop {
            let start = end.checked_sub(len).filter(|&start| start >= LOWEST)?;
            match self.areas.before(end) {
                Some(area) if area.end > start => end = area.start.min(end),
                _ => return Some(start),
            }
        }
    }
}
