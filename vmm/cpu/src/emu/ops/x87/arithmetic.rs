//! x87 arithmetic, loads, stores, comparisons and everything else that the host executes
//! on the guest's registers.
//!
//! Every instruction that is not about the environment (see
//! [`x87_env`](crate::emu::ops::x87::x87_env)) is executed by the host itself: `frstor` of
//! the guest's registers, control and status, the instruction, `fnsave`. Exact by
//! construction, transcendental functions and masked and unmasked exceptions included: an
//! x87 exception is only made pending, and the `fnsave` that follows does not wait. An
//! instruction is one of 8 opcodes with a ModRM byte; there is a *stub* (opcode, ModRM,
//! `ret`) for each with registers, and one for each with memory at rdi, which is a buffer
//! here.
//!
//! Rejected: arithmetic in software (long, and hard to verify), and separate handlers that
//! load only what an instruction uses (faster, but x87 code is rare).

use std::arch::{asm, naked_asm};
use std::marker::PhantomData;

use iced_x86::Instruction;
use x86::vector;

use crate::emu::arithmetic::flags::Flags;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Ea, EaKind, General, Indexed};
use crate::emu::engine::{Instr, apart, slow};
use crate::emu::state::control::{CodeSize, bits};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::segment::{CS, FS, GS, Linear};
use crate::emu::state::x87::{X87, status};
use crate::emu::state::x87_frame::{Frame, Frame32};

/// Bytes of a stub.
const STUB_SIZE: u64 = 4;
/// ModRM bytes from here on name registers.
const FIRST_REGISTER: u64 = 0xc0;
/// Stubs with registers, by opcode and ModRM.
const REGISTER_STUBS: u64 = 8 * 64;

/// The stubs: opcodes d8 to df with ModRM c0 to ff, then with each kind of memory
/// operand at rdi.
#[unsafe(naked)]
unsafe extern "C" fn stubs() {
    naked_asm!(
        ".set x87_opcode, 0xd8",
        ".rept 8",
        ".set x87_modrm, 0xc0",
        ".rept 64",
        ".byte x87_opcode, x87_modrm",
        "ret",
        "int3",
        ".set x87_modrm, x87_modrm + 1",
        ".endr",
        ".set x87_opcode, x87_opcode + 1",
        ".endr",
        ".set x87_opcode, 0xd8",
        ".rept 8",
        ".set x87_modrm, 7",
        ".rept 8",
        ".byte x87_opcode, x87_modrm",
        "ret",
        "int3",
        ".set x87_modrm, x87_modrm + 8",
        ".endr",
        ".set x87_opcode, x87_opcode + 1",
        ".endr",
    )
}

/// The largest memory operand, in bytes.
const LARGEST: usize = 10;

/// Executes a stub on `x87`, in which no exception is pending, and on `memory`.
///
/// # Safety
/// A stub is at `address`.
unsafe fn execute(address: u64, x87: &mut X87, memory: &mut [u8; LARGEST], flags: Flags) -> Flags {
    let mut frame = Frame32::of(x87);
    let mut flags = u64::from(flags.0 & !0xfe);
    // SAFETY: the instruction works on x87 registers and flags, and on at most ten bytes
    // at rdi. `fnsave` leaves the x87 state as the ABI wants it: empty, all masked.
    unsafe {
        asm!(
            "frstor [{frame}]",
            "add al, 0x7f",
            "sahf",
            "call {stub}",
            "fnsave [{frame}]",
            "lahf",
            "seto al",
            frame = in(reg) &raw mut frame,
            stub = in(reg) address,
            in("rdi") memory.as_mut_ptr(),
            inout("rax") flags,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
    frame.apply(x87);
    Flags(flags as u16)
}

/// Where the immediate operand of an op has the opcode, in bits 0 to 10; below is the
/// stub's address.
const OPCODE_SHIFT: u32 = 48;

impl Cpu {
    /// #MF if an exception is pending. Without CR0.NE the processor would tell an
    /// external interrupt controller, which no machine here has, and go on.
    #[inline(always)]
    pub fn check_x87(&self) -> Result<(), Stop> {
        if self.regs.x87.pending() && self.control.cr0 & bits::CR0_NE != 0 {
            return Err(Exception::plain(vector::MF).into());
        }
        Ok(())
    }
}

/// The guest's state after an instruction.
struct Executed {
    x87: X87,
    flags: Flags,
    memory: [u8; LARGEST],
}

/// Executes the instruction of `op`, whose operand in memory is at `at` and has the
/// bytes in `memory`.
fn run(cpu: &Cpu, op: &Op, at: Option<Linear>, mut memory: [u8; LARGEST]) -> Executed {
    let mut x87 = cpu.regs.x87.clone();
    if x87.pending() {
        // Ignored: see `check_x87`.
        x87.status &= !status::EXCEPTIONS;
        x87.summarize();
    }
    let address = op.imm.get() & ((1 << OPCODE_SHIFT) - 1);
    // SAFETY: lowering put the address of a stub there.
    let flags = unsafe { execute(address, &mut x87, &mut memory, cpu.regs.flags) };
    x87.status |= cpu.regs.x87.status & status::EXCEPTIONS;
    x87.summarize();
    // SAFETY: `op` is in a live block.
    x87.instruction = unsafe { Op::rip(op) };
    x87.instruction_selector = cpu.control.segments[CS].selector;
    x87.opcode = (op.imm.get() >> OPCODE_SHIFT) as u16;
    (x87.data, x87.data_selector) = if let Some(at) = at {
        let segment = &cpu.control.segments[usize::from(at.segment).min(GS)];
        let flat = cpu.control.code_size == CodeSize::Bits64 && usize::from(at.segment) < FS;
        let base = if flat { 0 } else { segment.base };
        (at.address.wrapping_sub(base), segment.selector)
    } else {
        // In full: the frame has only 32 bits of it.
        (cpu.regs.x87.data, cpu.regs.x87.data_selector)
    };
    Executed { x87, flags, memory }
}

/// An instruction on registers only.
struct Registers;

impl Instr for Registers {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let done = run(cpu, op, None, [0; LARGEST]);
        (cpu.regs.x87, cpu.regs.flags) = (done.x87, done.flags);
        Ok(())
    }
}

/// An instruction that reads `SIZE` bytes.
struct Reads<E, const SIZE: usize>(PhantomData<E>);

impl<E: Ea, const SIZE: usize> Instr for Reads<E, SIZE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let at = E::linear(cpu, op, SIZE as u64, false)?;
        let mut memory = [0; LARGEST];
        read::<M>(cpu, at, &mut memory[..SIZE])?;
        cpu.regs.x87 = run(cpu, op, Some(at), memory).x87;
        Ok(())
    }
}

