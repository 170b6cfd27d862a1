//! A pipe is a bounded buffer between processes: it blocks, ends, and kills who writes for
//! nobody (R21).

#![no_std]
#![no_main]

use guest_user::file::{self, O_NONBLOCK};
use guest_user::{Arguments, println, process, syscall};

guest_user::entry!(main);

/// More than any pipe holds.
const BYTES: usize = 1 << 20;
const CHUNK: usize = 1000;

fn main(_: Arguments) -> u8 {
    stream();
    ends();
    println!("full: {:?}", fill());
    0
}

/// Every byte arrives, in order.
fn stream() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        file::close(read_end).expect("it was open");
        for start in (0..BYTES).step_by(CHUNK) {
            let mut chunk = [0; CHUNK];
            for (offset, byte) in chunk.iter_mut().enumerate() {
                *byte = pattern(start + offset);
            }
            let count = CHUNK.min(BYTES - start);
            file::write_all(write_end, &chunk[..count]).expect("somebody reads");
        }
        0
    })
    .expect("a child");
    file::close(write_end).expect("it was open");
    let mut received = 0;
    let mut right = true;
    let mut chunk = [0; 512];
    while let Ok(count @ 1..) = file::read(read_end, &mut chunk) {
        for &byte in &chunk[..count] {
            right &= byte == pattern(received);
            received += 1;
        }
    }
    file::close(read_end).expect("it was open");
    println!("{received} bytes, in order: {right}");
    println!("writer {}", process::wait(child).expect("it ended"));
}

fn pattern(offset: usize) -> u8 {
    (offset * 7 + offset / 256) as u8
}

fn ends() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    println!("seek: {:?}", file::seek(read_end, 0, file::SEEK_SET));
    println!("wrong end: {:?}", file::read(write_end, &mut [0]));
    file::close(read_end).expect("it was open");
    let child = process::spawn(|| u8::from(syscall::write(write_end, b"x").is_ok()));
    println!(
        "writer without a reader {}",
        process::wait(child.expect("a child")).expect("it ended")
    );
    file::close(write_end).expect("it was open");
}

/// What a pipe that does not block says when it is full, and when it is empty.
fn fill() -> (syscall::Errno, syscall::Errno) {
    let (read_end, write_end) = file::pipe(O_NONBLOCK).expect("a pipe");
    let empty = file::read(read_end, &mut [0]).expect_err("nothing is there");
    let full = loop {
        if let Err(error) = syscall::write(write_end, &[0; CHUNK]) {
            break error;
        }
    };
    file::close(read_end).expect("it was open");
    file::close(write_end).expect("it was open");
    (empty, full)
}
