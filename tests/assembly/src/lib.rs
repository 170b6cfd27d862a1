//! Machine code for guests of tests, as assembler text that the compiler assembles.
//!
//! ```text
//! text:  .quad  end - start     a function that nobody calls
//! start: ...                    what `code!` returns
//! end:
//! ```
//!
//! The text is Intel's syntax, 64-bit unless it says `.code32` or `.code16`. Labels are
//! numbers from 2 on (`2:`, `jne 2b`): 0 and 1 look like binary numbers. The code does not
//! know its address, so it reaches others by register: `mov eax, {there}`, `call rax`.
//!
//! Rejected: an assembler as a library, whose compilation took longer than all other
//! dependencies of the tests together; an assembler program, which the host may lack.

#![no_std]

use core::slice;

/// The bytes of some instructions: `code!("mov eax, {answer}", "hlt", answer = const 42)`.
/// `990b` and `991f` are where they begin and end.
#[macro_export]
macro_rules! code {
    ($($line:literal),* $(, $name:ident = const $value:expr)* $(,)?) => {{
        #[unsafe(naked)]
        extern "C" fn text() {
            ::core::arch::naked_asm!(
                ".quad 991f - 990f",
                "990:",
                $($line,)*
                "991:",
                ".code64",
                $($name = const $value,)*
            )
        }
        // SAFETY: that is how it begins.
        unsafe { $crate::bytes(text) }
    }};
}

/// The bytes after the length that `text` begins with.
///
/// # Safety
/// `text` is so many bytes after eight that say how many.
#[doc(hidden)]
pub unsafe fn bytes(text: extern "C" fn()) -> &'static [u8] {
    let start: *const u8 = text as *const () as *const u8;
    // SAFETY: the caller says so, and code is never written or unmapped.
    unsafe {
        let len = start.cast::<u64>().read_unaligned();
        slice::from_raw_parts(start.add(8), len as usize)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_becomes_bytes() {
        const ANSWER: u32 = 42;
        let code = code!("2: mov eax, {answer}", "jmp 2b", answer = const ANSWER);
        assert_eq!(code, [0xb8, 42, 0, 0, 0, 0xeb, 0xf9]);
        assert_eq!(code!(), []);
    }

    #[test]
    fn modes_end_with_the_text() {
        assert_eq!(code!(".code32", "inc eax"), [0x40]);
        assert_eq!(code!(".code16", "inc eax"), [0x66, 0x40]);
        assert_eq!(code!("inc eax"), [0xff, 0xc0]);
        assert_eq!(code!("mov rax, {wide}", wide = const 1_u64 << 47).len(), 10);
        assert_eq!(code!("mov byte ptr [0x20000], 9").len(), 8);
    }
}
