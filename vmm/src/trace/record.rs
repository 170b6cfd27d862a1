//! Records of the ring, parsed from untrusted words.

use abi::trace::{Kind, MAX_RECORD_WORDS, NO_STATUS, Resolution};

use super::event::{Call, Chunk, FaultEvent, ThreadId, TrapEvent};

/// Why a ring is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it is not in memory")]
    Memory,
    #[error("more words than it can hold")]
    Head,
    #[error("a record of no known kind")]
    Kind,
    #[error("a record of the wrong length")]
    Length,
    #[error("a value that a record cannot have")]
    Value,
    #[error("a record of a CPU that there is not")]
    Cpu,
    #[error("too many threads")]
    Calls,
}

/// A parsed record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Call(Call),
    Return {
        number: u64,
        result: u64,
        chunks: Vec<Chunk>,
    },
    Trap(TrapEvent),
    Fault(FaultEvent),
    Tick(u64),
    Run {
        thread: ThreadId,
        name: String,
    },
    Idle,
    Start(ThreadId),
    Exec(String),
    End {
        thread: ThreadId,
        status: Option<u32>,
    },
}

/// When and where a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The time-stamp counter.
    pub tsc: u64,
    /// The number of the CPU, whether there is one or not.
    pub cpu: usize,
}

/// Words before what the kind says: the head and the time.
const HEAD_WORDS: usize = 2;

/// The first record of `words`, and the words behind it.
///
/// # Errors
/// It is none.
pub(super) fn parse(words: &[u64]) -> Result<(Stamp, Record, &[u64]), Malformed> {
    let [head, tsc, ..] = *words else {
        return Err(Malformed::Length);
    };
    let kind = Kind::new(head as u8).ok_or(Malformed::Kind)?;
    let len = usize::from((head >> 8) as u8);
    let cpu = usize::from((head >> 16) as u8);
    if !(HEAD_WORDS..=MAX_RECORD_WORDS).contains(&len) || head >> 24 != 0 {
        return Err(Malformed::Length);
    }
    let (record, rest) = words.split_at_checked(len).ok_or(Malformed::Length)?;
    let mut reader = Reader(&record[HEAD_WORDS..]);
    let record = reader.record(kind)?;
    match reader.0 {
        [] => Ok((Stamp { tsc, cpu }, record, rest)),
        _ => Err(Malformed::Length),
    }
}

/// The words of a record that are still to be read.
struct Reader<'a>(&'a [u64]);

impl Reader<'_> {
    fn record(&mut self, kind: Kind) -> Result<Record, Malformed> {
        Ok(match kind {
            Kind::Call => Record::Call(Call {
                number: self.word()?,
                arguments: Some(self.words()?),
                chunks: self.chunks()?,
                ..Call::default()
            }),
            Kind::Return => Record::Return {
                number: self.word()?,
                result: self.word()?,
                chunks: self.chunks()?,
            },
            Kind::Trap => {
                let [vector, error, rip, cs, rflags, rsp, ss, cr2] = self.words()?;
                Record::Trap(TrapEvent {
                    vector,
                    error,
                    rip,
                    cs,
                    rflags,
                    rsp,
                    ss,
                    cr2,
                })
            }
            Kind::Fault => Record::Fault(FaultEvent {
                address: self.word()?,
                error: self.word()?,
                resolution: resolution(self.word()?)?,
            }),
            Kind::Tick => Record::Tick(self.word()?),
            Kind::Run => Record::Run {
                thread: self.thread()?,
                name: self.name()?,
            },
            Kind::Idle => Record::Idle,
            Kind::Start => Record::Start(self.thread()?),
            Kind::Exec => Record::Exec(self.name()?),
            Kind::End => Record::End {
                thread: self.thread()?,
                status: match self.word()? {
                    NO_STATUS => None,
                    word => Some(u32::try_from(word).map_err(|_| Malformed::Value)?),
                },
            },
        })
    }

    fn words<const N: usize>(&mut self) -> Result<[u64; N], Malformed> {
        let (words, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*words)
    }

    fn word(&mut self) -> Result<u64, Malformed> {
        let [word] = self.words()?;
        Ok(word)
    }

    fn thread(&mut self) -> Result<ThreadId, Malformed> {
        let word = self.word()?;
        Ok(ThreadId {
            pid: word as u32,
            tid: (word >> 32) as u32,
        })
    }

    /// A name, with escapes for what is not a plain character.
    fn name(&mut self) -> Result<String, Malformed> {
        let words: [u64; 2] = self.words()?;
        let bytes = words.map(u64::to_le_bytes);
        let bytes = bytes.as_flattened();
        let end = bytes.iter().position(|&byte| byte == 0);
        let name = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        Ok(name.escape_ascii().to_string())
    }

    /// All chunks that are left.
    fn chunks(&mut self) -> Result<Vec<Chunk>, Malformed> {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let head = self.word()?;
            let len = usize::from((head >> 16) as u16);
            let words = len.div_ceil(size_of::<u64>());
            let (words, rest) = self.0.split_at_checked(words).ok_or(Malformed::Length)?;
            self.0 = rest;
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            chunks.push(Chunk {
                argument: head as u8,
                bytes: bytes.take(len).collect(),
                of: (head >> 32) as u32,
            });
        }
        Ok(chunks)
    }
}

