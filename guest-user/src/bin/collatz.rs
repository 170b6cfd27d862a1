//! Finds the longest Collatz chain from a number below 100000: arithmetic, and no exit (R4, R5).

#![no_std]
#![no_main]

use guest_user::{Arguments, println};

guest_user::entry!(main);

const LIMIT: u64 = 100_000;

fn main(arguments: Arguments) -> u8 {
    let limit = arguments.number_or(LIMIT);
    let (mut longest, mut start) = (0, 0);
    for candidate in 1..limit {
        let length = chain_length(candidate);
        if length > longest {
            (longest, start) = (length, candidate);
        }
    }
    println!("{start} takes {longest} numbers to 1, more than any other below {limit}");
    0
}

/// Numbers in the chain from `number` to 1, both included.
fn chain_length(mut number: u64) -> u32 {
    let mut length = 1;
    while number > 1 {
        number = if number.is_multiple_of(2) {
            number / 2
        } else {
            3 * number + 1
        };
        length += 1;
    }
    length
}
