//! The serial line to another machine as a file: one side asks, the other answers (R6, R22).

#![no_std]
#![no_main]

use core::ffi::CStr;

use guest_user::file::{self, O_RDWR};
use guest_user::{Arguments, println};

guest_user::entry!(main);

const LINK: &CStr = c"/dev/ttyS1";
const QUESTIONS: [&[u8; 4]; 3] = [b"ping", b"last", b"over"];

fn main(arguments: Arguments) -> u8 {
    let link = match file::open(LINK, O_RDWR) {
        Ok(link) => link,
        Err(errno) => {
            println!("no link: {errno:?}");
            return 1;
        }
    };
    match arguments.first() {
        Some("answer") => answer(link),
        _ => ask(link),
    }
    0
}

/// Sends each question and waits for its answer.
fn ask(link: file::Fd) {
    for question in QUESTIONS {
        let mut reply = [0; 4];
        file::write_all(link, question).expect("the line takes it");
        let count = file::read_full(link, &mut reply).expect("the line can be read");
        println!("{:?}", core::str::from_utf8(&reply[..count]));
    }
}

/// Answers as many questions as there are, in capitals.
fn answer(link: file::Fd) {
    for _ in QUESTIONS {
        let mut question = [0; 4];
        file::read_full(link, &mut question).expect("the line can be read");
        question.make_ascii_uppercase();
        file::write_all(link, &question).expect("the line takes it");
    }
}
