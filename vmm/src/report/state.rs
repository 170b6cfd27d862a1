//! The state of the vCPU when a run failed.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::cpu::CpuState;
use crate::cpu::emu::{instruction_at, listing};
use crate::memory::GuestRam;
use crate::printable::{printable, wrap};
use crate::symbols::{Image, Place};

/// Registers in a line of text.
const ACROSS: usize = 3;

/// The state of the vCPU as the report shows it. Registers and addresses are hexadecimal
/// strings in JSON, where a number of 64 bits would lose some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// The number of the vCPU.
    pub cpu: u8,
    /// Privilege level, 0 to 3.
    pub ring: u8,
    /// The instruction at `rip`, if it can be read.
    pub instruction: Option<Instruction>,
    /// The same between its neighbours: the end of what leads to it, and what follows.
    pub code: Vec<Line>,
    /// The function that it is in, if its image has symbols.
    pub symbol: Option<Symbol>,
    /// General registers, `rip`, `rflags`, selectors and control registers, by name.
    pub registers: Registers,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// Its bytes, hexadecimal.
    pub bytes: String,
    /// What they mean, or that they mean nothing.
    pub text: String,
}

/// A line of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Where the instruction is, hexadecimal.
    pub address: String,
    /// What it is.
    pub text: String,
}

/// A place in a function of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Symbol {
    /// `kernel`, or the program's name.
    pub image: String,
    /// The function's name.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}+{:#x}", self.image, self.name, self.offset)
    }
}

/// Finds the function in which code that a ring (0 to 3) has at an address is, if its image is
/// known and has symbols.
pub type Namer = Arc<dyn Fn(u8, u64, &[u8]) -> Option<Symbol> + Send + Sync>;

/// Registers by name, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(Vec<(&'static str, u64)>);

impl Registers {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }
}

impl Serialize for Registers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &format!("{value:#x}"))?;
        }
        map.end()
    }
}

/// The images whose code a guest may be in.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// The kernel's.
    pub kernel: &'a [u8],
    /// The first program's name and file.
    pub program: (&'a str, &'a [u8]),
}

impl Images<'_> {
    /// The function in which `code`, that this ring has at `address`, is. The kernel's code is
    /// where its image says. A program may be another than the first: it is that one if it has
    /// the same code there, of which there is some.
    pub fn symbol(self, ring: u8, address: u64, code: &[u8]) -> Option<Symbol> {
        let (image, bytes) = match ring {
            3 => self.program,
            _ => ("kernel", self.kernel),
        };
        let parsed = Image::parse(bytes)?;
        if ring == 3 && (code.is_empty() || !parsed.has(address, code)) {
            return None;
        }
        let Place { name, offset } = parsed.place(address)?;
        Some(Symbol {
            image: image.to_owned(),
            name,
            offset,
        })
    }
}

