//! Runs one of eight loops, each busy with one kind of work, or a loop of system calls, and
//! says how long it took (R2, R5, R27).
//!
//! The argument is the loop's name (`syscall` or `int80` for system calls). The same file runs
//! on Linux, which gives the time that the loop takes without a virtual machine.

#![no_std]
#![no_main]

use core::hint::black_box;

use guest_user::syscall::{Entry, getpid};
use guest_user::{Arguments, println, time};

guest_user::entry!(main);

/// Words of memory to work on: 32 MiB.
const WORDS: usize = 4 << 20;
/// Bytes that the sieve covers, and so the numbers.
const SIEVE: usize = 8 << 20;
/// Words in a cache line.
const LINE: usize = 8;
/// Rows and columns of a matrix.
const SIDE: usize = 256;

/// Fills the memory that the loop uses.
type Prepare = fn(&mut [u64]);
/// The loop.
type Work = fn(&mut [u64]) -> u64;

static mut MEMORY: [u64; WORDS] = [0; WORDS];

fn main(arguments: Arguments) -> u8 {
    let name = arguments.first().unwrap_or("dependent");
    let memory = &raw mut MEMORY;
    // SAFETY: this is the only reference, made once, in a program with one thread.
    let memory = unsafe { &mut *memory };
    let (prepare, work): (Prepare, Work) = match name {
        "dependent" => (nothing, dependent),
        "sieve" => (fill, sieve),
        "fib" => (nothing, |_| fib(black_box(32))),
        "sha256" => (fill, sha256),
        "matrix" => (matrices, multiply),
        "chase" => (permute, chase),
        "independent" => (nothing, independent),
        "indirect" => (nothing, indirect),
        "syscall" => (nothing, |_| calls(Entry::Syscall)),
        "int80" => (nothing, |_| calls(Entry::Int80)),
        _ => return 1,
    };
    prepare(memory);
    let start = time::now_ns();
    let sum = work(memory);
    let ns = time::now_ns() - start;
    println!("{name} {sum:#x} {ns}");
    0
}

fn nothing(_: &mut [u64]) {}

/// Touches what the loop will use, so that no page fault is timed.
fn fill(memory: &mut [u64]) {
    for (i, word) in memory[..SIEVE / 8].iter_mut().enumerate() {
        *word = i as u64;
    }
}

/// A million of the cheapest system calls.
fn calls(entry: Entry) -> u64 {
    let results = (0..1_000_000).map(|_| getpid(entry));
    results.filter(Result::is_ok).count() as u64
}

/// Each step needs the one before.
fn dependent(_: &mut [u64]) -> u64 {
    let mut x = black_box(1_u64);
    for i in 0..20_000_000 {
        x = (x ^ i).rotate_left(5).wrapping_add(x >> 3);
    }
    x
}

/// Four chains that need nothing of each other.
fn independent(_: &mut [u64]) -> u64 {
    let mut x: [u64; 4] = black_box([1, 2, 3, 4]);
    for i in 0..10_000_000_u64 {
        x[0] = x[0].wrapping_add(i) ^ 0x55;
        x[1] = (x[1] ^ i).wrapping_sub(3);
        x[2] = x[2].wrapping_add(x[2] << 1) ^ i;
        x[3] = x[3].rotate_left(7).wrapping_add(i);
    }
    x.iter().fold(0, |sum, x| sum ^ x)
}

/// Primes below eight million, by the sieve of Eratosthenes.
fn sieve(memory: &mut [u64]) -> u64 {
    let bytes = bytes(memory);
    bytes.fill(1);
    let mut n = 2;
    while n * n < SIEVE {
        if bytes[n] != 0 {
            for multiple in (n * n..SIEVE).step_by(n) {
                bytes[multiple] = 0;
            }
        }
        n += 1;
    }
    bytes[2..].iter().map(|&byte| u64::from(byte)).sum()
}

fn bytes(memory: &mut [u64]) -> &mut [u8] {
    let words = &mut memory[..SIEVE / 8];
    // SAFETY: the same memory, which has no padding, borrowed as long.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), SIEVE) }
}

/// Calls and returns.
#[inline(never)]
fn fib(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        fib(black_box(n - 1)) + fib(black_box(n - 2))
    }
}

