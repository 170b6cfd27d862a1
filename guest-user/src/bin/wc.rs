//! Counts lines, words and bytes of files or of standard input (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, Fd, O_RDONLY, STDIN};
use guest_user::syscall::Result;
use guest_user::{Arguments, io, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let mut status = 0;
    let mut counted = false;
    for path in arguments.c_strings().skip(1) {
        counted = true;
        match file::open(path, O_RDONLY).and_then(count) {
            Ok((lines, words, bytes)) => {
                println!("{lines} {words} {bytes} {}", path.to_str().unwrap_or("?"));
            }
            Err(error) => {
                io::print(io::STDERR, format_args!("wc: {path:?}: {error:?}\n"));
                status = 1;
            }
        }
    }
    if !counted {
        match count(STDIN) {
            Ok((lines, words, bytes)) => println!("{lines} {words} {bytes}"),
            Err(_) => status = 1,
        }
    }
    status
}

fn count(fd: Fd) -> Result<(u64, u64, u64)> {
    let mut buffer = [0; 512];
    let (mut lines, mut words, mut bytes) = (0, 0, 0);
    let mut in_word = false;
    loop {
        let filled = file::read(fd, &mut buffer)?;
        if filled == 0 {
            file::close(fd)?;
            return Ok((lines, words, bytes));
        }
        for byte in &buffer[..filled] {
            bytes += 1;
            lines += u64::from(*byte == b'\n');
            let starts = !byte.is_ascii_whitespace() && !in_word;
            words += u64::from(starts);
            in_word = !byte.is_ascii_whitespace();
        }
    }
}
