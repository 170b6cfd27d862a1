//! A pair does what its two instructions do one after the other.

use fastrand::Rng;
use iced_x86::{Code, Encoder, Instruction, MemoryOperand, Register};

use super::machine::{CODE, Machine, STACK, initial_state};
use crate::emu::Emulator;
use crate::exit::VmExit;
use crate::{CpuState, Regs, Vcpu};

/// What comes after the destination.
#[derive(Clone, Copy)]
enum Form {
    Register,
    Number,
    Nothing,
    Based,
    Indexed,
}

/// Instructions of 32 and 64 bits, and a few that are no steps.
const FORMS: &[(Code, Code, Form)] = &[
    (Code::Add_rm32_r32, Code::Add_rm64_r64, Form::Register),
    (Code::Sub_r32_rm32, Code::Sub_r64_rm64, Form::Register),
    (Code::And_rm32_r32, Code::And_rm64_r64, Form::Register),
    (Code::Or_rm32_r32, Code::Or_rm64_r64, Form::Register),
    (Code::Xor_r32_rm32, Code::Xor_r64_rm64, Form::Register),
    (Code::Mov_r32_rm32, Code::Mov_r64_rm64, Form::Register),
    (Code::Adc_r32_rm32, Code::Adc_r64_rm64, Form::Register),
    (Code::Xchg_rm32_r32, Code::Xchg_rm64_r64, Form::Register),
    (Code::Add_rm32_imm32, Code::Add_rm64_imm8, Form::Number),
    (Code::Sub_rm32_imm8, Code::Sub_rm64_imm8, Form::Number),
    (Code::And_rm32_imm8, Code::And_rm64_imm8, Form::Number),
    (Code::Xor_rm32_imm8, Code::Xor_rm64_imm32, Form::Number),
    (Code::Mov_r32_imm32, Code::Mov_r64_imm64, Form::Number),
    (Code::Rol_rm32_imm8, Code::Rol_rm64_imm8, Form::Number),
    (Code::Shl_rm32_imm8, Code::Shl_rm64_imm8, Form::Number),
    (Code::Shr_rm32_imm8, Code::Shr_rm64_imm8, Form::Number),
    (Code::Sar_rm32_imm8, Code::Sar_rm64_imm8, Form::Number),
    (Code::Inc_rm32, Code::Inc_rm64, Form::Nothing),
    (Code::Dec_rm32, Code::Dec_rm64, Form::Nothing),
    (Code::Push_r64, Code::Push_r64, Form::Nothing),
    (Code::Pop_r64, Code::Pop_r64, Form::Nothing),
    (Code::Lea_r32_m, Code::Lea_r64_m, Form::Based),
    (Code::Lea_r32_m, Code::Lea_r64_m, Form::Indexed),
];

const WIDE: [Register; 4] = [Register::RAX, Register::RBX, Register::RSI, Register::R9];
const NARROW: [Register; 4] = [Register::EAX, Register::EBX, Register::ESI, Register::R9D];

/// An instruction of the form, on few registers, so that they are often the same.
fn instruction(random: &mut Rng, form: (Code, Code, Form), wide: bool) -> Instruction {
    let (narrow_code, wide_code, operands) = form;
    let (code, registers) = if wide || narrow_code == wide_code {
        (wide_code, WIDE)
    } else {
        (narrow_code, NARROW)
    };
    let mut any = |registers: [Register; 4]| registers[random.usize(..4)];
    let (dst, src, base, index) = (any(registers), any(registers), any(WIDE), any(WIDE));
    let number = random.i32(-16..48);
    let number = match code {
        Code::Rol_rm32_imm8 | Code::Shl_rm32_imm8 | Code::Shr_rm32_imm8 => number & 0x3f,
        Code::Rol_rm64_imm8 | Code::Shl_rm64_imm8 | Code::Shr_rm64_imm8 => number & 0x7f,
        Code::Sar_rm32_imm8 | Code::Sar_rm64_imm8 => number & 0x7f,
        _ => number,
    };
    match operands {
        Form::Register => Instruction::with2(code, dst, src),
        Form::Number => Instruction::with2(code, dst, number),
        Form::Nothing => Instruction::with1(code, dst),
        Form::Based => {
            let memory = MemoryOperand::with_base_displ(base, i64::from(number));
            Instruction::with2(code, dst, memory)
        }
        Form::Indexed => {
            let memory = MemoryOperand::with_base_index_scale(base, index, 4);
            Instruction::with2(code, dst, memory)
        }
    }
    .expect("operands of the form")
}

fn encode(program: &[Instruction]) -> Vec<u8> {
    let mut encoder = Encoder::new(64);
    for instruction in program {
        // Nothing in them depends on where they are.
        encoder.encode(instruction, CODE).expect("encodable");
    }
    encoder.take_buffer()
}