/// An instruction that writes `SIZE` bytes, unless an exception keeps it from that. The
/// bytes must be writable in any case.
struct Writes<E, const SIZE: usize>(PhantomData<E>);

impl<E: Ea, const SIZE: usize> Instr for Writes<E, SIZE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let at = E::linear(cpu, op, SIZE as u64, true)?;
        let done = run(cpu, op, Some(at), [0; LARGEST]);
        let kept_back = done.x87.status
            & !done.x87.control
            & (status::INVALID | status::OVERFLOW | status::UNDERFLOW);
        if kept_back == 0 {
            write::<M>(cpu, at, &done.memory[..SIZE])?;
        } else if M::SLOW {
            cpu.probe_write(at, SIZE as u64)?;
        } else {
            return Err(Stop::Miss);
        }
        cpu.regs.x87 = done.x87;
        Ok(())
    }
}

/// Reads some bytes.
pub fn read<M: Access>(cpu: &mut Cpu, at: Linear, bytes: &mut [u8]) -> Result<(), Stop> {
    if M::SLOW {
        return cpu.read_bytes(at, bytes);
    }
    let size = bytes.len();
    let host = cpu.mmu.read(at.address, size as u64).ok_or(Stop::Miss)?;
    // SAFETY: the TLB says that these bytes are guest RAM.
    unsafe { std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr(), size) };
    Ok(())
}

/// Writes some bytes, all or none.
pub fn write<M: Access>(cpu: &mut Cpu, at: Linear, bytes: &[u8]) -> Result<(), Stop> {
    if M::SLOW {
        return cpu.write_bytes(at, bytes);
    }
    let size = bytes.len();
    let host = cpu.mmu.write(at.address, size as u64).ok_or(Stop::Miss)?;
    // SAFETY: the TLB says that these bytes are guest RAM and writable.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host, size) };
    Ok(())
}

/// The op's immediate: the stub for opcode and ModRM, and both as the guest sees them.
fn set_stub(op: &mut Op, opcode: u64, modrm: u64) {
    const { assert!(STUB_SIZE * (REGISTER_STUBS + 64) < 1 << OPCODE_SHIFT) }
    let row = opcode & 7;
    let number = if modrm >= FIRST_REGISTER {
        row * 64 + (modrm - FIRST_REGISTER)
    } else {
        REGISTER_STUBS + row * 8 + (modrm >> 3 & 7)
    };
    let address = stubs as *const () as u64 + STUB_SIZE * number;
    op.imm
        .set(address | (row << 8 | modrm & 0xff) << OPCODE_SHIFT);
}

/// Lowers an instruction on registers.
fn lower_registers(site: &Site, _: &Instruction, op: &mut Op) {
    set_stub_of(site, op);
    op.handler = slow::<Registers>;
}

