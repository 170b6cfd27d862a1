//! Software-backed KVM: traps of programs that arrive in another form.
//!
//! Where KVM runs ring 3 without hardware virtualization (PVM), two instructions of
//! programs do not behave as manuals say. Both can be recognized without doubt, so they are
//! corrected on every machine; on a real CPU these cases do not arise, or are only a system
//! call by an unusual jump.
//!
//! The third remedy, `sysret=off` on the command line, is in `trap.S`; the fourth,
//! `smap=off`, in `user_copy.rs`; the fifth, `copies=port`, in `copies.rs`.

use abi::virtual_map::USER_END;
use x86::PageFaultErrorCode;

use crate::processors;
use crate::shared;
use crate::trap::{Exception, Trap, UserContext, syscall_target, vector};
use crate::user_copy;

/// The first byte of `int n`; the second is the vector.
const INT_N: u8 = 0xcd;
const INT_N_SIZE: u64 = 2;

/// The error code of a page fault by a fetch in ring 3.
const USER_FETCH: PageFaultErrorCode =
    PageFaultErrorCode::USER_MODE.union(PageFaultErrorCode::INSTRUCTION_FETCH);

/// The trap that `exception` should have been; `context` is changed to match.
pub fn put_right(context: &mut UserContext, exception: Exception) -> Trap {
    match exception.vector {
        vector::UD => int_n(context, exception),
        vector::PF => syscall_in_ring_3(context, exception),
        _ => Trap::Exception(exception),
    }
}

/// `int n` arrives as #UD, with rip at the instruction. What it does depends on the DPL
/// of the gate: those of `int 0x80` and `int 3` are open, any other is #GP with the
/// gate's selector as error code (Intel SDM vol. 2A, INT n).
fn int_n(context: &mut UserContext, exception: Exception) -> Trap {
    const IDT_SELECTOR: u32 = 1 << 1;
    let mut code = [0; INT_N_SIZE as usize];
    if user_copy::from_user(&mut code, exception.rip).is_err() || code[0] != INT_N {
        return Trap::Exception(exception);
    }
    shared::count(&shared::PAGE.int80_as_undefined_opcode);
    let next = exception.rip + INT_N_SIZE;
    match code[1] {
        vector::INT_80 => {
            context.serve_as_syscall(next, context.rflags());
            Trap::Syscall
        }
        vector::BP => Trap::Exception(Exception {
            vector: vector::BP,
            rip: next,
            ..exception
        }),
        number => Trap::Exception(Exception {
            vector: vector::GP,
            error: u32::from(number) << 3 | IDT_SELECTOR,
            ..exception
        }),
    }
}

/// `syscall` jumps to LSTAR but stays in ring 3, which cannot execute there. Return address
/// and flags are in rcx and r11, as untrusted as all registers of a program: only its own
/// return depends on them.
fn syscall_in_ring_3(context: &mut UserContext, exception: Exception) -> Trap {
    let target = syscall_target(processors::current());
    let rip = context.registers.rcx;
    let error = PageFaultErrorCode::from_bits_retain(exception.error.into());
    let is_syscall = error.contains(USER_FETCH)
        && exception.rip == target
        && exception.address == target
        && rip < USER_END;
    if !is_syscall {
        return Trap::Exception(exception);
    }
    shared::count(&shared::PAGE.syscall_as_page_fault);
    context.serve_as_syscall(rip, context.registers.r11);
    Trap::Syscall
}
