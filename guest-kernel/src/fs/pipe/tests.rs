//! Pipes: what goes in comes out, and when there is room.

use super::*;
use crate::fs::transfer::tests::Buffer as User;
use mm::{Frame, frames};

fn new() -> (ReadEnd, WriteEnd) {
    pipe().expect("there is memory")
}

fn write(end: &WriteEnd, bytes: &[u8]) -> Result<u64, Errno> {
    end.write(&mut User::new(bytes), true, false)
}

fn read(end: &ReadEnd, len: usize) -> Result<Vec<u8>, Errno> {
    let mut target = User::room(len);
    end.read(&mut target, true)?;
    Ok(target.bytes)
}

#[test]
fn bytes_come_out_in_order_however_they_wrap() {
    let (reader, writer) = new();
    let mut sent = 0_u8;
    let mut got = 0_u8;
    for round in 0..200 {
        let bytes: Vec<_> = (0..37 * round % 3000)
            .map(|_| {
                sent = sent.wrapping_add(1);
                sent
            })
            .collect();
        assert_eq!(write(&writer, &bytes), Ok(bytes.len() as u64));
        while reader.pipe().len() > 0 {
            for byte in read(&reader, 1000).expect("there is something") {
                got = got.wrapping_add(1);
                assert_eq!(byte, got);
            }
        }
    }
}

const SIZE: usize = 65_536;

#[test]
fn small_writes_are_all_or_nothing() {
    let (reader, writer) = new();
    assert_eq!(write(&writer, &[1; SIZE - 4096]), Ok(SIZE as u64 - 4096));
    assert_eq!(write(&writer, &[2; 4000]), Ok(4000));
    assert!(!writer.readiness().contains(Readiness::WRITE));
    assert_eq!(write(&writer, &[3; 97]), Err(Errno::EAGAIN));
    assert_eq!(write(&writer, &[3; 96]), Ok(96));
    assert_eq!(write(&writer, &[3; 1]), Err(Errno::EAGAIN));
    assert_eq!(read(&reader, SIZE + 1).map(|bytes| bytes.len()), Ok(SIZE));
    assert!(writer.readiness().contains(Readiness::WRITE));
}

#[test]
fn large_writes_fill_what_there_is() {
    let (reader, writer) = new();
    assert_eq!(write(&writer, &[1; 10]), Ok(10));
    assert_eq!(write(&writer, &[2; 2 * SIZE]), Ok(SIZE as u64 - 4096));
    assert_eq!(read(&reader, 11).map(|bytes| bytes[10]), Ok(2));
}

#[test]
fn packets_are_read_one_by_one() {
    let (reader, writer) = new();
    for packet in [&b"abcdef"[..], b"gh"] {
        let sent = writer.write(&mut User::new(packet).with_faults(&[1]), true, true);
        assert_eq!(sent, Ok(packet.len() as u64));
    }
    assert_eq!(read(&reader, 4), Ok(b"abcd".to_vec()));
    assert_eq!(read(&reader, 100), Ok(b"gh".to_vec()));
    assert_eq!(
        (reader.pipe().len(), read(&reader, 1)),
        (0, Err(Errno::EAGAIN))
    );
}

#[test]
fn a_pipe_has_the_size_that_is_asked_for() {
    let (reader, writer) = new();
    assert_eq!(write(&writer, &[7; 9000]), Ok(9000));
    assert_eq!(reader.pipe().resize(4096), Err(Errno::EBUSY));
    assert_eq!(reader.pipe().resize(4 * 4096 - 1), Ok(4 * 4096));
    assert_eq!(write(&writer, &[8; SIZE]), Ok(4096));
    assert_eq!(writer.pipe().resize(1 << 20), Ok(1 << 20));
    assert_eq!(write(&writer, &[9; SIZE]), Ok(SIZE as u64));
    assert_eq!(writer.pipe().resize((1 << 20) + 1), Err(Errno::EPERM));
    let bytes = read(&reader, 2 * SIZE).expect("there is something");
    assert_eq!(
        (bytes.len(), bytes[8999], bytes[9000]),
        (9000 + 4096 + SIZE, 7, 8)
    );
}

#[test]
fn faults_are_resolved_on_both_sides() {
    let (reader, writer) = new();
    let mut source = User::new(b"abcdefgh").with_faults(&[0, 3]);
    assert_eq!(writer.write(&mut source, true, false), Ok(8));
    let mut target = User::room(100).with_faults(&[0, 5]);
    assert_eq!(reader.read(&mut target, true), Ok(8));
    assert_eq!(target.bytes, b"abcdefgh");
    let mut source = User::new(b"abcd").with_end(0);
    assert_eq!(writer.write(&mut source, true, false), Err(Errno::EFAULT));
    assert_eq!(reader.pipe().len(), 0);
}

