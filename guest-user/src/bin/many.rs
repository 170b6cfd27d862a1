//! So many processes (200) are there at once, in a chain that a number passes along (R14, R21).

#![no_std]
#![no_main]

use guest_user::{Arguments, file, println, process};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let count = arguments.number_or(200);
    let (first_read, first_write) = file::pipe(0).expect("a pipe");
    let mut input = first_read;
    for _ in 0..count {
        let (read_end, write_end) = file::pipe(0).expect("a pipe");
        process::spawn(|| {
            let mut number = [0; 8];
            let received = file::read_full(input, &mut number);
            let next = u64::from_le_bytes(number) + 1;
            let sent = file::write_all(write_end, &next.to_le_bytes());
            u8::from(received != Ok(number.len()) || sent.is_err())
        })
        .expect("a child");
        file::close(input).expect("it was open");
        file::close(write_end).expect("it was open");
        input = read_end;
    }
    println!("{count} processes at once");
    file::write_all(first_write, &0_u64.to_le_bytes()).expect("the first one reads");
    let mut number = [0; 8];
    file::read_full(input, &mut number).expect("the last one writes");
    println!("the number came to {}", u64::from_le_bytes(number));
    let mut ended = 0;
    while let Ok((_, process::Status::Exited(0))) = process::wait_any() {
        ended += 1;
    }
    println!("{ended} ended well");
    0
}
