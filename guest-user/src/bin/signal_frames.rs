//! Returns from a signal handler to states that ring 3 cannot have: that process alone ends
//! (R8, R11).

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use guest_user::signal::machine::{FX, RFLAGS, RIP, RSP, SELECTORS};
use guest_user::signal::{self, Context, Info, SIGUSR1};
use guest_user::{Arguments, memory, println, process};

guest_user::entry!(main);

const KERNEL: u64 = 0xffff_ffff_8000_0000;
const NON_CANONICAL: u64 = 1 << 63;
const KERNEL_CODE: u64 = 0x08;
const KERNEL_DATA: u64 = 0x10;
/// Bytes of the state of x87 and SSE, and where MXCSR is in it.
const FX_SIZE: usize = 512;
const MXCSR: u64 = 24;
/// Interrupts on, and both bits of the I/O privilege level.
const INTERRUPTS: u64 = 1 << 9;
const IO_PRIVILEGE: u64 = 3 << 12;

type Change = fn(&mut Context);

/// What the handler makes of the state that it returns to.
const ATTEMPTS: [(&str, Change); 15] = [
    ("nothing", |_| {}),
    ("kernel code segment", |context| {
        context.machine[SELECTORS] = context.machine[SELECTORS] & !0xffff | KERNEL_CODE;
    }),
    ("null code segment", |context| {
        context.machine[SELECTORS] &= !0xffff
    }),
    ("kernel stack segment", |context| {
        context.machine[SELECTORS] =
            context.machine[SELECTORS] & !(0xffff << 48) | KERNEL_DATA << 48;
    }),
    ("rip in the kernel", |context| context.machine[RIP] = KERNEL),
    ("rip non-canonical", |context| {
        context.machine[RIP] = NON_CANONICAL
    }),
    ("rip at nothing", |context| context.machine[RIP] = 8),
    ("rsp in the kernel", |context| context.machine[RSP] = KERNEL),
    ("rsp non-canonical", |context| {
        context.machine[RSP] = NON_CANONICAL
    }),
    ("interrupts off, all I/O allowed", |context| {
        context.machine[RFLAGS] = context.machine[RFLAGS] & !INTERRUPTS | IO_PRIVILEGE;
    }),
    ("reserved bits in mxcsr", |context| {
        // SAFETY: the kernel left the state there for the handler to change.
        unsafe { ((context.machine[FX] + MXCSR) as *mut u32).write(u32::MAX) };
    }),
    ("x87 and SSE of noise", |context| {
        // SAFETY: as above; MXCSR and its mask stay.
        let fx =
            unsafe { core::slice::from_raw_parts_mut(context.machine[FX] as *mut u8, FX_SIZE) };
        fx[..MXCSR as usize].fill(0xa5);
        fx[32..].fill(0x5a);
    }),
    ("x87 and SSE in the kernel", |context| {
        context.machine[FX] = KERNEL
    }),
    ("x87 and SSE at nothing", |context| context.machine[FX] = 64),
    ("x87 and SSE anew", |context| context.machine[FX] = 0),
];

/// The attempt of this process.
static ATTEMPT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn spoil(_: u32, _: &Info, context: &mut Context) {
    let (_, change) = ATTEMPTS[ATTEMPT.load(Relaxed)];
    change(context);
}

fn main(_: Arguments) -> u8 {
    for (number, (name, _)) in ATTEMPTS.iter().enumerate() {
        report(name, || {
            ATTEMPT.store(number, Relaxed);
            signal::handle(SIGUSR1, spoil, 0, 0).expect("it can be handled");
            process::kill(process::id(), SIGUSR1).expect("this process is there");
            0
        });
    }
    for (name, context) in [
        ("no frame at all", 16 as *const Context),
        ("a frame in the kernel", KERNEL as *const Context),
        ("a non-canonical frame", NON_CANONICAL as *const Context),
        ("a frame of zeros", zeros()),
    ] {
        // SAFETY: the kernel refuses all of these.
        report(name, || unsafe { signal::return_to(context) });
    }
    report("port after all I/O was allowed", || {
        ATTEMPT.store(9, Relaxed);
        signal::handle(SIGUSR1, spoil, 0, 0).expect("it can be handled");
        process::kill(process::id(), SIGUSR1).expect("this process is there");
        // SAFETY: traps.
        unsafe { asm!("cli") };
        0
    });
    println!("the parent goes on");
    0
}

fn zeros() -> *const Context {
    memory::map(memory::PAGE, memory::PROT_READ)
        .expect("a page")
        .cast()
}

fn report(name: &str, body: impl FnOnce() -> u8) {
    let ended = process::spawn(body).and_then(process::wait);
    println!("{name}: {}", ended.expect("a child"));
}
