//! A program's state as Linux hands it to a signal handler and takes it back:
//! `struct sigcontext` (Linux: arch/x86/include/uapi/asm/sigcontext.h) and the 512 bytes
//! of `fxsave64` beside it.
//!
//! The state that comes back is untrusted. Only values that ring 3 could have loaded by
//! itself are accepted; a selector, address or MXCSR that the return to ring 3 would fault
//! on is refused here, where the fault is the program's.

use abi::virtual_map::USER_END;
use x86::{RFlags, fx};

use crate::descriptors::{USER_CODE, USER_DATA};
use crate::trap::{Exception, FxState, Registers, UserContext};

/// Words of `struct sigcontext`.
pub const WORDS: usize = 32;
/// Bytes of what `fxsave64` saves.
pub const FX_SIZE: usize = size_of::<FxState>();

/// `struct sigcontext` as numbers.
pub type MachineState = [u64; WORDS];

/// Which word is what, after the 15 general registers.
mod place {
    pub const GENERAL: usize = 15;
    pub const RSP: usize = 15;
    pub const RIP: usize = 16;
    pub const RFLAGS: usize = 17;
    /// cs, gs, fs, ss, 16 bits each.
    pub const SELECTORS: usize = 18;
    pub const ERROR: usize = 19;
    pub const VECTOR: usize = 20;
    pub const FAULT_ADDRESS: usize = 22;
    pub const FX: usize = 23;
}

/// cs and ss of ring 3, and null selectors between them.
const SELECTORS: u64 = USER_CODE as u64 | (USER_DATA as u64) << 48;

/// Not a valid state of ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState;

/// Where `MachineState` says that the state of x87 and SSE is; 0: nowhere.
pub fn fx_address(state: &MachineState) -> u64 {
    state[place::FX]
}

/// In the order of `struct sigcontext`.
fn general(registers: &mut Registers) -> [&mut u64; place::GENERAL] {
    let [rdi, rsi, rdx, r10, r8, r9] = &mut registers.arguments;
    [
        r8,
        r9,
        r10,
        &mut registers.r11,
        &mut registers.r12,
        &mut registers.r13,
        &mut registers.r14,
        &mut registers.r15,
        rdi,
        rsi,
        &mut registers.rbp,
        &mut registers.rbx,
        rdx,
        &mut registers.rax,
        &mut registers.rcx,
    ]
}

impl UserContext {
    /// Its stack pointer.
    pub fn stack_pointer(&self) -> u64 {
        self.frame.rsp
    }

    /// Address of its next instruction.
    pub fn instruction_pointer(&self) -> u64 {
        self.frame.rip
    }

    /// Goes on at `rip` instead, with all registers as they are.
    ///
    /// # Errors
    /// No program can be there.
    pub fn continue_at(&mut self, rip: u64) -> Result<(), BadState> {
        if rip >= USER_END {
            return Err(BadState);
        }
        self.set_return(rip, self.frame.rflags);
        Ok(())
    }

    /// Everything but x87 and SSE, which are to be at `fx`; and the exception that the
    /// program has to handle, if it is one.
    pub fn machine_state(&self, exception: Option<Exception>, fx: u64) -> MachineState {
        let mut state = [0; WORDS];
        let mut registers = self.registers;
        for (word, register) in state.iter_mut().zip(general(&mut registers)) {
            *word = *register;
        }
        state[place::RSP] = self.frame.rsp;
        state[place::RIP] = self.frame.rip;
        state[place::RFLAGS] = self.frame.rflags;
        state[place::SELECTORS] = SELECTORS;
        if let Some(exception) = exception {
            state[place::ERROR] = exception.error.into();
            state[place::VECTOR] = exception.vector.into();
            state[place::FAULT_ADDRESS] = exception.address;
        }
        state[place::FX] = fx;
        state
    }

    /// The state of x87 and SSE.
    pub fn fx_state(&self) -> &[u8; FX_SIZE] {
        &self.fx.0
    }

    /// Takes both back; without `fx`, x87 and SSE start anew. Flags that ring 3 cannot set
    /// are not taken.
    ///
    /// # Errors
    /// The state is not valid in ring 3; nothing is changed.
    pub fn set_machine_state(
        &mut self,
        state: &MachineState,
        fx: Option<[u8; FX_SIZE]>,
    ) -> Result<(), BadState> {
        const CS_AND_SS: u64 = 0xffff << 48 | 0xffff;
        let is_of_ring_3 = state[place::SELECTORS] & CS_AND_SS == SELECTORS;
        if !is_of_ring_3 || state[place::RIP] >= USER_END {
            return Err(BadState);
        }
        let fx = fx.map_or(FxState::INITIAL, FxState);
        if fx.mxcsr() & !self.fx.mxcsr_mask() != 0 {
            return Err(BadState);
        }
        self.fx = fx;
        for (register, word) in general(&mut self.registers).into_iter().zip(state) {
            *register = *word;
        }
        self.frame.rsp = state[place::RSP];
        self.set_return(state[place::RIP], state[place::RFLAGS]);
        Ok(())
    }

