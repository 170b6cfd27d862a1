//! What programs set of a socket, as numbers: few of them change anything on a machine
//! without a network, but programs read them again.

use core::cell::Cell;

use abi::Errno;
use linux_raw_sys::net as linux;

/// Most that a program may ask for as room of a socket (`net.core.rmem_max`).
const MOST_ROOM: u32 = 212_992;
/// Least room to receive, and to send, as Linux has them.
const LEAST_RECEIVE: u32 = 2304;
const LEAST_SEND: u32 = 4608;
/// What TCP has of both at first.
const TCP_RECEIVE: u32 = 131_072;
const TCP_SEND: u32 = 16_384;

/// Levels of options that have a name here.
const TCP: u32 = linux::SOL_TCP;
const IP: u32 = linux::SOL_IP;
const IPV6: u32 = linux::SOL_IPV6;
const SOCKET: u32 = linux::SOL_SOCKET;

/// What may be set.
#[derive(Clone, Copy)]
enum Values {
    /// Yes or no.
    Flag,
    /// Numbers from the first to the last.
    From(i32, i32),
    /// The same, and -1 for what it is initially.
    OrInitial(i32, i32),
}

/// Options that mean something here, in the order of [`ROWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its port may be one that others have who do not listen.
    ReuseAddress,
    /// Its port may be one of others who say the same.
    ReusePort,
    /// Who receives is told who sent.
    PassCredentials,
    /// Bytes to receive that are worth telling of.
    LowWater,
    /// Its address need not be one of this machine.
    FreeBind,
    /// A socket for any machine is not one for IPv4.
    Only6,
}

/// Level, number, initial value, and what may be set. Those that mean something come first.
const ROWS: &[(u32, u32, i32, Values)] = &[
    (SOCKET, linux::SO_REUSEADDR, 0, Values::Flag),
    (SOCKET, linux::SO_REUSEPORT, 0, Values::Flag),
    (SOCKET, linux::SO_PASSCRED, 0, Values::Flag),
    (SOCKET, linux::SO_RCVLOWAT, 1, Values::From(0, i32::MAX)),
    (IP, linux::IP_FREEBIND, 0, Values::Flag),
    (IPV6, linux::IPV6_V6ONLY, 0, Values::Flag),
    (SOCKET, linux::SO_KEEPALIVE, 0, Values::Flag),
    (SOCKET, linux::SO_BROADCAST, 0, Values::Flag),
    (SOCKET, linux::SO_OOBINLINE, 0, Values::Flag),
    (SOCKET, linux::SO_DONTROUTE, 0, Values::Flag),
    (SOCKET, linux::SO_DEBUG, 0, Values::Flag),
    (SOCKET, linux::SO_PRIORITY, 0, Values::From(0, i32::MAX)),
    (SOCKET, linux::SO_MARK, 0, Values::From(i32::MIN, i32::MAX)),
    (SOCKET, linux::SO_NO_CHECK, 0, Values::Flag),
    (TCP, linux::TCP_NODELAY, 0, Values::Flag),
    (TCP, linux::TCP_MAXSEG, 32_741, Values::From(88, 32_767)),
    (TCP, linux::TCP_CORK, 0, Values::Flag),
    (TCP, linux::TCP_KEEPIDLE, 7200, Values::From(1, 32_767)),
    (TCP, linux::TCP_KEEPINTVL, 75, Values::From(1, 32_767)),
    (TCP, linux::TCP_KEEPCNT, 9, Values::From(1, 127)),
    (TCP, linux::TCP_SYNCNT, 6, Values::From(1, 127)),
    (TCP, linux::TCP_LINGER2, 60, Values::From(i32::MIN, 120)),
    (TCP, linux::TCP_DEFER_ACCEPT, 0, Values::From(0, i32::MAX)),
    (TCP, linux::TCP_WINDOW_CLAMP, 0, Values::From(0, i32::MAX)),
    (TCP, linux::TCP_QUICKACK, 1, Values::Flag),
    (TCP, linux::TCP_USER_TIMEOUT, 0, Values::From(0, i32::MAX)),
    (TCP, linux::TCP_FASTOPEN, 0, Values::From(0, i32::MAX)),
    (
        TCP,
        linux::TCP_NOTSENT_LOWAT,
        0,
        Values::From(i32::MIN, i32::MAX),
    ),
    (IP, linux::IP_TOS, 0, Values::From(0, 255)),
    (IP, linux::IP_TTL, 64, Values::OrInitial(1, 255)),
    (IP, linux::IP_MTU_DISCOVER, 1, Values::From(0, 5)),
    (IP, linux::IP_RECVERR, 0, Values::Flag),
    (IP, linux::IP_BIND_ADDRESS_NO_PORT, 0, Values::Flag),
    (IP, linux::IP_MULTICAST_TTL, 1, Values::OrInitial(0, 255)),
    (IP, linux::IP_MULTICAST_LOOP, 1, Values::Flag),
    (
        IPV6,
        linux::IPV6_UNICAST_HOPS,
        64,
        Values::OrInitial(0, 255),
    ),
    (
        IPV6,
        linux::IPV6_MULTICAST_HOPS,
        1,
        Values::OrInitial(0, 255),
    ),
    (IPV6, linux::IPV6_MULTICAST_LOOP, 1, Values::Flag),
    (IPV6, linux::IPV6_MTU_DISCOVER, 1, Values::From(0, 5)),
    (IPV6, linux::IPV6_RECVERR, 0, Values::Flag),
    (IPV6, linux::IPV6_TCLASS, 0, Values::OrInitial(0, 255)),
];