#[test]
fn each_end_sees_the_other_go() {
    let (reader, writer) = new();
    assert_eq!(read(&reader, 1), Err(Errno::EAGAIN));
    assert_eq!(write(&writer, b"x"), Ok(1));
    drop(writer);
    assert_eq!(reader.readiness(), Readiness::READ | Readiness::HANG_UP);
    assert_eq!(read(&reader, 9), Ok(b"x".to_vec()));
    assert_eq!(read(&reader, 9), Ok(vec![]));
    let (reader, writer) = new();
    drop(reader);
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    assert!(writer.readiness().contains(Readiness::ERROR));
}

#[test]
fn a_pipe_without_ends_takes_no_memory() {
    let before = frames::free();
    let (reader, writer) = new();
    assert!(frames::free() < before);
    drop((reader, writer));
    assert_eq!(frames::free(), before);
}

/// Long writes share slots of several frames with short ones, whatever was read between.
#[test]
fn all_sizes_come_out_as_they_went_in() {
    let mut random = fastrand::Rng::with_seed(3);
    let before = frames::free();
    let (reader, writer) = new();
    let (mut sent, mut got) = (0_u64, 0_u64);
    for _ in 0..2000 {
        let most = [8, 5000, 2 * SIZE][random.usize(..3)];
        let len = random.usize(1..=most);
        if random.bool() {
            let bytes: Vec<_> = (sent..).take(len).map(|n| (n % 251) as u8).collect();
            let (room, used) = (writer.room(), reader.pipe().len());
            match write(&writer, &bytes) {
                Ok(count) => sent += count,
                Err(errno) => assert_eq!(errno, Errno::EAGAIN),
            }
            assert!(reader.pipe().len() <= SIZE && reader.pipe().len() - used >= room.min(len));
        } else if let Ok(bytes) = read(&reader, len) {
            assert!(!bytes.is_empty());
            for byte in bytes {
                assert_eq!(byte, (got % 251) as u8);
                got += 1;
            }
        }
        assert_eq!(reader.pipe().len() as u64, sent - got);
    }
    assert!(sent > 1_000_000, "{sent}");
    drop((reader, writer));
    assert_eq!(frames::free(), before);
}

#[test]
fn frames_go_as_they_are_read() {
    let (reader, writer) = new();
    let before = frames::free();
    assert_eq!(write(&writer, &[1; SIZE]), Ok(SIZE as u64));
    assert_eq!(before - frames::free(), 16 - 1 + 1);
    assert_eq!(
        read(&reader, 3 * 4096 + 1).map(|bytes| bytes.len()),
        Ok(3 * 4096 + 1)
    );
    assert_eq!((writer.room(), before - frames::free()), (3 * 4096, 13));
    assert_eq!(write(&writer, &[2; SIZE]), Ok(3 * 4096));
    reader.skip(SIZE - 2);
    assert_eq!(read(&reader, SIZE).map(|bytes| bytes.len()), Ok(1));
    assert_eq!((writer.room(), frames::free()), (SIZE, before));
}

#[test]
fn what_stops_at_a_fault_takes_no_more_frames_than_it_fills() {
    let (reader, writer) = new();
    let mut source = User::new(&[5; SIZE]).with_end(5000);
    assert_eq!(writer.write(&mut source, true, false), Ok(5000));
    assert_eq!(writer.room(), SIZE - 2 * 4096);
    assert_eq!(writer.put(&[6; SIZE]), Ok(SIZE as u64 - 2 * 4096));
    assert_eq!(writer.put(&[7; SIZE]), Err(Errno::EAGAIN));
    let lens = [(); 3].map(|()| reader.with_first(<[u8]>::len));
    assert_eq!(lens, [5000; 3]);
    drop(reader);
    assert_eq!(writer.put(&[7]), Err(Errno::EPIPE));
}

#[test]
fn who_has_found_no_memory_is_told_of_room() {
    let (reader, writer) = new();
    assert_eq!(write(&writer, &[1; 4096]), Ok(4096));
    assert!(!reader.pipe().is_room_news());
    let one = || mm::check_object().ok().and_then(|()| Frame::allocate());
    let all: Vec<_> = core::iter::from_fn(one).collect();
    assert!(!all.is_empty() && writer.readiness().is_empty());
    drop(all);
    assert!(writer.readiness() == Readiness::WRITE && reader.pipe().is_room_news());
    assert!(!reader.pipe().is_room_news());
}
