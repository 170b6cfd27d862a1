//! How the kernel has the VMM copy and clear memory where ring 0 is slow: a request in guest
//! memory, and one port.
//!
//! ```text
//! kernel                                           VMM
//! writes a request anywhere in RAM
//! writes its physical address to the port   -----> walks the page tables, copies,
//! reads how much has been done                     and says how much, in one exit
//! ```
//!
//! On a software-backed KVM `rep movsq` moves 1 to 3 MB a second. The VMM does what that
//! instruction would do in ring 0 with the request's page tables, and stops where it would fault,
//! or earlier: the kernel goes on with the instruction itself, which then faults as ever.
//!
//! Rejected: physical addresses, for which the kernel would have to walk page tables, at half
//! a microsecond an instruction; and an error code, which the instruction gives.

/// Words of 8 bytes of a request, in this order.
///
/// | word | is |
/// |---|---|
/// | 0 | [`COPY`] or [`FILL`] |
/// | 1 | physical address of the top page table |
/// | 2 | virtual address to write to |
/// | 3 | virtual address to copy from, or the byte to fill with |
/// | 4 | how many bytes |
/// | 5 | the answer: how many bytes, from the first on, have been written |
pub const WORDS: usize = 6;
/// Index of the answer.
pub const DONE: usize = 5;

/// Copies, from the first byte on.
pub const COPY: u64 = 1;
/// Fills with one byte.
pub const FILL: u64 = 2;

/// The VMM does no more than so many bytes at once.
pub const MOST: u64 = 1 << 20;