/// How long closing waits for what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linger {
    /// It waits.
    pub is_on: bool,
    /// For so many seconds; with none, the connection is reset.
    pub seconds: u32,
}

/// The options of a socket.
pub struct Options {
    kept: [Cell<i32>; ROWS.len()],
    /// How long closing waits.
    pub linger: Cell<Linger>,
    /// Nanoseconds that receiving waits; 0 is no limit.
    pub receive_timeout: Cell<u64>,
    /// Nanoseconds that sending waits.
    pub send_timeout: Cell<u64>,
    /// What may wait to be received, in bytes.
    pub receive_room: Cell<u32>,
    /// What may be on its way, in bytes.
    pub send_room: Cell<u32>,
}

impl Options {
    /// What a new socket has.
    pub fn new(is_tcp: bool) -> Self {
        let [receive, send] = match is_tcp {
            true => [TCP_RECEIVE, TCP_SEND],
            false => [MOST_ROOM; 2],
        };
        let mut kept = [const { Cell::new(0) }; ROWS.len()];
        for (kept, (_, _, initial, _)) in kept.iter_mut().zip(ROWS) {
            kept.set(*initial);
        }
        Self {
            kept,
            linger: Cell::default(),
            receive_timeout: Cell::new(0),
            send_timeout: Cell::new(0),
            receive_room: Cell::new(receive),
            send_room: Cell::new(send),
        }
    }

    /// Copies what a connection has from the socket that accepts it.
    pub fn inherit(&self, from: &Self) {
        for (kept, from) in self.kept.iter().zip(&from.kept) {
            kept.set(from.get());
        }
        self.linger.set(from.linger.get());
        self.receive_timeout.set(from.receive_timeout.get());
        self.send_timeout.set(from.send_timeout.get());
        self.receive_room.set(from.receive_room.get());
        self.send_room.set(from.send_room.get());
    }

    /// What an option is set to.
    pub fn get(&self, option: Kept) -> i32 {
        self.kept[option as usize].get()
    }

    /// Whether an option is set.
    pub fn has(&self, option: Kept) -> bool {
        self.get(option) != 0
    }

    /// Where the option of this level and number is kept, if it is.
    fn find(level: u32, number: u32) -> Option<usize> {
        ROWS.iter()
            .position(|&(row_level, row_number, ..)| (row_level, row_number) == (level, number))
    }

    /// What the option of this level and number is set to.
    ///
    /// # Errors
    /// ENOPROTOOPT: there is no such one.
    pub fn number(&self, level: u32, number: u32) -> Result<i32, Errno> {
        let place = Self::find(level, number).ok_or(Errno::ENOPROTOOPT)?;
        Ok(self.kept[place].get())
    }

    /// Sets it.
    ///
    /// # Errors
    /// ENOPROTOOPT; EINVAL: not to this.
    pub fn set_number(&self, level: u32, number: u32, value: i32) -> Result<(), Errno> {
        let place = Self::find(level, number).ok_or(Errno::ENOPROTOOPT)?;
        let (_, _, initial, values) = ROWS[place];
        let value = match values {
            Values::Flag => i32::from(value != 0),
            Values::OrInitial(..) if value == -1 => initial,
            Values::From(least, most) | Values::OrInitial(least, most) => {
                match (least..=most).contains(&value) {
                    true => value,
                    false => return Err(Errno::EINVAL),
                }
            }
        };
        let least = if place == Kept::LowWater as usize {
            1
        } else {
            i32::MIN
        };
        self.kept[place].set(value.max(least));
        Ok(())
    }

    /// Sets the room to receive: to the double, as Linux does, which counts its own use.
    pub fn set_receive_room(&self, bytes: i32) {
        self.receive_room.set(room(bytes, LEAST_RECEIVE));
    }

    /// Sets the room to send.
    pub fn set_send_room(&self, bytes: i32) {
        self.send_room.set(room(bytes, LEAST_SEND));
    }
}

fn room(bytes: i32, least: u32) -> u32 {
    // A negative number is a very large one.
    let bytes = u32::try_from(bytes).unwrap_or(MOST_ROOM);
    (bytes.min(MOST_ROOM) * 2).max(least)
}
