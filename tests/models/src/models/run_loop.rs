//! The run loops of a machine, whose vCPUs halt and wake, beside others that ask something of
//! them: nobody is left asleep, and nobody runs for nothing.

use loom::thread::{Builder, JoinHandle};
use vmm::cpu::Vcpu;
use vmm::devices::{ApicMode, Devices, DevicesConfig, HostStreams};
use vmm::exit::ExitReason;
use vmm::report::Outcome;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use x86::msr::APIC_BASE;

use super::{Case, check, join};
use crate::control::{Control, StopReason};
use crate::gate::Gate;
use crate::run_loop::{End, RunLoop};
use crate::sync::{self, Arc};
use crate::vcpu::{Act, Emulated, Guest, OfKvm, Scripted};

pub const CASES: &[Case] = &[
    (
        "a_stop_ends_a_halt_in_the_emulator",
        stop_in_a_halt::<Emulated>,
    ),
    ("a_stop_ends_a_halt_of_kvm", stop_in_a_halt::<OfKvm>),
    (
        "a_stop_ends_a_spin_in_the_emulator",
        stop_without_exits::<Emulated>,
    ),
    ("a_stop_ends_a_spin_of_kvm", stop_without_exits::<OfKvm>),
    ("a_stop_ends_two_cpus", stop_two),
    ("interrupts_wake_halted_cpus", interrupts_wake),
    ("a_spinning_cpu_is_interrupted", spinning),
    ("all_halted_for_good_is_the_end", all_halted),
];

/// Enabled, x2APIC, bootstrap processor or not, at the usual address.
const X2APIC: u64 = 0xfee0_0c00;
const BOOTSTRAP: u64 = 1 << 8;
const END_OF_INTERRUPT: u32 = 0x80b;
const SPURIOUS: u32 = 0x80f;
const COMMAND: u32 = 0x830;
const INIT: u64 = 5 << 8;
const STARTUP: u64 = 6 << 8;
const VECTOR: u64 = 0x40;

const fn send(what: u64, cpu: u64) -> Act {
    Act::Write(COMMAND, cpu << 32 | what)
}

const ENABLE: Act = Act::Write(SPURIOUS, 0x1ff);
const ENDED: Act = Act::Write(END_OF_INTERRUPT, 0);

/// Threads with room for a run loop without optimization: 512 KiB.
fn roomy() -> Builder {
    Builder::new().stack_size((512 << 10) / size_of::<usize>())
}

/// As [`check`], with such a thread.
fn try_all(preemptions: usize, model: fn()) {
    check(preemptions, move || {
        let thread = roomy().spawn(model).expect("a model's thread");
        join([thread]);
    });
}

/// A machine with a thread for each vCPU.
struct Machine {
    control: Arc<Control>,
    threads: Vec<JoinHandle<(RunLoop, Option<End>)>>,
}

impl Machine {
    /// Starts it. Threads do what the VMM's do: be known, wait for each other, run.
    fn start(vcpus: Vec<Scripted>) -> Self {
        let devices = Devices::new(DevicesConfig {
            apic: ApicMode::User,
            cpus: vcpus.len() as u8,
            tsc_khz: 1_000_000,
            streams: HostStreams::none(),
            virtio: None,
            link: None,
            files: None,
        });
        let stopped = EventFd::new(EFD_NONBLOCK).expect("an event");
        let kicks: Vec<_> = vcpus.iter().map(Vcpu::kicker).collect();
        let control = Control::new(kicks, stopped).expect("descriptors");
        let gate = Arc::new(Gate::new(vcpus.len()));
        let vcpus = vcpus
            .into_iter()
            .map(|vcpu| vec![Box::new(vcpu) as Box<dyn Vcpu>]);
        let loops = RunLoop::all(vcpus.collect(), devices, None, &control, None, None);
        let threads = loops.into_iter().enumerate().map(|(number, mut run_loop)| {
            let (control, gate) = (Arc::clone(&control), Arc::clone(&gate));
            let run = move || {
                control.attach(number, sync::current());
                gate.pass();
                let end = run_loop.run();
                (run_loop, end)
            };
            roomy().spawn(run).expect("a model's thread")
        });
        let threads = threads.collect();
        Self { control, threads }
    }

    /// Waits for its end: the outcome, and how often each vCPU has halted.
    fn end(self) -> (Outcome, Vec<u64>) {
        let left = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        let (loops, ends): (Vec<_>, Vec<_>) = left.unzip();
        let mut ends: Vec<_> = ends.into_iter().flatten().collect();
        assert_eq!(ends.len(), 1, "only the last thread says how it ended");
        let outcome = ends.remove(0).result.expect("scripts do not fail");
        let halts = loops
            .iter()
            .map(|run_loop| run_loop.counts[0].finish(1.0).count(ExitReason::Hlt));
        (outcome, halts.collect())
    }
}

