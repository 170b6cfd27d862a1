use super::{HostInput, HostStreams, Line, Streams};
use crate::devices::console::tests::Recorder;

const DATA: u8 = 0;
const INTERRUPT_ENABLE: u8 = 1;
const LINE_STATUS: u8 = 5;

fn streams(input: HostInput) -> (Streams, Recorder) {
    let recorder = Recorder::default();
    let sink = || Box::new(recorder.clone());
    let streams = Streams::new(
        HostStreams {
            output: sink(),
            errors: Some(sink()),
            log: None,
            input,
            screen: None,
        },
        None,
    );
    (streams, recorder)
}

fn ready(streams: &mut Streams) -> u32 {
    let mut answer = [0; 4];
    streams.read_input(0, 4, &mut answer);
    u32::from_le_bytes(answer)
}

fn console(streams: &mut Streams, offset: u8) -> u8 {
    let mut byte = [0];
    streams.read(Line::Console, offset, 1, &mut byte);
    byte[0]
}

#[test]
fn lines_keep_the_order_in_which_they_were_written() {
    let (mut streams, recorder) = streams(HostInput::None);
    streams.write(Line::Console, DATA, 1, b"out");
    streams.write(Line::Errors, DATA, 1, b"err\n");
    streams.write(Line::Log, DATA, 1, b"nobody has it\n");
    streams.write(Line::Console, DATA, 1, b"put\n");
    let written: [&[u8]; 3] = [b"out", b"err\n", b"put\n"];
    assert_eq!(recorder.writes(), written);
    let mut nothing = [0];
    streams.read(Line::Log, LINE_STATUS, 1, &mut nothing);
    assert_eq!(nothing, [0xff]);
}

#[test]
fn a_file_is_there_at_once_and_ends() {
    let (mut streams, _) = streams(HostInput::Ready(Box::new(&b"ab"[..])));
    assert_eq!(ready(&mut streams), 2);
    let mut bytes = [0; 2];
    streams.read_input(4, 1, &mut bytes);
    assert_eq!(&bytes, b"ab");
    assert_eq!(ready(&mut streams), abi::ports::INPUT_END);
    assert!(!streams.is_ready());
}

#[test]
fn no_input_is_an_end_and_a_failure_is_told() {
    let (mut none, _) = streams(HostInput::None);
    assert_eq!(ready(&mut none), abi::ports::INPUT_END);
    assert!(none.take_input_error().is_none());
    let folder = std::fs::File::open(".").expect("a folder");
    let (mut folder, _) = streams(HostInput::Ready(Box::new(folder)));
    assert_eq!(ready(&mut folder), abi::ports::INPUT_END);
    assert!(folder.take_input_error().is_some());
}

#[test]
fn a_kernel_that_reads_the_console_gets_it_there() {
    let (mut streams, _) = streams(HostInput::Ready(Box::new(&b"ab"[..])));
    streams.write(Line::Console, INTERRUPT_ENABLE, 1, &[1]);
    streams.fill_console();
    assert_eq!(streams.take_interrupts(), (true, false));
    assert_eq!([0; 2].map(|_| console(&mut streams, DATA)), *b"ab");
    // The line has not ended: one key ends it, another the input.
    streams.fill_console();
    assert_eq!([0; 2].map(|_| console(&mut streams, DATA)), [4, 4]);
    streams.fill_console();
    assert_eq!(console(&mut streams, LINE_STATUS) & 1, 0);
}

#[test]
fn what_is_handed_in_is_told_by_an_interrupt() {
    let (mut streams, _) = streams(HostInput::HandedIn);
    assert_eq!(ready(&mut streams), 0);
    assert_eq!(streams.input(b"x"), 1);
    assert_eq!(streams.take_interrupts(), (false, true));
    streams.end_input(None);
    assert_eq!(ready(&mut streams), 1);
}
