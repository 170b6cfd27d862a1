//! Opens files until it may not: an error, others are not concerned, and closing helps (R23).

#![no_std]
#![no_main]

use guest_user::{Arguments, file, println, process};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let mut opened = 0;
    let mut last = 0;
    let refused = loop {
        match file::dup(0) {
            Ok(fd) => (opened, last) = (opened + 1, fd),
            Err(error) => break error,
        }
    };
    println!("refused: {refused:?}, after many: {}", opened >= 200);
    let child = process::spawn(|| u8::from(file::close(last).is_err() || file::dup(0) != Ok(last)));
    println!(
        "a child closes one and opens one: {}",
        process::wait(child.expect("a child")).expect("it ended")
    );
    println!("still full: {:?}", file::pipe(0).err());
    for fd in 3..=last {
        // Those that were not open before.
        let _ = file::close(fd);
    }
    println!("all closed: {:?}", file::dup(0).is_ok());
    0
}
