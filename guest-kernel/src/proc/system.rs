//! What programs are told of the system. The interface is Linux's, so this is: programs check the
//! release for being recent enough.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use abi::Errno;
use arch::clock;
use mm::{OutOfMemory, Shared};
use single_cpu::SingleCpu;

/// Name of the system.
pub const KERNEL_NAME: &str = "Linux";
/// Its release.
pub const RELEASE: &str = "6.1.0-ringfence";
/// Its version.
pub const VERSION: &str = concat!("#1 Ringfence ", env!("CARGO_PKG_VERSION"));

/// CLOCK_REALTIME at boot.
static BOOT_TIME: AtomicU64 = AtomicU64::new(0);

/// The time of day at boot, in nanoseconds after 1970.
pub fn boot_time_ns() -> u64 {
    BOOT_TIME.load(Relaxed)
}

/// Sets it.
pub fn set_boot_time(ns: u64) {
    BOOT_TIME.store(ns, Relaxed);
}

/// Sets it anew: what has been stamped with the time-stamp counter until now keeps its time.
pub fn change_boot_time(ns: u64) {
    let mut changes = CHANGES.get();
    // What was stamped before all that are known will have the time of the first of them.
    changes.rotate_left(1);
    changes[MOST_CHANGES - 1] = Some((clock::counter(), boot_time_ns()));
    CHANGES.set(changes);
    set_boot_time(ns);
}

/// The time of day at boot, by the clock as it was set when the time-stamp counter was `count`.
pub fn boot_time_at(count: u64) -> u64 {
    let changes = CHANGES.get();
    let mut known = changes.iter().flatten();
    let then = known.find(|(until, _)| count <= *until);
    then.map_or_else(boot_time_ns, |(_, boot_time)| *boot_time)
}

/// Changes of the clock that are known: enough for those who set it once, or step it now and then.
const MOST_CHANGES: usize = 16;

/// The last times that it was changed, the oldest first: the time-stamp counter then, and the time
/// at boot before.
static CHANGES: SingleCpu<Cell<Changes>> = SingleCpu::new(Cell::new([None; MOST_CHANGES]));

type Changes = [Option<(u64, u64)>; MOST_CHANGES];

/// A name that the superuser can change.
#[derive(Clone)]
pub struct Name {
    bytes: Cell<[u8; Self::MAX]>,
    len: Cell<usize>,
}

/// What the machine is called, by those processes that share it.
pub struct Names {
    number: u64,
    /// The machine.
    pub host: Name,
    /// Its domain.
    pub domain: Name,
}

/// For processes that have no names of their own.
static FIRST: SingleCpu<Names> = SingleCpu::new(Names {
    // As on Linux.
    number: 0xefff_fffe,
    host: Name::new(b"ringfence"),
    domain: Name::new(b"(none)"),
});

impl Names {
    /// Those of the first process.
    pub fn first() -> &'static Self {
        &FIRST
    }

    /// A number that no others have.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The same for others, who change them for themselves.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Shared<Self>, OutOfMemory> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let copies = COPIES.fetch_add(1, Relaxed);
        Shared::new(Self {
            // Below those that Linux begins with, so that mounts have others.
            number: FIRST.number - 1 - copies,
            host: self.host.clone(),
            domain: self.domain.clone(),
        })
    }
}

impl Name {
    /// Longest name, in bytes.
    pub const MAX: usize = 64;

    const fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes.split_at_mut(name.len()).0.copy_from_slice(name);
        Self {
            bytes: Cell::new(bytes),
            len: Cell::new(name.len()),
        }
    }

    /// Changes it.
    ///
    /// # Errors
    /// EINVAL: too long.
    pub fn set(&self, name: &[u8]) -> Result<(), Errno> {
        let mut bytes = [0; Self::MAX];
        let place = bytes.get_mut(..name.len()).ok_or(Errno::EINVAL)?;
        place.copy_from_slice(name);
        self.bytes.set(bytes);
        self.len.set(name.len());
        Ok(())
    }

    /// Calls `use_name` with it.
    pub fn with<R>(&self, use_name: impl FnOnce(&[u8]) -> R) -> R {
        use_name(&self.bytes.get()[..self.len.get()])
    }
}
