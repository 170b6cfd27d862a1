//! Restartable sequences (`rseq`): short code of a program that is to run to its end without
//! another thread of this CPU in between, and that starts anew if one has come.
//!
//! A thread shares an area with the kernel, in which it names the section that it is in. What the
//! area says of CPU and concurrency, which is the CPU's number, is written as the thread goes on on
//! another CPU; there is one node. The section is looked at only where it matters: after a thread has been
//! preempted, and before a handler is called. Rejected: a look at each switch, as a thread that
//! blocks is in a system call, which a section must not make.
//!
//! ```text
//! area:     | CPU at start | CPU | section | flags | node | concurrency | (Linux: struct rseq)
//! section:  | version, flags | start | length | where to go on instead |  (struct rseq_cs)
//! ```

use abi::Errno;
use abi::virtual_map::USER_END;
use arch::processors;
use arch::trap::UserContext;
use mm::user_memory::BadAddress;
use mm::{AddressSpace, UserPtr, UserSlice};

use crate::proc::exit;
use crate::proc::signal::Signal;
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;

/// Bytes of an area that say something.
pub const FEATURE_SIZE: u64 = 28;
/// What areas are aligned to, and bytes of those of the first version.
pub const ALIGNMENT: u64 = 32;

/// Offset of the section in an area.
const SECTION: u64 = 8;
/// Offset of the number that no other thread of the program that runs has.
const CONCURRENCY: u64 = 24;
/// What stands before the instruction at which a thread goes on: proof that it is meant to.
const SIGNATURE_SIZE: u64 = size_of::<u32>() as u64;
/// No CPU yet.
const UNINITIALIZED: u32 = u32::MAX;

/// What a thread shares with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Where it is; 0: nowhere.
    pub address: u64,
    /// Its bytes.
    pub len: u32,
    /// What marks the places at which the thread goes on.
    pub signature: u32,
}

impl Area {
    /// A thread that has none.
    pub const NONE: Self = Self {
        address: 0,
        len: 0,
        signature: 0,
    };

    fn check(self) -> Result<(), Errno> {
        let len = u64::from(self.len);
        let alignment = match len {
            ALIGNMENT => ALIGNMENT,
            _ => align_of::<u64>() as u64,
        };
        if len < ALIGNMENT || !self.address.is_multiple_of(alignment) {
            return Err(Errno::EINVAL);
        }
        Ok(UserSlice::new(self.address, len).check()?)
    }

    /// Says that the thread is on `cpu`, and in no section.
    fn fill(self, space: &AddressSpace, at_start: u32, cpu: u32) -> Result<(), BadAddress> {
        let words = [at_start, cpu, 0, 0, 0, 0, at_start];
        UserPtr::new(self.address).write(space, &words)
    }

    /// Says that it is on `cpu`.
    fn move_to(self, space: &AddressSpace, cpu: u32) -> Result<(), BadAddress> {
        UserPtr::new(self.address).write(space, &[cpu, cpu])?;
        UserPtr::new(self.address.wrapping_add(CONCURRENCY)).write(space, &cpu)
    }
}

impl Thread {
    /// Shares `area` with the kernel.
    ///
    /// # Errors
    /// As Linux has them: EBUSY or, where it is another one, EINVAL: there is one already.
    /// EPERM: with another signature.
    pub fn register_area(&self, area: Area) -> Result<(), Errno> {
        let own = self.area.get();
        if own.address != 0 {
            self.check_same(area)?;
            return Err(Errno::EBUSY);
        }
        area.check()?;
        let cpu = processors::number();
        area.fill(&self.process().space(), cpu as u32, cpu as u32)?;
        self.area.set(area);
        self.area_cpu.set(cpu);
        Ok(())
    }

    /// Shares it no longer.
    ///
    /// # Errors
    /// As Linux has them.
    pub fn unregister_area(&self, area: Area) -> Result<(), Errno> {
        if self.area.get().address == 0 {
            return Err(Errno::EINVAL);
        }
        self.check_same(area)?;
        area.fill(&self.process().space(), 0, UNINITIALIZED)?;
        self.area.set(Area::NONE);
        Ok(())
    }

    fn check_same(&self, area: Area) -> Result<(), Errno> {
        let own = self.area.get();
        if (area.address, area.len) != (own.address, own.len) {
            return Err(Errno::EINVAL);
        }
        match area.signature == own.signature {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }

    /// The thread goes on, as the current one: says on which CPU if it is another one. A program
    /// whose area is not there any more is ended.
    pub(super) fn note_cpu(&self) {
        let (area, cpu) = (self.area.get(), processors::number());
        if area.address == 0 || self.area_cpu.replace(cpu) == cpu {
            return;
        }
        let process = self.process();
        if area.move_to(&process.space(), cpu as u32).is_err() {
            exit::doom(process, WaitStatus::killed(Signal::SIGSEGV));
        }
    }

    /// Has the section end in which the thread may have been preempted.
    pub(super) fn note_preemption(&self) {
        if self.area.get().address != 0 {
            self.attention.set(true);
        }
    }
}

/// The thread, a new one, begins.
pub fn begin(thread: &Thread) {
    thread.note_cpu();
}

/// Leaves the section in which the current thread, whose program is in state `context`, was
/// interrupted. A program that names a section that makes no sense is ended.
pub(super) fn leave_section_or_end(thread: &Thread, context: &mut UserContext) {
    if leave_section(thread, context).is_err() {
        exit::end_process(WaitStatus::killed(Signal::SIGSEGV));
    }
}

/// The same; such a program's section is a bad address.
pub(super) fn leave_section(thread: &Thread, context: &mut UserContext) -> Result<(), BadAddress> {
    let area = thread.area.get();
    if area.address == 0 {
        return Ok(());
    }
    let space = thread.process().space();
    let pointer = UserPtr::<u64>::new(area.address.wrapping_add(SECTION));
    let section = pointer.read(&space)?;
    if section == 0 {
        return Ok(());
    }
    let [head, start, len, other] = UserPtr::<[u64; 4]>::new(section).read(&space)?;
    let (version, flags) = (head as u32, head >> u32::BITS);
    let is_inside = |address: u64| address.wrapping_sub(start) < len;
    let end = start.checked_add(len).ok_or(BadAddress)?;
    if version != 0 || end >= USER_END || other >= USER_END || is_inside(other) {
        return Err(BadAddress);
    }
    let signature = UserPtr::<u32>::new(other.wrapping_sub(SIGNATURE_SIZE)).read(&space)?;
    if signature != area.signature {
        return Err(BadAddress);
    }
    if is_inside(context.instruction_pointer()) {
        let [area_flags] = UserPtr::<[u32; 1]>::new(area.address + SECTION + 8).read(&space)?;
        // They once kept sections from starting anew.
        if flags != 0 || area_flags != 0 {
            return Err(BadAddress);
        }
        context.continue_at(other).map_err(|_| BadAddress)?;
    }
    pointer.write(&space, &0)
}
