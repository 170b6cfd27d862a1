//! Descriptors made by `dup` and `dup2` share the open file and its offset (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, O_CREAT, O_RDWR, O_TRUNC, SEEK_CUR, SEEK_SET};
use guest_user::{Arguments, io, println};

guest_user::entry!(main);

const CHOSEN: u32 = 20;

fn main(_: Arguments) -> u8 {
    // It may be there already.
    let _ = file::make_directory(c"/tmp");
    let path = c"/tmp/dup";
    let fd = file::open(path, O_RDWR | O_CREAT | O_TRUNC).expect("a new file");
    let copy = file::dup(fd).expect("a descriptor");
    println!("the lowest free one: {}", copy == fd + 1);
    println!("the chosen one: {:?}", file::dup2(fd, CHOSEN));
    println!(
        "onto itself: {:?}",
        file::dup2(fd, fd).map(|same| same == fd)
    );
    for fd in [fd, copy, CHOSEN] {
        file::write_all(fd, b"abc").expect("room");
    }
    println!(
        "offset of each: {:?}",
        [fd, copy, CHOSEN].map(|fd| file::seek(fd, 0, SEEK_CUR))
    );
    file::close(fd).expect("it was open");
    println!("after closing one: {:?}", file::seek(copy, 0, SEEK_SET));
    println!("not open: {:?}", file::dup(CHOSEN + 1));
    println!("standard output into the file:");
    let terminal = file::dup(io::STDOUT).expect("a descriptor");
    file::dup2(copy, io::STDOUT).expect("a descriptor");
    println!("hidden");
    file::dup2(terminal, io::STDOUT).expect("a descriptor");
    file::seek(copy, 0, SEEK_SET).expect("a file");
    let mut text = [0; 64];
    let count = file::read_full(copy, &mut text).expect("readable");
    println!("the file: {:?}", core::str::from_utf8(&text[..count]));
    for fd in [copy, CHOSEN, terminal] {
        file::close(fd).expect("it was open");
    }
    file::unlink(path).expect("it was there");
    0
}
