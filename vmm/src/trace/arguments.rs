//! System calls as `strace` writes them: arguments by kind, strings quoted, errors by name.

use std::fmt::Write as _;

use abi::calls::Returns;
use abi::trace::MAX_CHUNK;
use syscalls::Sysno;

use super::calls::{Kind, Signature, signature};
use super::event::{Call, Chunk};
use super::names::{self, bits, name};

/// A call in text, up to the first argument that only its end can tell.
pub(super) struct Beginning {
    pub(super) text: String,
    /// Arguments in it.
    shown: usize,
}

/// The name of a call, of which not all are served.
pub(crate) fn call_name(number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    match (signature(number), known) {
        (Some(signature), _) => signature.name.to_owned(),
        (None, Some(call)) => call.name().to_owned(),
        (None, None) => format!("syscall_{number:#x}"),
    }
}

/// As in `write(1, "hello\n", 6`.
pub(super) fn beginning(call: &Call) -> Beginning {
    let kinds = kinds(call);
    let shown = kinds.iter().position(|kind| kind.is_output());
    let shown = shown.unwrap_or(kinds.len());
    let mut text = format!(
        "{}({}",
        call_name(call.number),
        list(call, &kinds[..shown], 0)
    );
    if shown > 0 && shown < kinds.len() {
        text.push_str(", ");
    }
    Beginning { text, shown }
}

/// As in `) = 6`, after a beginning.
pub(super) fn end(call: &Call, result: u64) -> String {
    let kinds = kinds(call);
    let shown = beginning(call).shown;
    let rest = list(call, &kinds[shown..], shown);
    format!("{rest}) = {}", self::result(call.number, result))
}

/// All arguments in text, with those that the call has written if it has returned.
pub(crate) fn all(call: &Call) -> String {
    list(call, kinds(call), 0)
}

/// What a call returned: a number, an address, or -1 and an error.
pub(crate) fn result(number: u64, value: u64) -> String {
    if let Some(error) = error(value) {
        return match name(names::ERRORS, error) {
            Some(name) => format!("-1 {name}"),
            None => format!("-1 errno {error}"),
        };
    }
    match signature(number).map(|signature| signature.returns) {
        Some(Returns::Address) => format!("{value:#x}"),
        _ => value.cast_signed().to_string(),
    }
}

/// The error that a call returned, if it did.
pub(super) fn error(value: u64) -> Option<u64> {
    const MAX_ERRNO: u64 = 4095;
    let error = value.wrapping_neg();
    (1..=MAX_ERRNO).contains(&error).then_some(error)
}

fn kinds(call: &Call) -> &'static [Kind] {
    match (call.arguments, signature(call.number)) {
        (None, _) => &[],
        (_, Some(Signature { arguments, .. })) => arguments,
        (_, None) => &[Kind::Hex; 6],
    }
}

/// Arguments from number `first` on.
fn list(call: &Call, kinds: &[Kind], first: usize) -> String {
    let mut text = String::new();
    for (number, &kind) in (first..).zip(kinds) {
        let argument = argument(call, number, kind);
        if argument.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&argument);
    }
    text
}

/// One argument; nothing if the call does not look at it.
fn argument(call: &Call, number: usize, kind: Kind) -> String {
    let values = call.arguments.unwrap_or_default();
    let value = values.get(number).copied().unwrap_or(0);
    let mut chunks = call
        .chunks
        .iter()
        .filter(|chunk| usize::from(chunk.argument) == number);
    match kind {
        Kind::Int => (value as i32).to_string(),
        Kind::Long => value.cast_signed().to_string(),
        Kind::Size => value.to_string(),
        Kind::Hex => pointer(value),
        Kind::Octal => octal(value),
        Kind::Folder if value as i32 == libc::AT_FDCWD => "AT_FDCWD".to_owned(),
        Kind::Folder => (value as i32).to_string(),
        Kind::Choice(names) => match name(names, value) {
            Some(name) => name.to_owned(),
            None => format!("{value:#x}"),
        },
        Kind::Bits(names) => bits(names, value),
        Kind::Open => open_flags(value),
        Kind::OpenMode => {
            let before = number.checked_sub(1).and_then(|n| values.get(n));
            match before.map(|flags| flags & libc::O_CREAT as u64) {
                None | Some(0) => String::new(),
                Some(_) => octal(value),
            }
        }
        Kind::Futex => futex(value),
        Kind::Clone => clone_flags(value),
        Kind::Texts => array(chunks, quoted).unwrap_or_else(|| pointer(value)),
        Kind::Parts => {
            let part = |chunk: &Chunk| format!("{{{}, {}}}", quoted(chunk), chunk.of);
            array(chunks, part).unwrap_or_else(|| pointer(value))
        }
        Kind::Text | Kind::Bytes | Kind::BytesOut => {
            chunks.next().map_or_else(|| pointer(value), quoted)
        }
        Kind::Time | Kind::TimeOut => {
            structure(chunks.next(), time).unwrap_or_else(|| pointer(value))
        }
        Kind::PairOut => structure(chunks.next(), pair).unwrap_or_else(|| pointer(value)),
        Kind::StatusOut => structure(chunks.next(), |bytes: [u8; 4]| {
            format!("[{}]", status(u32::from_le_bytes(bytes)))
        })
        .unwrap_or_else(|| pointer(value)),
    }
}

