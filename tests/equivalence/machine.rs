//! One engine with the machine around it: runs batches of sequences and says how each
//! ended.

use std::sync::Arc;

use vmm::cpu::emu::{self, EmuConfig, Emulator};
use vmm::cpu::kvm::{KvmHost, KvmVcpu, KvmVm};
use vmm::cpu::{CpuError, CpuState, Vcpu};
use vmm::exit::VmExit;
use x86::vector;

use super::case::{Case, INITIAL_FLAGS, Image, Registers, empty_code};
use super::ending::{End, Ending, Fault};
use super::layout::{self, FIRST_PORT, SLOTS, VECTORS};
use super::memory::Memory;
use super::pair::Engine;
use super::watchdog::{Watch, Watchdog};
use super::{frame, layout::selector};

/// An engine and its machine.
pub struct Machine {
    vcpu: Box<dyn Vcpu>,
    pub(super) memory: Memory,
    watch: Arc<Watch>,
    /// What the data pages of every slot hold between batches.
    pub(super) image: Arc<Image>,
    /// CR3's pages that are not mapped now: see [`layout::cr3`].
    pub(super) missing: usize,
    /// Whether to run it an instruction at a time.
    stepping: bool,
}

impl Machine {
    /// A machine on `engine`.
    ///
    /// # Errors
    /// It cannot be had here, and why.
    pub fn of(engine: Engine, watchdog: &Watchdog) -> Result<Self, String> {
        match engine {
            Engine::Kvm => Self::kvm(watchdog),
            Engine::Emu => Self::emu(watchdog, emu::Engine::Interpreter),
            Engine::Translator => Self::emu(watchdog, emu::Engine::Translator { after: 0 }),
        }
    }

    /// A machine on the processor.
    ///
    /// # Errors
    /// KVM cannot be used here, and why.
    fn kvm(watchdog: &Watchdog) -> Result<Self, String> {
        let host = KvmHost::open().map_err(|error| error.to_string())?;
        Self::new(watchdog, |memory| {
            let vm = KvmVm::new(&host, memory.ram().clone(), false)?;
            Ok(Box::new(KvmVcpu::new(&host, &vm)?))
        })
    }

    /// A machine in the emulator.
    ///
    /// # Errors
    /// Never: for likeness with [`kvm`](Self::kvm).
    fn emu(watchdog: &Watchdog, engine: emu::Engine) -> Result<Self, String> {
        Self::new(watchdog, |memory| {
            Ok(Box::new(Emulator::new(
                memory.ram().clone(),
                EmuConfig {
                    engine,
                    ..EmuConfig::default()
                },
            )))
        })
    }

    fn new(
        watchdog: &Watchdog,
        make: impl FnOnce(&Memory) -> Result<Box<dyn Vcpu>, CpuError>,
    ) -> Result<Self, String> {
        let mut memory = Memory::new();
        layout::build(&mut memory);
        frame::build(&mut memory);
        let vcpu = make(&memory).map_err(|error| error.to_string())?;
        let mut machine = Self {
            watch: watchdog.watch(vcpu.kicker()),
            vcpu,
            memory,
            image: Arc::new([0; layout::DATA_LEN]),
            missing: 0,
            stepping: false,
        };
        let code = empty_code();
        for slot in 0..SLOTS {
            machine.write_code(slot, 0, &code);
        }
        Ok(machine)
    }

    /// From now on runs it an instruction at a time, or not. Only where the engine
    /// counts instructions.
    pub fn set_stepping(&mut self, stepping: bool) {
        self.stepping = stepping;
        if !stepping {
            self.vcpu
                .set_instruction_limit(None)
                .expect("a limit can be lifted");
        }
    }

    /// Runs `cases`, each in its own slot, all with the same image.
    /// Their memory stays as it is until [`clean`](Self::clean).
    pub fn run(&mut self, cases: &[Case]) -> Vec<Ending> {
        let mut endings = vec![Ending::without_registers(End::NotRun); cases.len()];
        let Some(first) = cases.first() else {
            return endings;
        };
        self.load(cases);
        self.start(first, 0);
        // Sequences that have been begun.
        let mut begun = 0;
        // Each has one exception at most, unless one got into the frame by chance.
        for _ in 0..2 * cases.len() {
            let stop = self.enter();
            let at = match stop {
                Stop::Finished => cases.len(),
                _ => self.at_work(cases),
            };
            for ending in endings.iter_mut().take(at).skip(begun) {
                ending.end = End::Completed;
            }
            begun = at + 1;
            match stop {
                Stop::Finished => break,
                Stop::Fault(fault) => {
                    endings[at].end = End::Fault(fault);
                    endings[at].registers = self.resume_at_store(cases[at].slot);
                }
                Stop::Stuck => {
                    endings[at].end = End::Stuck;
                    self.abandon(&cases[at]);
                }
                Stop::Broken(what) => {
                    endings[at].end = End::Broken(what);
                    break;
                }
            }
        }
        for (case, ending) in cases.iter().zip(&mut endings) {
            self.collect(case.slot, ending);
        }
        endings
    }

