//! Keeps values of its own in every register, in several processes, across switches, system
//! calls, faults and signals (R17, R24).
//!
//! Also in ymm registers, and those of AVX-512, where they are announced. With the argument
//! `all` also in what ring 3 has though nothing says so: PKRU, and bases that it sets by
//! itself.

#![no_std]
#![no_main]

use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use guest_user::memory::{self, PAGE, PROT_NONE, PROT_READ, PROT_WRITE};
use guest_user::process::{self, SIGSEGV, Status};
use guest_user::signal::{self, Context, Info, SA_RESTART, SIGALRM};
use guest_user::syscall::{Entry, Result, raw};
use guest_user::{Arguments, println};
use linux_raw_sys::general as linux;

guest_user::entry!(main);

const PROCESSES: u64 = 3;
const ROUNDS: u64 = 12;
/// Microseconds after which a handler is called.
const ALARM_US: u64 = 1000;
/// Turns of a loop before and after what happens.
const TURNS: u64 = 400_000;

const VECTORS: usize = 32;
/// What ring 3 may have.
const YMM: u64 = 1 << 0;
const AVX_512: u64 = 1 << 1;
const PKRU: u64 = 1 << 2;
const BASES: u64 = 1 << 3;

const GENERAL: usize = 15;
const RAX: usize = 0;
const RCX: usize = 2;
const R11: usize = 10;
const R15: usize = 14;
/// Places in what `fxsave64` stores (Intel SDM vol. 1 10.5.1).
const FCW: usize = 0;
const FSW: usize = 2;
const FTW: usize = 4;
const MXCSR_PLACE: usize = 24;
const ST: usize = 32;
const XMM: usize = 160;
/// All exceptions masked, as programs start.
const MXCSR: u32 = 0x1f80;
/// Carry, parity, adjust, zero, sign, direction, overflow, and the one that CPUID has.
const FLAGS: u64 = 0x20_0cd5;
/// PKRU's bits for keys that nothing has: all but key 0.
const OTHER_KEYS: u64 = 0xffff_fffc;
/// What a handler leaves there.
const SPOILT_PKRU: u32 = 0x5555_5554;

/// Registers, as `exercise` loads or stores them.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Registers {
    /// What `fxsave64` stores.
    fx: [u8; 512],
    /// zmm0 to zmm31; in the lower halves of the first 16 is what ymm registers have.
    vectors: [[u64; 8]; VECTORS],
    /// k0 to k7.
    masks: [u64; 8],
    pkru: u64,
    /// Of fs and gs.
    bases: [u64; 2],
    /// rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15.
    general: [u64; GENERAL],
    flags: u64,
    /// What fs and gs lead to.
    based: [u64; 2],
    /// Which of these there are: `YMM` and others.
    has: u64,
}

const ZERO: Registers = Registers {
    fx: [0; 512],
    vectors: [[0; 8]; VECTORS],
    masks: [0; 8],
    pkru: 0,
    bases: [0; 2],
    general: [0; GENERAL],
    flags: 0,
    based: [0; 2],
    has: 0,
};

global_asm!(
    include_str!("registers.S"),
    GENERAL_OFFSET = const offset_of!(Registers, general),
    FLAGS_OFFSET = const offset_of!(Registers, flags),
    VECTORS = const offset_of!(Registers, vectors),
    MASKS = const offset_of!(Registers, masks),
    PKRU_OFFSET = const offset_of!(Registers, pkru),
    BASES_OFFSET = const offset_of!(Registers, bases),
    BASED = const offset_of!(Registers, based),
    HAS = const offset_of!(Registers, has),
    YMM = const YMM,
    AVX_512 = const AVX_512,
    PKRU = const PKRU,
    BASES = const BASES,
    SPOILT_PKRU = const SPOILT_PKRU,
    WAITS = sym WAITS,
    TURNS = const TURNS,
    MXCSR = const MXCSR,
    GETPPID = const linux::__NR_getppid,
);

unsafe extern "C" {
    /// Loads every register, waits, has a page fault at r15, waits for the alarm, makes a
    /// system call, waits again, and stores every register.
    fn exercise(load: *const Registers, store: *mut Registers);
    /// Changes what a C function may change, and what `has` of the rest.
    fn spoil(has: u32);
}

/// Numbers from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

static HANDLED: AtomicU32 = AtomicU32::new(0);
static HAS: AtomicU32 = AtomicU32::new(0);
/// Whether the alarm is still to come.
static WAITS: AtomicU32 = AtomicU32::new(0);
static ALARMS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_alarm(_: u32, _: &Info, _: &mut Context) {
    ALARMS.fetch_add(1, Relaxed);
    WAITS.store(0, Relaxed);
    // SAFETY: changes nothing that the compiler keeps across a call.
    unsafe { spoil(HAS.load(Relaxed)) };
}

