//! What crossing a boundary takes in the emulator: from program to kernel, and from guest
//! to VMM.
//!
//! `cargo run --release --example emulator_traps [RUNS]`
//!
//! First the crossing alone, by machine code: `syscall` to a kernel of one instruction,
//! `sysretq`, and a port write that no device wants, which the VMM counts as it counts every
//! exit. Then the cheapest system call of the bundled kernel, by both entries, which is what
//! that kernel does as well. Nanoseconds, median of RUNS (5).

use std::env;
use std::error::Error;
use std::time::Instant;

use assembly::code;
use vmm::accel::{AccelChoice, Accelerator};
use vmm::bare::{BareMachine, ENTRY};
use vmm::devices::ApicMode;
use vmm::{Output, Program, Vm, VmConfig};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How often each is done.
const TIMES: f64 = 1e6;

/// Writes to a port TIMES times, then to the one that ends the run.
fn port_writes() -> &'static [u8] {
    code!(
        "mov ecx, {times}; 2: out 0x80, al; loop 2b; out 0xf4, al",
        times = const TIMES as u32,
    )
}

/// Sets up 64-bit mode, in pages that ring 3 may use, and goes to ring 3, which calls ring 0
/// TIMES times. `990b` is where the code begins.
fn system_calls() -> &'static [u8] {
    code!(
        ".code32",
        "mov eax, 0x20; mov cr4, eax", // PAE
        "mov eax, {entry} + 0x1000; mov cr3, eax",
        "mov ecx, 0xc0000080; mov eax, 0x101; xor edx, edx; wrmsr", // EFER: LME, SCE
        "mov eax, 0x80000011; mov cr0, eax",                        // PG, PE
        "lgdt [{entry} + 0x110]",
        ".byte 0xea; .long {entry} + (2f - 990b); .short 8", // a far jump to
        ".code64",
        "2: mov ecx, 0xc0000081; mov edx, 0x100008; wrmsr", // STAR
        "mov ecx, 0xc0000082; lea rax, [rip + 3f]; xor edx, edx; wrmsr", // LSTAR
        "lea rcx, [rip + 4f]; mov r11d, 0x3002; mov ebx, {times}", // RFLAGS: IOPL 3
        "3: sysretq",
        "4: syscall; dec ebx; jnz 4b; out 0xf4, al",
        ".org 990b + 0x100; .quad 0, 0x00209a0000000000", // GDT: 64-bit code
        ".short 15; .long {entry} + 0x100",
        ".org 990b + 0x1000; .quad {entry} + 0x2007", // present, writable, ring 3
        ".org 990b + 0x2000; .quad {entry} + 0x3007",
        ".org 990b + 0x3000; .quad 0x87", // the first 2 MiB
        ".org 990b + 0x4000",
        entry = const ENTRY,
        times = const TIMES as u32,
    )
}

fn main() -> Fallible<()> {
    let runs = env::args()
        .nth(1)
        .map_or(Ok(5), |word| word.parse())?
        .max(1);
    let program = Program::find("loops")?;
    let print = |name, ns: &dyn Fn() -> Fallible<f64>| -> Fallible<()> {
        let mut all = (0..runs).map(|_| ns()).collect::<Fallible<Vec<_>>>()?;
        all.sort_unstable_by(f64::total_cmp);
        println!("{name:28} {:7.1} ns", all[all.len() / 2] / TIMES);
        Ok(())
    };
    print("syscall and sysretq", &|| bare(system_calls()))?;
    print("port write", &|| bare(port_writes()))?;
    print("getpid by syscall", &|| in_guest(&program, "syscall"))?;
    print("getpid by int 0x80", &|| in_guest(&program, "int80"))
}

/// Nanoseconds for `code` by itself, whose one loop says how it ended.
fn bare(code: &[u8]) -> Fallible<f64> {
    let machine = BareMachine::new(&Accelerator::Emu, ApicMode::User, code)?;
    let mut run_loop = machine.into_run_loop()?;
    let started = Instant::now();
    run_loop.run().map(|end| end.result).transpose()?;
    Ok(started.elapsed().as_nanos() as f64)
}

/// Nanoseconds that the bundled program says its loop took.
fn in_guest(program: &Program, name: &str) -> Fallible<f64> {
    let mut config = VmConfig::new(program.clone());
    (config.args, config.accel) = (vec![name.to_owned()], AccelChoice::Emu);
    let (output, recorder) = Output::recorded();
    Vm::new(config, output)?.run()?;
    let text = recorder.transcript().text();
    let ns = text.split_whitespace().nth(2).ok_or("no result")?;
    Ok(ns.parse()?)
}
