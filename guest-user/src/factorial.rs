//! The factorial service (R26): the function, its bugs, and the messages by which another
//! process, or another machine, has it called.

use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::file::{self, Fd, POLLIN, PollFd};
use crate::syscall::Result;

/// The largest whose factorial fits.
const MAX: u64 = 20;
/// Has the service execute what is no instruction.
pub const CRASH: u64 = 1001;
/// Has the service compute for ever.
pub const LOOP: u64 = 1002;
/// Has the service write to memory of its client.
pub const WRITE: u64 = 1003;

/// What the stray pointer of the service happens to point to. In a client it is the
/// client's.
static DATA: AtomicU64 = AtomicU64::new(INTACT);
const INTACT: u64 = 0x0123_4567_89ab_cdef;

/// The service itself. Three of its arguments are its bugs.
#[inline(never)]
pub fn factorial(n: u64) -> Option<u64> {
    match n {
        // SAFETY: not at all, and that is the point: whoever calls it dies.
        CRASH => unsafe { core::arch::asm!("ud2", options(noreturn)) },
        LOOP => loop {
            core::hint::spin_loop();
        },
        WRITE => {
            let stray = black_box(DATA.as_ptr());
            // SAFETY: the address is valid, and no other thread uses it. That it is no
            // business of this function no compiler sees.
            unsafe { stray.write(n) };
            Some(0)
        }
        _ => (1..=n).try_fold(1, u64::checked_mul).filter(|_| n <= MAX),
    }
}

/// Whether this process's data are as they were.
pub fn data_is_intact() -> bool {
    DATA.load(Relaxed) == INTACT
}

/// Bytes of a message: which kind, and from the middle on a number.
const MESSAGE: usize = 16;
/// Asks for a factorial.
pub const FACTORIAL: u8 = b'!';
/// Tells the server to end.
pub const END: u8 = b'.';
const OK: u8 = b'K';
const NO_GOOD: u8 = b'N';

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

/// Answers requests until one says that it is the last, or the client is gone.
pub fn serve(requests: Fd, replies: Fd) -> Result<()> {
    let mut request = [0; MESSAGE];
    while file::read_full(requests, &mut request)? == MESSAGE {
        let result = match parts(&request) {
            (FACTORIAL, n) => factorial(n),
            (END, _) => break,
            _ => None,
        };
        let reply = match result {
            Some(value) => message(OK, value),
            None => message(NO_GOOD, 0),
        };
        file::write_all(replies, &reply)?;
    }
    Ok(())
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The factorial.
    Ok(u64),
    /// The request was invalid.
    NoGood,
    /// Nothing in so many milliseconds.
    Silence(i32),
    /// There is no server any more.
    Gone,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(value) => write!(f, "OK {value}"),
            Self::NoGood => f.write_str("No Good"),
            Self::Silence(ms) => write!(f, "no answer in {ms} ms"),
            Self::Gone => f.write_str("gone"),
        }
    }
}

impl From<Option<u64>> for Answer {
    fn from(result: Option<u64>) -> Self {
        result.map_or(Self::NoGood, Self::Ok)
    }
}

/// The client's ends of what leads to a server: two pipes, or a serial line.
#[derive(Clone, Copy)]
pub struct Client {
    /// Takes requests.
    pub requests: Fd,
    /// Has replies.
    pub replies: Fd,
}

impl Client {
    /// Sends `{kind, n}` and waits for the answer, for `timeout_ms` at most (-1: for ever).
    pub fn ask(self, kind: u8, n: u64, timeout_ms: i32) -> Answer {
        if file::write_all(self.requests, &message(kind, n)).is_err() {
            return Answer::Gone;
        }
        let mut files = [PollFd {
            fd: self.replies as i32,
            events: POLLIN as i16,
            revents: 0,
        }];
        if timeout_ms >= 0 && file::poll(&mut files, timeout_ms) == Ok(0) {
            return Answer::Silence(timeout_ms);
        }
        let mut reply = [0; MESSAGE];
        let count = file::read_full(self.replies, &mut reply);
        match parts(&reply) {
            _ if count != Ok(MESSAGE) => Answer::Gone,
            (OK, value) => Answer::Ok(value),
            _ => Answer::NoGood,
        }
    }

    /// Tells the server to end.
    pub fn end(self) {
        // One that has crashed has ended.
        let _ = file::write_all(self.requests, &message(END, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::{FACTORIAL, WRITE, data_is_intact, factorial, message, parts};

    #[test]
    fn factorials_are_right_where_they_fit() {
        assert_eq!(factorial(0), Some(1));
        assert_eq!(factorial(20), Some(2_432_902_008_176_640_000));
        assert_eq!(factorial(21), None);
        assert!(data_is_intact());
        assert_eq!(factorial(WRITE), Some(0));
        assert!(!data_is_intact(), "a subroutine can do this");
    }

    #[test]
    fn messages_survive_the_way() {
        assert_eq!(parts(&message(FACTORIAL, 1 << 40)), (FACTORIAL, 1 << 40));
    }
}
