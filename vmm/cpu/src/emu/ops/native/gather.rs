//! Gathers: elements from anywhere in memory, by a vector of indices.
//!
//! First the mask has ones or zeros for each element. One that is done is written, and leaves
//! the mask; so a fault at the next one keeps what came before, and the instruction goes on
//! there. An exit, which is for one read, keeps nothing: with its reply the instruction begins
//! again.

use iced_x86::{Instruction, Mnemonic, Register};

use crate::emu::cpu::access::{Access, Fast, Slow};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::offset;
use crate::emu::engine::{Instr, slow};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// `op dst, [base + index * scale], mask`, with indices and elements of 4 or 8 bytes. The op
/// has the numbers of the first and the last in `dst` and `src`; the immediate has that of the
/// index, the number of elements, and the bytes of the longest operand.
struct Gather<const INDEX: usize, const ELEMENT: usize>;

/// Where these begin in the immediate.
const COUNT_SHIFT: u32 = 8;
const LONGEST_SHIFT: u32 = 16;

impl<const INDEX: usize, const ELEMENT: usize> Instr for Gather<INDEX, ELEMENT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let [target, mask_number] = [op.dst, op.src].map(|slot| usize::from(slot.0));
        let field = |shift: u32| (op.imm.get() >> shift & 0xff) as usize;
        let [count, longest] = [COUNT_SHIFT, LONGEST_SHIFT].map(field);
        let index = cpu.regs.vector(field(0));
        let mut mask = cpu.regs.vector(mask_number);
        let mut result = cpu.regs.vector(target);
        for element in mask[..longest].chunks_exact_mut(ELEMENT) {
            let chosen = element[ELEMENT - 1] & 0x80 != 0;
            element.fill(if chosen { 0xff } else { 0 });
        }
        mask[longest..].fill(0);
        for i in 0..count {
            let element = i * ELEMENT..(i + 1) * ELEMENT;
            if mask[element.start] != 0 {
                let index = signed(&index[i * INDEX..(i + 1) * INDEX]);
                match load(cpu, op, index, ELEMENT) {
                    Ok(value) => {
                        result[element.clone()].copy_from_slice(&value.to_le_bytes()[..ELEMENT]);
                        result[longest..].fill(0);
                    }
                    Err(stop) => {
                        if matches!(stop, Stop::Exception(_)) {
                            cpu.regs.set_vector(target, &result);
                            cpu.regs.set_vector(mask_number, &mask);
                        }
                        return Err(stop);
                    }
                }
            }
            mask[element].fill(0);
        }
        result[count * ELEMENT..].fill(0);
        cpu.regs.set_vector(target, &result);
        cpu.regs.set_vector(mask_number, &[0; 32]);
        Ok(())
    }
}

/// The number in `bytes`, sign-extended.
fn signed(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => {
            let low = bytes.try_into().map_or(0, i32::from_le_bytes);
            i64::from(low) as u64
        }
    }
}

/// The element of `size` bytes at `index`.
fn load(cpu: &mut Cpu, op: &Op, index: u64, size: usize) -> Result<u64, Stop> {
    let address = offset(cpu, op).wrapping_add(index << op.aux.scale());
    let address = address & op.aux.address_mask();
    let at = cpu
        .control
        .linear(op.aux.segment(), address, size as u64, false)?;
    if size == 8 {
        Fast::load(cpu, at).or_else(|_| Slow::load(cpu, at))
    } else {
        let value: u32 = Fast::load(cpu, at).or_else(|_| Slow::load(cpu, at))?;
        Ok(value.into())
    }
}

fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
    use Mnemonic as M;
    let index = insn.memory_index();
    let mut base = *insn;
    base.set_memory_index(Register::None);
    op.set_memory(site, &base);
    let [dst, mask] = [insn.op0_register(), insn.op2_register()];
    [op.dst, op.src] = [dst, mask].map(|register| Slot(register.number() as u8));
    let (handler, index_size, element): (crate::emu::cpu::Handler, _, _) = match insn.mnemonic() {
        M::Vpgatherdd | M::Vgatherdps => (slow::<Gather<4, 4>>, 4, 4),
        M::Vpgatherdq | M::Vgatherdpd => (slow::<Gather<4, 8>>, 4, 8),
        M::Vpgatherqd | M::Vgatherqps => (slow::<Gather<8, 4>>, 8, 4),
        _ => (slow::<Gather<8, 8>>, 8, 8),
    };
    let longest = index.size().max(dst.size());
    let count = (index.size() / index_size).min(dst.size() / element);
    op.imm
        .set((index.number() | count << COUNT_SHIFT | longest << LONGEST_SHIFT) as u64);
    op.handler = handler;
}

pub const FORMS: &[Form] = forms! {
    next [lower]:
        VEX_Vpgatherdd_xmm_vm32x_xmm VEX_Vpgatherdd_ymm_vm32y_ymm
        VEX_Vpgatherdq_xmm_vm32x_xmm VEX_Vpgatherdq_ymm_vm32x_ymm
        VEX_Vpgatherqd_xmm_vm64x_xmm VEX_Vpgatherqd_xmm_vm64y_xmm
        VEX_Vpgatherqq_xmm_vm64x_xmm VEX_Vpgatherqq_ymm_vm64y_ymm
        VEX_Vgatherdps_xmm_vm32x_xmm VEX_Vgatherdps_ymm_vm32y_ymm
        VEX_Vgatherdpd_xmm_vm32x_xmm VEX_Vgatherdpd_ymm_vm32x_ymm
        VEX_Vgatherqps_xmm_vm64x_xmm VEX_Vgatherqps_xmm_vm64y_xmm
        VEX_Vgatherqpd_xmm_vm64x_xmm VEX_Vgatherqpd_ymm_vm64y_ymm;
};
