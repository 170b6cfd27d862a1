//! What the VMM learns of system calls: number, arguments and result, and the strings and
//! small structures that pointers lead to.
//!
//! They are read as the call itself reads them, so a page that is not there yet is put in
//! place a moment before the call would have done it.

use abi::trace::{Kind, MAX_CHUNK, MAX_ELEMENTS, wanted};
use linux_raw_sys::general as linux;

use crate::arch::trap::{Registers, UserContext};
use crate::mm::{AddressSpace, UserPtr, UserSlice};
use crate::proc::current;
use crate::trace::{Words, send, wants};

/// What a pointer argument leads to; arguments count from 0.
#[derive(Clone, Copy)]
enum Target {
    /// A string that ends with a zero.
    String(u8),
    /// As many bytes as another argument says.
    Bytes { at: u8, len: u8 },
    /// As many bytes as the result says.
    Result(u8),
    /// A structure of this size.
    Structure { at: u8, size: u64 },
    /// Pointers to strings, up to a null pointer.
    Strings(u8),
    /// As many `struct iovec` as another argument says.
    Parts { at: u8, count: u8 },
}

use Target::{Bytes, Parts, Result as ByResult, String, Strings, Structure};

const TIMESPEC: u64 = size_of::<linux::timespec>() as u64;
const INT: u64 = size_of::<i32>() as u64;

/// What is worth showing before the call.
fn read_by(number: u64) -> &'static [Target] {
    match u32::try_from(number).unwrap_or(u32::MAX) {
        linux::__NR_write | linux::__NR_pwrite64 => &[Bytes { at: 1, len: 2 }],
        linux::__NR_writev => &[Parts { at: 1, count: 2 }],
        linux::__NR_open
        | linux::__NR_creat
        | linux::__NR_stat
        | linux::__NR_lstat
        | linux::__NR_access
        | linux::__NR_truncate
        | linux::__NR_chdir
        | linux::__NR_mkdir
        | linux::__NR_rmdir
        | linux::__NR_unlink
        | linux::__NR_readlink
        | linux::__NR_chmod => &[String(0)],
        linux::__NR_rename => &[String(0), String(1)],
        linux::__NR_execve => &[String(0), Strings(1)],
        linux::__NR_openat
        | linux::__NR_mkdirat
        | linux::__NR_newfstatat
        | linux::__NR_unlinkat
        | linux::__NR_readlinkat
        | linux::__NR_faccessat => &[String(1)],
        linux::__NR_renameat | linux::__NR_renameat2 => &[String(1), String(3)],
        linux::__NR_nanosleep => &[Structure {
            at: 0,
            size: TIMESPEC,
        }],
        linux::__NR_clock_nanosleep => &[Structure {
            at: 2,
            size: TIMESPEC,
        }],
        _ => &[],
    }
}

/// What is worth showing after it, if it has not failed.
fn written_by(number: u64) -> &'static [Target] {
    match u32::try_from(number).unwrap_or(u32::MAX) {
        linux::__NR_read | linux::__NR_pread64 | linux::__NR_readlink => &[ByResult(1)],
        linux::__NR_readlinkat => &[ByResult(2)],
        linux::__NR_getrandom | linux::__NR_getcwd => &[ByResult(0)],
        linux::__NR_pipe | linux::__NR_pipe2 => &[Structure {
            at: 0,
            size: 2 * INT,
        }],
        linux::__NR_wait4 => &[Structure { at: 1, size: INT }],
        linux::__NR_clock_gettime | linux::__NR_clock_getres => &[Structure {
            at: 1,
            size: TIMESPEC,
        }],
        _ => &[],
    }
}

/// Whether the VMM wants to know of calls.
#[inline(always)]
pub fn is_wanted() -> bool {
    wants(wanted::SYSCALLS)
}

/// Tells of the call in `context`, which `serve` serves, and of its result.
#[cold]
pub fn around(context: &mut UserContext, serve: impl FnOnce(&mut UserContext)) {
    let number = context.registers.rax;
    call(&context.registers);
    serve(context);
    returned(number, &context.registers);
}

/// A call begins.
fn call(registers: &Registers) {
    let number = registers.rax;
    let [a, b, c, d, e, f] = arguments(registers);
    tell(
        Kind::Call,
        &[number, a, b, c, d, e, f],
        registers,
        read_by(number),
    );
}

