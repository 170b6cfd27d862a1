//! Forks until it may not (at most so often, 1000): an error, and everybody finishes (R23).

#![no_std]
#![no_main]

use guest_user::{Arguments, file, println, process};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let most = arguments.number_or(1000);
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let mut children = 0;
    let refused = loop {
        if children == most {
            break None;
        }
        let child = process::spawn(|| {
            file::close(write_end).expect("it was open");
            // Until the parent lets go.
            u8::from(file::read(read_end, &mut [0]) != Ok(0))
        });
        match child {
            Ok(_) => children += 1,
            Err(error) => break Some(error),
        }
    };
    println!("refused: {refused:?}");
    file::close(write_end).expect("it was open");
    let mut ended = 0;
    while let Ok((_, process::Status::Exited(0))) = process::wait_any() {
        ended += 1;
    }
    println!("all children finished: {}", ended == children);
    println!(
        "and there can be new ones: {}",
        process::spawn(|| 0).is_ok()
    );
    u8::from(process::wait_any().is_err())
}
