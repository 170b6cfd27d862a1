//! Messages of the storage service (R28): what `storage_client` sends and
//! `storage_server` answers. All are of one length, so that a pipe needs no framing.

/// Clients at once.
pub const CLIENTS: usize = 4;
/// Records: one for all, and one of each client's own.
pub const RECORDS: usize = 1 + CLIENTS;
const BYTES: usize = 64;

/// The record that only this client may write.
pub fn own_key(client: usize) -> u8 {
    client as u8 + 1
}

/// Whether this client may write that record.
pub fn may_write(client: usize, key: u8) -> bool {
    key == 0 || key == own_key(client)
}

/// A value; all its bytes are the same, so that one torn in two shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record([u8; BYTES]);

impl Record {
    /// One of such bytes.
    pub fn new(byte: u8) -> Self {
        Self([byte; BYTES])
    }

    /// Whether it is one value, not parts of two.
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(|byte| *byte == self.0[0])
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The record of this key.
    Read(u8),
    /// That the record of this key become this one.
    Write(u8, Record),
}

impl Request {
    /// Bytes of a message: which, key, record.
    pub const LEN: usize = 2 + BYTES;

    /// As it goes through a pipe.
    pub fn encode(self) -> [u8; Self::LEN] {
        let (kind, key, record) = match self {
            Self::Read(key) => (b'r', key, Record::new(0)),
            Self::Write(key, record) => (b'w', key, record),
        };
        let mut message = [0; Self::LEN];
        (message[0], message[1]) = (kind, key);
        message[2..].copy_from_slice(&record.0);
        message
    }

    /// Nothing if it is no request.
    pub fn decode(message: &[u8; Self::LEN]) -> Option<Self> {
        let [kind, key, record @ ..] = message;
        match kind {
            b'r' => Some(Self::Read(*key)),
            b'w' => Some(Self::Write(*key, Record(*record))),
            _ => None,
        }
    }
}

/// What the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is written.
    Acknowledged,
    /// The client may not, or there is no such record.
    Refused,
    /// What was asked for.
    Record(Record),
}

impl Reply {
    /// Bytes of a message: which, record.
    pub const LEN: usize = 1 + BYTES;

    /// As it goes through a pipe.
    pub fn encode(self) -> [u8; Self::LEN] {
        let (kind, record) = match self {
            Self::Acknowledged => (b'a', Record::new(0)),
            Self::Refused => (b'n', Record::new(0)),
            Self::Record(record) => (b'r', record),
        };
        let mut message = [kind; Self::LEN];
        message[1..].copy_from_slice(&record.0);
        message
    }

    /// Nothing if it is no reply.
    pub fn decode(message: &[u8; Self::LEN]) -> Option<Self> {
        let [kind, record @ ..] = message;
        match kind {
            b'a' => Some(Self::Acknowledged),
            b'n' => Some(Self::Refused),
            b'r' => Some(Self::Record(Record(*record))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, Reply, Request};

    #[test]
    fn messages_survive_the_way() {
        for request in [Request::Read(3), Request::Write(1, Record::new(7))] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in [
            Reply::Acknowledged,
            Reply::Refused,
            Reply::Record(Record::new(9)),
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Request::decode(&[0; Request::LEN]), None);
    }
}