/// Call number `number` has come to the result in rax.
fn returned(number: u64, registers: &Registers) {
    const MAX_ERRNO: u64 = 4095;
    let result = registers.rax;
    let has_failed = result > u64::MAX - MAX_ERRNO;
    let targets = if has_failed { &[] } else { written_by(number) };
    tell(Kind::Return, &[number, result], registers, targets);
}

/// Tells of a call: these words, and what the targets hold.
fn tell(kind: Kind, words: &[u64], registers: &Registers, targets: &[Target]) {
    if targets.is_empty() {
        return send(kind, words);
    }
    let mut call = Call {
        arguments: arguments(registers),
        words: Words::new(),
    };
    words.iter().for_each(|&word| call.words.push(word));
    call.push(targets, registers.rax);
    send(kind, call.words.as_slice());
}

fn arguments(registers: &Registers) -> [u64; 6] {
    let Registers {
        rdi,
        rsi,
        rdx,
        r10,
        r8,
        r9,
        ..
    } = *registers;
    [rdi, rsi, rdx, r10, r8, r9]
}

/// What is told of a call.
struct Call {
    arguments: [u64; 6],
    words: Words,
}

impl Call {
    fn argument(&self, number: u8) -> u64 {
        self.arguments[usize::from(number)]
    }

    fn push(&mut self, targets: &[Target], result: u64) {
        let space = current().space();
        for &target in targets {
            match target {
                String(at) => self.push_string(&space, at, self.argument(at)),
                Bytes { at, len } => {
                    self.push_bytes(&space, at, self.argument(at), self.argument(len));
                }
                ByResult(at) => self.push_bytes(&space, at, self.argument(at), result),
                Structure { at, size } => self.push_bytes(&space, at, self.argument(at), size),
                Strings(at) => self.push_strings(&space, at),
                Parts { at, count } => self.push_parts(&space, at, self.argument(count)),
            }
        }
    }

    /// Adds the first of `len` bytes, unless they are not there.
    fn push_bytes(&mut self, space: &AddressSpace, at: u8, address: u64, len: u64) {
        if address == 0 {
            return;
        }
        let mut buffer = [0; MAX_CHUNK];
        let shown = len.min(MAX_CHUNK as u64);
        if let Ok(bytes) = UserSlice::new(address, shown).copy_in(space, &mut buffer) {
            self.words.push_chunk(at, bytes, len);
        }
    }

    /// Adds a string, of which no page is touched that lies behind its end.
    fn push_string(&mut self, space: &AddressSpace, at: u8, address: u64) {
        let mut buffer = [0; MAX_CHUNK];
        let mut len = 0;
        while len < MAX_CHUNK {
            let next = address.wrapping_add(len as u64);
            let in_page = abi::virtual_map::PAGE_SIZE - next % abi::virtual_map::PAGE_SIZE;
            let part = UserSlice::new(next, in_page.min((MAX_CHUNK - len) as u64));
            let Ok(bytes) = part.copy_in(space, &mut buffer[len..]) else {
                return;
            };
            match bytes.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    let len = len + end;
                    return self.words.push_chunk(at, &buffer[..len], len as u64);
                }
                None => len += bytes.len(),
            }
        }
        self.words.push_chunk(at, &buffer, len as u64 + 1);
    }

    fn push_strings(&mut self, space: &AddressSpace, at: u8) {
        let pointers = self.argument(at);
        if pointers == 0 {
            return;
        }
        for element in 0..=MAX_ELEMENTS as u64 {
            let pointer = UserPtr::<u64>::new(pointers.wrapping_add(element * 8));
            match pointer.read(space) {
                Ok(0) | Err(_) => return,
                Ok(_) if element == MAX_ELEMENTS as u64 => self.words.push_chunk(at, &[], 1),
                Ok(string) => self.push_string(space, at, string),
            }
        }
    }

    fn push_parts(&mut self, space: &AddressSpace, at: u8, count: u64) {
        let parts = self.argument(at);
        for element in 0..count.min(MAX_ELEMENTS as u64) {
            let part = UserPtr::<[u64; 2]>::new(parts.wrapping_add(element * 16));
            let Ok([address, len]) = part.read(space) else {
                return;
            };
            self.push_bytes(space, at, address, len);
        }
        if count > MAX_ELEMENTS as u64 {
            self.words.push_chunk(at, &[], 1);
        }
    }
}