extern "C" fn on_fault(_: u32, info: &Info, _: &mut Context) {
    let page = info.address() & !(PAGE as u64 - 1);
    // SAFETY: nobody but `exercise` knows of the page.
    let protected = unsafe { memory::protect(page as *mut u8, PAGE, PROT_READ | PROT_WRITE) };
    if protected.is_ok() {
        HANDLED.fetch_add(1, Relaxed);
    }
    // SAFETY: as above.
    unsafe { spoil(HAS.load(Relaxed)) };
}

/// What fs and gs lead to.
struct Based(UnsafeCell<[u64; 2]>);

// SAFETY: each process has one thread.
unsafe impl Sync for Based {}

static BASED: Based = Based(UnsafeCell::new([0; 2]));

/// Where fs and gs are to lead.
fn bases() -> [u64; 2] {
    let address = BASED.0.get() as u64;
    [address, address + 8]
}

/// Has the kernel set the bases, unless `exercise` does.
fn set_bases(values: [u64; 2]) -> Result<()> {
    /// Linux's arch/x86/include/uapi/asm/prctl.h.
    const ARCH_SET_GS: u32 = 0x1001;
    // SAFETY: nobody else refers to the two words.
    unsafe { *BASED.0.get() = values };
    if u64::from(HAS.load(Relaxed)) & BASES != 0 {
        return Ok(());
    }
    for (base, address) in [linux::ARCH_SET_FS, ARCH_SET_GS].into_iter().zip(bases()) {
        let arguments = [base.into(), address];
        // SAFETY: the program keeps nothing in either segment.
        unsafe { raw(Entry::Syscall, linux::__NR_arch_prctl, arguments) }?;
    }
    Ok(())
}

impl Registers {
    /// Values of a process's own. `page` is what r15 leads to.
    fn generate(numbers: &mut Numbers, page: u64) -> Self {
        /// Rounding of x87, its condition codes and top of stack; what MXCSR may have
        /// beside its masks: flags and rounding.
        const ROUNDING: u64 = 3 << 10;
        const STATUS: u64 = 0x7f00;
        const MXCSR_BITS: u64 = 0x603f;
        let mut it = ZERO;
        it.has = HAS.load(Relaxed).into();
        it.general = [(); GENERAL].map(|()| numbers.next());
        (it.general[RCX], it.general[R15]) = (TURNS, page);
        it.flags = numbers.next() & FLAGS;
        it.based = [numbers.next(), numbers.next()];
        it.vectors = [(); VECTORS].map(|()| [(); 8].map(|()| numbers.next()));
        it.masks = [(); 8].map(|()| numbers.next());
        it.pkru = numbers.next() & OTHER_KEYS;
        it.bases = bases();
        let control = 0x037f | numbers.next() & ROUNDING;
        it.put(FCW, &control.to_le_bytes()[..2]);
        it.put(FSW, &(numbers.next() & STATUS).to_le_bytes()[..2]);
        it.put(FTW, &[0xff]);
        let mxcsr = u64::from(MXCSR) | numbers.next() & MXCSR_BITS;
        it.put(MXCSR_PLACE, &mxcsr.to_le_bytes()[..4]);
        for number in 0..8 {
            // Ordinary numbers of about 1: the highest bit of the significand is set.
            let significand = numbers.next() | 1 << 63;
            it.put(ST + 16 * number, &significand.to_le_bytes());
            it.put(ST + 16 * number + 8, &0x3fff_u16.to_le_bytes());
        }
        for number in 0..16 {
            let [low, high, ..] = it.vectors[number];
            it.put(XMM + 16 * number, &low.to_le_bytes());
            it.put(XMM + 16 * number + 8, &high.to_le_bytes());
        }
        it
    }

    fn put(&mut self, place: usize, bytes: &[u8]) {
        self.fx[place..][..bytes.len()].copy_from_slice(bytes);
    }

