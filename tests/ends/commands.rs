//! The commands beside `vmm run`, and what they print when nobody reads it.

use std::time::Instant;

use crate::support::Target;
use crate::support::kernel::{Kernel, exit, forever, greet};
use crate::{Case, Cause, LIMIT, Output, Running, each_ends, no_report, streams, vmm};

pub const CASES: &[Case] = &[
    ("trace", trace),
    ("report_that_nobody_reads", report),
    ("bench", bench),
];

/// Nobody reads the trace of a guest with many events.
fn trace(target: Target) {
    let kernel = streams::flood().write();
    each_ends(&Cause::ALL, |cause| {
        let mut command = vmm("trace", cause.limit());
        command.args(target.options()).arg("--kernel");
        command.arg(kernel.path()).arg("hello");
        Running::spawn(command, no_report(), Output::ErrorPipe)
    });
}

/// The guest has exited with 0, and only its report remains.
fn report(target: Target) {
    let kernel = Kernel::long_mode(&exit(0)).write();
    each_ends(&Cause::ALL, |cause| {
        let mut command = vmm("run", cause.limit());
        command.args(target.options()).arg("--kernel");
        command.arg(kernel.path()).arg("hello");
        Running::spawn(command, no_report(), Output::FullErrorPipe)
    });
}

/// Whatever it measures just then.
fn bench(target: Target) {
    let machine = target.to_string();
    each_ends(&Cause::ALL, |cause| {
        let mut command = vmm("bench", cause.limit());
        command.args(["--samples", "1000", "--on", &machine]);
        Running::spawn(command, no_report(), Output::Null)
    });
}

/// On every machine of this host, one after the other. Its limit is one of each run, of
/// which a later one may do better, and of the report.
pub fn compare() {
    let kernel = Kernel::long_mode(&[greet(), &forever(&[])].concat());
    let kernel = kernel.write();
    each_ends(&Cause::SIGNALS, |cause| {
        let mut command = vmm("compare", cause.limit());
        command.arg("--kernel").arg(kernel.path()).arg("hello");
        Running::spawn(command, no_report(), Output::Pipe)
    });
    let kernel = Kernel::long_mode(&exit(0)).write();
    let compare = |report: &str| {
        let mut command = vmm("compare", LIMIT);
        command.args(["--runs", "1", "--report", report, "--kernel"]);
        command.arg(kernel.path()).arg("hello");
        Running::spawn(command, no_report(), Output::FullErrorPipe)
    };
    each_ends(&[Cause::Timeout], |_| {
        let without = compare("none");
        let begun = without.started;
        let ended = without.wait(Instant::now());
        assert_eq!(ended.status(), 0, "{ended}");
        let runs = begun.elapsed();
        let mut running = compare("text");
        // The report's limit begins after the runs.
        running.started += runs;
        running
    });
}
