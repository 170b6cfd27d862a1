//! Extended attributes of nodes: names with values (Linux, xattr(7)).
//!
//! A node without any has none of this but a null pointer. All of one node are as large as a
//! block of a disk, as on ext4, so that a list is short and a search of it is quick.

use core::cell::RefCell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Owned, quota};

use crate::fs::bytes::Bytes;

/// Bytes that all attributes of a node may take together.
const ROOM: usize = 4096;
/// What one takes beside its name and value.
const OVERHEAD: usize = 16;

struct Attribute {
    name: Bytes,
    value: Bytes,
    next: Option<Owned<Attribute>>,
}

/// The attributes of a node, the one set last at the end.
pub struct Attributes(RefCell<Option<Owned<Attribute>>>);

impl Attributes {
    /// None.
    pub const fn none() -> Self {
        Self(RefCell::new(None))
    }

    /// Calls `tell` with the name and value of each, until it says that it was what it wanted.
    fn find<R>(&self, mut tell: impl FnMut(&[u8], &[u8]) -> Option<R>) -> Option<R> {
        let first = self.0.borrow();
        let mut next = first.as_deref();
        while let Some(attribute) = next {
            if let Some(found) = tell(&attribute.name, &attribute.value) {
                return Some(found);
            }
            next = attribute.next.as_deref();
        }
        None
    }

    /// A copy of the value that `name` has.
    ///
    /// # Errors
    /// ENODATA: none. ENOMEM.
    pub fn get(&self, name: &[u8]) -> Result<Bytes, Errno> {
        let value = self.find(|own, value| (own == name).then(|| Bytes::new(value)));
        value.unwrap_or(Err(Errno::ENODATA))
    }

    /// Calls `tell` with each name.
    pub fn names(&self, mut tell: impl FnMut(&[u8])) {
        self.find(|name, _| {
            tell(name);
            None::<()>
        });
    }

    /// Gives `name` a value. `flags` may say that it must have one already, or must not.
    ///
    /// # Errors
    /// EEXIST, ENODATA, as the flags say. ENOSPC: there would be too many. ENOMEM. Nothing has
    /// changed.
    pub fn set(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let size = |name: &[u8], value: &[u8]| name.len() + value.len() + OVERHEAD;
        let (mut others, mut is_there) = (0, false);
        self.find(|own, value| {
            match own == name {
                true => is_there = true,
                false => others += size(own, value),
            }
            None::<()>
        });
        if is_there && flags & linux::XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !is_there && flags & linux::XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        if others + size(name, value) > ROOM {
            return Err(Errno::ENOSPC);
        }
        quota::check_file()?;
        let attribute = Owned::new(Attribute {
            name: Bytes::new(name)?,
            value: Bytes::new(value)?,
            next: None,
        })?;
        drop(self.take(name));
        let mut first = self.0.borrow_mut();
        let mut place = &mut *first;
        while let Some(attribute) = place {
            place = &mut attribute.next;
        }
        *place = Some(attribute);
        Ok(())
    }

    /// Takes `name` and its value away.
    ///
    /// # Errors
    /// ENODATA: it has none.
    pub fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.take(name).map(drop).ok_or(Errno::ENODATA)
    }

    fn take(&self, name: &[u8]) -> Option<Owned<Attribute>> {
        let mut first = self.0.borrow_mut();
        let mut place = &mut *first;
        while place.as_ref().is_some_and(|own| *own.name != *name) {
            place = &mut place.as_mut()?.next;
        }
        let mut taken = place.take()?;
        *place = taken.next.take();
        Some(taken)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // One by one: a list would take a stack as deep.
        let mut next = self.0.take();
        while let Some(mut attribute) = next {
            next = attribute.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mm::frames;

    #[test]
    fn attributes_are_set_and_removed() {
        let before = frames::free();
        let attributes = Attributes::none();
        let names = || {
            let mut names = Vec::new();
            attributes.names(|name| names.push(name.to_vec()));
            names
        };
        assert_eq!(attributes.get(b"a").err(), Some(Errno::ENODATA));
        for name in [b"a", b"b", b"c"] {
            assert_eq!(attributes.set(name, b"1", linux::XATTR_CREATE), Ok(()));
        }
        let twice = attributes.set(b"b", b"2", linux::XATTR_CREATE);
        assert_eq!(twice, Err(Errno::EEXIST));
        assert_eq!(attributes.set(b"b", b"22", linux::XATTR_REPLACE), Ok(()));
        let missing = attributes.set(b"d", b"", linux::XATTR_REPLACE);
        assert_eq!(missing, Err(Errno::ENODATA));
        assert_eq!(&*attributes.get(b"b").expect("it is there"), b"22");
        assert_eq!(names(), [b"a", b"c", b"b"]);
        assert_eq!(attributes.remove(b"a"), Ok(()));
        assert_eq!(attributes.remove(b"a"), Err(Errno::ENODATA));
        assert_eq!(names(), [b"c", b"b"]);
        drop(attributes);
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn there_is_only_so_much_room() {
        let attributes = Attributes::none();
        assert_eq!(attributes.set(b"a", &[0; 4000], 0), Ok(()));
        assert_eq!(attributes.set(b"b", &[0; 100], 0), Err(Errno::ENOSPC));
        // What is replaced makes room.
        assert_eq!(attributes.set(b"a", &[1; 4000], 0), Ok(()));
        assert_eq!(attributes.set(b"a", &[1; 4096], 0), Err(Errno::ENOSPC));
    }
}
