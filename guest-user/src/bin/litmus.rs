//! Short races between CPUs, so many times (4096), and what each came to: the order of memory (R33).
//!
//! The tests are those of AMD's manual 24593, section 7.2, and Intel's 253668, section 9.2. Each
//! thread has a CPU of its own, as far as there are enough, and each race two words of its own. A
//! line has the name of the test and how often each outcome was seen: the values that were loaded,
//! zeros before a store and ones after it. An outcome that no x86 processor may have is named on a
//! line of its own, and makes the status 1.

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering::*};

use guest_user::processors::Processors;
use guest_user::{Arguments, print, println, process, thread};

guest_user::entry!(main);

/// What a thread does in a race with the words x and y, and what it loads.
type Role = fn(x: *mut u32, y: *mut u32) -> [u32; 2];

/// Instructions on the words at `{x}` and `{y}`, which load into `{a:e}` and `{b:e}`.
macro_rules! role {
    ($($line:literal),+) => {
        |x, y| {
            let (a, b): (u32, u32);
            // SAFETY: the words are of races alone; other threads use them by such
            // instructions too, or by atomics.
            unsafe {
                asm!(
                    $($line,)+
                    // Each name must be there.
                    "# {x} {y} {a:e} {b:e}",
                    x = in(reg) x, y = in(reg) y,
                    a = inout(reg) 0 => a, b = inout(reg) 0 => b,
                    options(nostack),
                );
            }
            [a, b]
        }
    };
}

const STORE: Role = role!("mov dword ptr [{x}], 1");
const STORE_LOAD: Role = role!("mov dword ptr [{x}], 1", "mov {a:e}, [{y}]");
const STORE_FENCE_LOAD: Role = role!("mov dword ptr [{x}], 1", "mfence", "mov {a:e}, [{y}]");
const XCHG_LOAD: Role = role!("mov {b:e}, 1", "xchg [{x}], {b:e}", "mov {a:e}, [{y}]");
const STORE_STORE: Role = role!("mov dword ptr [{x}], 1", "mov dword ptr [{y}], 1");
const LOAD_STORE: Role = role!("mov {a:e}, [{x}]", "mov dword ptr [{y}], 1");
const LOAD_LOAD: Role = role!("mov {a:e}, [{x}]", "mov {b:e}, [{y}]");

/// Which of a race's words is x for a role, and which is y.
type Order = [usize; 2];

const XY: Order = [0, 1];
const YX: Order = [1, 0];

/// Each thread's only load.
const ONE_EACH: &[(usize, usize)] = &[(0, 0), (1, 0)];

/// A kind of race.
struct Test {
    name: &'static str,
    roles: &'static [(Role, Order)],
    /// Of which role, and which of its two loads, the digits of an outcome are.
    digits: &'static [(usize, usize)],
    /// The outcome that no processor may have, if there is one.
    forbidden: Option<usize>,
}

static TESTS: [Test; 6] = [
    // Each CPU may load while its store still waits in a buffer that the other one cannot see.
    Test {
        name: "store buffering",
        roles: &[(STORE_LOAD, XY), (STORE_LOAD, YX)],
        digits: ONE_EACH,
        forbidden: None,
    },
    Test {
        name: "store buffering, mfence",
        roles: &[(STORE_FENCE_LOAD, XY), (STORE_FENCE_LOAD, YX)],
        digits: ONE_EACH,
        forbidden: Some(0b00),
    },
    Test {
        name: "store buffering, xchg",
        roles: &[(XCHG_LOAD, XY), (XCHG_LOAD, YX)],
        digits: ONE_EACH,
        forbidden: Some(0b00),
    },
    // The flag y is there, and the data x is not.
    Test {
        name: "message passing",
        roles: &[(STORE_STORE, XY), (LOAD_LOAD, YX)],
        digits: &[(1, 0), (1, 1)],
        forbidden: Some(0b10),
    },
    // Each loads what the other one stores afterwards.
    Test {
        name: "load buffering",
        roles: &[(LOAD_STORE, XY), (LOAD_STORE, YX)],
        digits: ONE_EACH,
        forbidden: Some(0b11),
    },
    // Two see two stores in different order.
    Test {
        name: "independent reads of independent writes",
        roles: &[(STORE, XY), (STORE, YX), (LOAD_LOAD, XY), (LOAD_LOAD, YX)],
        digits: &[(2, 0), (2, 1), (3, 0), (3, 1)],
        forbidden: Some(0b1010),
    },
];

