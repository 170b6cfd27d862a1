//! What this layer keeps of each process, by the slot that it has in the table of processes.
//! Slots are made as there.

use core::array;
use core::cell::{Cell, RefCell};

use mm::{OutOfMemory, Owned, Shared};
use single_cpu::SingleCpu;

use crate::fs::file_table::FileTable;
use crate::fs::mount::Namespace;
use crate::fs::opened::Running;
use crate::fs::surroundings::Surroundings;
use crate::proc::process::Process;
use crate::proc::table::{IN_IMAGE, MOST};

/// What there is for a process.
pub struct ProcessSlot {
    /// Its open files.
    pub files: RefCell<Option<Shared<FileTable>>>,
    /// Where its paths start.
    pub surroundings: RefCell<Option<Shared<Surroundings>>>,
    /// The mounts that it sees; `None` for those of the first namespace.
    pub mounts: RefCell<Option<Shared<Namespace>>>,
    /// The file that it runs; `None` if it is the first program's.
    pub runs: RefCell<Option<Shared<Running>>>,
    /// That of the program that it is about to run.
    pub will_run: RefCell<Option<Shared<Running>>>,
}

impl ProcessSlot {
    const fn unused() -> Self {
        Self {
            files: RefCell::new(None),
            surroundings: RefCell::new(None),
            mounts: RefCell::new(None),
            runs: RefCell::new(None),
            will_run: RefCell::new(None),
        }
    }
}

/// Slots that are made at once.
const BLOCK: usize = 32;
const BLOCKS: usize = (MOST - IN_IMAGE) / BLOCK;
type Block = Cell<Option<&'static [ProcessSlot; BLOCK]>>;

static FIRST: SingleCpu<[ProcessSlot; IN_IMAGE]> =
    SingleCpu::new([const { ProcessSlot::unused() }; IN_IMAGE]);
static MORE: SingleCpu<[Block; BLOCKS]> = SingleCpu::new([const { Cell::new(None) }; BLOCKS]);

/// That of a process.
///
/// # Panics
/// It has none: see [`make`].
pub fn of(process: &Process) -> &'static ProcessSlot {
    let place = process.place();
    match SingleCpu::value(&FIRST).get(place) {
        Some(slot) => slot,
        None => in_block(place - IN_IMAGE).expect("a process has its slot from the start"),
    }
}

/// Makes that of a new process, if it is the first in its place.
///
/// # Errors
/// There is no memory.
pub fn make(process: &Process) -> Result<(), OutOfMemory> {
    if let Some(place) = process.place().checked_sub(IN_IMAGE)
        && in_block(place).is_none()
    {
        let block = Owned::new(array::from_fn(|_| ProcessSlot::unused()))?;
        MORE[place / BLOCK].set(Some(block.leak()));
    }
    Ok(())
}

fn in_block(place: usize) -> Option<&'static ProcessSlot> {
    MORE[place / BLOCK].get()?.get(place % BLOCK)
}
