//! Uses what ring 3 has on software-backed KVM though nothing says so: bases of segments,
//! protection keys, extended state (R10, R24).
//!
//! Elsewhere each attempt is an invalid opcode. The last one is made only with the argument
//! `state`: it changes what only a handler there finds on its stack.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use guest_user::process::{self, SIGSEGV};
use guest_user::signal::machine::FX;
use guest_user::signal::{self, Context, Info, SIGUSR1};
use guest_user::syscall::{Entry, raw};
use guest_user::{Arguments, println};
use linux_raw_sys::general as linux;

guest_user::entry!(main);

/// Linux's arch/x86/include/uapi/asm/prctl.h.
const ARCH_SET_GS: u32 = 0x1001;
const ARCH_GET_GS: u32 = 0x1004;

/// Bits of PKRU for key 0, which all memory has: no access, no writing.
const NO_ACCESS: u32 = 1;
const NO_WRITING: u32 = 2;

/// What is read and written.
static WORD: AtomicU64 = AtomicU64::new(0);

fn arch_prctl(code: u32, argument: u64) -> bool {
    // SAFETY: the program keeps nothing in either segment; a base is written to where there
    // is room for one.
    unsafe {
        raw(
            Entry::Syscall,
            linux::__NR_arch_prctl,
            [code.into(), argument],
        )
    }
    .is_ok()
}

fn set_own_gs(base: u64) {
    // SAFETY: the program keeps nothing there.
    unsafe { asm!("wrgsbase {}", in(reg) base) };
}

fn own_gs() -> u64 {
    let base;
    // SAFETY: reads a register.
    unsafe { asm!("rdgsbase {}", out(reg) base) };
    base
}

/// The kernel reads, and keeps, a base that the program has set by itself.
fn bases() -> u8 {
    let mut found = 0_u64;
    set_own_gs(0x1234_5000);
    let told = arch_prctl(ARCH_GET_GS, &raw mut found as u64) && found == 0x1234_5000;
    set_own_gs(0x2345_6000);
    let kept = arch_prctl(linux::ARCH_SET_FS, 0x3456_7000) && own_gs() == 0x2345_6000;
    let set = arch_prctl(ARCH_SET_GS, 0x4567_8000) && own_gs() == 0x4567_8000;
    u8::from(!(told && kept && set))
}

/// Forbids itself memory, then reads or writes it.
fn forbid(what: u32, writes: bool) {
    // SAFETY: reads or writes a word that is there; the program ends if that faults, or its
    // handler ends it.
    unsafe {
        asm!(
            "wrpkru",
            "test {writes:e}, {writes:e}",
            "jnz 2f",
            "mov {word}, [{word}]",
            "jmp 3f",
            "2: mov qword ptr [{word}], 1",
            "3: xor eax, eax",
            "wrpkru",
            writes = in(reg) u32::from(writes),
            word = inout(reg) WORD.as_ptr() => _,
            inout("eax") what => _,
            in("ecx") 0,
            in("edx") 0,
        );
    }
}

extern "C" fn on_denial(_: u32, info: &Info, _: &mut Context) {
    /// Linux's include/uapi/asm-generic/siginfo.h.
    const SEGV_PKUERR: i32 = 4;
    let is_right = info.code == SEGV_PKUERR && info.address() == WORD.as_ptr() as u64;
    guest_user::syscall::exit(if is_right { 9 } else { 8 })
}

fn handled() -> u8 {
    signal::handle(SIGSEGV, on_denial, 0, 0).expect("it can be handled");
    forbid(NO_ACCESS, false);
    0
}

/// Places in the header of `xsave`, behind x87 and SSE, and a byte that makes no sense there
/// (Intel SDM vol. 1 13.4.2).
const STATES: [(&str, usize, u8); 4] = [
    ("nothing", 0, 0),
    ("a component that there is not", 7, 0x80),
    ("compacted", 8, 1),
    ("reserved bytes", 23, 1),
];

static STATE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn spoil(_: u32, _: &Info, context: &mut Context) {
    const HEADER: u64 = 512;
    let (_, place, bits) = STATES[STATE.load(Relaxed)];
    let byte = (context.machine[FX] + HEADER + place as u64) as *mut u8;
    // SAFETY: the kernel left the state there for the handler to change.
    unsafe { *byte |= bits };
}

fn report(name: &str, body: impl FnOnce() -> u8) {
    let ended = process::spawn(body).and_then(process::wait);
    println!("{name}: {}", ended.expect("a child"));
}

fn main(arguments: Arguments) -> u8 {
    report("bases", bases);
    report("a read without access", || {
        forbid(NO_ACCESS, false);
        0
    });
    report("a write without writing", || {
        forbid(NO_WRITING, true);
        0
    });
    report("a read without writing", || {
        forbid(NO_WRITING, false);
        0
    });
    report("handled", handled);
    if arguments.first() == Some("state") {
        for (number, (name, ..)) in STATES.iter().enumerate() {
            report(name, || {
                STATE.store(number, Relaxed);
                signal::handle(SIGUSR1, spoil, 0, 0).expect("it can be handled");
                process::kill(process::id(), SIGUSR1).expect("this process is there");
                0
            });
        }
    }
    println!("the parent goes on");
    0
}
