//! What crossing a boundary takes in the emulator: from program to kernel, and from guest
//! to VMM.
//!
//! `cargo run --release --example emulator_traps [RUNS]`
//!
//! First the crossing alone, by machine code: `syscall` to a kernel of one instruction,
//! `sysretq`, and a port write that no device wants, which the VMM counts as it counts every
//! exit. Then the cheapest system call of the bundled kernel, by both entries, which is what
//! that kernel does as well. Nanoseconds, median of RUNS (5).

use std::arch::global_asm;
use std::env;
use std::error::Error;
use std::time::Instant;

use vmm::accel::{AccelChoice, Accelerator};
use vmm::bare::BareMachine;
use vmm::devices::ApicMode;
use vmm::{Output, Program, Vm, VmConfig};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How often each is done.
const TIMES: f64 = 1e6;

/// mov ecx, TIMES ; again: out 0x80, al ; loop again ; out 0xf4, al (which ends the run)
#[rustfmt::skip]
const PORT_WRITES: &[u8] = &[0xb9, 0x40, 0x42, 0x0f, 0, 0xe6, 0x80, 0xe2, 0xfc, 0xe6, 0xf4];

// 32-bit code that sets up 64-bit mode, in pages that ring 3 may use, and goes to ring 3,
// which calls ring 0 TIMES times.
global_asm!(
    ".pushsection .rodata.traps, \"a\"",
    ".code32",
    "traps_start: .set base, traps_start - 0x1000",
    "movl $0x20, %eax; movl %eax, %cr4", // PAE
    "movl $(4f - base), %eax; movl %eax, %cr3",
    "movl $0xc0000080, %ecx; movl $0x101, %eax; xorl %edx, %edx; wrmsr", // EFER: LME, SCE
    "movl $0x80000011, %eax; movl %eax, %cr0",                           // PG, PE
    "lgdt 2f - base; ljmp $8, $(1f - base)",
    ".code64",
    "1: movl $0xc0000081, %ecx; movl $0x100008, %edx; wrmsr", // STAR
    "movl $0xc0000082, %ecx; movl $(8f - base), %eax; xorl %edx, %edx; wrmsr", // LSTAR
    "movl $(9f - base), %ecx; movl $0x3002, %r11d; movl $1000000, %ebx", // RFLAGS: IOPL 3
    "8: sysretq",
    "9: syscall; decl %ebx; jnz 9b; outb %al, $0xf4",
    ".balign 8; 3: .quad 0, 0x00209a0000000000", // GDT: 64-bit code
    "2: .short 15; .long 3b - base",
    ".balign 4096; 4: .quad (5f - base) + 7", // present, writable, ring 3
    ".balign 4096; 5: .quad (6f - base) + 7",
    ".balign 4096; 6: .quad 0x87; .balign 4096; .popsection", // the first 2 MiB
    options(att_syntax)
);

unsafe extern "C" {
    static traps_start: [u8; 0x4000];
}

fn main() -> Fallible<()> {
    let runs = env::args()
        .nth(1)
        .map_or(Ok(5), |word| word.parse())?
        .max(1);
    // SAFETY: the assembler's constants, of that length.
    let system_calls = unsafe { &traps_start };
    let program = Program::find("loops")?;
    let print = |name, ns: &dyn Fn() -> Fallible<f64>| -> Fallible<()> {
        let mut all = (0..runs).map(|_| ns()).collect::<Fallible<Vec<_>>>()?;
        all.sort_unstable_by(f64::total_cmp);
        println!("{name:28} {:7.1} ns", all[all.len() / 2] / TIMES);
        Ok(())
    };
    print("syscall and sysretq", &|| bare(system_calls))?;
    print("port write", &|| bare(PORT_WRITES))?;
    print("getpid by syscall", &|| in_guest(&program, "syscall"))?;
    print("getpid by int 0x80", &|| in_guest(&program, "int80"))
}

/// Nanoseconds for `code` by itself.
fn bare(code: &[u8]) -> Fallible<f64> {
    let machine = BareMachine::new(&Accelerator::Emu, ApicMode::User, code)?;
    let mut run_loop = machine.into_run_loop()?;
    let started = Instant::now();
    run_loop.run()?;
    Ok(started.elapsed().as_nanos() as f64)
}

/// Nanoseconds that the bundled program says its loop took.
fn in_guest(program: &Program, name: &str) -> Fallible<f64> {
    let mut config = VmConfig::new(program.clone());
    (config.args, config.accel) = (vec![name.to_owned()], AccelChoice::Emu);
    config.memory = 128 << 20;
    let (output, recorder) = Output::recorded();
    Vm::new(config, output)?.run()?;
    let text = recorder.transcript().text();
    let ns = text.split_whitespace().nth(2).ok_or("no result")?;
    Ok(ns.parse()?)
}
