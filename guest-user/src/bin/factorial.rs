//! The factorial service as a subroutine, in a process and on another machine, and what its
//! bugs do (R26).
//!
//! Without arguments it shows the first two. `factorial FORM REQUEST [CALLS]` has the
//! service called in one form: `subroutine`, `processes` or `machines`, where the service is
//! another machine's `factorial serve` at the end of the serial line. REQUEST is `call`,
//! `crash`, `loop` or `write`; CALLS calls are made and timed before it.

#![no_std]
#![no_main]

use core::ffi::CStr;
use core::hint::black_box;

use guest_user::factorial::{self, Answer, CRASH, Client, FACTORIAL, LOOP, WRITE, factorial};
use guest_user::file::{self, O_RDWR};
use guest_user::process::{self, Pid, SIGKILL, Status};
use guest_user::{Arguments, println, time};

guest_user::entry!(main);

const LINK: &CStr = c"/dev/ttyS1";
/// What is asked for.
const NUMBER: u64 = 5;
const TIMEOUT_MS: i32 = 500;
const FOR_EVER: i32 = -1;
const USAGE: u8 = 2;

fn main(arguments: Arguments) -> u8 {
    let mut words = arguments.iter().skip(1);
    let (form, request) = (words.next(), words.next());
    let calls = words.next().and_then(|word| word.parse().ok());
    let n = match request {
        Some("crash") => CRASH,
        Some("loop") => LOOP,
        Some("write") => WRITE,
        _ => NUMBER,
    };
    let call = |client: Client| {
        show(calls.unwrap_or(0), n, |n, ms| client.ask(FACTORIAL, n, ms));
    };
    match form {
        None => demonstrate(),
        Some("subroutine") => show(calls.unwrap_or(0), n, |n, _| {
            Answer::from(factorial(black_box(n)))
        }),
        Some("processes") => {
            let server = Server::start();
            call(server.client);
            server.stop();
        }
        Some("machines") => {
            let link = file::open(LINK, O_RDWR).expect("a line to another machine");
            let client = Client {
                requests: link,
                replies: link,
            };
            call(client);
            client.end();
        }
        Some("serve") => {
            let link = file::open(LINK, O_RDWR).expect("a line to another machine");
            factorial::serve(link, link).expect("the line takes replies");
        }
        Some(_) => return USAGE,
    }
    0
}

/// Makes `calls` calls, then one for `n`, and prints what they took and what came of the
/// last.
fn show(calls: u64, n: u64, call: impl Fn(u64, i32) -> Answer) {
    // The first one waits for the server to be there, and breaks shared pages.
    call(NUMBER, FOR_EVER);
    let start = time::now_ns();
    for _ in 0..calls {
        call(NUMBER, FOR_EVER);
    }
    let ns = time::now_ns() - start;
    println!("{calls} calls in {ns} ns");
    let may_be_silent = matches!(n, CRASH | LOOP);
    let answer = call(n, if may_be_silent { TIMEOUT_MS } else { FOR_EVER });
    let data = match factorial::data_is_intact() {
        true => "intact",
        false => "damaged",
    };
    println!("{answer}, data {data}");
}

fn demonstrate() {
    for n in [0, 5, 20] {
        println!("subroutine: {n}! = {}", factorial(n).unwrap_or(0));
    }
    let ask = |server: &Server, kind: u8, n: u64| {
        let limit = if n == LOOP { TIMEOUT_MS } else { FOR_EVER };
        let answer = server.client.ask(kind, n, limit);
        println!("server: {{{:?}, {n}}}: {answer}", char::from(kind));
    };
    let server = Server::start();
    for (kind, n) in [(b'!', 0), (b'!', 5), (b'!', 20), (b'!', 21), (b'?', 5)] {
        ask(&server, kind, n);
    }
    server.stop();
    for n in [CRASH, LOOP, WRITE] {
        let server = Server::start();
        ask(&server, FACTORIAL, n);
        println!("server: {}", server.stop());
    }
    println!(
        "the client goes on, its data intact: {}",
        factorial::data_is_intact()
    );
}

/// A server process.
struct Server {
    pid: Pid,
    client: Client,
}

impl Server {
    fn start() -> Self {
        let (input, requests) = file::pipe(0).expect("a pipe");
        let (replies, output) = file::pipe(0).expect("a pipe");
        let pid = process::spawn(|| {
            file::close(requests).expect("it is open");
            file::close(replies).expect("it is open");
            factorial::serve(input, output).map_or(1, |()| 0)
        })
        .expect("a child");
        file::close(input).expect("it is open");
        file::close(output).expect("it is open");
        Self {
            pid,
            client: Client { requests, replies },
        }
    }

    /// Hangs up, which ends it, and kills it unless it does.
    fn stop(self) -> Status {
        const ATTEMPTS: u64 = 10;
        let Client { requests, replies } = self.client;
        file::close(requests).expect("it is open");
        file::close(replies).expect("it is open");
        for _ in 0..ATTEMPTS {
            match process::try_wait(self.pid).expect("it is a child") {
                Some(status) => return status,
                None => process::sleep_ms(TIMEOUT_MS as u64 / ATTEMPTS),
            }
        }
        process::kill(self.pid, SIGKILL).expect("it is there");
        process::wait(self.pid).expect("it is a child")
    }
}