/// Describes the memory operand.
fn set_memory(site: &Site, insn: &Instruction, op: &mut Op) -> EaKind {
    set_stub_of(site, op);
    op.set_memory(site, insn)
}

/// Names the stub by the bytes of the instruction: the guest sees the opcode and the ModRM byte
/// that it really has. Those that the decoder's tables have for it would take milliseconds, for
/// these are made for all instructions at once.
fn set_stub_of(site: &Site, op: &mut Op) {
    /// The first of the eight opcodes.
    const FIRST: u8 = 0xd8;
    // No prefix is one of them.
    let mut bytes = site.bytes.iter().skip_while(|&&byte| byte & !7 != FIRST);
    let mut next = || bytes.next().map_or(0, |&byte| u64::from(byte));
    let opcode = next();
    set_stub(op, opcode, next());
}

macro_rules! by_memory {
    ($name:ident, $form:ident) => {
        fn $name<const SIZE: usize>(site: &Site, insn: &Instruction, op: &mut Op) {
            op.handler = match set_memory(site, insn, op) {
                EaKind::General => slow::<$form<General, SIZE>>,
                _ => apart::<$form<Indexed, SIZE>>,
            };
        }
    };
}

by_memory!(lower_reads, Reads);
by_memory!(lower_writes, Writes);

pub const FORMS: &[Form] = forms! {
    next [lower_registers]:
        Fcmovb_st0_sti Fcmove_st0_sti Fcmovbe_st0_sti Fcmovu_st0_sti Fcmovnb_st0_sti
        Fcmovne_st0_sti Fcmovnbe_st0_sti Fcmovnu_st0_sti Fucomi_st0_sti Fcomi_st0_sti
        Fucomip_st0_sti Fcomip_st0_sti Fprem1 Fsincos Fsin Fcos Fucompp Fadd_st0_sti
        Fmul_st0_sti Fcom_st0_sti Fcomp_st0_sti Fsub_st0_sti Fsubr_st0_sti Fdiv_st0_sti
        Fdivr_st0_sti Fld_sti Fxch_st0_sti Fnop Fstpnce_sti Fchs Fabs Ftst Fxam Fld1 Fldl2t
        Fldl2e Fldpi Fldlg2 Fldln2 Fldz F2xm1 Fyl2x Fptan Fpatan Fxtract Fdecstp Fincstp Fprem
        Fyl2xp1 Fsqrt Frndint Fscale Fadd_sti_st0 Fmul_sti_st0 Fcom_st0_sti_DCD0
        Fcomp_st0_sti_DCD8 Fsubr_sti_st0 Fsub_sti_st0 Fdivr_sti_st0 Fdiv_sti_st0 Ffree_sti
        Fxch_st0_sti_DDC8 Fst_sti Fstp_sti Fucom_st0_sti Fucomp_st0_sti Faddp_sti_st0
        Fmulp_sti_st0 Fcomp_st0_sti_DED0 Fcompp Fsubrp_sti_st0 Fsubp_sti_st0 Fdivrp_sti_st0
        Fdivp_sti_st0 Ffreep_sti Fxch_st0_sti_DFC8 Fstp_sti_DFD0 Fstp_sti_DFD8;
    next [lower_reads::<2>]:
        Fiadd_m16int Fimul_m16int Ficom_m16int Ficomp_m16int Fisub_m16int Fisubr_m16int
        Fidiv_m16int Fidivr_m16int Fild_m16int;
    next [lower_reads::<4>]:
        Fadd_m32fp Fmul_m32fp Fcom_m32fp Fcomp_m32fp Fsub_m32fp Fsubr_m32fp Fdiv_m32fp
        Fdivr_m32fp Fld_m32fp Fiadd_m32int Fimul_m32int Ficom_m32int Ficomp_m32int Fisub_m32int
        Fisubr_m32int Fidiv_m32int Fidivr_m32int Fild_m32int;
    next [lower_reads::<8>]:
        Fadd_m64fp Fmul_m64fp Fcom_m64fp Fcomp_m64fp Fsub_m64fp Fsubr_m64fp Fdiv_m64fp
        Fdivr_m64fp Fld_m64fp Fild_m64int;
    next [lower_reads::<10>]:
        Fld_m80fp Fbld_m80bcd;
    next [lower_writes::<2>]:
        Fisttp_m16int Fist_m16int Fistp_m16int;
    next [lower_writes::<4>]:
        Fisttp_m32int Fst_m32fp Fstp_m32fp Fist_m32int Fistp_m32int;
    next [lower_writes::<8>]:
        Fisttp_m64int Fst_m64fp Fstp_m64fp Fistp_m64int;
    next [lower_writes::<10>]:
        Fstp_m80fp Fbstp_m80bcd;
};
