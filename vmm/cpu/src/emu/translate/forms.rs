//! Other forms of instructions, which do the same.

use iced_x86::{Code, Instruction, OpKind, Register};

use crate::emu::translate::emit::Refused;

/// The same in a form that has no register by its opcode, if there is one: the guest's rax is
/// not in the host's.
pub fn general(insn: &Instruction) -> Result<Instruction, Refused> {
    use Code as C;
    let code = match insn.code() {
        C::Cbw => return extension(C::Movsx_r16_rm8, Register::AX, Register::AL),
        C::Cwde => return extension(C::Movsx_r32_rm16, Register::EAX, Register::AX),
        C::Cdqe => return extension(C::Movsxd_r64_rm32, Register::RAX, Register::EAX),
        C::Add_AL_imm8 => C::Add_rm8_imm8,
        C::Add_AX_imm16 => C::Add_rm16_imm16,
        C::Add_EAX_imm32 => C::Add_rm32_imm32,
        C::Add_RAX_imm32 => C::Add_rm64_imm32,
        C::Or_AL_imm8 => C::Or_rm8_imm8,
        C::Or_AX_imm16 => C::Or_rm16_imm16,
        C::Or_EAX_imm32 => C::Or_rm32_imm32,
        C::Or_RAX_imm32 => C::Or_rm64_imm32,
        C::Adc_AL_imm8 => C::Adc_rm8_imm8,
        C::Adc_AX_imm16 => C::Adc_rm16_imm16,
        C::Adc_EAX_imm32 => C::Adc_rm32_imm32,
        C::Adc_RAX_imm32 => C::Adc_rm64_imm32,
        C::Sbb_AL_imm8 => C::Sbb_rm8_imm8,
        C::Sbb_AX_imm16 => C::Sbb_rm16_imm16,
        C::Sbb_EAX_imm32 => C::Sbb_rm32_imm32,
        C::Sbb_RAX_imm32 => C::Sbb_rm64_imm32,
        C::And_AL_imm8 => C::And_rm8_imm8,
        C::And_AX_imm16 => C::And_rm16_imm16,
        C::And_EAX_imm32 => C::And_rm32_imm32,
        C::And_RAX_imm32 => C::And_rm64_imm32,
        C::Sub_AL_imm8 => C::Sub_rm8_imm8,
        C::Sub_AX_imm16 => C::Sub_rm16_imm16,
        C::Sub_EAX_imm32 => C::Sub_rm32_imm32,
        C::Sub_RAX_imm32 => C::Sub_rm64_imm32,
        C::Xor_AL_imm8 => C::Xor_rm8_imm8,
        C::Xor_AX_imm16 => C::Xor_rm16_imm16,
        C::Xor_EAX_imm32 => C::Xor_rm32_imm32,
        C::Xor_RAX_imm32 => C::Xor_rm64_imm32,
        C::Cmp_AL_imm8 => C::Cmp_rm8_imm8,
        C::Cmp_AX_imm16 => C::Cmp_rm16_imm16,
        C::Cmp_EAX_imm32 => C::Cmp_rm32_imm32,
        C::Cmp_RAX_imm32 => C::Cmp_rm64_imm32,
        C::Test_AL_imm8 => C::Test_rm8_imm8,
        C::Test_AX_imm16 => C::Test_rm16_imm16,
        C::Test_EAX_imm32 => C::Test_rm32_imm32,
        C::Test_RAX_imm32 => C::Test_rm64_imm32,
        C::Xchg_r16_AX => C::Xchg_rm16_r16,
        C::Xchg_r32_EAX => C::Xchg_rm32_r32,
        C::Xchg_r64_RAX => C::Xchg_rm64_r64,
        _ => return Ok(*insn),
    };
    let mut general = *insn;
    general.set_code(code);
    Ok(general)
}

fn extension(code: Code, to: Register, from: Register) -> Result<Instruction, Refused> {
    Ok(Instruction::with2(code, to, from)?)
}

/// The same by CL, of a rotation by an immediate.
pub fn by_cl(insn: &Instruction) -> Option<Instruction> {
    let code = match insn.code() {
        Code::Rol_rm8_imm8 => Code::Rol_rm8_CL,
        Code::Rol_rm16_imm8 => Code::Rol_rm16_CL,
        Code::Rol_rm32_imm8 => Code::Rol_rm32_CL,
        Code::Rol_rm64_imm8 => Code::Rol_rm64_CL,
        Code::Ror_rm8_imm8 => Code::Ror_rm8_CL,
        Code::Ror_rm16_imm8 => Code::Ror_rm16_CL,
        Code::Ror_rm32_imm8 => Code::Ror_rm32_CL,
        Code::Ror_rm64_imm8 => Code::Ror_rm64_CL,
        _ => return None,
    };
    let mut by_cl = *insn;
    by_cl.set_code(code);
    by_cl.set_op1_kind(OpKind::Register);
    by_cl.set_op1_register(Register::CL);
    Some(by_cl)
}
