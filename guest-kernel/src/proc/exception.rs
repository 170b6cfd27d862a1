//! Exceptions in ring 3: page faults that memory can satisfy, signals for programs that
//! handle them, and the end of the process for all others, with one line that says why.

use core::fmt;

use arch::log_line;
use arch::trap::{Exception, UserContext, vector};
use linux_raw_sys::general as linux;
use mm::FaultCause;
use mm::fault::Attempt;
use x86::PageFaultErrorCode;

use crate::proc::exit;
use crate::proc::scheduler::current;
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::wait_status::WaitStatus;

/// Resolves the exception, has the program in state `context` handle it, or ends the
/// current process.
pub fn handle(exception: Exception, context: &mut UserContext) {
    let cause = if exception.vector == vector::PF {
        match resolve(exception) {
            Ok(()) => return,
            Err(cause) => Some(cause),
        }
    } else {
        None
    };
    let signal = signal(exception.vector, cause);
    let details = details(exception, cause);
    if signal::handle_fault(context, signal, details, Some(exception)) {
        return;
    }
    let process = current();
    log_line!(
        "process {} ({}) killed by {}: {}",
        process.pid(),
        process.name(),
        signal.name(),
        Report { exception, cause }
    );
    exit::end_process(WaitStatus::killed(signal))
}

/// Maps the page that the program lacked.
fn resolve(exception: Exception) -> Result<(), FaultCause> {
    // An access by the CPU itself, as to a descriptor, and as QEMU makes of a far return:
    // no user page would help, so the fault would come again and again.
    let error = PageFaultErrorCode::from_bits_retain(exception.error.into());
    if !error.contains(PageFaultErrorCode::USER_MODE) {
        return Err(FaultCause::Forbidden);
    }
    let process = current();
    let space = process.space();
    space.resolve(exception.address, exception.error)?;
    process.note_fault(space.frames());
    Ok(())
}

/// As Linux has them (arch/x86/kernel/traps.c).
fn signal(number: u8, cause: Option<FaultCause>) -> Signal {
    match number {
        vector::DE | vector::MF | vector::XM => Signal::SIGFPE,
        vector::DB | vector::BP => Signal::SIGTRAP,
        vector::UD => Signal::SIGILL,
        vector::NP | vector::SS | vector::AC => Signal::SIGBUS,
        _ if cause == Some(FaultCause::OutOfMemory) => Signal::SIGKILL,
        _ if cause == Some(FaultCause::PastEndOfFile) => Signal::SIGBUS,
        _ => Signal::SIGSEGV,
    }
}

/// The code and address for a handler, as Linux has them.
fn details(exception: Exception, cause: Option<FaultCause>) -> Cause {
    let code = match (exception.vector, cause) {
        (_, Some(FaultCause::NotMapped | FaultCause::StackOverflow)) => linux::SEGV_MAPERR,
        (_, Some(FaultCause::Forbidden)) => linux::SEGV_ACCERR,
        (_, Some(FaultCause::ProtectionKey)) => linux::SEGV_PKUERR,
        (_, Some(FaultCause::PastEndOfFile)) => linux::BUS_ADRERR,
        (vector::DE, _) => linux::FPE_INTDIV,
        (vector::MF | vector::XM, _) => linux::FPE_FLTUNK,
        (vector::UD, _) => linux::ILL_ILLOPN,
        (vector::DB, _) => linux::TRAP_TRACE,
        (vector::AC, _) => linux::BUS_ADRALN,
        _ => return Cause::KERNEL,
    };
    let address = match exception.vector {
        vector::PF => exception.address,
        // Which it was, the processor does not say.
        vector::AC => 0,
        _ => exception.rip,
    };
    Cause::fault(code, address)
}

fn name(number: u8) -> &'static str {
    match number {
        vector::DE => "divide error",
        vector::DB => "debug trap",
        vector::BP => "breakpoint",
        vector::OF => "overflow",
        vector::BR => "bound range exceeded",
        vector::UD => "invalid opcode",
        vector::NM => "device not available",
        vector::TS => "invalid TSS",
        vector::NP => "segment not present",
        vector::SS => "stack fault",
        vector::GP => "general protection",
        vector::PF => "page fault",
        vector::MF => "x87 error",
        vector::AC => "alignment check",
        vector::XM => "SIMD error",
        _ => "exception",
    }
}

/// The exception in words.
struct Report {
    exception: Exception,
    cause: Option<FaultCause>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exception {
            vector,
            error,
            rip,
            address,
        } = self.exception;
        write!(f, "{} (vector {vector}) at rip {rip:#x}", name(vector))?;
        let Some(cause) = self.cause else {
            return write!(f, ", error code {error:#x}");
        };
        let attempt = match Attempt::from_error(error) {
            Attempt::Read => "read of",
            Attempt::Write => "write to",
            Attempt::Execute => "execution of",
        };
        let cause = match cause {
            FaultCause::NotMapped => "nothing is mapped there (SEGV_MAPERR)",
            FaultCause::StackOverflow => "stack overflow (SEGV_MAPERR)",
            FaultCause::Forbidden => "not allowed there (SEGV_ACCERR)",
            FaultCause::ProtectionKey => "forbidden by its protection key (SEGV_PKUERR)",
            FaultCause::PastEndOfFile => "past the end of the file (BUS_ADRERR)",
            FaultCause::OutOfMemory => "out of memory",
        };
        write!(f, ", {attempt} {address:#x}: {cause}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(vector: u8, error: u32, address: u64, cause: Option<FaultCause>) -> String {
        let exception = Exception {
            vector,
            error,
            rip: 0x40_0123,
            address,
        };
        Report { exception, cause }.to_string()
    }

    #[test]
    fn reports_name_everything() {
        assert_eq!(
            report(14, 6, 0, Some(FaultCause::NotMapped)),
            "page fault (vector 14) at rip 0x400123, write to 0x0: \
             nothing is mapped there (SEGV_MAPERR)"
        );
        assert_eq!(
            report(14, 0x15, 0x50_0000, Some(FaultCause::Forbidden)),
            "page fault (vector 14) at rip 0x400123, execution of 0x500000: \
             not allowed there (SEGV_ACCERR)"
        );
        assert_eq!(
            report(13, 0, 0, None),
            "general protection (vector 13) at rip 0x400123, error code 0x0"
        );
    }

    #[test]
    fn signals_are_linux_s() {
        assert_eq!(signal(0, None), Signal::SIGFPE);
        assert_eq!(signal(3, None), Signal::SIGTRAP);
        assert_eq!(signal(6, None), Signal::SIGILL);
        assert_eq!(signal(13, None), Signal::SIGSEGV);
        assert_eq!(signal(14, Some(FaultCause::Forbidden)), Signal::SIGSEGV);
        assert_eq!(signal(14, Some(FaultCause::ProtectionKey)), Signal::SIGSEGV);
        assert_eq!(signal(14, Some(FaultCause::OutOfMemory)), Signal::SIGKILL);
    }
}
