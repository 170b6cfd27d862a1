//! A pipe is a bounded buffer between processes: it blocks, ends, and kills who writes for
//! nobody (R21).

#![no_std]
#![no_main]

use core::ffi::CStr;

use guest_user::file::{self, Fd, O_CREAT, O_NONBLOCK, O_RDWR};
use guest_user::{Arguments, println, process, syscall};

guest_user::entry!(main);

/// More than any pipe holds.
const BYTES: usize = 1 << 20;
const CHUNK: usize = 1000;
const PAGE: usize = 4096;

fn main(_: Arguments) -> u8 {
    stream();
    ends();
    println!("full: {:?}", fill());
    println!("without memory: {} of {} bytes", without_memory(), 2 * PAGE);
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

/// How many bytes arrive of a write that has waited for memory, which was there again before
/// anybody read.
fn without_memory() -> usize {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let (gate, opened) = file::pipe(0).expect("a pipe");
    let writer = process::spawn(|| {
        let is_open = file::read(gate, &mut [0]) == Ok(1);
        u8::from(!is_open || file::write_all(write_end, &[1; 2 * PAGE]).is_err())
    });
    file::close(write_end).expect("it was open");
    let hog = fill_memory(c"/hog");
    file::write_all(opened, b"x").expect("somebody reads");
    // Until it waits.
    process::sleep_ms(20);
    file::close(hog).expect("it was open");
    let (mut arrived, mut page) = (0, [0; PAGE]);
    while let Ok(count @ 1..) = file::read(read_end, &mut page) {
        arrived += count;
    }
    let status = process::wait(writer.expect("a child")).expect("it ended");
    println!("writer {status}");
    arrived
}

/// A file without a name that has all memory that files may have.
fn fill_memory(path: &CStr) -> Fd {
    let hog = file::open(path, O_CREAT | O_RDWR).expect("a file");
    file::unlink(path).expect("it is there");
    while syscall::write(hog, &[1; 16 * PAGE]).is_ok() {}
    hog
}
