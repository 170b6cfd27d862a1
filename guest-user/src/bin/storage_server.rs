//! Owns records; clients read and write them by messages, all at once, and none can break
//! another's (R28).

#![no_std]
#![no_main]

use guest_user::file::{self, Fd, POLLIN, PollFd};
use guest_user::path::Path;
use guest_user::process::{self, Status};
use guest_user::storage::{CLIENTS, RECORDS, Record, Reply, Request, may_write};
use guest_user::{Arguments, println};

guest_user::entry!(main);

#[derive(Default)]
struct Counts {
    reads: u32,
    writes: u32,
    refused: u32,
}

fn main(arguments: Arguments) -> u8 {
    let path = Path::of_program(arguments.iter().next().unwrap_or(""), "storage_client");
    let mut connections: [Option<(Fd, Fd)>; CLIENTS] = [None; CLIENTS];
    for number in 0..CLIENTS {
        connections[number] = Some(start_client(&path, number, &connections));
    }
    let mut records = [Record::new(0); RECORDS];
    let mut counts = Counts::default();
    while serve(&mut connections, &mut records, &mut counts) {}
    let mut good = 0;
    while let Ok((_, status)) = process::wait_any() {
        good += usize::from(status == Status::Exited(0));
    }
    println!("{good} of {CLIENTS} clients saw only whole values and their own records unchanged");
    println!(
        "{} reads and {} writes acknowledged, {} writes refused",
        counts.reads, counts.writes, counts.refused
    );
    println!(
        "no record is torn: {}",
        records.iter().all(Record::is_whole)
    );
    u8::from(good != CLIENTS)
}

/// Starts a client with its messages on standard output and the replies on standard
/// input; returns the server's ends.
fn start_client(path: &Path, number: usize, others: &[Option<(Fd, Fd)>]) -> (Fd, Fd) {
    let (requests, client_output) = file::pipe(0).expect("a pipe");
    let (client_input, replies) = file::pipe(0).expect("a pipe");
    process::spawn(|| {
        for (requests, replies) in others.iter().flatten() {
            file::close(*requests).expect("it is open");
            file::close(*replies).expect("it is open");
        }
        file::dup2(client_input, file::STDIN).expect("a descriptor");
        file::dup2(client_output, guest_user::io::STDOUT).expect("a descriptor");
        for fd in [requests, client_output, client_input, replies] {
            file::close(fd).expect("it is open");
        }
        let argument = Path::new(format_args!("{number}"));
        let arguments = [path.as_c_str(), argument.as_c_str()];
        u8::from(process::exec(path.as_c_str(), &arguments).is_err())
    })
    .expect("a child");
    file::close(client_output).expect("it is open");
    file::close(client_input).expect("it is open");
    (requests, replies)
}

/// Serves one message of each client that has sent one; false when all have left.
fn serve(
    connections: &mut [Option<(Fd, Fd)>; CLIENTS],
    records: &mut [Record; RECORDS],
    counts: &mut Counts,
) -> bool {
    let mut files = connections.map(|connection| PollFd {
        fd: connection.map_or(-1, |(requests, _)| requests as i32),
        events: POLLIN as i16,
        revents: 0,
    });
    if connections.iter().all(Option::is_none) {
        return false;
    }
    file::poll(&mut files, -1).expect("descriptors are good");
    for (number, file) in files.iter().enumerate() {
        let Some((requests, replies)) = connections[number] else {
            continue;
        };
        if file.revents == 0 {
            continue;
        }
        let mut message = [0; Request::LEN];
        if file::read_full(requests, &mut message) == Ok(message.len()) {
            let reply = answer(number, Request::decode(&message), records, counts);
            // A client that is gone shows at the next poll.
            let _ = file::write_all(replies, &reply.encode());
        } else {
            file::close(requests).expect("it is open");
            file::close(replies).expect("it is open");
            connections[number] = None;
        }
    }
    true
}

fn answer(
    client: usize,
    request: Option<Request>,
    records: &mut [Record; RECORDS],
    counts: &mut Counts,
) -> Reply {
    match request {
        Some(Request::Read(key)) if usize::from(key) < RECORDS => {
            counts.reads += 1;
            Reply::Record(records[usize::from(key)])
        }
        Some(Request::Write(key, record)) if may_write(client, key) => {
            counts.writes += 1;
            records[usize::from(key)] = record;
            Reply::Acknowledged
        }
        _ => {
            counts.refused += 1;
            Reply::Refused
        }
    }
}