/// As C has it.
fn octal(value: u64) -> String {
    format!("0{value:o}")
}

fn pointer(value: u64) -> String {
    match value {
        0 => "NULL".to_owned(),
        value => format!("{value:#x}"),
    }
}

/// The bytes in quotes, with `...` if there are more.
fn quoted(chunk: &Chunk) -> String {
    let more = u64::from(chunk.of) > chunk.bytes.len() as u64;
    let more = if more { "..." } else { "" };
    let mut text = String::with_capacity(chunk.bytes.len() + 5);
    text.push('"');
    for &byte in &chunk.bytes {
        match byte {
            b'\'' => text.push('\''),
            byte => {
                // A string takes everything.
                let _ = write!(text, "{}", byte.escape_ascii());
            }
        }
    }
    text.push('"');
    text + more
}

/// The elements in brackets; the last may only say that there are more.
fn array<'a>(
    chunks: impl Iterator<Item = &'a Chunk>,
    element: impl Fn(&Chunk) -> String,
) -> Option<String> {
    let elements: Vec<_> = chunks
        .map(|chunk| match (chunk.bytes.is_empty(), chunk.of) {
            (true, 1..) => "...".to_owned(),
            _ => element(chunk),
        })
        .collect();
    (!elements.is_empty()).then(|| format!("[{}]", elements.join(", ")))
}

/// The first bytes of a chunk as a structure, if they are there.
fn structure<const N: usize>(
    chunk: Option<&Chunk>,
    show: impl Fn([u8; N]) -> String,
) -> Option<String> {
    const { assert!(N <= MAX_CHUNK) };
    Some(show(*chunk?.bytes.first_chunk()?))
}

fn time(bytes: [u8; 16]) -> String {
    let word = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        i64::from_le_bytes(word.unwrap_or_default())
    };
    format!("{{tv_sec={}, tv_nsec={}}}", word(0), word(8))
}

fn pair(bytes: [u8; 8]) -> String {
    let both = u64::from_le_bytes(bytes);
    format!("[{}, {}]", both as i32, (both >> 32) as i32)
}

/// How a process ended, as `wait4` has it.
pub(crate) fn status(word: u32) -> String {
    const SIGNAL: u32 = 0x7f;
    match word & SIGNAL {
        0 => format!("exited with status {}", word >> 8 & 0xff),
        signal => match name(names::SIGNALS, signal.into()) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
    }
}

fn open_flags(value: u64) -> String {
    const MODE: u64 = libc::O_ACCMODE as u64;
    let mode = match name(names::OPEN_MODES, value & MODE) {
        Some(mode) => mode.to_owned(),
        None => format!("{:#x}", value & MODE),
    };
    match value & !MODE {
        0 => mode,
        flags => format!("{mode}|{}", bits(names::OPEN_FLAGS, flags)),
    }
}

fn futex(value: u64) -> String {
    let flags = names::FUTEX_FLAGS
        .iter()
        .fold(0, |all, &(bit, _)| all | bit);
    let what = match name(names::FUTEX, value & !flags) {
        Some(name) => name.to_owned(),
        None => format!("{:#x}", value & !flags),
    };
    match value & flags {
        0 => what,
        flags => format!("{what}|{}", bits(names::FUTEX_FLAGS, flags)),
    }
}

fn clone_flags(value: u64) -> String {
    const SIGNAL: u64 = libc::CSIGNAL as u64;
    let flags = bits(names::CLONING, value & !SIGNAL);
    match name(names::SIGNALS, value & SIGNAL) {
        None => flags,
        Some(signal) if value & !SIGNAL == 0 => signal.to_owned(),
        Some(signal) => format!("{flags}|{signal}"),
    }
}

#[cfg(test)]
mod tests;
