//! Which pseudo-terminals there are: each has a number, which is its name in `/dev/pts`, from
//! when its master is opened until that is closed and no session has it any more.

use core::cell::RefCell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Owned, Shared, quota};
use single_cpu::SingleCpu;

use crate::fs::device::DeviceNumber;
use crate::fs::events::epoll::Watches;
use crate::fs::node::{Kind, Node};
use crate::fs::number_map::NumberMap;
use crate::fs::open_file::Object;
use crate::fs::proc_files::ProcFile;
use crate::fs::terminal::{Back, Master, MasterSide, Settings, Terminal, WindowSize, of_session};
use crate::fs::transfer::{Source, Target};
use crate::proc::current;

/// Major number of slaves (Linux, Documentation/admin-guide/devices.txt).
const MAJOR: u32 = 136;

/// Most that there are at a time, as on Linux.
pub const MOST: usize = 4096;

/// Permission bits of a slave.
const MODE: u32 = 0o620;

/// A pseudo-terminal with what is in `/dev/pts`.
struct Entry {
    terminal: Shared<Terminal>,
    node: Shared<Node>,
}

static ENTRIES: SingleCpu<RefCell<NumberMap<Entry>>> =
    SingleCpu::new(RefCell::new(NumberMap::EMPTY));

/// The numbers of a pseudo-terminal as a device.
pub fn device_number(number: u32) -> DeviceNumber {
    DeviceNumber {
        major: MAJOR,
        minor: number,
    }
}

/// Whether a device with this number would be a pseudo-terminal.
pub fn is_pseudo(number: DeviceNumber) -> bool {
    number.major == MAJOR
}

fn find<R>(number: u32, tell: impl FnOnce(&Entry) -> R) -> Option<R> {
    let entries = ENTRIES.borrow();
    let entry = entries.get(number as usize)?;
    (!entry.terminal.is_hung_up()).then(|| tell(entry))
}

/// What is in `/dev/pts` for this number.
pub fn node(number: u32) -> Option<Shared<Node>> {
    find(number, |entry| entry.node.clone())
}

/// The lowest number from `from` on that is in `/dev/pts`.
pub fn next(from: u32) -> Option<u32> {
    let entries = ENTRIES.borrow();
    let mut numbers = from as usize..;
    loop {
        let number = entries.next(numbers.next()?)?;
        let entry = entries.get(number)?;
        if !entry.terminal.is_hung_up() {
            return u32::try_from(number).ok();
        }
        numbers = number + 1..;
    }
}

/// The one that `is_it`, also if it has been hung up.
pub fn find_terminal(is_it: impl Fn(&Terminal) -> bool) -> Option<Shared<Terminal>> {
    let entries = ENTRIES.borrow();
    let numbers = core::iter::successors(entries.next(0), |number| entries.next(number + 1));
    let mut terminals = numbers.filter_map(|number| Some(&entries.get(number)?.terminal));
    terminals.find(|terminal| is_it(terminal)).cloned()
}

/// Opens the master of a new one.
///
/// # Errors
/// ENOSPC: there are too many. ENOMEM.
pub fn open_master() -> Result<Object, Errno> {
    quota::check_file()?;
    let number = ENTRIES.borrow_mut().first_missing(0);
    if number >= MOST {
        return Err(Errno::ENOSPC);
    }
    let minor = number as u32;
    let size = WindowSize {
        rows: 0,
        columns: 0,
        pixels: [0; 2],
    };
    let back = Back::Master(Owned::new(MasterSide::new(minor)?)?);
    let terminal = Shared::new(Terminal::new(back, Settings::PSEUDO, size))?;
    terminal.input.borrow_mut().prepare()?;
    let kind = Kind::Characters(device_number(minor));
    let node = Node::with_number(kind, MODE, ProcFile::Pseudo(minor).number())?;
    let credentials = &current().credentials;
    node.set_owner(credentials.users().files, credentials.groups().files);
    node.add_link();
    let entry = Entry {
        terminal: terminal.clone(),
        node,
    };
    ENTRIES.borrow_mut().put(number, entry, false)?;
    Ok(Object::Master(Master::new(terminal)))
}

/// Opens a slave of the one with this number, with these flags of `open`.
///
/// # Errors
/// EIO: there is none, or it is locked.
pub fn open_pseudo(number: DeviceNumber, flags: u32) -> Result<Object, Errno> {
    let terminal = find(number.minor, |entry| entry.terminal.clone()).ok_or(Errno::EIO)?;
    if terminal.master().is_some_and(MasterSide::is_locked) {
        return Err(Errno::EIO);
    }
    let slave = Slave::open(terminal);
    let (process, terminal) = (current(), slave.terminal());
    let session = process.session();
    let may_control = flags & linux::O_NOCTTY == 0 && session == process.pid();
    if may_control && terminal.session() == 0 && of_session(session).is_none() {
        terminal.be_claimed(session, process.group());
    }
    Ok(Object::Slave(slave))
}

/// Takes it out if neither its master nor a session has it any more.
pub fn forget_if_gone(terminal: &Terminal) {
    let Some(master) = terminal.master() else {
        return;
    };
    if !terminal.is_hung_up() || terminal.session() != 0 {
        return;
    }
    let mut entries = ENTRIES.borrow_mut();
    let gone = entries.take(master.number as usize);
    if entries.next(0).is_none() {
        *entries = NumberMap::EMPTY;
    }
    drop(entries);
    // What goes with it must find nothing borrowed.
    drop(gone);
}

/// A slave of a pseudo-terminal, as an open file.
pub struct Slave(Shared<Terminal>);

impl Slave {
    /// Another of `terminal`.
    pub fn open(terminal: Shared<Terminal>) -> Self {
        let slave = Self(terminal);
        slave.side().add_slave();
        slave
    }

    /// Its terminal.
    pub fn terminal(&self) -> &Shared<Terminal> {
        &self.0
    }

    /// # Panics
    /// The terminal is no pseudo-terminal.
    fn side(&self) -> &MasterSide {
        self.0.master().expect("it is a pseudo-terminal")
    }

    /// Reads as [`Terminal::read`] does, out of the way of what is read more often.
    ///
    /// # Errors
    /// As there.
    #[inline(never)]
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        self.0.read(target, nonblocking)
    }

    /// Writes as [`Terminal::write`] does.
    ///
    /// # Errors
    /// As there.
    #[inline(never)]
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        self.0.write(source, nonblocking)
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.side().of_slaves
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.side().remove_slave();
    }
}
