//! The factorial service as a subroutine and as a server that gets messages, and what its faults do (R26).

#![no_std]
#![no_main]

use guest_user::file::{self, Fd, POLLIN, PollFd};
use guest_user::process::{self, Pid, SIGKILL, Status};
use guest_user::{Arguments, println};

guest_user::entry!(main);

/// The largest whose factorial fits.
const MAX: u64 = 20;
const CRASHING: u64 = 1001;
const ENDLESS: u64 = 1002;
const TIMEOUT_MS: i32 = 100;

const MESSAGE: usize = 16;
const OK: u8 = b'K';
const NO_GOOD: u8 = b'N';

/// The service itself. Two of its values are its bugs.
fn factorial(n: u64) -> Option<u64> {
    match n {
        // SAFETY: not at all, and that is the point: whoever calls it dies.
        CRASHING => unsafe { core::arch::asm!("ud2", options(noreturn)) },
        ENDLESS => loop {
            core::hint::spin_loop();
        },
        _ => (1..=n).try_fold(1, u64::checked_mul).filter(|_| n <= MAX),
    }
}

/// A server process and the client's ends of its pipes.
struct Server {
    pid: Pid,
    requests: Fd,
    replies: Fd,
}

fn main(_: Arguments) -> u8 {
    for n in [0, 5, 20] {
        println!("subroutine: {n}! = {}", factorial(n).unwrap_or(0));
    }
    let server = Server::start();
    for (operator, n) in [(b'!', 0), (b'!', 5), (b'!', 20), (b'!', 21), (b'?', 5)] {
        server.show(operator, n);
    }
    server.stop();
    for n in [CRASHING, ENDLESS] {
        let server = Server::start();
        server.show(b'!', n);
        server.stop();
    }
    println!("the client goes on");
    0
}

impl Server {
    fn start() -> Self {
        let (input, requests) = file::pipe(0).expect("a pipe");
        let (replies, output) = file::pipe(0).expect("a pipe");
        let pid = process::spawn(|| {
            file::close(requests).expect("it is open");
            file::close(replies).expect("it is open");
            serve(input, output)
        })
        .expect("a child");
        file::close(input).expect("it is open");
        file::close(output).expect("it is open");
        Self {
            pid,
            requests,
            replies,
        }
    }

    /// Sends `{operator, n}` and prints what comes back.
    fn show(&self, operator: u8, n: u64) {
        let name = char::from(operator);
        let sent = file::write_all(self.requests, &message(operator, n));
        sent.expect("the server reads");
        let mut files = [PollFd {
            fd: self.replies as i32,
            events: POLLIN as i16,
            revents: 0,
        }];
        if file::poll(&mut files, TIMEOUT_MS) == Ok(0) {
            println!("server: {{{name:?}, {n}}}: no answer in {TIMEOUT_MS} ms");
            return;
        }
        let mut reply = [0; MESSAGE];
        let count = file::read_full(self.replies, &mut reply);
        match parts(&reply) {
            _ if count != Ok(MESSAGE) => println!("server: {{{name:?}, {n}}}: gone"),
            (OK, value) => println!("server: {{{name:?}, {n}}}: OK {value}"),
            _ => println!("server: {{{name:?}, {n}}}: No Good"),
        }
    }

    fn stop(self) {
        file::close(self.requests).expect("it is open");
        file::close(self.replies).expect("it is open");
        process::sleep_ms(TIMEOUT_MS as u64);
        if process::try_wait(self.pid) == Ok(None) {
            process::kill(self.pid, SIGKILL).expect("it is there");
            let status = process::wait(self.pid).unwrap_or(Status::Exited(255));
            println!("server: {status}");
        }
    }
}

fn serve(input: Fd, output: Fd) -> u8 {
    let mut request = [0; MESSAGE];
    while file::read_full(input, &mut request) == Ok(MESSAGE) {
        let result = match parts(&request) {
            (b'!', n) => factorial(n),
            _ => None,
        };
        let reply = match result {
            Some(value) => message(OK, value),
            None => message(NO_GOOD, 0),
        };
        if file::write_all(output, &reply).is_err() {
            return 1;
        }
    }
    0
}

fn message(kind: u8, number: u64) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    message[0] = kind;
    message[MESSAGE / 2..].copy_from_slice(&number.to_le_bytes());
    message
}

fn parts(message: &[u8; MESSAGE]) -> (u8, u64) {
    let [kind, _, _, _, _, _, _, _, number @ ..] = *message;
    (kind, u64::from_le_bytes(number))
}
