//! System calls, by either entry.

use core::arch::asm;

use linux_raw_sys::general::{self as linux, __kernel_timespec as Timespec};

/// How a program enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The `syscall` instruction.
    Syscall,
    /// The gate of `int 0x80`; here with the same numbers and registers as `syscall`.
    Int80,
}

impl Entry {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Syscall, Self::Int80];

    /// The instruction.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
            Self::Int80 => "int 0x80",
        }
    }
}

pub use abi::Errno;

/// The result of a system call.
pub type Result<T> = core::result::Result<T, Errno>;

/// Makes system call `number` with up to six arguments.
///
/// # Safety
/// The effect of the call with `arguments` must be sound.
pub unsafe fn raw<const N: usize>(entry: Entry, number: u32, arguments: [u64; N]) -> Result<u64> {
    const { assert!(N <= 6, "no call has more") };
    let mut registers = [0; 6];
    registers[..N].copy_from_slice(&arguments);
    let [rdi, rsi, rdx, r10, r8, r9] = registers;
    let mut rax = u64::from(number);
    /// The instruction, and what the CPU changes by it.
    macro_rules! enter {
        ($instruction:literal $(, $changed:tt)*) => {
            // SAFETY: the kernel changes rax, the CPU what `$changed` says; for the rest the
            // caller answers.
            unsafe {
                asm!(
                    $instruction,
                    inout("rax") rax,
                    in("rdi") rdi,
                    in("rsi") rsi,
                    in("rdx") rdx,
                    in("r10") r10,
                    in("r8") r8,
                    in("r9") r9,
                    $(out($changed) _,)*
                    options(nostack),
                )
            }
        };
    }
    match entry {
        Entry::Syscall => enter!("syscall", "rcx", "r11"),
        Entry::Int80 => enter!("int 0x80"),
    }
    Errno::decode(rax)
}

/// Makes system call `number` by the `syscall` instruction.
///
/// # Safety
/// As for [`raw`].
pub(crate) unsafe fn call<const N: usize>(number: u32, arguments: [u64; N]) -> Result<u64> {
    // SAFETY: passed on to the caller.
    unsafe { raw(Entry::Syscall, number, arguments) }
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    // SAFETY: touches no memory.
    let result = unsafe {
        raw(
            Entry::Syscall,
            linux::__NR_exit_group,
            [status.into(), 0, 0],
        )
    };
    unreachable!("exit returned {result:?}")
}

/// Writes `bytes` to a file and returns the number written.
pub fn write(fd: u32, bytes: &[u8]) -> Result<u64> {
    write_from(
        Entry::Syscall,
        fd,
        bytes.as_ptr() as u64,
        bytes.len() as u64,
    )
}

/// `write` with any pointer and length: the kernel must check them.
pub fn write_from(entry: Entry, fd: u32, start: u64, len: u64) -> Result<u64> {
    // SAFETY: the kernel only reads memory.
    unsafe { raw(entry, linux::__NR_write, [fd.into(), start, len]) }
}

/// The process's number.
pub fn getpid(entry: Entry) -> Result<u64> {
    // SAFETY: touches no memory.
    unsafe { raw(entry, linux::__NR_getpid, [0; 3]) }
}

/// Yields the CPU.
pub fn sched_yield(entry: Entry) -> Result<u64> {
    // SAFETY: touches no memory.
    unsafe { raw(entry, linux::__NR_sched_yield, [0; 3]) }
}

/// Nanoseconds on one of Linux's clocks.
pub fn clock_gettime(entry: Entry, clock: u32) -> Result<u64> {
    let mut time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let address = &raw mut time as u64;
    // SAFETY: the kernel writes a timespec to where there is one.
    unsafe { raw(entry, linux::__NR_clock_gettime, [clock.into(), address, 0])? };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Sleeps.
pub fn nanosleep(entry: Entry, seconds: i64, nanoseconds: i64) -> Result<u64> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    // SAFETY: the kernel reads a timespec from where there is one.
    unsafe { raw(entry, linux::__NR_nanosleep, [&raw const time as u64, 0, 0]) }
}

/// A number that is no system call.
pub fn unknown(entry: Entry) -> Result<u64> {
    // SAFETY: there is none to do anything.
    unsafe { raw(entry, u32::MAX, [0; 3]) }
}