    /// Lets the program continue in a function of its own, as if it had been called with
    /// `stack` pointing to the return address. x87 and SSE start anew.
    ///
    /// # Errors
    /// The address cannot be that of a function; nothing is changed.
    pub fn call(&mut self, function: u64, arguments: [u64; 3], stack: u64) -> Result<(), BadState> {
        const FOREIGN: RFlags = RFlags::DIRECTION_FLAG
            .union(RFlags::TRAP_FLAG)
            .union(RFlags::NESTED_TASK);
        if function >= USER_END {
            return Err(BadState);
        }
        let [rdi, rsi, rdx, ..] = &mut self.registers.arguments;
        [*rdi, *rsi, *rdx] = arguments;
        self.registers.rax = 0;
        self.fx = FxState::INITIAL;
        self.frame.rsp = stack;
        self.set_return(function, self.frame.rflags & !FOREIGN.bits());
        Ok(())
    }

    /// Restarts system call `number`, which has just been served.
    pub fn repeat_call(&mut self, number: u64) {
        /// Both entries are instructions of two bytes.
        const SIZE: u64 = 2;
        self.registers.rax = number;
        self.set_return(self.frame.rip.wrapping_sub(SIZE), self.frame.rflags);
    }

    /// Makes the return keep all registers, which `sysretq` cannot.
    fn set_return(&mut self, rip: u64, rflags: u64) {
        self.serve_as_syscall(rip, rflags);
    }
}

impl FxState {
    fn u32_at(&self, offset: usize) -> u32 {
        let bytes = &self.0[offset..offset + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn mxcsr(&self) -> u32 {
        self.u32_at(fx::MXCSR_AT)
    }

    /// The defined bits of MXCSR, as the CPU reports them.
    fn mxcsr_mask(&self) -> u32 {
        match self.u32_at(fx::MXCSR_MASK_AT) {
            0 => fx::MXCSR_MASK_DEFAULT,
            mask => mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::{RFLAGS_INITIAL, RFLAGS_USER, vector};

    fn context() -> UserContext {
        let mut context = UserContext::new(0x40_1000, 0x7000_0000);
        context.registers.arguments[4] = 8;
        context.registers.rcx = 3;
        context
    }

    #[test]
    fn states_come_back_as_they_were() {
        let old = context();
        let state = old.machine_state(None, 0);
        assert_eq!((state[0], state[14]), (8, 3));
        let mut new = UserContext::new(0, 0);
        assert_eq!(new.set_machine_state(&state, Some(*old.fx_state())), Ok(()));
        assert_eq!(new.machine_state(None, 0), state);
        assert_eq!(new.frame.vector, u64::from(vector::INT_80));
    }

    #[test]
    fn what_ring_3_cannot_have_is_refused() {
        let refuses = |change: fn(&mut MachineState)| {
            let mut state = context().machine_state(None, 0);
            change(&mut state);
            context().set_machine_state(&state, None) == Err(BadState)
        };
        assert!(refuses(|state| state[place::SELECTORS] = 0x08 | 0x10 << 48));
        assert!(refuses(|state| state[place::SELECTORS] &= 0xffff));
        assert!(refuses(|state| state[place::RIP] = USER_END));
        assert!(refuses(|state| state[place::RIP] = 1 << 63));
        assert!(!refuses(|state| state[place::RSP] = 1 << 63));
    }

    #[test]
    fn forbidden_flags_are_not_taken() {
        let mut state = context().machine_state(None, 0);
        state[place::RFLAGS] = !RFlags::INTERRUPT_FLAG.bits();
        let mut new = context();
        assert_eq!(new.set_machine_state(&state, None), Ok(()));
        let flags = RFLAGS_USER.bits() | RFLAGS_INITIAL;
        assert_eq!(new.frame.rflags, flags);
    }

    #[test]
    fn reserved_bits_of_mxcsr_are_refused() {
        let state = context().machine_state(None, 0);
        let mut fx = *context().fx_state();
        fx[fx::MXCSR_AT + 2] = 1;
        let set = context().set_machine_state(&state, Some(fx));
        assert_eq!(set, Err(BadState));
    }

    #[test]
    fn calls_are_repeated_from_their_instruction() {
        let mut context = context();
        context.repeat_call(39);
        assert_eq!(context.registers.rax, 39);
        assert_eq!(context.frame.rip, 0x40_0ffe);
    }
}
