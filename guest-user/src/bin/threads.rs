//! Threads share memory: a counter under a mutex, and each one's result at the join (R17).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use guest_user::sync::Mutex;
use guest_user::thread;
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const THREADS: usize = 4;
const ROUNDS: u32 = 1000;

static COUNT: Mutex<u32> = Mutex::new(0);
static STARTED: AtomicU32 = AtomicU32::new(0);

fn main(_: Arguments) -> u8 {
    let process = process::id();
    let threads = [(); THREADS].map(|()| {
        thread::spawn(move || {
            let number = STARTED.fetch_add(1, Relaxed);
            for round in 0..ROUNDS {
                let mut count = COUNT.lock();
                let seen = *count;
                if round % 100 == 0 {
                    // Others find the mutex taken.
                    process::yield_now();
                }
                *count = seen + 1;
            }
            (number, process::id() == process)
        })
        .expect("a thread")
    });
    let mut numbers = 0;
    for thread in threads {
        let (number, same) = thread.join();
        numbers += number;
        assert!(same, "threads are of one process");
    }
    println!("{THREADS} threads counted to {}", *COUNT.lock());
    println!("sum of their numbers: {numbers}");
    0
}