/// Most threads of a test.
const THREADS: usize = 4;
/// Most races, so that no count overflows.
const MOST_RACES: u64 = 1 << 26;
/// Races between two meetings at which all wait for each other.
const BATCH: usize = 64;
/// How long a thread waits for the others before a race: a part of a turn of the host's.
const PATIENCE: usize = 200;

/// A word on a cache line of its own.
#[repr(align(64))]
struct Line(AtomicU32);

/// The two words of each race.
static WORDS: [[Line; 2]; BATCH] = [const { [const { Line(AtomicU32::new(0)) }; 2] }; BATCH];
/// What each thread has loaded in each race.
static LOADED: [[[AtomicU32; 2]; BATCH]; THREADS] =
    [const { [const { [const { AtomicU32::new(0) }; 2] }; BATCH] }; THREADS];
/// The races that each thread has come to.
static RACES: [Line; THREADS] = [const { Line(AtomicU32::new(0)) }; THREADS];
/// How often a thread has come to a meeting.
static ARRIVALS: Line = Line(AtomicU32::new(0));

/// How often each outcome was seen.
type Seen = [u32; 1 << THREADS];

fn main(arguments: Arguments) -> u8 {
    let races = arguments.number_or(4096).min(MOST_RACES);
    let batches = (races as usize).div_ceil(BATCH) as u32;
    let processors = Processors::allowed().expect("there is such a call");
    let mut is_broken = false;
    for test in &TESTS {
        if test.roles.len() > 2 && processors.count() < test.roles.len() {
            println!("{}: takes {} CPUs", test.name, test.roles.len());
            continue;
        }
        ARRIVALS.0.store(0, SeqCst);
        RACES.iter().for_each(|races| races.0.store(0, SeqCst));
        let seen = together(processors, test.roles.len(), move |number| {
            take_part(test, number, batches)
        });
        is_broken |= tell(test, &seen);
    }
    count(processors, batches);
    processors.keep_to().expect("this thread was there");
    u8::from(is_broken)
}

/// Runs `body` in so many threads, each with its number and on its CPU; the result is that of number 0.
fn together<T: Send + 'static>(
    processors: Processors,
    threads: usize,
    body: impl Fn(usize) -> T + Copy + Send + 'static,
) -> T {
    let run = move |number: usize| {
        let own = processors.only(number).keep_to();
        own.expect("this thread may run there");
        body(number)
    };
    let others: [_; THREADS - 1] = core::array::from_fn(|other| {
        let number = other + 1;
        (number < threads).then(|| thread::spawn(move || run(number)).expect("there is room"))
    });
    let result = run(0);
    others
        .into_iter()
        .flatten()
        .for_each(|thread| drop(thread.join()));
    result
}

/// What the thread with this number does in all races of a test; number 0 returns what was seen.
fn take_part(test: &Test, number: usize, batches: u32) -> Seen {
    let threads = test.roles.len();
    let (role, order) = test.roles[number];
    let (mut seen, mut arrivals, mut races) = ([0; 1 << THREADS], 0, 0);
    for _ in 0..batches {
        meet(threads, &mut arrivals);
        for (words, loaded) in WORDS.iter().zip(&LOADED[number]) {
            // Before the start: whatever comes after it makes fewer races overlap.
            let [x, y] = order.map(|word| words[word].0.as_ptr());
            races += 1;
            start(threads, number, races);
            let values = role(x, y);
            for (loaded, value) in loaded.iter().zip(values) {
                loaded.store(value, Relaxed);
            }
        }
        meet(threads, &mut arrivals);
        if number == 0 {
            // The others wait for the next batch.
            (0..BATCH).for_each(|race| seen[outcome(test, race)] += 1);
            WORDS
                .as_flattened()
                .iter()
                .for_each(|word| word.0.store(0, Relaxed));
        }
    }
    seen
}

