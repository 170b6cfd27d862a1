//! Instructions by the host's own, in stubs that are made when they are decoded: AVX, AVX2,
//! FMA, F16C, AES, SHA, BMI and the like.
//!
//! They are hundreds of forms without a list: [`forms`] says by a rule which they are, the
//! [`stub`](crate::emu::code::stub) of each is worked out from iced's tables, and [`exec`] has
//! a handler for each place of the operand in memory. Those that reach memory element by
//! element ([`gather`]) or are about all registers ([`upper`]) have handlers of their own.
//!
//! Rejected: handlers for each form, as SSE has them (800 more functions), and stubs in the
//! emulator's own text (one for each form and immediate, most never used).

pub mod exec;
pub mod forms;
pub mod gather;
pub mod upper;
