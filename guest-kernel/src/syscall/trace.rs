//! Trace records of system calls: number, arguments and result, and the strings and small
//! structures that pointers lead to.
//!
//! They are read as the call itself reads them, so a page that is not mapped yet is mapped
//! just before the call would have done it.

use abi::trace::{Kind, MAX_CHUNK, MAX_ELEMENTS, wanted};
use abi::virtual_map::PAGE_SIZE;
use arch::trace::{Words, send, wants};
use arch::trap::{Arguments, UserContext};
use linux_raw_sys::general as linux;
use mm::{AddressSpace, Shared, UserPtr, UserSlice};

use crate::proc::current;
use crate::syscall::Errno;
use crate::syscall::table::{self, Argument};

const TIMESPEC: u64 = size_of::<linux::timespec>() as u64;
const INT: u64 = size_of::<i32>() as u64;

/// Whether the VMM wants records of calls.
#[inline(always)]
pub fn is_wanted() -> bool {
    wants(wanted::SYSCALLS)
}

/// Records the call in `context`, which `serve` serves, and its result.
#[cold]
#[inline(never)]
pub fn around(context: &mut UserContext, serve: impl FnOnce(&mut UserContext)) {
    let number = context.registers.rax;
    call(number, context.registers.arguments);
    serve(context);
    let registers = &context.registers;
    returned(number, registers.arguments, registers.rax);
}

/// Out of line, as [`returned`] is: a record takes a kilobyte of stack, which the call needs.
#[inline(never)]
fn call(number: u64, arguments: Arguments) {
    Record::of_call(number, arguments).send(Kind::Call);
}

#[inline(never)]
fn returned(number: u64, arguments: Arguments, result: u64) {
    Record::of_return(number, arguments, result).send(Kind::Return);
}

/// The record of a call.
struct Record {
    words: Words,
    space: Shared<AddressSpace>,
}

impl Record {
    /// Of a call that begins: number and arguments, and what the call reads.
    fn of_call(number: u64, arguments: Arguments) -> Self {
        let mut record = Self::new(&[number]);
        record.push(&arguments);
        for (at, kind) in table::arguments(number).iter().enumerate() {
            let value = arguments[at];
            match kind {
                Argument::Text => record.push_string(at, value),
                Argument::Texts => record.push_strings(at, value),
                Argument::Bytes => record.push_bytes(at, value, arguments[at + 1]),
                Argument::Parts => record.push_parts(at, value, arguments[at + 1]),
                Argument::Time => record.push_bytes(at, value, TIMESPEC),
                _ => {}
            }
        }
        record
    }

    /// Of a call that has come to `result`: number and result, and what the call has
    /// written unless it has failed.
    fn of_return(number: u64, arguments: Arguments, result: u64) -> Self {
        let mut record = Self::new(&[number, result]);
        let kinds = match Errno::decode(result) {
            Ok(_) => table::arguments(number),
            Err(_) => &[],
        };
        for (at, kind) in kinds.iter().enumerate() {
            let len = match kind {
                Argument::BytesOut => result,
                Argument::PairOut => 2 * INT,
                Argument::StatusOut => INT,
                Argument::TimeOut => TIMESPEC,
                _ => continue,
            };
            record.push_bytes(at, arguments[at], len);
        }
        record
    }

    fn new(words: &[u64]) -> Self {
        let mut record = Self {
            words: Words::empty(),
            space: current().space(),
        };
        record.push(words);
        record
    }

    fn send(self, kind: Kind) {
        send(kind, self.words.as_slice());
    }

    fn push(&mut self, words: &[u64]) {
        words.iter().for_each(|&word| self.words.push(word));
    }

    /// Adds what argument `at` points to: `bytes`, the first of `len`.
    fn push_chunk(&mut self, at: usize, bytes: &[u8], len: u64) {
        self.words.push_chunk(at as u8, bytes, len);
    }

    /// Adds the first of `len` bytes, unless they are not there.
    fn push_bytes(&mut self, at: usize, address: u64, len: u64) {
        if address == 0 {
            return;
        }
        let mut buffer = [0; MAX_CHUNK];
        let shown = len.min(MAX_CHUNK as u64);
        if let Ok(bytes) = UserSlice::new(address, shown).copy_in(&self.space, &mut buffer) {
            self.push_chunk(at, bytes, len);
        }
    }

    /// Adds a string, without touching a page past its end.
    fn push_string(&mut self, at: usize, address: u64) {
        let mut buffer = [0; MAX_CHUNK];
        let mut len = 0;
        while len < MAX_CHUNK {
            let next = address.wrapping_add(len as u64);
            let on_page = PAGE_SIZE - next % PAGE_SIZE;
            let part = UserSlice::new(next, on_page.min((MAX_CHUNK - len) as u64));
            let Ok(bytes) = part.copy_in(&self.space, &mut buffer[len..]) else {
                return;
            };
            match bytes.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    let len = len + end;
                    return self.push_chunk(at, &buffer[..len], len as u64);
                }
                None => len += bytes.len(),
            }
        }
        self.push_chunk(at, &buffer, len as u64 + 1);
    }

    fn push_strings(&mut self, at: usize, pointers: u64) {
        if pointers == 0 {
            return;
        }
        for element in 0..=MAX_ELEMENTS as u64 {
            let pointer = UserPtr::<u64>::new(pointers.wrapping_add(element * 8));
            match pointer.read(&self.space) {
                Ok(0) | Err(_) => return,
                Ok(_) if element == MAX_ELEMENTS as u64 => self.push_chunk(at, &[], 1),
                Ok(string) => self.push_string(at, string),
            }
        }
    }

    fn push_parts(&mut self, at: usize, parts: u64, count: u64) {
        for element in 0..count.min(MAX_ELEMENTS as u64) {
            let part = UserPtr::<[u64; 2]>::new(parts.wrapping_add(element * 16));
            let Ok([address, len]) = part.read(&self.space) else {
                return;
            };
            self.push_bytes(at, address, len);
        }
        if count > MAX_ELEMENTS as u64 {
            self.push_chunk(at, &[], 1);
        }
    }
}