/// The machine is stopped before the first exit, while the vCPU is about to halt, or as it sleeps.
fn stop_in_a_halt<G: Guest + Default + 'static>() {
    try_all(3, || {
        let machine = Machine::start(vec![Scripted::new(G::default(), &[ENABLE, Act::Wait])]);
        machine.control.stop(StopReason::Timeout);
        let (outcome, halts) = machine.end();
        assert_eq!(outcome, Outcome::timeout());
        assert!(halts[0] <= 1, "halts: {halts:?}");
    });
}

/// The guest has no exits, from its first instruction on.
fn stop_without_exits<G: Guest + Default + 'static>() {
    try_all(3, || {
        let machine = Machine::start(vec![Scripted::new(G::default(), &[Act::Spin, Act::Wait])]);
        machine.control.stop(StopReason::Timeout);
        let (outcome, halts) = machine.end();
        assert_eq!(outcome, Outcome::timeout());
        assert!(halts[0] <= 1, "halts: {halts:?}");
    });
}

/// One halts, and one waits to be started.
fn stop_two() {
    try_all(2, || {
        let waits = Scripted::new(OfKvm::default(), &[ENABLE, Act::Wait]);
        let unstarted = Scripted::new(OfKvm::default(), &[]);
        let machine = Machine::start(vec![waits, unstarted]);
        machine.control.stop(StopReason::Signal(15));
        let (outcome, halts) = machine.end();
        assert_eq!(outcome, Outcome::stopped(15));
        assert_eq!(halts[1], 0);
    });
}

/// It starts CPU 1, waits for its interrupt, sends it one, and ends all after another.
fn starts_the_other() -> [Act; 9] {
    [
        Act::Write(APIC_BASE, X2APIC | BOOTSTRAP),
        ENABLE,
        send(INIT, 1),
        send(STARTUP, 1),
        Act::Wait,
        ENDED,
        send(VECTOR, 1),
        Act::Wait,
        Act::End,
    ]
}

/// The first starts the second, both halt, and wake each other.
fn interrupts_wake() {
    try_all(2, || {
        let second = [
            Act::Write(APIC_BASE, X2APIC),
            ENABLE,
            send(VECTOR, 0),
            Act::Wait,
            ENDED,
            send(VECTOR, 0),
            Act::Wait,
        ];
        let vcpus = vec![
            Scripted::new(OfKvm::default(), &starts_the_other()),
            Scripted::new(OfKvm::default(), &second),
        ];
        let injected: Vec<_> = vcpus
            .iter()
            .map(|vcpu| Arc::clone(&vcpu.injected))
            .collect();
        let (outcome, halts) = Machine::start(vcpus).end();
        assert_eq!(outcome, Outcome::exited(0));
        let injected = injected
            .iter()
            .map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(injected.collect::<Vec<_>>(), [2, 1]);
        assert!(halts[0] <= 2 && halts[1] <= 2, "halts: {halts:?}");
    });
}

/// The second runs without exits, after it has slept, and stops for a message at once.
fn spinning() {
    try_all(2, || {
        let second = [
            Act::Write(APIC_BASE, X2APIC),
            ENABLE,
            send(VECTOR, 0),
            Act::Spin,
            Act::Wait,
            ENDED,
            send(VECTOR, 0),
            Act::Wait,
        ];
        let vcpus = vec![
            Scripted::new(OfKvm::default(), &starts_the_other()),
            Scripted::new(OfKvm::default(), &second),
        ];
        let (outcome, halts) = Machine::start(vcpus).end();
        assert_eq!(outcome, Outcome::exited(0));
        assert!(halts[0] <= 2 && halts[1] <= 2, "halts: {halts:?}");
    });
}

/// Whoever is the last to halt ends the run, for the other too.
fn all_halted() {
    try_all(2, || {
        let first = [
            Act::Write(APIC_BASE, X2APIC | BOOTSTRAP),
            ENABLE,
            send(INIT, 1),
            send(STARTUP, 1),
            Act::HaltForGood,
        ];
        let vcpus = vec![
            Scripted::new(OfKvm::default(), &first),
            Scripted::new(OfKvm::default(), &[Act::HaltForGood]),
        ];
        let (outcome, halts) = Machine::start(vcpus).end();
        assert_eq!(outcome, Outcome::halted());
        assert_eq!(halts, [1, 1]);
    });
}
