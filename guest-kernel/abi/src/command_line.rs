//! The words that the kernel's command line has before a lone `--`, and what they may say.
//!
//! | word | meaning |
//! |---|---|
//! | `init=/bin/NAME` | the first program (default `/bin/hello`) |
//! | `cpus=N` | there are N CPUs, with the APIC IDs from 0 on (default: as ACPI's tables say, or 1) |
//! | `tick_us=N` | timer tick in microseconds, 1000 to 1000000 (default 10000) |
//! | `realtime_ns=N` | nanoseconds since 1970 when the time-stamp counter was zero (default 0) |
//! | `user_tsc=N` | ring 3 reads a time-stamp counter that is N behind ring 0's (default 0) |
//! | `user_tsc=off` | what ring 3 reads has nothing to do with what ring 0 does |
//! | `stdin=stream` | standard input is the input stream, not a terminal |
//! | `stdin=terminal` | the console's keys send signals even if no program reads them |
//! | `stdout=stream` | standard output, which is the console, is not a terminal |
//! | `stderr=terminal`, `stderr=stream` | so is standard error, at a port of its own |
//! | `log=serial` | the kernel's own lines have a port of their own |
//! | `virtio=consoles` | the virtio consoles of [`crate::ports`] are there |
//! | `virtio_mmio.device=4K@ADDRESS:GSI` | a virtio device; a word for each, as Linux has it |
//! | `sysret=off` | return from `syscall` by `iretq` |
//! | `smap=off` | leave CR4.SMAP clear |
//! | `xstate=port` | ring 3 has AVX whatever the kernel says; the VMM saves it |
//! | `copies=port` | long copies go by [`crate::copies`] |
//! | `files=host` | files of the host are added to those of the initramfs |
//! | `root=host` | the files are the host's, and the initramfs has none |
//! | `env=NAME=VALUE` | one more string of init's environment, or another value |
//! | `cwd=PATH` | init's working directory (default `/`) |
//! | `user=UID:GID` | init's user and group (default `0:0`) |
//! | `hostname=NAME` | the machine's name |
//! | `save=PATH` | hand this file or tree over when init has exited with 0, by [`crate::host_files`] |
//! | `save_always=PATH` | the same whatever init's end was; numbered together with `save` |
//! | `ram=zero` | RAM above 1 MiB is zero but for what is loaded: fresh frames are not cleared |
//!
//! Unknown words and invalid values are ignored, so that the kernel boots under VMMs that
//! add words of their own. After the `--` come init's arguments from the second on; its
//! first is the last component of its path. Words are those of [`crate::words`]: what
//! `init=` says, and every argument, may be quoted.

use core::ops::RangeInclusive;

/// Separates the kernel's words from init's arguments.
pub const SEPARATOR: &[u8] = b"--";

/// Path of the first program, a [`Word`](crate::words::Word).
pub const INIT: &[u8] = b"init";
/// How many CPUs there are.
pub const CPUS: &[u8] = b"cpus";
/// Timer tick in microseconds, in [`TICK_US_RANGE`].
pub const TICK_US: &[u8] = b"tick_us";
/// Nanoseconds from 1970 to when the time-stamp counter was zero.
pub const REALTIME_NS: &[u8] = b"realtime_ns";
/// How far the time-stamp counter of ring 3 is behind that of ring 0, modulo 2^64; or [`OFF`].
pub const USER_TSC: &[u8] = b"user_tsc";
/// What standard input is: [`STREAM`] or [`TERMINAL`].
pub const STDIN: &[u8] = b"stdin";
/// What standard output is; likewise.
pub const STDOUT: &[u8] = b"stdout";
/// What standard error is, at [`crate::ports::ERRORS`]; likewise.
pub const STDERR: &[u8] = b"stderr";
/// Where the kernel's own lines go: [`SERIAL`], to [`crate::ports::LOG`].
pub const LOG: &[u8] = b"log";
/// Where a virtio device is: the size of its window, address and interrupt line (Linux,
/// Documentation/admin-guide/kernel-parameters.txt).
pub const VIRTIO_DEVICE: &[u8] = b"virtio_mmio.device";
/// What virtio devices there are where the VMM has them: [`CONSOLES`].
pub const VIRTIO: &[u8] = b"virtio";
/// Whether `sysretq` may be used: not if [`OFF`].
pub const SYSRET: &[u8] = b"sysret";
/// Whether CR4.SMAP may be set; likewise.
pub const SMAP: &[u8] = b"smap";
/// How AVX state is saved: by [`PORT`], [`crate::ports::EXTENDED_STATE`].
pub const EXTENDED_STATE: &[u8] = b"xstate";
/// What copies much memory: [`PORT`], [`crate::ports::COPIES`].
pub const COPIES: &[u8] = b"copies";
/// Where files come from beside the initramfs: [`HOST`], by [`crate::host_files`].
pub const FILES: &[u8] = b"files";
/// Where all files come from: likewise.
pub const ROOT: &[u8] = b"root";
/// A string of init's environment, a [`Word`](crate::words::Word).
pub const ENVIRONMENT: &[u8] = b"env";
/// Init's working directory, likewise.
pub const DIRECTORY: &[u8] = b"cwd";
/// Init's user and group: two numbers with a colon between them.
pub const USER: &[u8] = b"user";
/// The machine's name, a [`Word`](crate::words::Word).
pub const HOSTNAME: &[u8] = b"hostname";
/// What the VMM is to get at the end, if init succeeds: a path, likewise. Several are
/// numbered from 0 on, with those of [`SAVE_ALWAYS`].
pub const SAVE: &[u8] = b"save";
/// What it is to get whatever the end is.
pub const SAVE_ALWAYS: &[u8] = b"save_always";
/// What is in fresh RAM: [`ZERO`].
pub const RAM: &[u8] = b"ram";

/// Not a terminal.
pub const STREAM: &[u8] = b"stream";
/// A terminal.
pub const TERMINAL: &[u8] = b"terminal";
/// At a serial port of its own.
pub const SERIAL: &[u8] = b"serial";
/// At [`crate::ports::VIRTIO_CONSOLE`]; and at [`crate::ports::VIRTIO_ERRORS`], if standard
/// error has a port of its own.
pub const CONSOLES: &[u8] = b"consoles";
/// Not to be used.
pub const OFF: &[u8] = b"off";
/// By an I/O port.
pub const PORT: &[u8] = b"port";
/// From the host.
pub const HOST: &[u8] = b"host";
/// Zeros.
pub const ZERO: &[u8] = b"zero";

/// What [`TICK_US`] may be.
pub const TICK_US_RANGE: RangeInclusive<u64> = 1000..=1_000_000;
