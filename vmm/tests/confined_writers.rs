//! What a program that uses the library has called on the threads of a run, under the sandbox
//! that they have by default.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use vmm::accel::AccelChoice;
use vmm::{Output, Program, Vm, VmConfig};

const TEXT: &str = "Hello from ring 3!\n";

/// Runs the program `hello`, which prints [`TEXT`], to `output`.
fn hello(output: Output) {
    let mut config = VmConfig::new(Program::find("hello").expect("it is bundled"));
    config.accel = AccelChoice::Emu;
    let machine = Vm::new(config, output).expect("the machine is in order");
    let report = machine.run().expect("the host has what a run needs");
    assert_eq!(report.outcome.code, Some(0), "{}", report.outcome);
    assert!(report.sandbox.seccomp, "this host has seccomp");
}

fn to(writer: impl Write + Send + 'static) -> Output {
    Output::Writer(Box::new(writer))
}

#[test]
fn files_and_sockets() {
    let path = std::env::temp_dir().join(format!("ringfence-writer-{}", std::process::id()));
    let file = File::create(&path).expect("a file");
    hello(to(BufWriter::new(file)));
    let text = fs::read_to_string(&path).expect("it is there");
    fs::remove_file(&path).expect("it is there");
    assert_eq!(text, TEXT);
    let (mut reader, writer) = UnixStream::pair().expect("sockets");
    hello(to(writer));
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, TEXT);
}

/// Sends what is written to another thread.
struct Channel(Sender<Vec<u8>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn other_threads() {
    let (sender, receiver) = channel();
    let run = thread::spawn(|| hello(to(Channel(sender))));
    let text = Vec::from_iter(receiver).concat();
    run.join().expect("it does not panic");
    assert_eq!(text, TEXT.as_bytes());
}

/// Each has a heap of its own, which grows and shrinks.
struct Hungry(Vec<Vec<u8>>);

impl Write for Hungry {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend((0..64).map(|n| vec![n; 60_000]));
        self.0.clear();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn many_heaps() {
    let runs = [(); 12].map(|()| thread::spawn(|| hello(to(Hungry(Vec::new())))));
    for run in runs {
        run.join().expect("it does not panic");
    }
}
