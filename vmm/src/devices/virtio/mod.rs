//! Virtio (VIRTIO 1.2): devices that take their work from queues in guest memory, so that one
//! access to a register stands for as much as the guest has put there.
//!
//! ```text
//!   register window ──► mmio::Transport ──► Queue (virtio-queue) ──► guest RAM
//!                              ▲                                        ▲
//!                    console::VirtioConsole ── bytes ────────────────────┘
//! ```
//!
//! Registers, rings, descriptors, addresses and lengths are guest input: the work of a
//! notification is bounded, and a queue that makes no sense stops the device until the guest
//! resets it.

mod console;
mod mmio;

pub use console::{ScreenSize, VirtioConsole};
pub use mmio::QUEUE_SIZE;

#[cfg(test)]
mod tests;
