//! `execve` replaces the program, keeps descriptors but those to be closed, and may fail (R16).

#![no_std]
#![no_main]

use guest_user::file::{self, O_CLOEXEC};
use guest_user::path::Path;
use guest_user::{Arguments, io, println, process};

guest_user::entry!(main);

/// The descriptor that the new program writes to.
const KEPT: u32 = 10;

fn main(arguments: Arguments) -> u8 {
    if arguments.first() == Some("again") {
        return again(arguments);
    }
    println!(
        "no such program: {:?}",
        process::exec(c"/bin/nothing", &[]).err()
    );
    println!("a directory: {:?}", process::exec(c"/", &[]).err());
    let own = arguments.iter().next().unwrap_or("");
    let path = Path::of_program(own, "exec");
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    file::dup2(write_end, KEPT).expect("a descriptor");
    let (closed, _) = file::pipe(O_CLOEXEC).expect("a pipe");
    let before = process::id();
    let child = process::spawn(|| {
        let own_path = path.as_c_str();
        let closed = Path::new(format_args!("{closed}"));
        let arguments = [own_path, c"again", c"two words", c"", closed.as_c_str()];
        let result = process::exec(own_path, &arguments);
        println!("not executed: {:?}", result.err());
        1
    })
    .expect("a child");
    file::close(write_end).expect("it was open");
    file::close(KEPT).expect("it was open");
    let mut text = [0; 64];
    let count = file::read_full(read_end, &mut text).expect("readable");
    println!(
        "through the pipe: {:?}",
        core::str::from_utf8(&text[..count])
    );
    println!("{}", process::wait(child).expect("it ended"));
    println!("same process before and after: {}", process::id() == before);
    0
}

/// The program that the child becomes.
fn again(arguments: Arguments) -> u8 {
    for (number, argument) in arguments.iter().enumerate().take(4).skip(1) {
        println!("argument {number}: {argument:?}");
    }
    let closed = arguments
        .iter()
        .nth(4)
        .and_then(|number| number.parse().ok());
    let written = file::write_all(KEPT, b"kept over exec");
    println!("kept descriptor: {written:?}");
    println!(
        "descriptor closed by exec: {:?}",
        closed.map(file::stat).map(|stat| stat.err())
    );
    io::print(io::STDOUT, format_args!("standard output is kept\n"));
    7
}