    /// Which of `cases` the guest is at.
    fn at_work(&self, cases: &[Case]) -> usize {
        let slot = frame::current(&self.memory);
        let found = cases.iter().position(|case| case.slot == slot);
        found.unwrap_or(cases.len() - 1)
    }

    /// Takes the registers that the frame has stored.
    pub(super) fn collect(&self, slot: usize, ending: &mut Ending) {
        let stored = frame::get(&self.memory, slot);
        match ending.end {
            End::Completed => ending.registers = stored,
            End::Fault(_) => {
                let Registers { gpr, flags, .. } = ending.registers;
                ending.registers = stored;
                ending.registers.gpr[frame::RSP] = gpr[frame::RSP];
                ending.registers.flags = flags;
            }
            End::Stuck | End::Broken(_) | End::NotRun => ending.registers = Registers::ZERO,
        }
    }

    pub(super) fn start(&mut self, first: &Case, missing: usize) {
        self.missing = missing;
        let mut state = layout::ring3(frame::load_address(first.slot));
        state.cr3 = layout::cr3(missing);
        self.set_state(&state);
    }

    /// Gives up on the sequence in `slot` and has the next one run.
    fn abandon(&mut self, case: &Case) {
        let store = frame::store_address(case.slot);
        let state = layout::ring3(store);
        self.set_state(&state);
    }

    pub(super) fn state(&mut self) -> CpuState {
        self.vcpu.state().expect("the state can be read")
    }

    pub(super) fn set_state(&mut self, state: &CpuState) {
        self.vcpu.set_state(state).expect("the state can be set");
    }

    /// After a fault in `slot`: has its other registers stored next. Returns RSP and flags
    /// at the fault.
    pub(super) fn resume_at_store(&mut self, slot: usize) -> Registers {
        let gpa = layout::exception_frame_gpa();
        let [_, _, flags, rsp, _] = self.memory.words(gpa);
        let mut registers = Registers::ZERO;
        registers.gpr[frame::RSP] = rsp;
        registers.flags = flags;
        let resume = [
            frame::store_address(slot),
            u64::from(selector::USER_CODE),
            INITIAL_FLAGS,
            0,
            u64::from(selector::USER_DATA),
        ];
        self.memory.write_words(gpa, &resume);
        registers
    }

    /// Runs the guest until something is to be decided.
    pub(super) fn enter(&mut self) -> Stop {
        self.watch.begin();
        let stop = loop {
            if self.stepping {
                self.allow_one();
            }
            match self.vcpu.run() {
                Ok(VmExit::PioOut { port, .. })
                    if (FIRST_PORT..FIRST_PORT + VECTORS).contains(&port) =>
                {
                    break self.exception((port - FIRST_PORT) as u8);
                }
                Ok(VmExit::InstructionLimit) if self.stepping => {}
                Ok(VmExit::Interrupted) if self.watch.expired() => break Stop::Stuck,
                Ok(VmExit::Interrupted | VmExit::Emulated) => {}
                Ok(other) => break Stop::Broken(format!("{other:?}")),
                Err(error) => break Stop::Broken(error.to_string()),
            }
        };
        self.watch.end();
        stop
    }

    fn allow_one(&mut self) {
        let counts = self.vcpu.instructions().unwrap_or_default();
        self.vcpu
            .set_instruction_limit(Some(counts.ring0 + counts.ring3 + 1))
            .expect("an engine that counts has a limit");
    }

    fn exception(&self, vector: u8) -> Stop {
        let gpa = layout::exception_frame_gpa();
        let [rip, cs, _, _, ss] = self.memory.words(gpa);
        if vector == vector::BP && rip == frame::STOPPED {
            return Stop::Finished;
        }
        let stepped_into = vector == vector::DB && frame::is_store(rip);
        if frame::contains(rip) && !stepped_into {
            return Stop::Broken(format!("exception {vector} in the frame, at {rip:#x}"));
        }
        let [error_code] = match layout::has_error_code(vector) {
            true => self.memory.words(gpa - 8),
            false => [0],
        };
        let [address] = match vector == vector::PF {
            true => self.memory.words(gpa - 24),
            false => [0],
        };
        Stop::Fault(Fault {
            vector,
            error_code,
            address,
            rip,
            cs,
            ss,
        })
    }
}

/// Why the guest does not run.
pub enum Stop {
    /// It has come to the end of the batch.
    Finished,
    /// A sequence ended in an exception.
    Fault(Fault),
    /// It took too long.
    Stuck,
    /// Something that cannot be.
    Broken(String),
}
