//! Copies files, or standard input, to standard output (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, Fd, O_RDONLY, STDIN};
use guest_user::syscall::Result;
use guest_user::{Arguments, io};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let mut status = 0;
    let mut copied = false;
    for path in arguments.c_strings().skip(1) {
        copied = true;
        let result = file::open(path, O_RDONLY).and_then(|fd| {
            copy(fd)?;
            file::close(fd)
        });
        if let Err(error) = result {
            io::print(io::STDERR, format_args!("cat: {path:?}: {error:?}\n"));
            status = 1;
        }
    }
    if !copied && copy(STDIN).is_err() {
        status = 1;
    }
    status
}

fn copy(fd: Fd) -> Result<()> {
    // Each bufferful of output is a VM exit; one of input is another where the VMM copies.
    let mut buffer = [0; 128 << 10];
    loop {
        match file::read(fd, &mut buffer)? {
            0 => return Ok(()),
            count => file::write_all(io::STDOUT, &buffer[..count])?,
        }
    }
}
