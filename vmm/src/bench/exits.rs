//! The cost of an exit by itself: machine code that only exits, served as in any run.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::{BenchError, Counts, Sample};
use crate::accel::Accelerator;
use crate::bare::BareMachine;
use crate::compare::Machine;
use crate::cpu::GuestClock;
use crate::devices::{Devices, DevicesConfig, HostStreams};
use crate::exit::ExitReason;
use crate::run_loop::{Step, dispatch, host_ticks};
use crate::vm::VmError;

/// A kind of exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `out`.
    PioOut,
    /// `in`.
    PioIn,
    /// A load.
    MmioRead,
    /// A store.
    MmioWrite,
    /// `hlt`, and the VMM continues at once.
    Hlt,
    /// `hlt`, and the VMM sleeps until another thread wakes it.
    HltWake,
}

impl Exit {
    /// A loop of it in 32-bit code; port and address have no device.
    #[rustfmt::skip]
    const fn code(self) -> &'static [u8] {
        match self {
            // out 0x80, al ; jmp to it
            Self::PioOut => &[0xe6, 0x80, 0xeb, 0xfc],
            // in al, 0x80 ; jmp to it
            Self::PioIn => &[0xe4, 0x80, 0xeb, 0xfc],
            // mov al, [0xd0000000] ; jmp to it
            Self::MmioRead => &[0xa0, 0x00, 0x00, 0x00, 0xd0, 0xeb, 0xf9],
            // mov [0xd0000000], al ; jmp to it
            Self::MmioWrite => &[0xa2, 0x00, 0x00, 0x00, 0xd0, 0xeb, 0xf9],
            // hlt ; jmp to it
            Self::Hlt | Self::HltWake => &[0xf4, 0xeb, 0xfd],
        }
    }

    const fn reason(self) -> ExitReason {
        match self {
            Self::PioOut => ExitReason::PioOut,
            Self::PioIn => ExitReason::PioIn,
            Self::MmioRead => ExitReason::MmioRead,
            Self::MmioWrite => ExitReason::MmioWrite,
            Self::Hlt | Self::HltWake => ExitReason::Hlt,
        }
    }

    /// Why `machine` has no such exit, if so.
    fn absent(self, machine: Machine) -> Option<&'static str> {
        let halt = self.reason() == ExitReason::Hlt;
        (halt && machine == Machine::Kvm).then_some("a halt stays in KVM, which has the local APIC")
    }
}

/// Another thread, and a way to have it wake this one.
struct Waker {
    ask: mpsc::Sender<()>,
    woken: mpsc::Receiver<()>,
}

impl Waker {
    fn start() -> Self {
        let (ask, asked) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        thread::spawn(move || {
            for () in asked {
                if wake.send(()).is_err() {
                    break;
                }
            }
        });
        Self { ask, woken }
    }

    fn sleep(&self) {
        // The thread lives as long as this does.
        if self.ask.send(()).is_ok() {
            let _ = self.woken.recv();
        }
    }
}

/// Most exits in a row of other kinds than the one that is measured.
const PATIENCE: u64 = 1000;

/// A machine that exits, and what serves it.
struct Serving {
    exit: Exit,
    machine: BareMachine,
    devices: Devices,
    clock: GuestClock,
    waker: Option<Waker>,
    exits: u64,
    vmm_ticks: u64,
}

impl Serving {
    fn start(exit: Exit, on: Machine) -> Result<Self, VmError> {
        let (choice, apic) = on.choice();
        let (accelerator, _) = Accelerator::open(choice, false)?;
        let mut machine = BareMachine::new(&accelerator, apic, exit.code())?;
        Ok(Self {
            exit,
            devices: Devices::new(DevicesConfig {
                apic,
                cpus: 1,
                tsc_khz: machine.vcpu().tsc_khz(),
                streams: HostStreams::none(),
                virtio: None,
                link: None,
                files: None,
            }),
            clock: machine.vcpu().clock(),
            machine,
            waker: (exit == Exit::HltWake).then(Waker::start),
            exits: 0,
            vmm_ticks: 0,
        })
    }

    /// Runs the guest until it has made one exit of the kind that is measured.
    fn once(&mut self) -> Result<(), BenchError> {
        for _ in 0..PATIENCE {
            let mut exit = self.machine.run().map_err(VmError::from)?;
            let left = host_ticks();
            let reason = exit.key().0;
            if let Step::Ended(outcome) = dispatch(&mut exit, &mut self.devices, &self.clock) {
                return Err(BenchError::Absent(outcome.to_string()));
            }
            let expected = reason == self.exit.reason();
            if let Some(waker) = self.waker.as_ref().filter(|_| expected) {
                waker.sleep();
            }
            self.exits += 1;
            self.vmm_ticks += host_ticks().wrapping_sub(left);
            if expected {
                return Ok(());
            }
        }
        let reason = self.exit.reason().name();
        Err(BenchError::Absent(format!(
            "the guest never exits by {reason}"
        )))
    }

    fn instructions(&mut self) -> Option<u64> {
        let counts = self.machine.vcpu().instructions();
        counts.map(|counts| counts.ring0)
    }
}

/// Takes a sample of `count` exits.
pub fn sample(exit: Exit, machine: Machine, count: u64) -> Result<Sample, BenchError> {
    if let Some(reason) = exit.absent(machine) {
        return Err(BenchError::Absent(reason.to_owned()));
    }
    let mut serving = Serving::start(exit, machine)?;
    // The first one is not counted: it populates the machine's memory.
    serving.once()?;
    (serving.exits, serving.vmm_ticks) = (0, 0);
    let before = serving.instructions();
    let (started, start_ticks) = (Instant::now(), host_ticks());
    for _ in 0..count {
        serving.once()?;
    }
    let ns = started.elapsed().as_nanos() as f64;
    let ns_per_tick = ns / host_ticks().wrapping_sub(start_ticks).max(1) as f64;
    let after = serving.instructions();

    let each = |total: f64| total / count as f64;
    Ok(Sample {
        ns: each(ns),
        one_cpu_ns: None,
        host_ns: None,
        counts: Counts {
            vmm_ns: Some(each(serving.vmm_ticks as f64 * ns_per_tick)),
            exits: Some(each(serving.exits as f64)),
            ring0_instructions: before
                .zip(after)
                .map(|(before, after)| each((after - before) as f64)),
            ..Counts::default()
        },
    })
}
