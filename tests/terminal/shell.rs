//! A shell with job control, whose jobs have a terminal. It takes its own commands from a
//! pipe and answers to another, so that keys are for the job in the foreground alone.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::unistd::Pid;

use crate::pty::{Screen, Terminal};
use crate::session::{PATIENCE, POLL, lead_session};
use crate::support::{Target, binary, wait_until_caught};

pub struct Shell {
    target: Target,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub terminal: Terminal,
}

impl Shell {
    pub fn start(target: Target) -> Self {
        let terminal = Terminal::open(Screen::Seen);
        let mut command = Command::new("sh");
        command
            .arg("-m")
            .env("VMM", binary())
            .env("TTY", &terminal.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(terminal.descriptor());
        let mut child = lead_session(&mut command, &terminal);
        Self {
            target,
            commands: child.stdin.take().expect("a pipe"),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            terminal,
        }
    }

    /// The command for a run of these words at the terminal.
    pub fn run_of(&self, words: &[&str]) -> String {
        let (options, words) = (self.target.options().join(" "), words.join(" "));
        format!(r#""$VMM" run {options} --report none {words} <"$TTY" >"$TTY" 2>&1"#)
    }

    /// Starts a run in the background; returns when it looks after the terminal.
    pub fn start_run(&mut self, words: &[&str]) -> Pid {
        self.command(&format!("{} &", self.run_of(words)));
        let pid = self.pid("$!");
        wait_until_looked_after(pid);
        pid
    }

    /// Has the shell do something.
    pub fn command(&mut self, line: &str) {
        writeln!(self.commands, "{line}").expect("the shell reads");
    }

    /// The same with what it prints for that, a line.
    pub fn answer(&mut self, line: &str) -> String {
        self.command(line);
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        answer.trim_end().to_owned()
    }

    /// A process that an expression of the shell names.
    pub fn pid(&mut self, expression: &str) -> Pid {
        let pid = self.answer(&format!("echo {expression}"));
        Pid::from_raw(pid.parse().expect("a process id"))
    }

    /// Brings a job to the foreground. The shell answers nothing until it has ended or
    /// stopped, and then with its status: see [`Shell::status`].
    pub fn foreground(&mut self, job: &str) {
        self.command(&format!("fg {job} >/dev/null; echo $?"));
    }

    /// The status that the shell says next.
    #[track_caller]
    pub fn status(&mut self) -> i32 {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        answer.trim_end().parse().expect("a status")
    }

    #[track_caller]
    pub fn wait(&mut self, done: impl Fn(&Terminal) -> bool) {
        let start = Instant::now();
        while !done(&self.terminal) {
            assert!(start.elapsed() < PATIENCE, "{}", self.terminal.shown());
            thread::sleep(POLL);
        }
    }

    #[track_caller]
    pub fn wait_for_guest(&mut self) {
        self.wait(Terminal::is_for_guest);
    }

    #[track_caller]
    pub fn wait_for_restored(&mut self) {
        self.wait(Terminal::is_restored);
    }

    /// Ends the shell, whose jobs have ended; asserts that the terminal is as it was, and
    /// returns what it showed.
    #[track_caller]
    pub fn end(mut self) -> String {
        drop(self.commands);
        self.child.wait().expect("our child");
        self.terminal.assert_restored();
        self.terminal.close()
    }
}

/// Waits until a run has set up its handlers for the terminal.
pub fn wait_until_looked_after(pid: Pid) {
    // The last of its handlers.
    wait_until_caught(pid, nix::sys::signal::Signal::SIGCONT);
}
