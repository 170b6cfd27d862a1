//! Which frame holds which page of a file: a radix tree that is no higher than the last
//! page needs, so that a small file takes its frames and nothing else.
//!
//! ```text
//! root --> table --> group  64 pages whose frames lie together, as a long write takes them
//!            |
//!            +-----> group --> table  64 pages in frames anywhere
//! ```
//!
//! So what a long write brings is put and found without a look at each page. A group gets a table
//! when a frame comes that does not lie where its place is.

mod slot;
mod walks;

use core::mem;
use core::ops::Range;

use crate::frames::{FRAME_SIZE, FrameRun, FrameShare, ShareRun};
use crate::{Frame, OutOfMemory};

use slot::{FANOUT, FANOUT_BITS, Slot, Table};
use walks::{count, next, next_gap, remove, visit};

/// Highest tree. Dropping one recurses this deep.
const MAX_HEIGHT: u32 = 5;

/// Pages past which there are none.
pub const LIMIT: u64 = 1 << (FANOUT_BITS * MAX_HEIGHT);

/// What there is from a page on.
pub enum Run<'a> {
    /// These bytes, of whole pages.
    Kept(&'a [u8]),
    /// Nothing, for at least so many pages.
    Gap(u64),
}

/// Frames by page number.
#[derive(Default)]
pub struct PageTree {
    root: Slot,
    /// Tables between the root's slot and a page's, if each group has one.
    height: u32,
    /// Frames in it.
    count: u64,
}

/// The slot of `page` in a table of the tree `height` above the pages.
fn index(page: u64, height: u32) -> usize {
    (page >> (FANOUT_BITS * (height - 1)) & (FANOUT - 1)) as usize
}

/// The place of `page` in its group.
fn place(page: u64) -> usize {
    index(page, 1)
}

/// Pages in a tree of this height.
fn pages(height: u32) -> u64 {
    1 << (FANOUT_BITS * height)
}

impl PageTree {
    /// No pages.
    pub const fn new() -> Self {
        Self {
            root: Slot::Empty,
            height: 0,
            count: 0,
        }
    }

    /// The physical address of the frame that is kept for `page`.
    #[inline]
    pub fn get(&self, page: u64) -> Option<u64> {
        match &self.root {
            Slot::Empty => None,
            // Most files are short.
            Slot::Together(shares) if page < FANOUT => shares.address(page as usize),
            _ => self.find(page),
        }
    }

    fn find(&self, page: u64) -> Option<u64> {
        match self.group(page).ok()? {
            Slot::Together(shares) => shares.address(place(page)),
            Slot::Table(table) => table.0[place(page)].share().map(FrameShare::address),
            Slot::Empty | Slot::Page(_) => None,
        }
    }

    /// The group of `page`, or for how many pages there is none.
    #[inline]
    fn group(&self, page: u64) -> Result<&Slot, u64> {
        if page >= pages(self.height) {
            return Err(LIMIT);
        }
        let mut slot = &self.root;
        for height in (2..=self.height).rev() {
            let Slot::Table(table) = slot else {
                let below = pages(height);
                return Err(below - page % below);
            };
            slot = &table.0[index(page, height)];
        }
        Ok(slot)
    }

    #[inline]
    fn group_mut(&mut self, page: u64) -> Option<&mut Slot> {
        if self.height == 1 && page < FANOUT {
            return Some(&mut self.root);
        }
        if page >= pages(self.height) {
            return None;
        }
        let mut slot = &mut self.root;
        for height in (2..=self.height).rev() {
            let Slot::Table(table) = slot else {
                return None;
            };
            slot = &mut table.0[index(page, height)];
        }
        Some(slot)
    }

