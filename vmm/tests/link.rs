//! Two machines joined by a serial line, each with a program that uses it as a file.

use std::thread;
use std::time::Duration;

use vmm::accel::AccelChoice;
use vmm::devices::LinkEnd;
use vmm::{Output, Program, Vm, VmConfig};

/// Far more than a test takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the program `link` and returns its exit status and what it printed.
fn run(args: &[&str], link: Option<LinkEnd>) -> (Option<u8>, String) {
    let program = Program::find("link").expect("it is bundled");
    let mut config = VmConfig::new(program);
    config.args = args.iter().map(ToString::to_string).collect();
    config.accel = AccelChoice::Emu;
    config.timeout = Some(TIMEOUT);
    config.link = link;
    let (output, recorder) = Output::recorded();
    let machine = Vm::new(config, output).expect("the machine is in order");
    let report = machine.run().expect("the host has what a run needs");
    (report.outcome.code, recorder.transcript().text())
}

#[test]
fn questions_and_answers_cross_the_line() {
    let [asking, answering] = LinkEnd::pair();
    let server = thread::spawn(move || run(&["answer"], Some(answering)));
    let (status, text) = run(&[], Some(asking));
    assert_eq!(status, Some(0));
    assert_eq!(text, "Ok(\"PING\")\nOk(\"LAST\")\nOk(\"OVER\")\n");
    let (status, _) = server.join().expect("the server's machine ends");
    assert_eq!(status, Some(0));
}

#[test]
fn a_machine_without_a_link_has_no_such_device() {
    let (status, text) = run(&[], None);
    assert_eq!((status, text.as_str()), (Some(1), "no link: ENXIO\n"));
}
