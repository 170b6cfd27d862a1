//! The factorial service by every kind of modularity: what a call costs, and what the
//! service's faults do to its client.
//!
//! | form | client | service | between them |
//! |---|---|---|---|
//! | subroutine | a guest program | the same program | a call |
//! | processes | a guest process | another process | two pipes |
//! | machines | a process of one machine | a process of another | a serial line |
//! | outside | this process | machine code in a machine of its own | a port |
//!
//! The first three are forms of the bundled program `factorial`. Everything here is
//! measured and observed on the spot; nothing is known beforehand.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vmm::accel::{AccelChoice, Accelerator};
use vmm::bare::BareMachine;
use vmm::cpu::CpuError;
use vmm::devices::{ApicMode, LinkEnd};
use vmm::events::StopReason;
use vmm::exit::VmExit;
use vmm::report::{OutcomeKind, Report};
use vmm::{Output, Program, Vm, VmConfig, VmError};

const PROGRAM: &str = "factorial";
/// What the client has after [`Request::Call`].
const GOOD: &str = "OK 120, data intact";
/// How long a client waits that has no way to give up by itself.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long one outside waits for an exit.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);
/// Far more than anything else takes.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How a client that has ended stops its server's machine.
const STOP: StopReason = StopReason::Signal(libc::SIGTERM as u8);

/// Where client and service are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In one program: soft modularity.
    Subroutine,
    /// In two processes of one machine.
    Processes,
    /// On two machines.
    Machines,
    /// The service in a machine, the client outside of it.
    Outside,
}

impl Form {
    /// All of them, the softest first.
    pub const ALL: [Self; 4] = [
        Self::Subroutine,
        Self::Processes,
        Self::Machines,
        Self::Outside,
    ];

    /// Its name, which for the first three is `factorial`'s.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subroutine => "subroutine",
            Self::Processes => "processes",
            Self::Machines => "machines",
            Self::Outside => "outside",
        }
    }

    /// Calls to be timed: some milliseconds' worth.
    const fn calls(self) -> u64 {
        match self {
            Self::Subroutine => 100_000,
            Self::Processes | Self::Machines => 20,
            Self::Outside => 2_000,
        }
    }
}

/// What the client asks of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The factorial of 5.
    Call,
    /// To execute what is no instruction.
    Crash,
    /// To compute for ever.
    Loop,
    /// To write to memory that is not its own.
    Write,
}

impl Request {
    /// The faults.
    pub const FAULTS: [Self; 3] = [Self::Crash, Self::Loop, Self::Write];

    /// Its name, as `factorial` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Crash => "crash",
            Self::Loop => "loop",
            Self::Write => "write",
        }
    }

    /// The number that stands for it.
    const fn number(self) -> u32 {
        match self {
            Self::Call => 5,
            Self::Crash => 1001,
            Self::Loop => 1002,
            Self::Write => 1003,
        }
    }
}

/// What one call costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Nanoseconds.
    pub ns: f64,
    /// Exits of all machines that take part.
    pub exits: f64,
    /// Instructions of all machines, where they are counted.
    pub instructions: Option<f64>,
}

/// Some calls and a request after them.
struct Calls {
    ns: u64,
    exits: u64,
    instructions: Option<u64>,
    /// What the client has in the end.
    outcome: String,
}

/// What a call costs in this form: the difference between some calls and twice as many,
/// so that making machines and booting them does not count.
///
/// # Errors
/// The host lacks the accelerator or something else that a run needs, or the client cannot
/// make calls.
pub fn cost(choice: AccelChoice, form: Form) -> Result<Cost, Box<dyn Error>> {
    let few = perform(choice, form, Request::Call, form.calls())?;
    let many = perform(choice, form, Request::Call, 2 * form.calls())?;
    for calls in [&few, &many] {
        if calls.ns == 0 || calls.outcome != GOOD {
            let (form, outcome) = (form.name(), &calls.outcome);
            return Err(format!("{form}: the client has no answer: {outcome}").into());
        }
    }
    let a_call = |few: u64, many: u64| many.saturating_sub(few) as f64 / form.calls() as f64;
    let instructions = few.instructions.zip(many.instructions);
    Ok(Cost {
        ns: a_call(few.ns, many.ns),
        exits: a_call(few.exits, many.exits),
        instructions: instructions.map(|(few, many)| a_call(few, many)),
    })
}

/// What the client has after `request`: an answer and the state of its data, or how it
/// ended.
///
/// # Errors
/// The host lacks the accelerator or something else that a run needs.
pub fn outcome(choice: AccelChoice, form: Form, request: Request) -> Result<String, VmError> {
    Ok(perform(choice, form, request, 0)?.outcome)
}

fn perform(
    choice: AccelChoice,
    form: Form,
    request: Request,
    calls: u64,
) -> Result<Calls, VmError> {
    match form {
        Form::Outside => Outside::new(choice)?.perform(request, calls),
        _ => inside(choice, form, request, calls),
    }
}

