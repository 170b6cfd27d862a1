//! So many workers (4) do a piece of work each, at once: how long they take, all together, on the
//! CPUs that there are (R33).
//!
//! `scale processes WORKERS` spins in processes, `scale threads WORKERS` sums an array in threads.
//! The time is from when all of them may begin to the end of the last one. The same file runs on
//! Linux, which gives the time that it takes without a virtual machine.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use guest_user::memory::{self, PAGE, PROT_READ, PROT_WRITE};
use guest_user::process::{self, Status};
use guest_user::thread::{self, futex_wait, futex_wake};
use guest_user::{Arguments, println, time};

guest_user::entry!(main);

/// Most workers.
const MOST: usize = 64;
/// What a process does: steps that each need the one before.
const STEPS: u64 = 40_000_000;
/// The words that the threads sum: few enough for a cache.
const WORDS: usize = 1 << 17;
/// How often they do.
const PASSES: usize = 800;

/// What workers share with who waits for them. Zeros are one to begin with.
struct Board {
    ready: AtomicU32,
    /// 1 as soon as all may begin.
    begun: AtomicU32,
    done: [Done; MOST],
}

/// What one worker has done.
struct Done {
    sum: AtomicU64,
    /// On the clock that all share.
    end_ns: AtomicU64,
}

fn main(arguments: Arguments) -> u8 {
    let workers = arguments.iter().nth(2).map_or(Ok(4), str::parse);
    let workers = workers.unwrap_or(0);
    let run = match arguments.first() {
        Some("processes") => processes,
        Some("threads") => threads,
        _ => |_, _| 0,
    };
    const { assert!(size_of::<Board>() <= PAGE) };
    let board = memory::map_shared(PAGE).expect("a page").cast::<Board>();
    // SAFETY: a page of zeros, which are a board, and it is never unmapped.
    let board = unsafe { &*board };
    let done = board.done.get(..workers).unwrap_or_default();
    let begun_ns = run(board, done.len());
    if done.is_empty() || begun_ns == 0 {
        println!("usage: scale processes|threads WORKERS (1 to {MOST})");
        return 2;
    }
    let sums = done.iter().map(|done| done.sum.load(Acquire));
    let sum = sums.fold(0, u64::wrapping_add);
    let ends = done.iter().map(|done| done.end_ns.load(Acquire));
    let ns = ends.max().unwrap_or(0) - begun_ns;
    println!("{} {sum:#x} {ns}", arguments.first().unwrap_or_default());
    0
}

impl Board {
    /// What a worker does: waits until all are ready, and works.
    fn take_part(&self, number: usize, work: impl FnOnce() -> u64) {
        self.ready.fetch_add(1, AcqRel);
        while self.begun.load(Acquire) == 0 {
            futex_wait(&self.begun, 0);
        }
        let done = &self.done[number];
        done.sum.store(work(), Release);
        done.end_ns.store(time::now_ns(), Release);
    }

    /// Has all begin as soon as they are ready, and says when that was.
    fn begin(&self, workers: usize) -> u64 {
        while (self.ready.load(Acquire) as usize) < workers {
            process::yield_now();
        }
        let now = time::now_ns();
        self.begun.store(1, Release);
        futex_wake(&self.begun, workers as u32);
        now
    }
}

fn processes(board: &'static Board, workers: usize) -> u64 {
    let mut children = [0; MOST];
    for (number, child) in children[..workers].iter_mut().enumerate() {
        let spawned = process::spawn(|| {
            board.take_part(number, || spin(number as u64));
            0
        });
        *child = spawned.expect("there is room");
    }
    let begun_ns = board.begin(workers);
    for &child in &children[..workers] {
        assert_eq!(process::wait(child), Ok(Status::Exited(0)));
    }
    begun_ns
}

fn spin(from: u64) -> u64 {
    let mut x = black_box(from);
    for i in 0..STEPS {
        x = (x ^ i).rotate_left(5).wrapping_add(x >> 3);
    }
    x
}

fn threads(board: &'static Board, workers: usize) -> u64 {
    let words = memory::map(WORDS * size_of::<u64>(), PROT_READ | PROT_WRITE);
    let words = words.expect("there is memory").cast::<u64>();
    // SAFETY: the mapping, zeroed and aligned, which nothing else uses and nobody unmaps.
    let words = unsafe { core::slice::from_raw_parts_mut(words, WORDS) };
    // No thread is to find a page that is not there.
    (0..).zip(words.iter_mut()).for_each(|(i, word)| *word = i);
    let words = &*words;
    let parts = words.chunks(WORDS.div_ceil(workers.max(1)));
    let mut handles = [const { None }; MOST];
    for ((number, part), handle) in parts.enumerate().zip(&mut handles[..workers]) {
        let work = move || board.take_part(number, || sum(part));
        *handle = Some(thread::spawn(work).expect("there is room"));
    }
    let begun_ns = board.begin(workers);
    handles
        .into_iter()
        .flatten()
        .for_each(|handle| handle.join());
    begun_ns
}

/// Rotates the sum, as `sum` of BSD does: so its steps need each other, on all processors.
fn sum(part: &[u64]) -> u64 {
    let words = (0..PASSES).flat_map(|_| black_box(part));
    words.fold(0, |sum: u64, &word| sum.rotate_left(1).wrapping_add(word))
}