fn resolution(number: u64) -> Result<Resolution, Malformed> {
    let number = usize::try_from(number).map_err(|_| Malformed::Value)?;
    Resolution::ALL.get(number).copied().ok_or(Malformed::Value)
}

#[cfg(test)]
mod tests {
    use abi::trace::{chunk_head, record_head};

    use super::*;

    #[test]
    fn a_call_has_its_strings() {
        let text = u64::from_le_bytes(*b"hello\n\0\0");
        let head = record_head(Kind::Call, 11, 3);
        let words = [
            head,
            5,
            1,
            1,
            0x1000,
            6,
            0,
            0,
            0,
            chunk_head(1, 6, 9),
            text,
            77,
        ];
        let (stamp, record, rest) = parse(&words).expect("a record");
        assert_eq!((stamp, rest), (Stamp { tsc: 5, cpu: 3 }, &[77][..]));
        let Record::Call(call) = record else {
            panic!("{record:?}");
        };
        assert_eq!(call.arguments, Some([1, 0x1000, 6, 0, 0, 0]));
        let chunk = Chunk {
            argument: 1,
            bytes: b"hello\n".to_vec(),
            of: 9,
        };
        assert_eq!(call.chunks, [chunk]);
    }

    #[test]
    fn names_are_made_printable() {
        let name = u128::from_le_bytes(*b"a\x1b[2Jb\xff\0junk ...");
        let words = [
            record_head(Kind::Exec, 4, 0),
            0,
            name as u64,
            (name >> 64) as u64,
        ];
        let (_, record, _) = parse(&words).expect("a record");
        assert_eq!(record, Record::Exec("a\\x1b[2Jb\\xff".to_owned()));
    }

    #[test]
    fn each_kind_of_nonsense_is_refused() {
        let idle = record_head(Kind::Idle, 2, 0);
        let cases: [(&[u64], Malformed); 10] = [
            (&[idle], Malformed::Length),
            (&[0, 0], Malformed::Kind),
            (&[99 | 2 << 8, 0], Malformed::Kind),
            (&[record_head(Kind::Idle, 1, 0), 0], Malformed::Length),
            (&[record_head(Kind::Idle, 3, 0), 0], Malformed::Length),
            (&[record_head(Kind::Idle, 3, 0), 0, 0], Malformed::Length),
            (&[idle | 1 << 40, 0], Malformed::Length),
            (&[record_head(Kind::Tick, 2, 0), 0], Malformed::Length),
            (
                &[record_head(Kind::Fault, 5, 0), 0, 0, 0, 12],
                Malformed::Value,
            ),
            (
                &[
                    record_head(Kind::Return, 5, 0),
                    0,
                    0,
                    0,
                    chunk_head(0, 9, 9),
                ],
                Malformed::Length,
            ),
        ];
        for (words, error) in cases {
            assert_eq!(parse(words).expect_err("nonsense"), error, "{words:x?}");
        }
    }
}
