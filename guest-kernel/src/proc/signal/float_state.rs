//! Floating point in a handler's frame: Linux's `struct _xstate` (arch/x86/include/uapi/asm/
//! sigcontext.h).
//!
//! ```text
//! 0     x87 and SSE, as fxsave64 has them; in its last bytes a mark: how large the rest is
//! 512   the components in use, and those of the extended state    } if there is such a thing
//! size  another mark                                              }
//! ```
//!
//! A program that looks for the marks finds all that is to be saved; one that makes a frame
//! without them, as of a machine without extended state, gets that as after reset.

use arch::extended_state;
use arch::trap::UserContext;
use arch::trap::machine_state::FX_SIZE;
use mm::address_space::AddressSpace;
use mm::extended_state::ExtendedState;
use mm::user_memory::BadAddress;
use mm::{UserPtr, UserSlice};
use x86::{XCr0Flags, fx, xsave};

use crate::proc::extended_state::start_anew;

/// `FP_XSTATE_MAGIC1` and `FP_XSTATE_MAGIC2`.
const MARK: u32 = 0x4650_5853;
const END_MARK: u32 = 0x4650_5845;
const END_SIZE: usize = size_of::<u32>();
/// What its address is a multiple of.
pub const ALIGNMENT: u64 = xsave::ALIGN as u64;
/// The smallest state with a header.
const MIN_SIZE: u64 = (FX_SIZE + xsave::HEADER_LEN) as u64;

const X87: u64 = XCr0Flags::X87.bits();
const SSE: u64 = XCr0Flags::SSE.bits();

/// `struct _fpx_sw_bytes`, in words: the mark and the size with the end mark, the components,
/// the size.
fn software() -> [u64; 3] {
    let size = extended_state::size();
    let whole = (size + END_SIZE) as u64;
    [
        u64::from(MARK) | whole << 32,
        extended_state::components(),
        size as u64,
    ]
}

/// Bytes in a handler's frame.
pub fn size() -> u64 {
    let end = if is_extended() { END_SIZE } else { 0 };
    (extended_state::size() + end) as u64
}

/// What `uc_flags` says of it: `UC_FP_XSTATE`, if there is an extended state.
pub fn context_flag() -> u64 {
    u64::from(is_extended())
}

fn is_extended() -> bool {
    extended_state::size() != FX_SIZE
}

/// Writes the current thread's state, whose x87 and SSE are in `context`.
///
/// # Errors
/// It is not the program's memory, or there is none for a copy.
pub fn push(space: &AddressSpace, at: u64, context: &UserContext) -> Result<(), BadAddress> {
    let mut image = *context.fx_state();
    if !is_extended() {
        return put(space, at, &image);
    }
    let places = image[fx::SOFTWARE_AT..].as_chunks_mut().0;
    for (place, word) in places.iter_mut().zip(software()) {
        *place = word.to_le_bytes();
    }
    put(space, at, &image)?;
    let state = ExtendedState::of_cpu().map_err(|_| BadAddress)?;
    put(space, at.wrapping_add(FX_SIZE as u64), state.rest())?;
    let end = at.wrapping_add(extended_state::size() as u64);
    UserPtr::new(end).write(space, &END_MARK)
}

/// Takes the current thread's state from there: loads the extended state, and returns x87
/// and SSE.
///
/// # Errors
/// It is not the program's memory, or the CPU has no such extended state.
pub fn restore(space: &AddressSpace, at: u64) -> Result<[u8; FX_SIZE], BadAddress> {
    let mut image = [0; FX_SIZE];
    UserSlice::new(at, FX_SIZE as u64).copy_in(space, &mut image)?;
    let Some(wanted) = marked(space, at, &image)? else {
        start_anew();
        return Ok(image);
    };
    let mut state = ExtendedState::copy_in(space, at.wrapping_add(FX_SIZE as u64))?;
    state.keep(wanted);
    state.load();
    let components = state.components();
    // What is not in use is as after reset, whatever its bytes are (Intel SDM vol. 1 13.8.1).
    if components & X87 == 0 {
        for part in [0..fx::MXCSR_AT, fx::ST_AT..fx::XMM_AT] {
            image[part.clone()].copy_from_slice(&fx::INITIAL[part]);
        }
    }
    if components & SSE == 0 {
        image[fx::XMM_AT..fx::SOFTWARE_AT].fill(0);
    }
    Ok(image)
}

/// The components that a frame with both marks is to restore.
fn marked(space: &AddressSpace, at: u64, image: &[u8; FX_SIZE]) -> Result<Option<u64>, BadAddress> {
    let words = image[fx::SOFTWARE_AT..].as_chunks().0;
    let [first, components, size] = [0, 1, 2].map(|number| u64::from_le_bytes(words[number]));
    let (mark, whole, size) = (first as u32, first >> 32, size & u64::from(u32::MAX));
    let fits = size >= MIN_SIZE && size <= whole && size <= extended_state::size() as u64;
    if mark != MARK || !fits {
        return Ok(None);
    }
    let end: u32 = UserPtr::new(at.wrapping_add(size)).read(space)?;
    Ok((end == END_MARK).then_some(components))
}

fn put(space: &AddressSpace, at: u64, bytes: &[u8]) -> Result<(), BadAddress> {
    UserSlice::new(at, bytes.len() as u64).copy_out(space, bytes)
}
