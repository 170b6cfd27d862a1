//! Panics, through frames with destructors and of a thread, and floating point.

use std::panic::catch_unwind;
use std::thread;

struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        println!("left {}", self.0);
    }
}

fn descend(depth: u32) -> u32 {
    let _guard = Guard(depth);
    assert!(depth < 4, "too deep: {depth}");
    descend(depth + 1) + 1
}

fn main() {
    let caught = catch_unwind(|| descend(0)).expect_err("it panics");
    println!("caught {:?}", caught.downcast::<String>());
    let numbers: Vec<f64> = (0..1000).map(f64::from).map(f64::sqrt).collect();
    let pairs = numbers.iter().zip(numbers.iter().rev());
    println!("{}", pairs.map(|(a, b)| a.mul_add(*b, 1.0)).sum::<f64>());
    let thread = thread::spawn(move || numbers[numbers.len()]);
    println!("the thread panicked: {}", thread.join().is_err());
}
