//! A small shell: programs with arguments, `|`, `<`, `>`, `>>`, `&`, `;`, cd, wait, exit and
//! jobs (R16, R22).

#![no_std]
#![no_main]

use core::ffi::CStr;

use guest_user::file::{self, Fd, O_APPEND, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, STDIN};
use guest_user::jobs::{self, Job, Jobs};
use guest_user::path::Path;
use guest_user::process::{self, SIGINT, Status};
use guest_user::signal::{self, Context, Info, SIGCONT, SIGHUP};
use guest_user::{Arguments, Errno, io, print, println};

guest_user::entry!(main);

const MAX_LINE: usize = 512;
const MAX_TOKENS: usize = 64;
const NOT_FOUND: u8 = 127;
/// Added to a signal's number, as other shells do.
const KILLED: u8 = 128;

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a CStr),
    /// One of the characters of `OPERATORS`, or `APPEND`.
    Operator(u8),
}

const OPERATORS: &[u8] = b"|<>&;";
/// Stands for `>>`.
const APPEND: u8 = b'a';

struct Shell {
    /// Its own path; programs are beside it.
    own: &'static str,
    last_status: u8,
    exiting: bool,
    jobs: Jobs,
}

fn main(arguments: Arguments) -> u8 {
    let has_script = arguments.first() == Some("-c");
    let mut shell = Shell {
        own: arguments.iter().next().unwrap_or(""),
        last_status: 0,
        exiting: false,
        jobs: Jobs::new(!has_script),
    };
    if has_script {
        for line in arguments.iter().skip(2) {
            shell.run_line(line.as_bytes());
        }
        return shell.last_status;
    }
    let mut line = [0; MAX_LINE];
    while !shell.exiting {
        if shell.jobs.are_controlled() {
            print!("$ ");
        }
        match read_line(&mut line) {
            Some(text) => shell.run_line(text),
            None => break,
        }
    }
    shell.last_status
}

/// A line of standard input; what is too long is cut. Nothing at the end.
fn read_line(line: &mut [u8; MAX_LINE]) -> Option<&[u8]> {
    let mut len = 0;
    let mut byte = [0];
    loop {
        match file::read(STDIN, &mut byte) {
            Ok(1..) if byte[0] == b'\n' => break,
            Ok(1..) if len < MAX_LINE => {
                line[len] = byte[0];
                len += 1;
            }
            Ok(1..) => {}
            _ if len > 0 => break,
            _ => return None,
        }
    }
    Some(&line[..len])
}

/// Splits a line into words, each with a zero after it in `words`, and operators.
fn tokenize<'a>(line: &[u8], words: &'a mut [u8], tokens: &mut [Token<'a>]) -> Option<usize> {
    let mut rest = words;
    let mut count = 0;
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let token = if OPERATORS.contains(&byte) {
            let append = line[at..].starts_with(b">>");
            at += if append { 2 } else { 1 };
            Token::Operator(if append { APPEND } else { byte })
        } else {
            let quote = (byte == b'\'' || byte == b'"').then_some(byte);
            let start = at + usize::from(quote.is_some());
            let ends = |&byte: &u8| match quote {
                Some(quote) => byte == quote,
                None => byte.is_ascii_whitespace() || OPERATORS.contains(&byte),
            };
            let len = line[start..]
                .iter()
                .position(ends)
                .unwrap_or(line.len() - start);
            at = start + len + usize::from(quote.is_some());
            let (word, others) = rest.split_at_mut_checked(len + 1)?;
            rest = others;
            word[..len].copy_from_slice(&line[start..start + len]);
            word[len] = 0;
            Token::Word(CStr::from_bytes_until_nul(word).ok()?)
        };
        *tokens.get_mut(count)? = token;
        count += 1;
    }
    Some(count)
}

impl Shell {
    fn run_line(&mut self, line: &[u8]) {
        let mut words = [0; 2 * MAX_LINE];
        let mut tokens = [Token::Operator(b';'); MAX_TOKENS];
        let Some(count) = tokenize(line, &mut words, &mut tokens) else {
            complain(format_args!("the line is too long"));
            return;
        };
        let is_end = |token: &Token<'_>| matches!(token, Token::Operator(b';' | b'&'));
        for list in tokens[..count].split_inclusive(is_end) {
            if self.exiting {
                return;
            }
            let (commands, background) = match list.split_last() {
                Some((Token::Operator(b'&'), commands)) => (commands, true),
                Some((Token::Operator(b';'), commands)) => (commands, false),
                _ => (list, false),
            };
            self.run_pipeline(commands, background);
        }
    }

