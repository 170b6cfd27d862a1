//! Those above this layer who want to hear of each signal, because programs read signals.

use core::cell::Cell;

use single_cpu::SingleCpu;

use crate::proc::resources;

static COUNT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// There is one more.
pub fn add() {
    COUNT.set(COUNT.get() + 1);
}

/// There is one less.
pub fn remove() {
    COUNT.set(COUNT.get() - 1);
}

/// Tells them that a signal is pending.
pub(super) fn tell() {
    if COUNT.get() > 0 {
        resources::keeper().signal_came();
    }
}
