//! Parent and child share the offset of a file that was open at the `fork` (R15, R22).

#![no_std]
#![no_main]

use guest_user::file::{self, O_CREAT, O_RDWR, O_TRUNC, SEEK_CUR, SEEK_SET};
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let path = c"/tmp/fork_offsets";
    // It may be there already.
    let _ = file::make_directory(c"/tmp");
    let fd = file::open(path, O_RDWR | O_CREAT | O_TRUNC).expect("a new file");
    file::write_all(fd, b"parent ").expect("room");
    let child = process::spawn(|| {
        file::write_all(fd, b"child ").expect("room");
        0
    });
    process::wait(child.expect("a child")).expect("it ended");
    println!(
        "offset after the child wrote: {:?}",
        file::seek(fd, 0, SEEK_CUR)
    );
    file::write_all(fd, b"parent").expect("room");
    file::seek(fd, 0, SEEK_SET).expect("a file");
    let mut text = [0; 64];
    let count = file::read_full(fd, &mut text).expect("readable");
    println!("{:?}", core::str::from_utf8(&text[..count]));
    file::close(fd).expect("it was open");
    file::unlink(path).expect("it was there");
    0
}
