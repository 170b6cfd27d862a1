//! The area that `xsave` writes and `xrstor` reads (SDM vol. 1 13.4): the image of `fxsave64`,
//! a header, then a place for each further component. It is aligned to [`ALIGN`].

use crate::fx;

/// Alignment of an area, in bytes.
pub const ALIGN: usize = 64;
/// Offset of the components in use, of 8 bytes: bits as in XCR0.
pub const IN_USE_AT: usize = fx::LEN;
/// Offset of the components that have a place, of 8 bytes: zero in the standard format, with
/// [`COMPACTED`] in the compacted one.
pub const FORMAT_AT: usize = IN_USE_AT + 8;
/// The bit of the compacted format.
pub const COMPACTED: u64 = 1 << 63;
/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Offset of the high halves of the YMM registers, in both formats.
pub const YMM_HIGH_AT: usize = fx::LEN + HEADER_LEN;
/// Bytes of them.
pub const YMM_HIGH_LEN: usize = 16 * 16;
