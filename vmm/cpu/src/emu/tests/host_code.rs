//! What the compiler made of functions of ours.

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Whether some way through the function at `start` calls what a register leads to, and returns
/// what that has returned.
pub fn calls_next(start: u64) -> bool {
    let (mut known, mut ways) = (HashSet::new(), vec![start]);
    while let Some(ip) = ways.pop() {
        if !known.insert(ip) {
            continue;
        }
        let insn = instruction_of_host(ip);
        match insn.flow_control() {
            FlowControl::UnconditionalBranch => ways.push(insn.near_branch_target()),
            FlowControl::ConditionalBranch => {
                ways.extend([insn.near_branch_target(), insn.next_ip()]);
            }
            FlowControl::IndirectCall if !insn.is_ip_rel_memory_operand() => {
                if returns(insn.next_ip()) {
                    return true;
                }
                ways.push(insn.next_ip());
            }
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                ways.push(insn.next_ip());
            }
            _ => {}
        }
    }
    false
}

/// Whether the function does nothing any more at `ip` but return.
fn returns(mut ip: u64) -> bool {
    loop {
        let insn = instruction_of_host(ip);
        let frees_stack = insn.mnemonic() == Mnemonic::Pop
            || insn.mnemonic() == Mnemonic::Vzeroupper
            || insn.op0_register() == Register::RSP;
        match insn.mnemonic() {
            Mnemonic::Ret => return true,
            Mnemonic::Jmp if insn.op0_kind() == OpKind::NearBranch64 => {
                ip = insn.near_branch_target();
            }
            _ if frees_stack => ip = insn.next_ip(),
            _ => return false,
        }
    }
}

fn instruction_of_host(ip: u64) -> Instruction {
    const LONGEST: usize = 15;
    let code = std::ptr::with_exposed_provenance::<u8>(ip as usize);
    // SAFETY: code of this program, before its end by far more than an instruction.
    let bytes = unsafe { std::slice::from_raw_parts(code, LONGEST) };
    Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode()
}

/// What the likely way through the function at `ip` ends with: the compiler lays it out
/// so that conditional branches are not taken.
pub fn first_transfer(mut ip: u64) -> FlowControl {
    const MOST: usize = 200;
    for _ in 0..MOST {
        let insn = instruction_of_host(ip);
        match insn.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => ip = insn.next_ip(),
            FlowControl::UnconditionalBranch => ip = insn.near_branch_target(),
            // What comes back from there is followed.
            FlowControl::Call | FlowControl::IndirectCall => ip = insn.next_ip(),
            end => return end,
        }
    }
    FlowControl::Exception
}
