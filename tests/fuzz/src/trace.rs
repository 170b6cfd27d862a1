//! A trace of a guest whose ring has anything in it: records that are right, nearly right, and
//! none at all, while CPUs exit and sleep.
//!
//! Checked: times never go back; what is written is text without control characters, in lines that
//! are not too long for what the ring can hold, and JSON; of a ring that is broken nothing is told
//! but that, once; a page has all of its events in elements that nothing ends.

use std::io::{self, Write};
use std::mem::offset_of;
use std::sync::{Arc, Mutex, PoisonError};

use abi::trace::{
    Kind, MAX_CHUNK, MAX_RECORD_WORDS, RING_WORDS, TraceRing, chunk_head, record_head,
};
use serde_json::Value;
use vmm::boot::{Entry, KernelImage};
use vmm::cpu::{CountedTime, GuestClock, Location};
use vmm::exit::VmExit;
use vmm::html::HtmlSink;
use vmm::memory::GuestRam;
use vmm::trace::{
    Class, Event, Filter, PerfettoSink, Ring, TextSink, Trace, TraceSink, Tracer, What,
};

use crate::{Input, machine};

const RAM: u64 = 1 << 20;
const RING: u64 = size_of::<TraceRing>() as u64;
/// Each byte of a record, and of the call that it ends, is four characters at most; JSON doubles
/// the backslash.
const LONGEST_LINE: usize = 2 * 2 * 5 * 8 * MAX_RECORD_WORDS + 1000;
/// Where rings are: one of them is not all in RAM, which loaders do not let pass.
const PLACES: &[u64] = &[0x1_0000, RAM - RING, 0, RAM - 0x1000];

/// A guest, and who watches it.
struct Traced {
    ram: GuestRam,
    at: u64,
    cpus: usize,
    /// Words written so far.
    head: u64,
    time: Arc<CountedTime>,
    tracer: Tracer,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (text, json, page) = (Shared::default(), Shared::default(), Shared::default());
    let mut traced = Traced::new(&mut input, &text, &json, &page);
    while !input.is_empty() {
        traced.step(&mut input);
    }
    let clock = GuestClock::Counted(Arc::clone(&traced.time));
    assert!(
        traced.tracer.finish(&clock).is_none(),
        "memory is no host that fails"
    );
    check_text(&text.text());
    let json = json.text();
    assert!(
        json.lines().all(|line| line.len() <= LONGEST_LINE),
        "{json}"
    );
    let events: Vec<Value> = serde_json::from_str(&json).expect("it is JSON");
    assert!(events.iter().all(Value::is_object));
    check_page(&page.text());
}

/// Asserts that each chunk of a page is JSON, with as many events as it says, and that together
/// they are all.
fn check_page(page: &str) {
    let json = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let mut events = 0;
    for chunk in page.split("class=\"c\" data-s=\"").skip(1) {
        let (summary, chunk) = chunk.split_once("\">").expect("a chunk");
        let (chunk, _) = chunk.split_once("</script>").expect("an end");
        assert!(chunk.is_ascii(), "{chunk}");
        let (summary, chunk) = (json(summary), json(chunk));
        let count = chunk["events"].as_array().map_or(0, Vec::len);
        assert_eq!(summary[2], count, "{chunk}");
        events += count;
    }
    let (_, data) = page.rsplit_once("<script id=\"data\"").expect("data");
    let (_, data) = data.split_once('>').expect("an element");
    let (data, rest) = data.split_once("</script>").expect("an end");
    let data = json(data);
    let kinds = data["kinds"].as_array().into_iter().flatten();
    assert_eq!(kinds.filter_map(Value::as_u64).sum::<u64>(), events as u64);
    assert_eq!(
        rest.matches("</script>").count(),
        1,
        "nothing but the page's script"
    );
}

