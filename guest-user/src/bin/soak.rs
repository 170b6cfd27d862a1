//! So many rounds (10000) of fork, exec, pipe and fault: frames, processes and open files are
//! as many as before (R15, R18, R23).

#![no_std]
#![no_main]

use guest_user::path::Path;
use guest_user::process::{self, Status};
use guest_user::resources::Resources;
use guest_user::{Arguments, file, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    if arguments.first() == Some("child") {
        return 5;
    }
    let rounds = arguments.number_or(10_000);
    let path = Path::of_program(arguments.iter().next().unwrap_or(""), "soak");
    let before = Resources::now();
    let good = (0..rounds).filter(|_| round(&path)).count() as u64;
    let after = Resources::now();
    println!("{good} of {rounds} rounds went well");
    if before == after {
        println!("nothing is left of them");
    } else {
        println!("{before:?} became {after:?}");
    }
    u8::from(good != rounds || before != after)
}

/// One of each.
fn round(path: &Path) -> bool {
    let ends_with = |child: guest_user::syscall::Result<process::Pid>, status| {
        child.and_then(process::wait) == Ok(status)
    };
    let program = [path.as_c_str(), c"child"];
    ends_with(process::spawn(|| 3), Status::Exited(3))
        && ends_with(process::run(path.as_c_str(), &program), Status::Exited(5))
        && through_a_pipe()
        && ends_with(process::spawn(die), Status::Killed(process::SIGKILL))
        && ends_with(process::spawn(fault), Status::Killed(process::SIGILL))
}

fn through_a_pipe() -> bool {
    let Ok((read_end, write_end)) = file::pipe(0) else {
        return false;
    };
    let child = process::spawn(|| u8::from(file::write_all(write_end, b"soak").is_err()));
    let mut text = [0; 4];
    let read = file::read_full(read_end, &mut text);
    let closed = file::close(read_end).and(file::close(write_end));
    child.and_then(process::wait) == Ok(Status::Exited(0))
        && read == Ok(text.len())
        && closed.is_ok()
        && text == *b"soak"
}

fn die() -> u8 {
    let killed = process::kill(process::id(), process::SIGKILL);
    u8::from(killed.is_ok())
}

fn fault() -> u8 {
    // SAFETY: this child dies.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
