//! A client of `storage_server`, which starts it: writes records and checks what it reads (R28).

#![no_std]
#![no_main]

use guest_user::file::{self, STDIN};
use guest_user::storage::{CLIENTS, Record, Reply, Request, own_key};
use guest_user::{Arguments, io};

guest_user::entry!(main);

const ROUNDS: u8 = 50;
/// A record that every client may write.
const COMMON: u8 = 0;

fn main(arguments: Arguments) -> u8 {
    let number = arguments.number_or(0) as usize;
    let own = own_key(number);
    let others = own_key((number + 1) % CLIENTS);
    let right = (0..ROUNDS).all(|round| {
        let mine = Record::new(round.wrapping_mul(number as u8 + 3));
        let whole = |reply| matches!(reply, Some(Reply::Record(record)) if record.is_whole());
        ask(Request::Write(COMMON, mine)) == Some(Reply::Acknowledged)
            && whole(ask(Request::Read(COMMON)))
            && ask(Request::Write(own, mine)) == Some(Reply::Acknowledged)
            && ask(Request::Write(others, mine)) == Some(Reply::Refused)
            && ask(Request::Read(own)) == Some(Reply::Record(mine))
    });
    u8::from(!right)
}

/// Sends a message and waits for the reply.
fn ask(request: Request) -> Option<Reply> {
    file::write_all(io::STDOUT, &request.encode()).ok()?;
    let mut message = [0; Reply::LEN];
    let count = file::read_full(STDIN, &mut message).ok()?;
    (count == message.len()).then(|| Reply::decode(&message))?
}
