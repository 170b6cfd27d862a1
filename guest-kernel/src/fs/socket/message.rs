//! What has arrived at a socket: bytes, and records of which of them belong together, who sent
//! them and what came with them.

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::socket::address::Address;
use crate::fs::socket::bytes::{self, Bytes};
use crate::fs::socket::chain::{Chain, Chained, Next};
use crate::fs::socket::rights::Rights;
use crate::fs::transfer::{self, Source, Step, Target};
use crate::proc::capability::Capability;
use crate::proc::credentials::Ids;
use crate::proc::current;

/// What a record takes of a socket's room beside its bytes: about what Linux reckons, and so
/// as few small messages fit.
const RECORD_COST: usize = 768;

/// Who sent something, as far as the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process; 0 is none.
    pub pid: u32,
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl Credentials {
    /// Those of no process.
    pub const NOBODY: Self = Self {
        pid: 0,
        user: u32::MAX,
        group: u32::MAX,
    };

    /// Those of a message whose receiver was not to be told when it was sent: the user and
    /// group that stand for those who have no number.
    pub const UNTOLD: Self = Self {
        pid: 0,
        user: 65_534,
        group: 65_534,
    };

    /// Those of the current process, as a peer sees them: as whom it acts.
    pub fn own() -> Self {
        let credentials = &current().credentials;
        Self {
            pid: current().pid(),
            user: credentials.users().effective,
            group: credentials.groups().effective,
        }
    }

    /// The same, as receivers of messages see them: who has started it.
    pub fn real() -> Self {
        let credentials = &current().credentials;
        Self {
            pid: current().pid(),
            user: credentials.users().real,
            group: credentials.groups().real,
        }
    }

    /// Fails unless the current process may say that these are its own.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_own(self) -> Result<(), Errno> {
        let process = current();
        let own = &process.credentials;
        let has = |ids: Ids, id| [ids.real, ids.effective, ids.saved].contains(&id);
        for (is_own, right) in [
            (self.pid == process.pid(), Capability::SysAdmin),
            (has(own.users(), self.user), Capability::Setuid),
            (has(own.groups(), self.group), Capability::Setgid),
        ] {
            if !is_own {
                process.require(right)?;
            }
        }
        Ok(())
    }
}

/// What comes with bytes.
#[derive(Default)]
pub struct Attached {
    /// Who says that they sent them.
    pub credentials: Option<Credentials>,
    /// Open files.
    pub rights: Option<Rights>,
}

/// A message, or bytes of a stream that came with the same things.
pub struct Record {
    len: Cell<usize>,
    /// The sender's address.
    pub source: Address,
    credentials: Credentials,
    rights: RefCell<Option<Rights>>,
    next: Next<Self>,
}

impl Record {
    /// A record of `len` bytes.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(
        len: usize,
        source: Address,
        credentials: Credentials,
        rights: Option<Rights>,
    ) -> Result<Shared<Self>, OutOfMemory> {
        Shared::new(Self {
            len: Cell::new(len),
            source,
            credentials,
            rights: RefCell::new(rights),
            next: RefCell::new(None),
        })
    }

    /// Its length in bytes, as far as nobody has read them.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Who sent it.
    pub fn credentials(&self) -> Credentials {
        self.credentials
    }

    /// The files that came with it: for one who only looks, a copy.
    pub fn rights(&self, peek: bool) -> Option<Rights> {
        if peek {
            return self.rights.borrow().as_ref().and_then(Rights::copy);
        }
        let rights = self.rights.take()?;
        rights.set_in_inbox(false);
        Some(rights)
    }

    /// Notes that it is in an inbox now.
    pub fn enter(&self) {
        self.with_rights(|rights| rights.set_in_inbox(true));
    }

    fn has_rights(&self) -> bool {
        self.rights.borrow().is_some()
    }

    /// Calls `look` with the files that came with it, if any did.
    pub fn with_rights(&self, look: impl FnOnce(&Rights)) {
        if let Some(rights) = &*self.rights.borrow() {
            look(rights);
        }
    }
}

/// Records of an inbox.
pub enum Records {}

impl Chained<Records> for Record {
    fn next(&self) -> &Next<Self> {
        &self.next
    }
}

/// What has arrived and nobody has read.
pub struct Inbox {
    bytes: Bytes,
    records: Chain<Record, Records>,
}

