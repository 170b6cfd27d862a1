//! Keeps values in the upper halves of ymm registers: a child and a thread have copies, a new
//! program and a handler start with zeros, and a handler changes them by its frame (R16, R17).

#![no_std]
#![no_main]

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use guest_user::path::Path;
use guest_user::signal::machine::FX;
use guest_user::signal::{self, Context, Info, SIGUSR1};
use guest_user::{Arguments, println, process, thread};

guest_user::entry!(main);

/// The upper halves of ymm0 to ymm15.
type Halves = [u128; 16];

const ZEROS: Halves = [0; 16];

/// Places in the state of a frame (Linux's arch/x86/include/uapi/asm/sigcontext.h; Intel SDM
/// vol. 1 13.4): mark, size with the end mark, components, size; components in use; halves.
const MARK: u64 = 464;
const WHOLE_SIZE: u64 = 468;
const COMPONENTS: u64 = 472;
const SIZE: u64 = 480;
const IN_USE: u64 = 512;
const HALVES: u64 = 576;
const MARKS: [u32; 2] = [0x4650_5853, 0x4650_5845];
/// The component of the halves.
const AVX: u64 = 1 << 2;
/// `UC_FP_XSTATE`.
const IS_EXTENDED: u64 = 1;

/// Whether programs may use AVX, as they find out.
fn is_announced() -> bool {
    const OSXSAVE_AND_AVX: u32 = 3 << 27;
    const YMM: u32 = 3 << 1;
    if __cpuid(1).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
        return false;
    }
    let enabled: u32;
    // SAFETY: OSXSAVE says that there is such an instruction.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _) };
    enabled & YMM == YMM
}

fn set(halves: &Halves) {
    // SAFETY: there is AVX, and the compiler uses none of it.
    unsafe {
        asm!(
            ".irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vinsertf128 ymm\\number, ymm\\number, [{0} + 16 * \\number], 1",
            ".endr",
            in(reg) halves,
            options(readonly, nostack, preserves_flags)
        );
    }
}

fn get() -> Halves {
    let mut halves = ZEROS;
    // SAFETY: as above; sixteen halves fit.
    unsafe {
        asm!(
            ".irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vextractf128 [{0} + 16 * \\number], ymm\\number, 1",
            ".endr",
            in(reg) &mut halves,
            options(nostack, preserves_flags)
        );
    }
    halves
}

/// Different values for each seed.
fn values(seed: u128) -> Halves {
    core::array::from_fn(|number| ((seed << 64) + number as u128 + 1) * 0x1_0000_0001)
}

/// What a handler does with the state in its frame, and what is there afterwards.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Halves,
    NotInUse,
    NotWanted,
    NoMark,
    NoEndMark,
    NoState,
    Unknown,
    Reserved,
}

use Change::*;

const CHANGES: [(&str, Change); 9] = [
    ("nothing", Nothing),
    ("the halves", Halves),
    ("not in use", NotInUse),
    ("not to be restored", NotWanted),
    ("no mark", NoMark),
    ("no mark at the end", NoEndMark),
    ("no state", NoState),
    ("an unknown component", Unknown),
    ("reserved bytes", Reserved),
];

static CHANGE: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: u32, _: &Info, context: &mut Context) {
    let state = context.machine[FX];
    // SAFETY: the kernel left the state there for the handler to change.
    let read = |place: u64| unsafe { ((state + place) as *const u32).read_unaligned() };
    let size = u64::from(read(SIZE));
    let is_whole = state.is_multiple_of(64)
        && context.flags & IS_EXTENDED != 0
        && [read(MARK), read(size)] == MARKS
        && u64::from(read(WHOLE_SIZE)) == size + 4
        && u64::from(read(COMPONENTS)) & AVX != 0
        && u64::from(read(IN_USE)) & AVX != 0;
    HANDLED.store(usize::from(is_whole && get() == ZEROS), Relaxed);
    set(&values(3));
    // SAFETY: as above.
    let write = |place: u64, value: u32| unsafe { ((state + place) as *mut u32).write(value) };
    match CHANGES[CHANGE.load(Relaxed)].1 {
        Nothing => {}
        // SAFETY: as above.
        Halves => unsafe { ((state + HALVES) as *mut Halves).write(values(2)) },
        NotInUse => write(IN_USE, read(IN_USE) & !(AVX as u32)),
        NotWanted => write(COMPONENTS, read(COMPONENTS) & !(AVX as u32)),
        NoMark => write(MARK, 0),
        NoEndMark => write(size, 0),
        NoState => context.machine[FX] = 0,
        Unknown => write(IN_USE + 4, 1 << 31),
        Reserved => write(IN_USE + 16, 1),
    }
}

/// Has itself interrupted; says what is in the registers then.
fn interrupted(change: usize) -> u8 {
    CHANGE.store(change, Relaxed);
    signal::handle(SIGUSR1, handle, 0, 0).expect("it can be handled");
    set(&values(1));
    process::kill(process::id(), SIGUSR1).expect("this process is there");
    let halves = get();
    if HANDLED.load(Relaxed) == 0 {
        return 9;
    }
    let which = [ZEROS, values(1), values(2), values(3)];
    let which = which.iter().position(|values| *values == halves);
    which.map_or(8, |which| which as u8)
}

fn report(name: &str, body: impl FnOnce() -> u8) {
    let ended = process::spawn(body).and_then(process::wait);
    println!("{name}: {}", ended.expect("a child"));
}

fn main(arguments: Arguments) -> u8 {
    if !is_announced() {
        println!("there is no AVX");
        return 0;
    }
    if arguments.first() == Some("again") {
        return u8::from(get() != ZEROS);
    }
    println!("zeros at first: {}", get() == ZEROS);
    set(&values(4));
    report("a child has a copy", || u8::from(get() != values(4)));
    report("a new program starts with zeros", || {
        let own = arguments.iter().next().unwrap_or("");
        let path = Path::of_program(own, "ymm");
        let path = path.as_c_str();
        let failed = process::exec(path, &[path, c"again"]);
        println!("{:?}", failed.err());
        9
    });
    let child = thread::spawn(|| {
        let has_copy = get() == values(4);
        set(&values(5));
        for _ in 0..10 {
            process::yield_now();
        }
        (has_copy, get() == values(5))
    });
    for _ in 0..5 {
        process::yield_now();
    }
    let kept = get() == values(4);
    let (has_copy, keeps) = child.expect("a thread").join();
    println!("a thread has a copy: {has_copy}, keeps its own: {keeps}, as does this one: {kept}");
    for (number, (name, _)) in CHANGES.iter().enumerate() {
        report(name, || interrupted(number));
    }
    println!("after all: {}", get() == values(4));
    0
}
