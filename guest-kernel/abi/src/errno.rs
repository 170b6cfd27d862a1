//! Linux's error numbers: why requests of programs fail.
//!
//! The one vocabulary of the kernel's layers and of programs, so that an error of a low
//! layer reaches the program unchanged. Rejected: an error type for each layer, which the
//! layers above would only translate variant by variant.

use core::fmt;

use linux_raw_sys::errno;

/// When a system call that a signal interrupted is restarted after a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterHandler {
    /// If the handler has SA_RESTART. Not 0, so that none of these is: tables with much of
    /// nothing need no room in the image.
    AsItSays = 1,
    /// Whatever the handler says.
    Always,
    /// It is not.
    Never,
}

/// An error number of Linux. As wide as a result, so that a `Result` fits into two
/// registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(u64);

macro_rules! errnos {
    ($($name:ident $meaning:literal,)*) => {
        impl Errno {
            $(
                #[doc = $meaning]
                pub const $name: Self = Self(errno::$name as u64);
            )*
        }

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 as u32 {
                    $(errno::$name => f.write_str(stringify!($name)),)*
                    number => write!(f, "errno {number}"),
                }
            }
        }
    };
}

errnos! {
    EPERM "Not allowed.",
    ENOENT "No such file or directory.",
    ESRCH "No such process.",
    EINTR "Interrupted by a signal.",
    EIO "Input or output failed.",
    ENXIO "No such device.",
    E2BIG "Arguments are too long.",
    ENOEXEC "Not an executable.",
    EBADF "Bad file descriptor.",
    ECHILD "No such child.",
    EAGAIN "Not now, try again.",
    ENOMEM "Out of memory.",
    EACCES "Permission denied.",
    EFAULT "Bad address.",
    EBUSY "In use.",
    EEXIST "It exists.",
    ELOOP "Too many symbolic links.",
    EXDEV "On another file system.",
    ENODEV "No such device, or not for this.",
    ENOTDIR "Not a directory.",
    EISDIR "A directory.",
    EINVAL "Invalid argument.",
    ENFILE "Too many open files in the system.",
    EMFILE "Too many open files in the process.",
    ENOTTY "Not for this kind of file.",
    EFBIG "Too large for a file.",
    ENOSPC "No room.",
    ESPIPE "Not for a pipe or terminal.",
    EROFS "Read-only.",
    EPIPE "Nobody reads the pipe.",
    EDOM "Outside what is allowed.",
    ERANGE "Result too large.",
    EDEADLK "All would wait for each other.",
    ENAMETOOLONG "Name too long.",
    ENOLCK "No room for a lock.",
    ENOSYS "No such system call.",
    ENOTEMPTY "Directory not empty.",
    ENOMSG "No message of that type.",
    ENODATA "No such attribute.",
    EIDRM "It was removed.",
    EOVERFLOW "Value too large.",
    EOPNOTSUPP "Not supported.",
    ELIBBAD "What should load the program is no such thing.",
    ETXTBSY "A program that runs, or a file that is being written.",
    ECANCELED "Called off.",
    ETIMEDOUT "Time is up.",
    ESOCKTNOSUPPORT "No such kind of socket.",
    EPROTONOSUPPORT "No such protocol.",
    EPROTOTYPE "Not of this kind of socket.",
    ENOPROTOOPT "No such option.",
    EAFNOSUPPORT "No such kind of address.",
    ENOTSOCK "Not a socket.",
    EDESTADDRREQ "Without an address.",
    EMSGSIZE "Message too long.",
    EADDRINUSE "Address in use.",
    EADDRNOTAVAIL "Not an address of this machine.",
    ENETUNREACH "No way leads there.",
    ECONNABORTED "The connection has been given up.",
    ECONNRESET "The other end has reset the connection.",
    ENOBUFS "No memory for sockets.",
    EISCONN "Connected already.",
    ENOTCONN "Not connected.",
    ETOOMANYREFS "Too many files are on their way.",
    ECONNREFUSED "Nobody takes the connection.",
    EALREADY "Going on already.",
    EINPROGRESS "Goes on in the background.",
}

impl Errno {
    /// The error with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Interrupted by a signal: the call is restarted, unless a handler without SA_RESTART
    /// is called. Programs never see it (Linux's ERESTARTSYS).
    pub const RESTART: Self = Self(512);
    /// The same, but never restarted after a handler (ERESTARTNOHAND).
    pub const RESTART_UNHANDLED: Self = Self(514);
    /// The same, but always restarted after a handler (ERESTARTNOINTR).
    pub const RESTART_ALWAYS: Self = Self(513);

    /// When a call that failed like this is restarted after a handler; `None` if it is not
    /// restarted at all.
    pub fn restarts(self) -> Option<AfterHandler> {
        match self {
            Self::RESTART => Some(AfterHandler::AsItSays),
            Self::RESTART_ALWAYS => Some(AfterHandler::Always),
            Self::RESTART_UNHANDLED => Some(AfterHandler::Never),
            _ => None,
        }
    }

    /// The result of a call that left `rax`: values from minus 4095 up are errors.
    ///
    /// # Errors
    /// It is one.
    pub const fn decode(rax: u64) -> Result<u64, Self> {
        const MAX: u64 = 4095;
        match rax.wrapping_neg() {
            number @ 1..=MAX => Err(Self(number)),
            _ => Ok(rax),
        }
    }

    /// The value in rax: its negative.
    pub fn to_rax(self) -> u64 {
        match self.restarts() {
            None => self.0.wrapping_neg(),
            Some(_) => Self::EINTR.to_rax(),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::Errno;

    #[test]
    fn the_last_4095_values_are_errors() {
        assert_eq!(Errno::decode(0), Ok(0));
        assert_eq!(Errno::decode(Errno::EFAULT.to_rax()), Err(Errno::EFAULT));
        let last = Errno::decode(4095_u64.wrapping_neg());
        assert_eq!(format!("{last:?}"), "Err(errno 4095)");
        assert_eq!(
            Errno::decode(4096_u64.wrapping_neg()),
            Ok(4096_u64.wrapping_neg())
        );
    }

    #[test]
    fn programs_see_the_negative() {
        assert_eq!(Errno::EFAULT.to_rax() as i64, -14);
        assert_eq!(Errno::RESTART.to_rax(), Errno::EINTR.to_rax());
        assert_eq!(format!("{:?}", Errno::EFAULT), "EFAULT");
    }
}