    /// What there is of `page` and of up to `most` pages from there on, as far as their frames
    /// follow each other in memory and one group has them.
    #[inline]
    pub fn run(&self, page: u64, most: u64) -> Run<'_> {
        match self.is_empty() {
            true => Run::Gap(LIMIT),
            false => self.find_run(page, most),
        }
    }

    fn find_run(&self, page: u64, most: u64) -> Run<'_> {
        let group = match self.group(page) {
            Ok(group) => group,
            Err(gap) => return Run::Gap(gap),
        };
        let (place, most) = (place(page), most as usize);
        let bytes = match group {
            Slot::Together(shares) => shares.bytes(place, most),
            Slot::Table(table) => {
                let slots = table.0[place..].iter().take(most);
                FrameShare::run(slots.map_while(Slot::share))
            }
            Slot::Empty | Slot::Page(_) => &[],
        };
        match bytes {
            [] => Run::Gap(group.gap(place, most) as u64),
            bytes => Run::Kept(bytes),
        }
    }

    /// The same of what is kept, to be changed: nothing if that page is not.
    pub fn run_mut(&mut self, page: u64, most: u64) -> &mut [u8] {
        let (place, most) = (place(page), most as usize);
        match self.group_mut(page) {
            Some(Slot::Together(shares)) => shares.bytes_mut(place, most),
            Some(Slot::Table(table)) => {
                let slots = table.0[place..].iter_mut().take(most);
                FrameShare::run_mut(slots.map_while(Slot::share_mut))
            }
            _ => &mut [],
        }
    }

    /// What is kept of `page`, to be changed.
    pub fn get_mut(&mut self, page: u64) -> Option<&mut [u8]> {
        let bytes = self.run_mut(page, 1);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Frames that can be [put](Self::put) to `page` and those after it: what `allocate` gives for
    /// up to `most`, as many as one group has without a frame. None if there are none, or there is
    /// no memory for what leads to them.
    ///
    /// # Panics
    /// Not all of these pages are below [`LIMIT`].
    pub fn frames_for(
        &mut self,
        page: u64,
        most: u64,
        allocate: impl FnOnce(u64) -> Option<FrameRun>,
    ) -> Option<FrameRun> {
        let group = self.make_group(page, most).ok()?;
        let vacant = group.gap(place(page), most as usize) as u64;
        let frames = allocate(vacant)?;
        group.prepare(place(page), &frames).ok()?;
        Some(frames)
    }

    /// Keeps these frames, of those that there are [for it](Self::frames_for), for the pages from
    /// `page` on. Without frames no table stays that was made for them.
    pub fn put(&mut self, page: u64, frames: FrameRun) {
        if frames.is_empty() {
            self.remove(page..page + 1);
            return;
        }
        self.count += (frames.len() / FRAME_SIZE) as u64;
        if let Some(group) = self.group_mut(page) {
            group.put(place(page), frames);
        }
    }

    /// Has something kept of `page`: what `make` gives, if there is nothing.
    ///
    /// # Errors
    /// There is no memory for it or for what leads to it; nothing has changed.
    ///
    /// # Panics
    /// `page` is not below [`LIMIT`].
    pub fn keep(
        &mut self,
        page: u64,
        make: impl FnOnce() -> Option<Frame>,
    ) -> Result<(), OutOfMemory> {
        if self.get(page).is_some() {
            return Ok(());
        }
        let frame = make().ok_or(OutOfMemory)?;
        if self.is_empty() && page < FANOUT {
            self.root = Slot::Together(ShareRun::new(page as usize, frame.into()));
            (self.height, self.count) = (1, 1);
            return Ok(());
        }
        match self.frames_for(page, 1, |_| Some(frame.into())) {
            Some(frame) => {
                self.put(page, frame);
                Ok(())
            }
            None => {
                // Tables that lead nowhere.
                self.remove(page..page + 1);
                Err(OutOfMemory)
            }
        }
    }

    /// The group of `page`, in a tree that has `count` pages from there on, or all of the group's.
    #[inline]
    fn make_group(&mut self, page: u64, count: u64) -> Result<&mut Slot, OutOfMemory> {
        assert!(page < LIMIT, "page {page} is beyond every file");
        let last = (page | (FANOUT - 1)).min(page + count - 1);
        while self.height == 0 || last >= pages(self.height) {
            self.grow()?;
        }
        let mut slot = &mut self.root;
        for height in (2..=self.height).rev() {
            if let Slot::Empty = slot {
                *slot = Slot::Table(Table::new()?);
            }
            let Slot::Table(table) = slot else {
                unreachable!("groups are at the bottom of the tree");
            };
            slot = &mut table.0[index(page, height)];
        }
        Ok(slot)
    }

    /// Puts a table on top.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        if !self.is_empty() {
            let mut table = Table::new()?;
            table.0[0] = mem::take(&mut self.root);
            self.root = Slot::Table(table);
        }
        self.height += 1;
        Ok(())
    }

    /// Calls `each` with what is kept of these pages.
    pub fn for_each(&mut self, pages: Range<u64>, each: &mut dyn FnMut(&mut [u8])) {
        visit(&mut self.root, self.height, pages, each);
    }

    /// Gives back the frames of these pages, and tables that lead to none any more, or to the
    /// first pages alone.
    pub fn remove(&mut self, pages: Range<u64>) {
        self.count -= remove(&mut self.root, self.height, pages);
        while self.height > 1
            && let Slot::Table(table) = &mut self.root
            && table.0[1..].iter().all(Slot::is_empty)
        {
            self.root = mem::take(&mut table.0[0]);
            self.height -= 1;
        }
        if self.is_empty() {
            self.height = 0;
        }
    }

    /// The first page from `from` on that has a frame.
    pub fn next(&self, from: u64) -> Option<u64> {
        next(&self.root, self.height, from)
    }

    /// The first page from `from` on that has none.
    pub fn next_gap(&self, from: u64) -> u64 {
        match from < pages(self.height) {
            true => next_gap(&self.root, self.height, from).unwrap_or(pages(self.height)),
            false => from,
        }
    }

    /// How many frames there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many frames there are from this page on.
    pub fn count_from(&self, first: u64) -> u64 {
        match first {
            0 => self.count,
            _ => count(&self.root, self.height, first),
        }
    }

    /// Whether no page is kept.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

#[cfg(test)]
mod tests;