/// A number that has edges.
fn integer(random: &mut Rng) -> u64 {
    match random.u8(..6) {
        0 => random.u64(..16),
        1 => random.u64(..16).wrapping_neg(),
        2 => 1 << random.u32(..64),
        3 => (1 << random.u32(..64)) - 1,
        _ => random.u64(..),
    }
}

/// What `code` and then `hlt` makes of any registers is the same whether the emulator runs
/// it by the block or an instruction at a time.
fn check(machine: &mut Machine, random: &mut Rng, code: &[u8], name: &str) {
    const HLT: u8 = 0xf4;
    machine.write(CODE, code);
    machine.write(CODE + code.len() as u64, &[HLT]);
    let mut state = initial_state();
    state.regs.gpr = std::array::from_fn(|_| integer(random));
    state.regs.gpr[Regs::RSP] = STACK - 0x100;
    state.regs.rflags |= random.u64(..2);
    let mut run = |run: fn(&mut Emulator)| -> (CpuState, Vec<u64>) {
        machine.write(STACK - 0x200, &[0x5a; 0x200]);
        machine.emulator.set_state(&state).expect("a good state");
        run(&mut machine.emulator);
        let stack = (STACK - 0x200..STACK).step_by(8);
        let stack = stack.map(|at| machine.read_u64(at)).collect();
        (machine.state(), stack)
    };
    let at_once = run(|emulator| assert_eq!(emulator.run().expect("it runs"), VmExit::Hlt));
    let by_steps = run(|emulator| while emulator.step().is_none() {});
    assert_eq!(at_once, by_steps, "{name}");
}

/// Every two forms of both widths, with others around them, so that the choice of pairs
/// varies.
#[test]
fn as_one_after_the_other() {
    let mut machine = Machine::new(&[]);
    let mut random = Rng::with_seed(20);
    for (first, second, wide) in FORMS.iter().flat_map(|first| {
        let second = move |second| [(first, second, true), (first, second, false)];
        FORMS.iter().flat_map(second)
    }) {
        let before = FORMS[random.usize(..FORMS.len())];
        let mut program: Vec<_> = [before, *first, *second]
            .into_iter()
            .map(|form| instruction(&mut random, form, wide))
            .collect();
        // Makes the flags of what comes before this dead.
        let compare = Instruction::with2(Code::Cmp_r64_rm64, Register::RAX, Register::RBX);
        program.push(compare.expect("registers"));
        let codes: Vec<_> = program.iter().map(Instruction::code).collect();
        let name = format!("{codes:?}");
        check(&mut machine, &mut random, &encode(&program), &name);
    }
}

/// What ends blocks: something, a comparison or count, and every condition.
#[test]
fn the_end_of_a_block() {
    const LEADERS: [(Code, Code, Form); 4] = [
        (Code::Mov_r32_rm32, Code::Mov_r64_rm64, Form::Register),
        (Code::Add_r32_rm32, Code::Add_r64_rm64, Form::Register),
        (Code::Add_rm32_imm32, Code::Add_rm64_imm8, Form::Number),
        (Code::Lea_r32_m, Code::Lea_r64_m, Form::Based),
    ];
    const DECIDERS: [(Code, Code, Form); 6] = [
        (Code::Cmp_r32_rm32, Code::Cmp_r64_rm64, Form::Register),
        (Code::Cmp_rm32_imm8, Code::Cmp_rm64_imm8, Form::Number),
        (Code::Test_rm32_r32, Code::Test_rm64_r64, Form::Register),
        (Code::Inc_rm32, Code::Inc_rm64, Form::Nothing),
        (Code::Dec_rm32, Code::Dec_rm64, Form::Nothing),
        (Code::Sub_r32_rm32, Code::Sub_r64_rm64, Form::Register),
    ];
    /// `jo` over the next instruction, the first of sixteen, and `add r9, 1`.
    const JO: [u8; 2] = [0x70, 4];
    const ADD: [u8; 4] = [0x49, 0x83, 0xc1, 1];
    let mut machine = Machine::new(&[]);
    let mut random = Rng::with_seed(21);
    for leader in LEADERS {
        for decider in DECIDERS {
            for condition in 0..16 {
                for wide in [(false, false), (true, true), (true, false)] {
                    let program = [
                        instruction(&mut random, leader, wide.0),
                        instruction(&mut random, decider, wide.1),
                    ];
                    let mut code = encode(&program);
                    code.extend([JO[0] + condition, JO[1]]);
                    code.extend(ADD);
                    let codes = program.map(|insn| insn.code());
                    let name = format!("{codes:?}, condition {condition}");
                    check(&mut machine, &mut random, &code, &name);
                }
            }
        }
    }
}
