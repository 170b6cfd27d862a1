//! Process descriptors and their table.
//!
//! A descriptor stays where it is, so that a reference to it may be kept. Its fields are
//! grouped by who may touch them. The saved registers are not among them: they lie at the
//! top of the kernel stack, where the CPU puts them, and belong to [`crate::ring3`].

use core::cell::{Cell, RefCell, RefMut};
use core::fmt;

use super::end::WaitStatus;
use crate::arch::kernel_stack::KernelStack;
use crate::arch::trap::UserContext;
use crate::arch::{SingleCpu, exit};
use crate::fs::FileTable;
use crate::mm::{AddressSpace, frames};

/// Processes that there can be at once.
const LIMIT: usize = 256;

const NAME_LEN: usize = 15;

static TABLE: SingleCpu<[Process; LIMIT]> = SingleCpu::new([const { Process::unused() }; LIMIT]);

/// Index of the process that runs, or whose system call does.
static CURRENT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none in this slot of the table.
    Unused,
    /// It has the CPU.
    Running,
    /// It waits for something.
    Blocked,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounting {
    /// Timer ticks that came while it ran.
    pub ticks: u64,
    /// System calls that it made.
    pub syscalls: u64,
}

/// A process descriptor.
pub struct Process {
    // Set as the slot is filled, constant until it is emptied.
    pid: Cell<u32>,
    name: Cell<Name>,
    kernel_stack: Cell<Option<KernelStack>>,

    // The scheduler's.
    state: Cell<State>,
    accounting: Cell<Accounting>,

    // The process's own: touched by its system calls and faults only.
    space: RefCell<Option<AddressSpace>>,
    files: RefCell<FileTable>,
}

impl Process {
    const fn unused() -> Self {
        Self {
            pid: Cell::new(0),
            name: Cell::new(Name::EMPTY),
            kernel_stack: Cell::new(None),
            state: Cell::new(State::Unused),
            accounting: Cell::new(Accounting {
                ticks: 0,
                syscalls: 0,
            }),
            space: RefCell::new(None),
            files: RefCell::new(FileTable::EMPTY),
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.get()
    }

    /// Name of its program.
    pub fn name(&self) -> Name {
        self.name.get()
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// For the scheduler alone.
    pub(super) fn set_state(&self, state: State) {
        self.state.set(state);
    }

    /// Changes what it has used.
    pub fn account(&self, change: impl FnOnce(&mut Accounting)) {
        let mut accounting = self.accounting.get();
        change(&mut accounting);
        self.accounting.set(accounting);
    }

    /// Enters ring 3 for the first time, as `context` says; `main` serves its traps. Must
    /// be the current process.
    ///
    /// # Panics
    /// It is already running.
    pub fn start(
        &self,
        context: UserContext,
        main: extern "C" fn(&'static mut UserContext) -> !,
    ) -> ! {
        let stack = self.kernel_stack.take();
        stack.expect("a process starts once").start(context, main)
    }

    /// Its memory.
    pub fn space(&self) -> RefMut<'_, AddressSpace> {
        RefMut::map(self.space.borrow_mut(), |space| {
            space.as_mut().expect("a process has memory")
        })
    }

    /// Its open files.
    pub fn files(&self) -> RefMut<'_, FileTable> {
        self.files.borrow_mut()
    }
}

/// A program's name, cut to 15 bytes as Linux does.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; NAME_LEN],
    len: u8,
}

impl Name {
    const EMPTY: Self = Self {
        bytes: [0; NAME_LEN],
        len: 0,
    };

    /// The last component of a path.
    pub fn of(path: &[u8]) -> Self {
        let name = last_component(path);
        let len = name.len().min(NAME_LEN);
        let mut bytes = [0; NAME_LEN];
        bytes[..len].copy_from_slice(&name[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..usize::from(self.len)].escape_ascii().fmt(f)
    }
}

/// What follows the last slash.
pub fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The process that runs, or whose system call or fault is being served.
pub fn current() -> &'static Process {
    &TABLE[CURRENT.get()]
}

/// Why there is no new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// The table is full.
    TooMany,
    /// Memory is short.
    OutOfMemory,
}

/// Puts a process that runs the program `name` in the table and makes it the current one:
/// its address space is active when this returns.
///
/// # Errors
/// See [`SpawnError`].
pub fn spawn(
    name: Name,
    space: AddressSpace,
    files: FileTable,
) -> Result<&'static Process, SpawnError> {
    let free = TABLE
        .iter()
        .position(|process| process.state() == State::Unused);
    let index = free.ok_or(SpawnError::TooMany)?;
    let process = &TABLE[index];
    let stack = KernelStack::new(frames::for_kernel, &mut frames::for_tables)
        .ok_or(SpawnError::OutOfMemory)?;
    space.activate();
    process.kernel_stack.set(Some(stack));
    process.pid.set(index as u32 + 1);
    process.name.set(name);
    process.accounting.set(Accounting::default());
    *process.space.borrow_mut() = Some(space);
    *process.files.borrow_mut() = files;
    process.state.set(State::Running);
    CURRENT.set(index);
    Ok(process)
}

/// Ends the current process. The first process takes the machine with it.
pub fn end(status: WaitStatus) -> ! {
    exit::exit(status.guest_exit())
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_last_components_cut_short() {
        assert_eq!(Name::of(b"/bin/hello").to_string(), "hello");
        assert_eq!(Name::of(b"sh").to_string(), "sh");
        assert_eq!(
            Name::of(b"/bin/abcdefghijklmnopqrst").to_string(),
            "abcdefghijklmno"
        );
        assert_eq!(Name::of(b"/\n\xff").to_string(), "\\n\\xff");
    }
}