fn check_text(text: &str) {
    for line in text.lines() {
        assert!(line.len() <= LONGEST_LINE, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    assert!(text.matches("its ring is broken").count() <= 1, "{text}");
}

impl Traced {
    fn new(input: &mut Input, text: &Shared, json: &Shared, page: &Shared) -> Self {
        let ram = GuestRam::new(RAM).expect("memory");
        let cpus = input.pick(&[1, 2, 4]);
        let at = input.pick(PLACES);
        let kernel = KernelImage {
            entry: Entry::Pvh(0),
            end: 0,
            shared_page: None,
            trace_ring: Some(at),
        };
        let bits = input.u8();
        let classes = Class::ALL.iter().enumerate();
        let classes = classes.filter(|(index, _)| bits >> index & 1 == 0);
        let filter = Filter {
            classes: classes.map(|(_, class)| *class).collect(),
            pid: (bits & 0x80 != 0).then(|| u32::from(input.u8() % 4)),
        };
        let sinks: Vec<Box<dyn TraceSink>> = vec![
            Box::new(Order(0)),
            Box::new(TextSink::new(text.clone(), true)),
            Box::new(PerfettoSink::new(json.clone())),
            Box::new(HtmlSink::new(page.clone(), "made up")),
        ];
        let ring = Ring::of(&ram, &kernel);
        let mut vcpu = machine::emulator(ram.clone());
        let tracer = Tracer::start(Trace { filter, sinks }, ring, cpus, &mut vcpu);
        Self {
            ram,
            at,
            cpus,
            head: 0,
            time: Arc::default(),
            tracer: tracer.expect("the emulator has a time"),
        }
    }

    fn step(&mut self, input: &mut Input) {
        let clock = GuestClock::Counted(Arc::clone(&self.time));
        match input.u8() % 16 {
            0..=7 => self.record(input),
            8 => {
                let words = [input.number(), input.number(), input.number()];
                self.put(&words);
            }
            9 => {
                // Nearer to the end of the ring, or more than it holds.
                let more = input.number() % (RING_WORDS as u64 + 2);
                self.head = self.head.wrapping_add(more);
                self.publish();
            }
            10 => {
                self.head = input.number();
                self.publish();
            }
            11 => self
                .time
                .skip_to(self.time.now_ns().saturating_add(input.number() >> 4)),
            12 => self.tracer.slept(input.number(), self.cpu(input), &clock),
            13 => self.tracer.catch_up(&clock),
            _ => {
                let len = usize::from(input.u8()) % 40;
                let size = input.pick(&[1, 2, 4]);
                let exit = VmExit::PioOut {
                    port: input.u16(),
                    size,
                    data: input.take(len / usize::from(size) * usize::from(size)),
                };
                self.tracer.catch_up(&clock);
                self.tracer.exit_served(&exit, &clock);
                let location = Location {
                    rip: input.number(),
                    ring: input.u8() % 4,
                };
                self.tracer.exit_ends(location, self.cpu(input));
            }
        }
    }

    fn cpu(&self, input: &mut Input) -> usize {
        usize::from(input.u8()) % self.cpus
    }

    /// A record of a known kind; mostly as long as it says, and with chunks of a call.
    fn record(&mut self, input: &mut Input) {
        let number = input.u8();
        let kind = Kind::new(1 + number % 10).expect("there are ten");
        let fixed = match kind {
            Kind::Call => 7,
            Kind::Return | Kind::End => 2,
            Kind::Trap => 8,
            Kind::Fault | Kind::Run => 3,
            Kind::Exec => 2,
            Kind::Tick | Kind::Start => 1,
            Kind::Idle => 0,
        };
        let mut words: Vec<u64> = (0..fixed).map(|_| input.number()).collect();
        if matches!(kind, Kind::Call | Kind::Return) {
            words[0] %= 512;
            for _ in 0..input.u8() % 4 {
                let len = usize::from(input.u8()) % (MAX_CHUNK + 1);
                let bytes = input.take(len);
                words.push(chunk_head(input.u8() % 8, bytes.len(), input.u32()));
                words.extend(bytes.chunks(8).map(|bytes| {
                    let mut word = [0; 8];
                    word[..bytes.len()].copy_from_slice(bytes);
                    u64::from_le_bytes(word)
                }));
            }
        }
        let tsc = input.number();
        let wrong = usize::from(input.u8());
        let len = match wrong {
            0..=7 => wrong,
            _ => words.len() + 2,
        };
        let cpu = match wrong {
            8..=15 => wrong,
            _ => self.cpu(input),
        };
        words.splice(0..0, [record_head(kind, len, cpu), tsc]);
        self.put(&words);
    }

    fn put(&mut self, words: &[u64]) {
        for word in words {
            let at = self.head as usize % RING_WORDS;
            self.write(offset_of!(TraceRing, words) + 8 * at, *word);
            self.head = self.head.wrapping_add(1);
        }
        self.publish();
    }

    fn publish(&self) {
        self.write(offset_of!(TraceRing, head), self.head);
    }

    /// A ring that is not in RAM keeps nothing.
    fn write(&self, offset: usize, word: u64) {
        let _ = self.ram.write(self.at + offset as u64, &word.to_le_bytes());
    }
}

/// Sees that time never goes back. Has the time of the last event.
struct Order(u64);

impl TraceSink for Order {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        assert!(event.ns >= self.0, "{event:?} after {}", self.0);
        if let What::Return { call, .. } | What::Abandoned(call) = event.what {
            assert!(call.started_ns <= event.ns, "{event:?}");
        }
        self.0 = event.ns;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, ns: u64) -> io::Result<()> {
        assert!(ns >= self.0, "{ns} after {}", self.0);
        Ok(())
    }
}

/// A writer whose text can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(all.clone()).expect("it is text")
    }
}
