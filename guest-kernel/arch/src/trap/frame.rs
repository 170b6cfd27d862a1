//! What a trap leaves of a program on its kernel stack: by the CPU, and by `trap.S`.

use core::mem::{offset_of, size_of};

use abi::trace::Kind;
use x86::fx;

use super::Exception;
use crate::trace;

/// What `fxsave64` saves.
#[derive(Clone)]
#[repr(C, align(16))]
pub(super) struct FxState(pub [u8; fx::LEN]);

impl FxState {
    /// After reset and `fninit`: all exceptions masked, registers zero.
    pub const INITIAL: Self = Self(fx::INITIAL);
}

/// What the CPU pushes on a trap, the error code (or a zero in its place) first, after
/// the vector that the stub pushes (Intel SDM vol. 3A 7.14.2).
#[derive(Clone)]
#[repr(C)]
pub(super) struct TrapFrame {
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// The CPU pushes downwards, ss first and the error code last; the stub adds the vector.
const _: () = {
    assert!(size_of::<TrapFrame>() == 7 * 8);
    assert!(offset_of!(TrapFrame, ss) == 48);
    assert!(offset_of!(TrapFrame, rsp) == 40);
    assert!(offset_of!(TrapFrame, rflags) == 32);
    assert!(offset_of!(TrapFrame, cs) == 24);
    assert!(offset_of!(TrapFrame, rip) == 16);
    assert!(offset_of!(TrapFrame, error) == 8);
    assert!(offset_of!(TrapFrame, vector) == 0);
};

impl TrapFrame {
    /// Tells the VMM of this trap, which is `exception` if it is one.
    #[cold]
    pub fn trace(&self, exception: Option<Exception>) {
        let (vector, error, rip, address) = match exception {
            Some(it) => (it.vector.into(), it.error.into(), it.rip, it.address),
            None => (self.vector, self.error, self.rip, 0),
        };
        let [cs, rflags, rsp, ss] = [self.cs, self.rflags, self.rsp, self.ss];
        let words = [vector, error, rip, cs, rflags, rsp, ss, address];
        trace::send(Kind::Trap, &words);
    }
}

/// The general registers but rsp, in the order in which `trap.S` leaves them. Those that
/// system calls have their arguments in are next to each other, so that nothing is moved
/// for a call.
#[derive(Clone, Copy)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub rbp: u64,
    pub rbx: u64,
    /// rdi, rsi, rdx, r10, r8, r9.
    pub arguments: Arguments,
    pub rcx: u64,
    pub rax: u64,
}

impl Registers {
    pub(super) const ZERO: Self = Self {
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        r11: 0,
        rbp: 0,
        rbx: 0,
        arguments: [0; 6],
        rcx: 0,
        rax: 0,
    };
}

/// The arguments of a system call, in order; calls that have fewer ignore the rest.
pub type Arguments = [u64; 6];
