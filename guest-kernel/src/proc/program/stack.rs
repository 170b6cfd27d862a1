//! The stack that a program starts with: its arguments, its environment and what the kernel tells
//! it (System V ABI for x86-64, 3.4.1).

use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::{hardware_capabilities, random};
use linux_raw_sys::auxvec as linux;
use linux_raw_sys::elf_uapi::Elf64_Phdr;
use mm::AddressSpace;
use mm::mapping::VDSO;
use mm::user_memory::BadAddress;

use super::Places;
use crate::proc::arguments::ProgramArguments;
use crate::proc::rseq;
use crate::proc::signal;

/// What the auxiliary vector says of the program itself.
pub(super) struct Auxiliary {
    pub entry: u64,
    /// 0 if the program does not contain its headers.
    pub headers: u64,
    pub header_count: u64,
    /// 0 if there is no interpreter.
    pub interpreter_base: u64,
    /// As [`ids`](crate::proc::credentials::Rights::ids) of rights.
    pub ids: [u32; 4],
}

impl Auxiliary {
    const LEN: usize = 23;

    /// `bytes` is where [`RANDOM`] random ones are, and [`PLATFORM`] behind them.
    fn pairs(&self, bytes: u64, file_name: u64) -> [[u64; 2]; Self::LEN] {
        let [user, effective_user, group, effective_group] = self.ids;
        let is_secure = user != effective_user || group != effective_group;
        [
            (linux::AT_SYSINFO_EHDR, VDSO),
            (linux::AT_HWCAP, hardware_capabilities().into()),
            (linux::AT_HWCAP2, 0),
            (linux::AT_PLATFORM, bytes + RANDOM),
            (linux::AT_MINSIGSTKSZ, signal::max_frame_size()),
            (linux::AT_PHDR, self.headers),
            (linux::AT_PHENT, size_of::<Elf64_Phdr>() as u64),
            (linux::AT_PHNUM, self.header_count),
            (linux::AT_PAGESZ, PAGE_SIZE),
            (linux::AT_BASE, self.interpreter_base),
            (linux::AT_FLAGS, 0),
            (linux::AT_ENTRY, self.entry),
            (linux::AT_UID, user.into()),
            (linux::AT_EUID, effective_user.into()),
            (linux::AT_GID, group.into()),
            (linux::AT_EGID, effective_group.into()),
            (linux::AT_SECURE, is_secure.into()),
            (linux::AT_CLKTCK, TICKS_PER_SECOND),
            (linux::AT_RANDOM, bytes),
            (linux::AT_RSEQ_FEATURE_SIZE, rseq::FEATURE_SIZE),
            (linux::AT_RSEQ_ALIGN, rseq::ALIGNMENT),
            (linux::AT_EXECFN, file_name),
            (linux::AT_NULL, 0),
        ]
        .map(|(kind, value)| [kind.into(), value])
    }
}

/// Bytes of AT_RANDOM.
const RANDOM: u64 = 16;
/// The kind of processor, and zeros.
const PLATFORM: &[u8; 8] = b"x86_64\0\0";

/// What times of processes are told in, as programs learn from AT_CLKTCK.
pub const TICKS_PER_SECOND: u64 = 100;

/// Builds the initial stack and says where it starts.
///
/// ```text
/// USER_END  "x86_64", for AT_PLATFORM
///           16 bytes for AT_RANDOM
///           strings of arguments and environment, name of the file
///           pairs of words: the auxiliary vector, upwards
///           0, pointers to the environment's strings
///           0, pointers to the arguments
/// rsp       number of arguments
/// ```
pub(super) fn build(
    space: &AddressSpace,
    auxiliary: &Auxiliary,
    arguments: &ProgramArguments,
) -> Result<Places, BadAddress> {
    const ALIGNMENT: u64 = 16;
    let strings = arguments.strings();
    let bytes = USER_END - RANDOM - PLATFORM.len() as u64;
    let strings_start = bytes - strings.len();
    let words = 3 + arguments.count() + 2 * Auxiliary::LEN as u64;
    let stack = (strings_start - 8 * words) & !(ALIGNMENT - 1);

    // C libraries tell their own data from an attacker's by it. Nobody attacks here: it only
    // has to differ from program to program.
    let random = [random::number(), random::number()].map(u64::to_le_bytes);
    space.put(bytes, [random[0], random[1], *PLATFORM].as_flattened())?;
    let mut done = 0;
    while done < strings.len() {
        done += strings.with_bytes(done, |bytes| {
            space.put(strings_start + done, bytes)?;
            Ok(bytes.len() as u64)
        })?;
    }
    let mut writer = WordWriter::new(space, stack);
    writer.push(arguments.argument_count())?;
    let mut arguments_left = arguments.argument_count();
    arguments.for_each_start(|start| {
        writer.push(strings_start + start)?;
        arguments_left = arguments_left.wrapping_sub(1);
        match arguments_left {
            0 => writer.push(0),
            _ => Ok(()),
        }
    })?;
    writer.push(0)?;
    let [argument_end, file_name] = arguments.ends().map(|offset| strings_start + offset);
    writer.push_all(auxiliary.pairs(bytes, file_name).as_flattened())?;
    writer.flush()?;
    let auxiliary_len = (Auxiliary::LEN * 2 * size_of::<u64>()) as u64;
    Ok(Places {
        arguments: strings_start,
        environment: argument_end,
        environment_end: file_name,
        auxiliary: writer.next - auxiliary_len,
        auxiliary_len,
        stack,
    })
}

/// Words that a [`WordWriter`] writes at a time: those of a program with few arguments.
const BUFFER_LEN: usize = 60;

/// Writes words upwards, several at a time.
struct WordWriter<'a> {
    space: &'a AddressSpace,
    next: u64,
    buffer: [u64; BUFFER_LEN],
    used: usize,
}

impl<'a> WordWriter<'a> {
    fn new(space: &'a AddressSpace, start: u64) -> Self {
        Self {
            space,
            next: start,
            buffer: [0; BUFFER_LEN],
            used: 0,
        }
    }

    fn push(&mut self, word: u64) -> Result<(), BadAddress> {
        if self.used == self.buffer.len() {
            self.flush()?;
        }
        self.buffer[self.used] = word;
        self.used += 1;
        Ok(())
    }

    /// The same for several words, which may fill the buffer.
    fn push_all(&mut self, words: &[u64]) -> Result<(), BadAddress> {
        if words.len() > self.buffer.len() - self.used {
            self.flush()?;
        }
        self.buffer[self.used..][..words.len()].copy_from_slice(words);
        self.used += words.len();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BadAddress> {
        let bytes = self.buffer.map(u64::to_le_bytes);
        let bytes = bytes[..self.used].as_flattened();
        self.space.put(self.next, bytes)?;
        self.next += bytes.len() as u64;
        self.used = 0;
        Ok(())
    }
}