impl State {
    /// The state `cpu` of the vCPU with this number, with the code in `ram`.
    pub fn new(cpu: &CpuState, number: u8, ram: &GuestRam, images: Images<'_>) -> Self {
        let code = instruction_at(ram, cpu);
        let ring = cpu.ring();
        let bytes = code.as_ref().map_or(&[][..], |code| &code.bytes);
        let symbol = images.symbol(ring, cpu.regs.rip, bytes);
        let lead = symbol.as_ref().map_or(0, |symbol| symbol.offset);
        let lines = listing(ram, cpu, lead).into_iter().map(|line| Line {
            address: format!("{:#x}", line.address),
            text: line.text,
        });
        Self {
            cpu: number,
            ring,
            symbol,
            code: lines.collect(),
            instruction: code.map(|code| Instruction {
                bytes: hexadecimal(&code.bytes),
                text: code.text,
            }),
            registers: registers(cpu),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn registers(cpu: &CpuState) -> Registers {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
    let general = NAMES.into_iter().zip(cpu.regs.gpr);
    let selectors = [
        ("cs", cpu.cs),
        ("ss", cpu.ss),
        ("ds", cpu.ds),
        ("es", cpu.es),
        ("fs", cpu.fs),
        ("gs", cpu.gs),
    ];
    let selectors = selectors.map(|(name, segment)| (name, u64::from(segment.selector)));
    let others = [
        ("rip", cpu.regs.rip),
        ("rflags", cpu.regs.rflags),
        ("cr0", cpu.cr0),
        ("cr2", cpu.cr2),
        ("cr3", cpu.cr3),
        ("cr4", cpu.cr4),
        ("cr8", cpu.cr8),
        ("efer", cpu.efer),
    ];
    Registers(general.chain(others).chain(selectors).collect())
}

impl fmt::Display for State {
    /// In the alternate form with the number of the vCPU, for a machine that has several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => writeln!(f, "CPU {} at its end, in ring {}", self.cpu, self.ring)?,
            false => writeln!(f, "CPU at its end, in ring {}", self.ring)?,
        }
        if let Some(symbol) = &self.symbol {
            let place = symbol.to_string();
            f.write_str(&wrap("  in ", &printable(&place)))?;
        }
        let code = match &self.instruction {
            Some(Instruction { bytes, text }) => format!("{text}  ({bytes})"),
            None => "an address that cannot be read".to_owned(),
        };
        f.write_str(&wrap("  at ", &code))?;
        for line in self.registers.0.chunks(ACROSS) {
            let shown = line.iter();
            let shown = shown.map(|(name, value)| format!("  {name:<6} {value:016x}"));
            writeln!(f, "{}", shown.collect::<String>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Images, State, Symbol};
    use crate::boot;
    use crate::memory::GuestRam;

    const IMAGES: Images<'_> = Images {
        kernel: crate::bundled::KERNEL,
        program: ("nothing", b""),
    };

    #[test]
    fn the_instruction_and_every_register_are_shown() {
        let ram = GuestRam::new(0x10_0000).expect("memory");
        // cli; hlt
        ram.write(0x1000, &[0xfa, 0xf4]).expect("it is RAM");
        let mut cpu = boot::start_state(0x1001);
        cpu.regs.gpr[15] = 0xfedc_ba98_7654_3210;
        let state = State::new(&cpu, 1, &ram, IMAGES);
        let text = state.to_string();
        assert!(
            text.starts_with("CPU at its end, in ring 0\n  at hlt  (f4)\n"),
            "{text}"
        );
        assert!(text.contains("  r15    fedcba9876543210"), "{text}");
        let text = format!("{state:#}");
        assert!(text.starts_with("CPU 1 at its end, in ring 0\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let json = serde_json::to_value(&state).expect("it serializes");
        assert_eq!(json["registers"]["rip"], "0x1001");
        assert_eq!(json["registers"]["r15"], "0xfedcba9876543210");
        assert_eq!(json["instruction"]["text"], "hlt");
        assert_eq!(json["symbol"], serde_json::Value::Null);
        assert_eq!(json["code"][0]["address"], "0x1001");
    }

    #[test]
    fn a_place_is_one_line_whatever_its_names() {
        let ram = GuestRam::new(0x10_0000).expect("memory");
        let mut state = State::new(&boot::start_state(0), 1, &ram, IMAGES);
        state.symbol = Some(Symbol {
            image: "a\nb".to_owned(),
            name: "\x1b[31m".to_owned(),
            offset: 1,
        });
        let text = state.to_string();
        assert!(text.contains("\n  in a\\nb: \\u{1b}[31m+0x1\n"), "{text}");
    }

    #[test]
    fn code_that_is_nowhere_is_said_to_be() {
        let ram = GuestRam::new(0x10_0000).expect("memory");
        let state = State::new(&boot::start_state(0x8000_0000), 1, &ram, IMAGES);
        assert_eq!(state.instruction, None);
        assert!(state.to_string().contains("cannot be read"));
    }
}