/// Waits for all threads.
fn meet(threads: usize, arrivals: &mut u32) {
    *arrivals += threads as u32;
    ARRIVALS.0.fetch_add(1, AcqRel);
    let mut patience = PATIENCE;
    while ARRIVALS.0.load(Acquire) < *arrivals {
        spin_loop();
        patience -= 1;
        if patience == 0 {
            // Another one may need this CPU.
            process::yield_now();
            patience = PATIENCE;
        }
    }
}

/// Waits a while, so that all begin a race at once.
fn start(threads: usize, number: usize, races: u32) {
    RACES[number].0.store(races, Relaxed);
    for _ in 0..PATIENCE {
        let mut all = RACES[..threads].iter();
        if all.all(|others| others.0.load(Relaxed) >= races) {
            return;
        }
        spin_loop();
    }
}

/// The digits of a race's outcome, as a binary number.
fn outcome(test: &Test, race: usize) -> usize {
    let digits = test.digits.iter().map(|&(thread, load)| {
        let value = LOADED[thread][race][load].load(Relaxed);
        assert!(value <= 1, "nobody has stored {value}");
        value as usize
    });
    digits.fold(0, |outcome, digit| outcome << 1 | digit)
}

/// Prints what was seen, and returns whether some of it is forbidden.
fn tell(test: &Test, seen: &Seen) -> bool {
    let width = test.digits.len();
    print!("{}:", test.name);
    for (outcome, count) in seen[..1 << width].iter().enumerate() {
        print!(" {outcome:0width$b} {count}");
    }
    println!();
    let forbidden = test.forbidden.filter(|&outcome| seen[outcome] > 0);
    if let Some(outcome) = forbidden {
        println!("{}: {outcome:0width$b} is forbidden", test.name);
    }
    forbidden.is_some()
}

/// A counter, and the lock of one that has one.
static COUNTER: Line = Line(AtomicU32::new(0));
static LOCK: Line = Line(AtomicU32::new(0));

/// One step of counting, by the addresses of counter and lock.
type Step = fn(counter: *mut u32, lock: *mut u32);

/// Instructions on the counter at `{x}` and the lock at `{y}`.
macro_rules! step {
    ($($line:literal),+) => {
        |counter, lock| {
            let step: Role = role!($($line),+);
            step(counter, lock);
        }
    };
}

const LOCKED_STEP: Step = step!("lock inc dword ptr [{x}]");
const PLAIN_STEP: Step = step!("inc dword ptr [{x}]");
/// The lock is given back by a plain store, as x86 allows.
const STEP_UNDER_LOCK: Step = step!(
    "2: mov {a:e}, 1",
    "lock xchg [{y}], {a:e}",
    "test {a:e}, {a:e}",
    "jz 4f",
    "3: pause",
    "cmp dword ptr [{y}], 0",
    "jne 3b",
    "jmp 2b",
    "4: mov {a:e}, [{x}]",
    "inc {a:e}",
    "mov [{x}], {a:e}",
    "mov dword ptr [{y}], 0"
);

/// As many threads as CPUs count together, by one instruction with `lock`, by one without it,
/// which may lose some, and under a spin lock.
fn count(processors: Processors, batches: u32) {
    let threads = processors.count().clamp(2, THREADS);
    for (name, step) in [
        ("lock inc", LOCKED_STEP),
        ("inc", PLAIN_STEP),
        ("spin lock", STEP_UNDER_LOCK),
    ] {
        COUNTER.0.store(0, SeqCst);
        ARRIVALS.0.store(0, SeqCst);
        together(processors, threads, move |_| {
            let mut arrivals = 0;
            for _ in 0..batches {
                meet(threads, &mut arrivals);
                (0..BATCH).for_each(|_| step(COUNTER.0.as_ptr(), LOCK.0.as_ptr()));
            }
        });
        let (counted, all) = (COUNTER.0.load(SeqCst), threads * BATCH * batches as usize);
        println!("{name}: {counted} of {all}");
    }
}
