//! The instruction at which a vCPU stands, for a person: read as the vCPU would fetch it,
//! by the emulator's own page walk, whoever ran the guest.

use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

use super::Clock;
use super::cpu::{CodeSize, Cpu};
use super::ram::{PAGE, Ram};
use crate::CpuState;
use crate::memory::GuestRam;

/// Bytes in the longest instruction.
const LONGEST: usize = 15;

/// An instruction in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeAt {
    /// Its bytes, 1 to 15; all that can be read where they make no instruction.
    pub bytes: Vec<u8>,
    /// The instruction in NASM's notation, or `(bad)`.
    pub text: String,
}

/// The instruction at the instruction pointer of `state`, in `ram`. `None` where that
/// cannot be fetched. Sets accessed bits of page tables, as a fetch does.
pub fn instruction_at(ram: &GuestRam, state: &CpuState) -> Option<CodeAt> {
    let mut cpu = Cpu::new(Ram::new(ram.clone()), Clock::default());
    cpu.restore(state);
    let mut bytes = fetch(&mut cpu, state.regs.rip);
    let bits = match cpu.code_size {
        CodeSize::Bits64 => 64,
        CodeSize::Bits32 => 32,
        CodeSize::Bits16 => 16,
    };
    let options = DecoderOptions::AMD | DecoderOptions::FORCE_RESERVED_NOP;
    let instruction = Decoder::with_ip(bits, &bytes, state.regs.rip, options)
        .iter()
        .next()?;
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_space_after_operand_separator(true);
    let mut text = String::new();
    formatter.format(&instruction, &mut text);
    if !instruction.is_invalid() {
        bytes.truncate(instruction.len());
    }
    Some(CodeAt { bytes, text })
}

/// The bytes at `rip`, as many as an instruction may have and as can be fetched.
fn fetch(cpu: &mut Cpu, rip: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LONGEST);
    while bytes.len() < LONGEST {
        let Ok((gpa, host)) = cpu.fetch_page(rip.wrapping_add(bytes.len() as u64)) else {
            break;
        };
        let left_in_page = (PAGE - gpa % PAGE) as usize;
        let piece = left_in_page.min(LONGEST - bytes.len());
        for offset in 0..piece {
            // SAFETY: the rest of a page of RAM starts at `host`, and RAM lives as long as
            // `cpu`. Another vCPU may write there: any bytes are good.
            bytes.push(unsafe { host.add(offset).read_volatile() });
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{CodeAt, CpuState, instruction_at};
    use crate::Vcpu;
    use crate::emu::tests::machine::{CODE, DATA, Machine, PAGE_TABLE};

    /// What is found at `rip` in the machine's memory.
    fn at(machine: &mut Machine, rip: u64) -> Option<CodeAt> {
        let mut state: CpuState = machine.emulator.state().expect("it has one");
        state.regs.rip = rip;
        instruction_at(&machine.ram, &state)
    }

    #[test]
    fn instructions_are_read_through_the_page_tables() {
        // mov eax, [rax+0x10], the last byte of it in another page that lies elsewhere.
        let mut machine = Machine::with_code(&[]);
        machine.write(CODE + 0xffe, &[0x8b, 0x40]);
        machine.write(DATA, &[0x10]);
        let entry = (DATA | 7).to_le_bytes();
        machine.write(PAGE_TABLE + (CODE / 0x1000 + 1) * 8, &entry);
        let code = at(&mut machine, CODE + 0xffe).expect("both pages are there");
        assert_eq!(code.bytes, [0x8b, 0x40, 0x10]);
        assert_eq!(code.text, "mov eax, [rax+0x10]");
        machine.write(PAGE_TABLE + (CODE / 0x1000 + 1) * 8, &[0; 8]);
        let code = at(&mut machine, CODE + 0xffe).expect("one page is there");
        assert_eq!((code.bytes.len(), code.text.as_str()), (2, "(bad)"));
    }

    #[test]
    fn what_cannot_be_fetched_is_nothing() {
        let mut machine = Machine::with_code(&[0xf4]);
        assert_eq!(
            at(&mut machine, CODE).map(|code| code.text).as_deref(),
            Some("hlt")
        );
        for nowhere in [1 << 46, 1 << 63, 0x3fff_f000] {
            assert_eq!(at(&mut machine, nowhere), None, "{nowhere:#x}");
        }
    }
}