impl Inbox {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            bytes: Bytes::new(),
            records: Chain::new(),
        }
    }

    /// Bytes that there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Messages that there are.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.records.len() == 0
    }

    /// What comes next.
    pub fn first(&self) -> Option<Shared<Record>> {
        self.records.first().cloned()
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = Shared<Record>> + use<> {
        self.records.iter()
    }

    /// What is used of the room.
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.records.len() * RECORD_COST
    }

    /// Bytes that a stream has room for, if all may cost `capacity`.
    pub fn room(&self, capacity: usize) -> usize {
        capacity
            .min(bytes::LIMIT)
            .saturating_sub(self.cost() + RECORD_COST)
    }

    /// Whether a message of `len` bytes fits, if all may cost `capacity`: one always does.
    pub fn fits(&self, len: usize, capacity: usize) -> bool {
        let fits = self.bytes.len() + len <= bytes::LIMIT;
        self.is_empty() || (fits && self.cost() + len <= capacity)
    }

    /// Appends some bytes of a stream from `source`, up to `most`, and the files that come with
    /// them, which then are there no more.
    ///
    /// # Errors
    /// There is no memory.
    pub fn write(
        &mut self,
        source: &mut dyn Source,
        most: usize,
        credentials: Credentials,
        rights: &mut Option<Rights>,
    ) -> Result<Step, OutOfMemory> {
        let joined = self.records.last().cloned().filter(|last| {
            rights.is_none() && !last.has_rights() && last.credentials == credentials
        });
        let record = match &joined {
            Some(last) => last.clone(),
            None => Record::new(0, Address::None, credentials, None)?,
        };
        let step = self.bytes.take(source, most)?;
        record.len.set(record.len() + step.moved);
        if joined.is_none() && step.moved > 0 {
            *record.rights.borrow_mut() = rights.take();
            record.enter();
            self.records.push(record);
        }
        Ok(step)
    }

    /// Appends a message.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn push(&mut self, bytes: &Bytes, record: Shared<Record>) -> Result<(), OutOfMemory> {
        self.bytes.reserve(bytes.len())?;
        let mut done = 0;
        while done < bytes.len() {
            let piece = bytes.piece(done);
            self.bytes.append(piece)?;
            done += piece.len();
        }
        self.records.push(record);
        Ok(())
    }

    /// The bytes from `offset` on, as far as they are in one piece and in the first record
    /// that is not before it.
    pub fn piece(&self, offset: usize) -> &[u8] {
        self.bytes.piece(offset)
    }

    /// Drops `count` bytes of the first record, and the record if no more are left.
    pub fn skip(&mut self, count: usize) -> Option<Shared<Record>> {
        let record = self.records.first()?;
        let count = count.min(record.len());
        record.len.set(record.len() - count);
        self.bytes.skip(count);
        match record.len() {
            0 => self.records.pop(),
            _ => None,
        }
    }
}

/// The bytes of one message, before it is sent: so that a fault of the sender's memory does
/// not stop it halfway.
///
/// # Errors
/// EFAULT; ENOBUFS: there is no memory.
pub fn gather(source: &mut dyn Source) -> Result<Bytes, Errno> {
    let mut bytes = Bytes::new();
    let len = source.left() as u64;
    let moved = transfer::run(source, |source, _| {
        bytes
            .take(source, bytes::LIMIT)
            .map_err(|OutOfMemory| Errno::ENOBUFS)
    })?;
    match moved == len {
        true => Ok(bytes),
        false => Err(Errno::EFAULT),
    }
}

/// Copies the front of the first record, `record`, to `target`, as far as there is room.
///
/// # Errors
/// EFAULT.
pub fn copy_first(
    inbox: &RefCell<Inbox>,
    record: &Record,
    target: &mut dyn Target,
) -> Result<u64, Errno> {
    let len = record.len();
    transfer::run(target, |target, done| {
        let done = done as usize;
        let inbox = inbox.borrow();
        // Another thread may have taken it while a fault was resolved.
        let is_first = inbox
            .first()
            .is_some_and(|first| core::ptr::eq::<Record>(&*first, record));
        let piece = inbox.piece(done);
        let wanted = piece.len().min(len - done).min(target.left());
        Ok(match wanted > 0 && is_first {
            true => Step::copied(target.put(&piece[..wanted]), wanted),
            false => Step::stop(),
        })
    })
}