    fn run_pipeline(&mut self, commands: &[Token<'_>], background: bool) {
        let Some(Token::Word(first)) = commands.first() else {
            return;
        };
        if self.run_builtin(first, commands) {
            return;
        }
        if background {
            self.note_changes();
            if self.jobs.are_full() {
                complain(format_args!("there are too many jobs"));
                self.last_status = 1;
                return;
            }
        }
        let mut input = STDIN;
        let mut job: Option<Job> = None;
        let mut parts = commands
            .split(|token| *token == Token::Operator(b'|'))
            .peekable();
        while let Some(command) = parts.next() {
            let pipe = parts.peek().and_then(|_| file::pipe(0).ok());
            let output = pipe.map_or(io::STDOUT, |(_, write_end)| write_end);
            let unused = pipe.map(|(read_end, _)| read_end);
            let group = job.map(|job| job.group);
            match process::spawn(|| {
                self.jobs.join(group, background);
                self.become_program(command, input, output, unused)
            }) {
                Ok(child) => {
                    let group = group.unwrap_or(child);
                    self.jobs.place(child, group, background);
                    job = Some(Job::new(group, child, first));
                }
                Err(error) => complain(format_args!("fork: {error:?}")),
            }
            close_unless_standard(input);
            close_unless_standard(output);
            input = unused.unwrap_or(STDIN);
        }
        match job {
            Some(job) if background => drop(self.jobs.add(job)),
            Some(job) => self.wait_for(job),
            None => {}
        }
    }

    /// Reaps children until the last of the job has ended, whose status counts, or has
    /// stopped.
    fn wait_for(&mut self, mut job: Job) {
        let stops = self.jobs.are_controlled();
        while let Ok((child, status)) = process::wait_any_change(stops) {
            if let Status::Killed(signal) = status {
                complain(format_args!("{}", process::signal_name(signal)));
            }
            let has_stopped = matches!(status, Status::Stopped(_));
            if child != job.last {
                self.jobs.note(child, has_stopped);
                continue;
            }
            self.last_status = match status {
                Status::Exited(status) => status,
                Status::Killed(signal) | Status::Stopped(signal) => KILLED + signal as u8,
                // Not asked for.
                Status::Continued => 0,
            };
            if has_stopped {
                job.is_stopped = true;
                self.keep_stopped(job);
            }
            break;
        }
        self.jobs.take_terminal();
    }

    /// Remembers a job that has stopped; ends it if there are too many.
    fn keep_stopped(&mut self, job: Job) {
        self.note_changes();
        match self.jobs.add(job) {
            Some(number) => println!("[{number}] {job}"),
            None => {
                complain(format_args!("there are too many jobs: {job} is hung up"));
                for signal in [SIGHUP, SIGCONT] {
                    // If it has ended meanwhile, so much the better.
                    let _ = jobs::kill_group(job.group, signal);
                }
            }
        }
    }

    /// Notes what has become of jobs.
    fn note_changes(&mut self) {
        while let Ok(Some((child, status))) = process::try_wait_any_change() {
            self.jobs.note(child, matches!(status, Status::Stopped(_)));
        }
    }

    /// `wait`: until there are no jobs but stopped ones, or the keyboard interrupts.
    fn wait_for_all(&mut self) {
        let is_controlled = self.jobs.are_controlled();
        if is_controlled {
            // It is a signal that can be handled.
            let _ = signal::handle(SIGINT, on_interrupt, 0, 0);
        }
        self.last_status = 0;
        while !self.jobs.are_all_stopped() {
            match process::wait_any_change(true) {
                Ok((child, status)) => {
                    self.jobs.note(child, matches!(status, Status::Stopped(_)));
                }
                Err(Errno::EINTR) => {
                    self.last_status = KILLED + SIGINT as u8;
                    println!();
                    break;
                }
                // There are no children.
                Err(_) => break,
            }
        }
        if is_controlled {
            let _ = signal::ignore(SIGINT);
        }
    }

    /// `fg`, `bg`, `jobs`: brings a job to the foreground, lets one go on in the
    /// background, or lists them.
    fn control_jobs(&mut self, name: &[u8], number: Option<usize>) {
        self.note_changes();
        self.last_status = 0;
        if name == b"jobs" {
            for (number, job) in self.jobs.iter() {
                println!("[{number}] {job}");
            }
            return;
        }
        let Some(mut job) = self
            .jobs
            .take(number)
            .filter(|_| self.jobs.are_controlled())
        else {
            complain(format_args!("there is no such job"));
            self.last_status = 1;
            return;
        };
        job.is_stopped = false;
        let in_background = name == b"bg";
        self.jobs.place(job.last, job.group, in_background);
        // If it has ended meanwhile, waiting for it says so.
        let _ = jobs::kill_group(job.group, SIGCONT);
        match in_background {
            true => drop(self.jobs.add(job)),
            false => self.wait_for(job),
        }
    }

    /// Runs a command that concerns the shell itself, if it is one.
    fn run_builtin(&mut self, name: &CStr, words: &[Token<'_>]) -> bool {
        let argument = match words.get(1) {
            Some(Token::Word(word)) => Some(*word),
            _ => None,
        };
        match name.to_bytes() {
            b"cd" => {
                let result = file::change_directory(argument.unwrap_or(c"/"));
                self.last_status = u8::from(result.is_err());
                if let Err(error) = result {
                    complain(format_args!("cd: {error:?}"));
                }
            }
            b"wait" => self.wait_for_all(),
            b"fg" | b"bg" | b"jobs" => {
                let number = argument.and_then(|word| word.to_str().ok()?.parse().ok());
                self.control_jobs(name.to_bytes(), number);
            }
            b"exit" => {
                let number = argument.and_then(|word| word.to_str().ok()?.parse().ok());
                self.last_status = number.unwrap_or(self.last_status);
                self.exiting = true;
            }
            _ => return false,
        }
        true
    }

    /// What a child does: descriptors, redirections, program.
    fn become_program(
        &self,
        command: &[Token<'_>],
        input: Fd,
        output: Fd,
        unused: Option<Fd>,
    ) -> u8 {
        let mut arguments = [c""; MAX_TOKENS];
        let mut count = 0;
        let mut connected = connect(input, STDIN).and_then(|()| connect(output, io::STDOUT));
        unused.map(file::close);
        let mut tokens = command.iter();
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(word) => {
                    arguments[count] = word;
                    count += 1;
                }
                Token::Operator(operator) => {
                    let Some(Token::Word(path)) = tokens.next() else {
                        complain(format_args!("there is no file to redirect to"));
                        return NOT_FOUND;
                    };
                    connected = connected.and_then(|()| redirect(*operator, path));
                }
            }
        }
        if let Err(error) = connected {
            complain(format_args!("redirection: {error:?}"));
            return 1;
        }
        let Ok(name) = arguments[0].to_str() else {
            return NOT_FOUND;
        };
        let path = if name.contains('/') {
            Path::new(format_args!("{name}"))
        } else {
            Path::of_program(self.own, name)
        };
        let Err(error) = process::exec(path.as_c_str(), &arguments[..count]);
        complain(format_args!("{name}: {error:?}"));
        NOT_FOUND
    }
}

fn redirect(operator: u8, path: &CStr) -> guest_user::syscall::Result<()> {
    let (flags, target) = match operator {
        b'<' => (O_RDONLY, STDIN),
        APPEND => (O_WRONLY | O_CREAT | O_APPEND, io::STDOUT),
        _ => (O_WRONLY | O_CREAT | O_TRUNC, io::STDOUT),
    };
    connect(file::open(path, flags)?, target)
}

/// Makes `fd` the descriptor `target`.
fn connect(fd: Fd, target: Fd) -> guest_user::syscall::Result<()> {
    if fd != target {
        file::dup2(fd, target)?;
        file::close(fd)?;
    }
    Ok(())
}

fn close_unless_standard(fd: Fd) {
    if fd > io::STDERR {
        // It was open.
        let _ = file::close(fd);
    }
}

/// Only ends what waits.
extern "C" fn on_interrupt(_: u32, _: &Info, _: &mut Context) {}

fn complain(text: core::fmt::Arguments<'_>) {
    io::print(io::STDERR, format_args!("sh: {text}\n"));
}
