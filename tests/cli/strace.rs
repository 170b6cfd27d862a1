//! Commands under `strace`, and what it writes of them.

use std::fs;
use std::process::Command;

use vmm::sandbox::{Allowed, Needs};

use crate::support::elf::TempFile;
use crate::support::{Target, binary, output_with_input, shell_status};

/// What there is on standard input.
pub enum Input {
    None,
    /// A line, when the guest waits for it.
    Late,
    /// A terminal, which is for output too.
    Terminal,
}

/// A command, and what it is to need of the host.
pub struct Run {
    /// The command and its options, but for those of the target.
    pub command: Vec<String>,
    pub program: Vec<String>,
    pub input: Input,
    pub needs: Needs,
    pub status: i32,
}

impl Run {
    pub fn new(command: &str, program: &str) -> Self {
        let words = |text: &str| Vec::from_iter(text.split(' ').map(str::to_owned));
        Self {
            command: words(command),
            program: words(program),
            input: Input::None,
            needs: Needs::NONE,
            status: 0,
        }
    }

    pub fn shell(command: &str, script: &str) -> Self {
        let mut run = Self::new(command, "sh -c");
        run.program.push(script.to_owned());
        run
    }

    pub fn with_files(mut self) -> Self {
        self.needs.files = true;
        self
    }

    /// Whether one thread makes several machines, on every accelerator.
    pub fn is_comparison(&self) -> bool {
        self.command[0] == "compare"
    }

    /// What strace shows of it.
    pub fn traced(&self, target: Target, level: &str) -> String {
        let log = TempFile::new("strace", b"");
        let (name, options) = self.command.split_first().expect("a command");
        let mut words = Vec::from(["strace", "-f", "-Y", "-e", "raw=all", "-o"].map(str::to_owned));
        words.extend([log.path(), &binary()].map(|path| path.display().to_string()));
        words.push(name.clone());
        if !self.is_comparison() {
            words.extend(target.options().iter().map(ToString::to_string));
        }
        words.extend(["--sandbox".to_owned(), level.to_owned()]);
        words.extend(options.iter().chain(&self.program).cloned());
        let mut command = match self.input {
            Input::None => Command::new("env"),
            Input::Late => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "(sleep 0.3; echo late) | \"$@\"", "sh"]);
                shell
            }
            Input::Terminal => {
                let mut terminal = Command::new("script");
                terminal.args(["-qec", &words.join(" "), "/dev/null"]);
                words.clear();
                terminal
            }
        };
        let output = output_with_input(command.args(&words), None);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            shell_status(output.status),
            self.status,
            "{words:?}: {said}"
        );
        fs::read_to_string(log.path()).expect("strace writes text")
    }
}

/// A line of strace's: who calls what.
#[derive(Debug)]
pub struct Call {
    pub thread: u64,
    pub by: String,
    pub name: String,
    pub arguments: [u64; 6],
}

impl Call {
    /// `number<name> call(0x1, 0x2)`, with or without its end; `None` if it is of something else.
    pub fn of(line: &str) -> Option<Self> {
        let (thread, line) = line.split_once('<')?;
        let (by, line) = line.split_once('>')?;
        let (name, line) = line.trim_start().split_once('(')?;
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return None;
        }
        let words = line.split([')', ' ', ',']).filter(|word| !word.is_empty());
        let numbers = words.map_while(|word| match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        });
        let mut arguments = [0; 6];
        for (argument, number) in arguments.iter_mut().zip(numbers) {
            *argument = number;
        }
        Some(Self {
            thread: thread.parse().ok()?,
            by: by.to_owned(),
            name: name.to_owned(),
            arguments,
        })
    }

    pub fn runs_kvm(&self) -> bool {
        self.name == "ioctl" && self.arguments[1] == vmm::cpu::kvm::RUN_REQUESTS[0]
    }

    pub fn is_of(&self, row: &Allowed) -> bool {
        row.allows(&self.name, &self.arguments)
    }
}