    /// What is not as it must be after `exercise` of `self`.
    fn difference(&self, after: &Self, parent: u64) -> Option<&'static str> {
        let mut general = self.general;
        general[RAX] = parent;
        general[RCX] = 0;
        // What `syscall` leaves there: the flags, with those that are always set.
        general[R11] = after.general[R11];
        let same = |place: usize, len: usize| self.fx[place..][..len] == after.fx[place..][..len];
        let has = |what: u64| self.has & what != 0;
        let mut lower = self.vectors.iter().zip(&after.vectors).take(16);
        let checks = [
            ("a general register", general == after.general),
            ("r11", after.general[R11] & FLAGS == self.flags),
            ("a flag", after.flags & FLAGS == self.flags),
            ("the x87 control word", same(FCW, 2)),
            ("the x87 status word", same(FSW, 2)),
            ("the x87 tag word", same(FTW, 1)),
            ("MXCSR", same(MXCSR_PLACE, 4)),
            ("an x87 register", (0..8).all(|n| same(ST + 16 * n, 10))),
            ("an xmm register", same(XMM, 256)),
            ("a base", self.based == after.based),
            (
                "a ymm register",
                !has(YMM) || lower.all(|(before, after)| before[..4] == after[..4]),
            ),
            (
                "a zmm register",
                !has(AVX_512) || self.vectors == after.vectors,
            ),
            (
                "a mask register",
                !has(AVX_512) || self.masks == after.masks,
            ),
            ("PKRU", !has(PKRU) || self.pkru == after.pkru),
            (
                "a base of its own",
                !has(BASES) || self.bases == after.bases,
            ),
        ];
        checks.iter().find(|(_, kept)| !kept).map(|(what, _)| *what)
    }
}

/// What one process does.
fn keep(seed: u64) -> u8 {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let prepared = signal::handle(SIGSEGV, on_fault, 0, 0)
        .and_then(|()| signal::handle(SIGALRM, on_alarm, SA_RESTART, 0));
    if prepared.is_err() {
        println!("process {seed}: no handlers");
        return 1;
    }
    let parent = process::parent_id().into();
    for round in 0..ROUNDS {
        // Half of them are not there before a handler makes them so.
        let protection = if round % 2 == 0 {
            PROT_NONE
        } else {
            PROT_READ | PROT_WRITE
        };
        let Ok(page) = memory::map(PAGE, protection) else {
            println!("process {seed}: no memory");
            return 1;
        };
        let before = Registers::generate(&mut numbers, page as u64);
        let mut after = Registers {
            has: before.has,
            ..ZERO
        };
        WAITS.store(1, Relaxed);
        // Once a round: where ring 0 is emulated, a handler takes longer than a tick.
        let alarm = signal::set_alarm(ALARM_US, 0);
        let is_set = set_bases(before.based).and(alarm).is_ok();
        // SAFETY: both are there, the page is writable or becomes so, and fs and gs lead to
        // two words; all that a function must keep is kept.
        unsafe { exercise(&raw const before, &raw mut after) };
        if let (Some(what), _) | (_, Some(what)) = (
            before.difference(&after, parent),
            (!is_set).then_some("what was never set"),
        ) {
            println!("process {seed}, round {round}: lost {what}");
            return 1;
        }
        if round % 4 == 0 {
            // Somebody ends meanwhile.
            let _ = process::spawn(|| 0).and_then(process::wait);
        }
    }
    let handled = [&HANDLED, &ALARMS].map(|count| u64::from(count.load(Relaxed)));
    if handled != [ROUNDS.div_ceil(2), ROUNDS] {
        println!("process {seed}: handled {handled:?}");
        return 1;
    }
    0
}

/// What is announced, as programs find out.
fn announced() -> u64 {
    const XMM_YMM: u32 = 3 << 1;
    const MASKS_AND_ZMM: u32 = 7 << 5;
    let is_set = |word: u32, bit: u32| word >> bit & 1 != 0;
    if !is_set(__cpuid(1).ecx, 27) {
        return 0;
    }
    let enabled: u32;
    // SAFETY: OSXSAVE, which has been asked for, says that there is XCR0.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _) };
    let has = |components: u32| enabled & components == components;
    let features = __cpuid_count(7, 0).ebx;
    // AVX512F and AVX512BW, by which mask registers have 64 bits.
    let has_512 = is_set(features, 16) && is_set(features, 30) && has(MASKS_AND_ZMM);
    let has_ymm = is_set(__cpuid(1).ecx, 28) && has(XMM_YMM);
    YMM * u64::from(has_ymm) + AVX_512 * u64::from(has_512)
}

fn main(arguments: Arguments) -> u8 {
    let unannounced = match arguments.first() {
        Some("all") => PKRU | BASES,
        _ => 0,
    };
    HAS.store((announced() | unannounced) as u32, Relaxed);
    let mut kept = 0;
    for seed in 1..=PROCESSES {
        if process::spawn(|| keep(seed)).is_err() {
            println!("process {seed}: not made");
        }
    }
    while let Ok((_, status)) = process::wait_any() {
        kept += u64::from(status == Status::Exited(0));
    }
    println!("{kept} of {PROCESSES} processes kept every register");
    u8::from(kept != PROCESSES)
}
