//! The table of system calls.

use super::*;
use crate::trace::summary::{SummarySink, Unit};

/// A thread waits in the middle of a call, goes on on another CPU, and gets an error; another
/// one ends in a call.
#[test]
fn what_counts_is_time_on_a_cpu() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, _, _) = tracer_of(2, ring, Filter::all());
    let table = Shared::default();
    let sink = SummarySink::new(table.clone(), Unit::Instructions);
    tracer.trace.sinks.push(Box::new(sink));
    let init = name(b"init\0\0\0\0\0\0\0\0\0\0\0\0");
    let child = name(b"child\0\0\0\0\0\0\0\0\0\0\0");
    let (pause, getpid) = (libc::SYS_pause as u64, libc::SYS_getpid as u64);
    let exit = libc::SYS_exit_group as u64;
    let mut on = |cpu, kind, tsc, words: &[u64]| kernel.record_on(cpu, kind, tsc, words);
    on(0, Kind::Run, 10, &[INIT, init[0], init[1]]);
    on(1, Kind::Run, 20, &[CHILD, child[0], child[1]]);
    on(0, Kind::Call, 30, &[pause, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::Call, 40, &[getpid, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::Return, 41, &[getpid, 2]);
    on(1, Kind::Call, 42, &[getpid, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::Return, 44, &[getpid, 2]);
    on(0, Kind::Idle, 50, &[]);
    on(1, Kind::Call, 55, &[exit, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::End, 60, &[CHILD, 0]);
    on(1, Kind::Run, 70, &[INIT, init[0], init[1]]);
    on(1, Kind::Return, 82, &[pause, -4_i64 as u64]);
    // A child returns from a call that is not its own.
    on(1, Kind::Return, 90, &[libc::SYS_fork as u64, 0]);
    tracer.drain(1000);
    tracer.with_sinks(|sink| sink.finish(1000));
    let expected = "  system call       %  instructions  calls  errors  mean
  pause         80.00            32      1       1  32.0
  exit_group    12.50             5      1       0   5.0
  getpid         7.50             3      2       0   1.5
  total        100.00            40      4       1  10.0
";
    assert_eq!(table.text(), expected);
}