/// SHA-256 (FIPS 180-4) of 4 MiB, without padding.
fn sha256(memory: &mut [u64]) -> u64 {
    let constants = round_constants();
    let mut hash: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    for block in bytes(memory)[..SIEVE / 2].chunks_exact(64) {
        let mut w = [0_u32; 64];
        for (w, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *w = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..64 {
            let (a, b) = (w[i - 15], w[i - 2]);
            let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
            let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
            w[i] = w[i - 16]
                .wrapping_add(s0)
                .wrapping_add(w[i - 7])
                .wrapping_add(s1);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = hash;
        for (&w, &k) in w.iter().zip(&constants) {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let t1 = h
                .wrapping_add(s1)
                .wrapping_add(e & f ^ !e & g)
                .wrapping_add(k)
                .wrapping_add(w);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let t2 = s0.wrapping_add(a & b ^ a & c ^ b & c);
            (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
        }
        for (sum, part) in hash.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = sum.wrapping_add(part);
        }
    }
    u64::from(hash[0]) << 32 | u64::from(hash[7])
}

/// The fractions of the cube roots of the first 64 primes, by integer arithmetic.
fn round_constants() -> [u32; 64] {
    let mut constants = [0; 64];
    let mut prime = 1_u128;
    for constant in &mut constants {
        prime += 1;
        while (2..prime).any(|n| prime.is_multiple_of(n)) {
            prime += 1;
        }
        // The largest root with 32 bits of fraction whose cube is not above the prime.
        let mut root = 0_u128;
        for bit in (0..36).rev() {
            let more = root | 1 << bit;
            if more * more * more <= prime << 96 {
                root = more;
            }
        }
        *constant = root as u32;
    }
    constants
}

fn matrices(memory: &mut [u64]) {
    for (i, word) in memory[..3 * SIDE * SIDE].iter_mut().enumerate() {
        *word = ((i % 17) as f64 / 8.0).to_bits();
    }
}

/// Product of two matrices of doubles, two at a time.
fn multiply(memory: &mut [u64]) -> u64 {
    let words = &mut memory[..3 * SIDE * SIDE];
    // SAFETY: every word is a double, and the same memory is borrowed as long.
    let all: &mut [f64] =
        unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) };
    let (a, rest) = all.split_at_mut(SIDE * SIDE);
    let (b, c) = rest.split_at_mut(SIDE * SIDE);
    c.fill(0.0);
    for (row, out) in a.chunks_exact(SIDE).zip(c.chunks_exact_mut(SIDE)) {
        for (&factor, column) in row.iter().zip(b.chunks_exact(SIDE)) {
            for (sum, &value) in out.iter_mut().zip(column) {
                *sum += factor * value;
            }
        }
    }
    c.iter().fold(0, |sum, value| sum ^ value.to_bits())
}

/// Makes one cycle through all cache lines, in random order (Sattolo's algorithm).
fn permute(memory: &mut [u64]) {
    let lines = WORDS / LINE;
    for line in 0..lines {
        memory[line * LINE] = line as u64;
    }
    let mut random = 1_u64;
    for line in (1..lines).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let other = (random >> 33) as usize % line;
        memory.swap(line * LINE, other * LINE);
    }
}

/// Follows the cycle.
fn chase(memory: &mut [u64]) -> u64 {
    let mut line = 0;
    for _ in 0..1_000_000 {
        line = memory[line as usize * LINE];
    }
    line
}

/// Calls of one of eight functions, which one known only then.
fn indirect(_: &mut [u64]) -> u64 {
    const FUNCTIONS: [fn(u64) -> u64; 8] = [
        |x| x.wrapping_add(1),
        |x| x ^ 0x5555,
        |x| x.rotate_left(3),
        |x| x.wrapping_mul(3),
        |x| x.wrapping_sub(7),
        |x| x ^ x >> 9,
        |x| !x,
        |x| x.swap_bytes(),
    ];
    let functions = black_box(&FUNCTIONS);
    let mut x = 1;
    for i in 0..10_000_000_usize {
        x = functions[((i * 5) ^ (i >> 3)) % 8](x);
    }
    x
}
