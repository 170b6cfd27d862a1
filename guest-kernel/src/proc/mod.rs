//! Processes (k1): descriptors, programs, and who runs when.

pub mod alarm;
pub mod arguments;
mod cpu_time;
pub mod credentials;
pub mod elf;
pub mod event_timer;
pub mod exception;
pub mod execute;
pub mod exit;
pub mod extended_state;
pub mod futex;
pub mod ipc;
pub mod limits;
mod list;
pub mod process;
pub mod program;
pub mod resources;
mod run_queue;
pub mod scheduler;
pub mod script;
pub mod signal;
pub mod spawn;
pub mod stop;
pub mod system;
pub mod table;
pub mod thread;
mod tick;
mod timer_queue;
mod trace;
pub mod wait;
pub mod wait_queue;
pub mod wait_status;

pub use cpu_time::{enter_ring_3, leave_ring_3};
pub use scheduler::{current, current_thread};
