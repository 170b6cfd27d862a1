//! Telling the VMM that the trace ring is full.

use crate::port;

/// Returns when the VMM has read the ring.
pub fn ring() {
    // SAFETY: nothing but the VMM's trace is behind this port.
    unsafe { port::write_u8(abi::ports::TRACE_DOORBELL, 0) };
}
