//! Runs the same code natively and on the emulator, in ring 3, and compares.

use super::machine::{CODE, DATA, KERNEL_CS, KERNEL_STACK, Machine, initial_state};
use super::native::{Fault, Native, UserState, host_is_amd};
use crate::Vcpu;

/// Where the handler of vector 0 is; those of the others follow byte by byte.
const HANDLERS: u64 = 0xb000;
/// `hlt`: ends the code (#GP in ring 3), and each handler.
const HLT: u8 = 0xf4;
const GP: u8 = 13;
/// Has RFLAGS.AC mean alignment checks in ring 3, as hosts do.
const CR0_AM: u64 = 1 << 18;
/// Privilege level 3 and a usable code or data segment.
const RING3: u16 = 0x60;

/// The selectors that Linux gives programs, which `fnstenv` stores.
const HOST_CS: u16 = 0x33;
const HOST_SS: u16 = 0x2b;

/// What the host keeps as the emulator does only if it is AMD's.
const POINTERS: &str = "opcode and pointers";

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::emu) struct Outcome {
    pub(in crate::emu) fault: Option<Fault>,
    pub(in crate::emu) state: UserState,
    pub(in crate::emu) data: Vec<u8>,
}

/// A machine of each kind.
pub(in crate::emu) struct Lockstep {
    machine: Machine,
    /// Bits of RFLAGS that are compared.
    pub(in crate::emu) flags: u64,
}

impl Lockstep {
    pub(in crate::emu) fn new() -> Self {
        let mut machine = Machine::with_code(&[]);
        machine.write(HANDLERS, &[HLT; 32]);
        for vector in 0..32 {
            machine.set_gate(vector, HANDLERS + u64::from(vector), 3, 0);
        }
        Self {
            machine,
            flags: 0xcd5,
        }
    }

    /// Runs `code` on the emulator.
    pub(in crate::emu) fn emulate(
        &mut self,
        code: &[u8],
        state: &UserState,
        data: &[u8],
    ) -> Outcome {
        let machine = &mut self.machine;
        machine.write(CODE, code);
        machine.write(CODE + code.len() as u64, &[HLT]);
        machine.write(DATA, data);
        let mut all = initial_state();
        all.regs.gpr = state.gpr;
        all.regs.rflags = state.rflags;
        all.fx = state.fx;
        all.cr0 |= CR0_AM;
        for (segment, selector) in [
            (&mut all.cs, HOST_CS),
            (&mut all.ss, HOST_SS),
            (&mut all.ds, 0),
            (&mut all.es, 0),
        ] {
            segment.selector = selector;
            segment.attributes |= RING3;
        }
        machine.emulator.set_state(&all).expect("a good state");
        machine.run_to_hlt();
        let end = machine.state();
        assert_eq!(end.cs.selector, KERNEL_CS);
        let vector = (end.regs.rip - HANDLERS - 1) as u8;
        let frame = KERNEL_STACK - 40;
        let fault = Fault {
            vector,
            error: if end.regs.gpr[4] < frame {
                machine.read_u64(frame - 8)
            } else {
                0
            },
            rip: machine.read_u64(frame) - CODE,
        };
        let mut gpr = end.regs.gpr;
        gpr[4] = machine.read_u64(frame + 24);
        let finished = fault.vector == GP && fault.rip == code.len() as u64;
        Outcome {
            fault: (!finished).then_some(fault),
            state: UserState {
                fx: end.fx,
                gpr,
                rflags: machine.read_u64(frame + 16),
            },
            data: (0..data.len() as u64)
                .step_by(8)
                .flat_map(|i| machine.read_u64(DATA + i).to_le_bytes())
                .collect(),
        }
    }

    /// Runs `code` natively.
    pub(in crate::emu) fn execute(&self, code: &[u8], state: &UserState, data: &[u8]) -> Outcome {
        let native = Native::get();
        native.write_data(data);
        let mut state = state.clone();
        let fault = native.run(code, &mut state);
        Outcome {
            fault,
            state,
            data: native.read_data(data.len()),
        }
    }

    /// Runs `code` on both and describes the first difference, if there is one. Tries
    /// again: the host kernel may forget x87 pointers when it switches threads.
    pub(in crate::emu) fn difference(
        &mut self,
        code: &[u8],
        state: &UserState,
        data: &[u8],
    ) -> Option<String> {
        let mut found = None;
        for _ in 0..3 {
            found = self.first_difference(code, state, data);
            if found.is_none() {
                break;
            }
        }
        found
    }

    fn first_difference(&mut self, code: &[u8], state: &UserState, data: &[u8]) -> Option<String> {
        let native = self.execute(code, state, data);
        let emulated = self.emulate(code, state, data);
        if native.fault != emulated.fault {
            let (n, e) = (native.fault, emulated.fault);
            return Some(format!("fault: native {n:x?}, emulated {e:x?}"));
        }
        for n in 0..16 {
            let (a, b) = (native.state.gpr[n], emulated.state.gpr[n]);
            if a != b {
                return Some(format!("register {n}: native {a:#x}, emulated {b:#x}"));
            }
        }
        let (a, b) = (native.state.rflags, emulated.state.rflags);
        if (a ^ b) & self.flags != 0 {
            return Some(format!("flags: native {a:#x}, emulated {b:#x}"));
        }
        // What follows the registers is not the processor's.
        for (what, range) in [
            ("control and status", 0..5),
            (POINTERS, 6..24),
            ("mxcsr", 24..28),
            ("x87 registers", 32..160),
            ("xmm registers", 160..416),
        ] {
            if what == POINTERS && !host_is_amd() {
                continue;
            }
            for at in range.step_by(2) {
                let word =
                    |o: &Outcome| u16::from_le_bytes([o.state.fx.0[at], o.state.fx.0[at + 1]]);
                let (a, b) = (word(&native), word(&emulated));
                if a != b {
                    return Some(format!("{what} at {at}: native {a:#x}, emulated {b:#x}"));
                }
            }
        }
        if native.data != emulated.data {
            let at = (0..data.len()).find(|&i| native.data[i] != emulated.data[i]);
            return Some(format!("data at {at:x?}"));
        }
        None
    }
}
