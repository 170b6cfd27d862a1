//! The kernel's table of handlers, by number, from [`abi::system_calls`].

use abi::calls::Kind;
use arch::shared;
use arch::trap::UserContext;
use syscalls::Sysno;

use crate::syscall::{
    Errno, Handler, SyscallResult, advice, alarm, attributes, clock_setting, compare, copying,
    credentials, descriptor, epoll, event, execute, file, futex, futex2, inotify, ipc, kill, link,
    listing, locks, memory, memory_file, message, message_queue, mount, opening, path, pidfd, poll,
    prctl, process, process_memory, scheduling, select, semaphore, sharing, signal, socket,
    socket_option, space, special, stat, statfs, system, terminal, thread, time, timer, usage,
    vector, xattr,
};

/// What an argument is, without the names that only the VMM has.
pub type Argument = Kind<()>;

macro_rules! rows {
    ($(
        $call:ident = $($module:ident::$handler:ident)?
        ($($kind:ident $(($names:ident))?),*) $(-> $returns:ident)? $(with $context:ident)?;
    )*) => {
        /// One past the highest number.
        const LEN: usize = {
            let mut len = 0;
            $(if len <= Sysno::$call as usize {
                len = Sysno::$call as usize + 1;
            })*
            len
        };

        /// Handlers by number, of calls that need no more than their arguments.
        pub static HANDLERS: [Option<Handler>; LEN] = {
            let mut table: [Option<Handler>; LEN] = [None; LEN];
            $(table[Sysno::$call as usize] = handler!([$($module::$handler)?] $($context)?);)*
            table
        };

        /// Serves the few calls that need all of the program's state.
        pub fn serve_with_context(number: u64, context: &mut UserContext) -> SyscallResult {
            $(serve!(number, context, Sysno::$call, [$($module::$handler)?] $($context)?);)*
            shared::count_unsupported(number);
            Err(Errno::ENOSYS)
        }

        /// What the arguments of a call are.
        pub fn arguments(number: u64) -> &'static [Argument] {
            match usize::try_from(number).ok().and_then(Sysno::new) {
                $(Some(Sysno::$call) => &[$(Kind::$kind $((unnamed!($names)))?),*],)*
                _ => &[],
            }
        }
    };
}

macro_rules! handler {
    ([$module:ident::$handler:ident]) => {
        Some($module::$handler)
    };
    ($($rest:tt)*) => {
        None
    };
}

macro_rules! serve {
    ($number:ident, $context:ident, $call:path, [$module:ident::$handler:ident] context) => {
        if $number == $call as u64 {
            return $module::$handler($context);
        }
    };
    ($($rest:tt)*) => {};
}

macro_rules! unnamed {
    ($names:ident) => {
        ()
    };
}

abi::system_calls!(rows);
