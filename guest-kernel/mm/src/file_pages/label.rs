//! What a file is called is not known here: who knows it labels the file with a number, and hears
//! when the file ends.

use core::cell::Cell;
use core::num::NonZeroU32;

#[cfg(feature = "image")]
use single_cpu::SingleCpu;

use crate::FilePages;

/// Called with the label of a file that has ended.
pub type Forget = fn(NonZeroU32);

#[cfg(feature = "image")]
static FORGET: SingleCpu<Cell<Option<Forget>>> = SingleCpu::new(Cell::new(None));

// Tests run at the same time and each has its own.
#[cfg(not(feature = "image"))]
std::thread_local! {
    static FORGET: Cell<Option<Forget>> = const { Cell::new(None) };
}

/// Says who hears of files with labels that end.
pub fn forget_by(forget: Forget) {
    FORGET.set(Some(forget));
}

impl FilePages {
    /// The label that it has.
    pub fn label(&self) -> Option<NonZeroU32> {
        self.label.get()
    }

    /// Gives it a label, which it keeps.
    pub fn set_label(&self, label: NonZeroU32) {
        self.label.set(Some(label));
    }
}

impl Drop for FilePages {
    fn drop(&mut self) {
        if let (Some(label), Some(forget)) = (self.label.get(), FORGET.get()) {
            forget(label);
        }
    }
}