/// A run of `factorial`, with a server's machine at the other end of the line if need be.
fn inside(choice: AccelChoice, form: Form, request: Request, calls: u64) -> Result<Calls, VmError> {
    let mut config = VmConfig::new(Program::find(PROGRAM)?);
    config.accel = choice;
    config.timeout = Some(TIMEOUT);
    let [ours, theirs] = LinkEnd::pair();
    let (stop, client_lives) = io::pipe()?;
    let mut server = config.clone();
    server.args = vec!["serve".to_owned()];
    server.link = Some(theirs);
    server.stop = vec![(Arc::new(stop.into()), STOP)];
    let server = (form == Form::Machines)
        .then(|| thread::spawn(move || Vm::new(server, Output::discard())?.run()));

    config.args = [form.name(), request.name(), &calls.to_string()]
        .map(str::to_owned)
        .into();
    config.link = Some(ours);
    if (form, request) == (Form::Subroutine, Request::Loop) {
        config.timeout = Some(PATIENCE);
    }
    let (output, recorder) = Output::recorded();
    let client = Vm::new(config, output).and_then(Vm::run);
    drop(client_lives);
    let served = server.map(|server| server.join().unwrap_or(Err(VmError::Panicked)));
    let (client, served) = (client?, served.transpose()?);
    Ok(summary(
        &client,
        served.as_ref(),
        &recorder.transcript().text(),
    ))
}

/// What the client's machine, and the server's if there is one, say of a run in which the
/// client printed `text`.
fn summary(client: &Report, server: Option<&Report>, text: &str) -> Calls {
    let reports = || std::iter::once(client).chain(server);
    let last = text.lines().last().unwrap_or_default();
    Calls {
        // As in "20 calls in 12345 ns".
        ns: text
            .lines()
            .find_map(|line| line.split_once(" calls in ")?.1.strip_suffix(" ns"))
            .and_then(|ns| ns.parse().ok())
            .unwrap_or(0),
        exits: reports().map(|report| report.exits.total()).sum(),
        instructions: reports()
            .map(|report| Some(report.emu.as_ref()?.instructions))
            .sum(),
        outcome: match client.outcome.kind {
            OutcomeKind::Exited => last.to_owned(),
            _ => format!("the client: {}", client.outcome),
        },
    }
}

/// Where the service gets numbers and leaves results.
const PORT: u16 = 0x60;

/// The service as 32-bit code; numbers are above zero.
#[rustfmt::skip]
const SERVICE: &[u8] = &[
    0x66, 0xba, PORT as u8, (PORT >> 8) as u8, // mov dx, PORT
    0xed,                               // next: in eax, dx
    0x3d, 0xe9, 0x03, 0x00, 0x00,       // cmp eax, 1001
    0x74, 0x1d,                         // je crash
    0x3d, 0xea, 0x03, 0x00, 0x00,       // cmp eax, 1002
    0x74, 0xfe,                         // je to itself
    0x3d, 0xeb, 0x03, 0x00, 0x00,       // cmp eax, 1003
    0x74, 0x11,                         // je write
    0x89, 0xc1,                         // mov ecx, eax
    0xb8, 0x01, 0x00, 0x00, 0x00,       // mov eax, 1
    0x0f, 0xaf, 0xc1,                   // again: imul eax, ecx
    0xe2, 0xfb,                         // loop again
    0xef,                               // done: out dx, eax
    0xeb, 0xdb,                         // jmp next
    0x0f, 0x0b,                         // crash: ud2
    0xa3, 0x00, 0x00, 0x00, 0xd0,       // write: mov [0xd0000000], eax
    0x31, 0xc0,                         // xor eax, eax
    0xeb, 0xf2,                         // jmp done
];

/// A client of the service in a machine.
struct Outside {
    machine: BareMachine,
    exits: u64,
    /// What the service has no business with, and no way to.
    data: u64,
}

impl Outside {
    const DATA: u64 = 0x0123_4567_89ab_cdef;

    fn new(choice: AccelChoice) -> Result<Self, VmError> {
        let (accelerator, _) = Accelerator::open(choice, false)?;
        Ok(Self {
            machine: BareMachine::new(&accelerator, ApicMode::User, SERVICE)?,
            exits: 0,
            data: Self::DATA,
        })
    }

    fn perform(mut self, request: Request, calls: u64) -> Result<Calls, VmError> {
        // The first one makes the machine's memory be there.
        self.ask(Request::Call, None)?;
        let start = Instant::now();
        for _ in 0..calls {
            self.ask(Request::Call, None)?;
        }
        let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let answer = self.ask(request, Some(EXIT_PATIENCE))?;
        let instructions = self.machine.vcpu().instructions();
        let data = match self.data {
            Self::DATA => "intact",
            _ => "damaged",
        };
        Ok(Calls {
            ns,
            exits: self.exits,
            instructions: instructions.map(|counts| counts.ring0),
            outcome: format!("{answer}, data {data}"),
        })
    }

    /// Hands the service a number and waits for what it does with it, for `patience` at
    /// most if there is such.
    fn ask(&mut self, request: Request, patience: Option<Duration>) -> Result<String, CpuError> {
        loop {
            let exit = match patience {
                Some(patience) => self.machine.run_for(patience)?,
                None => self.machine.run()?,
            };
            self.exits += 1;
            match exit {
                VmExit::PioIn {
                    port: PORT, data, ..
                } => {
                    data.copy_from_slice(&request.number().to_le_bytes()[..data.len()]);
                }
                VmExit::PioOut {
                    port: PORT, data, ..
                } => {
                    let value = data.try_into().map(u32::from_le_bytes);
                    return Ok(value.map_or("No Good".to_owned(), |value| format!("OK {value}")));
                }
                VmExit::Interrupted => {
                    return Ok(format!("no answer in {} ms", EXIT_PATIENCE.as_millis()));
                }
                other => return Ok(format!("no answer but an exit, {}", other.key().0.name())),
            }
        }
    }
}
