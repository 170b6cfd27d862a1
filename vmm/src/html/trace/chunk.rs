//! Chunks of events, and what the CPUs do meanwhile.

use std::fmt::Write as _;
use std::mem;

use serde_json::Value;

use crate::trace::Event;

/// What a CPU does, by its number in the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ring3,
    Ring0,
    Vmm,
    Idle,
}

/// Kinds of events, by their numbers in the page: the places of `KINDS` in timeline.js.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Exit,
    Halted,
    Call,
    Trap,
    Fault,
    Tick,
    Switch,
    Idle,
    Start,
    Exec,
    End,
    Note,
}

pub(super) const KINDS: usize = Kind::Note as usize + 1;

/// A CPU now.
pub(super) struct Cpu {
    state: State,
    /// The number of the thread that has it.
    pub(super) thread: usize,
    /// Whether nobody wants it.
    pub(super) is_free: bool,
    /// Until when it is in the chunk's summary.
    until_ns: u64,
    /// Of the chunk: nanoseconds in each state, and of each thread.
    spent: [u64; 4],
    threads: Vec<(usize, u64)>,
}

/// What is written next.
#[derive(Default)]
struct Chunk {
    first_ns: u64,
    last_ns: u64,
    count: u32,
    kinds: [u32; KINDS],
    signals: u32,
    /// Each CPU's state at its beginning, changes of states, and events: as JSON.
    starts: String,
    changes: String,
    events: String,
}

/// Events in a chunk.
const CHUNK: u32 = 256;

/// The chunk that is being filled, and the CPUs as they are.
pub(super) struct Chunks {
    chunk: Chunk,
    pub(super) cpus: Vec<Cpu>,
    is_closed: bool,
}

impl Chunks {
    /// An empty one, at the beginning of a run: the first CPU is in the kernel.
    pub(super) fn new() -> Self {
        let mut chunks = Self {
            chunk: Chunk::default(),
            cpus: vec![Cpu::new(0)],
            is_closed: false,
        };
        chunks.begin(0);
        chunks
    }

    /// The number of an event's CPU, which is there then.
    pub(super) fn cpu(&mut self, event: &Event<'_>) -> usize {
        let cpu = usize::from(event.cpu.unwrap_or(0));
        while self.cpus.len() <= cpu {
            self.cpus.push(Cpu::new(event.ns));
        }
        cpu
    }

    /// From this time on, the CPU is in this state and a thread has it.
    pub(super) fn turn(&mut self, cpu: usize, ns: u64, state: State, thread: usize) {
        let this = &mut self.cpus[cpu];
        if (this.state, this.thread) == (state, thread) {
            return;
        }
        let ns = ns.max(this.until_ns);
        this.spend(ns);
        (this.state, this.thread) = (state, thread);
        self.reach(ns);
        if self.is_closed {
            return;
        }
        let offset = ns.saturating_sub(self.chunk.first_ns);
        let comma = comma(&self.chunk.changes);
        let state = state as u8;
        let _ = write!(
            self.chunk.changes,
            "{comma}[{offset},{cpu},{state},{thread}]"
        );
    }

    /// Adds an event of a CPU and thread; whether the chunk is full then.
    pub(super) fn add(
        &mut self,
        ns: u64,
        kind: Kind,
        place: (usize, usize),
        rest: &[Value],
    ) -> bool {
        self.reach(ns);
        let chunk = &mut self.chunk;
        chunk.kinds[kind as usize] += 1;
        chunk.count += 1;
        let offset = ns.saturating_sub(chunk.first_ns);
        let (comma, kind, (cpu, thread)) = (comma(&chunk.events), kind as u8, place);
        let _ = write!(chunk.events, "{comma}[{offset},{kind},{cpu},{thread}");
        for value in rest {
            let _ = write!(chunk.events, ",{}", ascii(&value.to_string()));
        }
        chunk.events.push(']');
        chunk.count >= CHUNK
    }

    /// Counts an event that has to do with a signal.
    pub(super) fn add_signal(&mut self) {
        self.chunk.signals = self.chunk.signals.saturating_add(1);
    }

    /// There is no more room: time is only summed up from now on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The chunk lasts until this time at least.
    pub(super) fn reach(&mut self, ns: u64) {
        self.chunk.last_ns = self.chunk.last_ns.max(ns);
    }

    /// The chunk as an element; the next one begins where it ends.
    pub(super) fn take(&mut self) -> String {
        let Chunk {
            first_ns,
            last_ns,
            count,
            kinds,
            signals,
            starts,
            changes,
            events,
        } = mem::take(&mut self.chunk);
        let mut summary = format!("[{first_ns},{last_ns},{count},{kinds:?},{signals}");
        for cpu in &mut self.cpus {
            cpu.spend(last_ns);
            let most = cpu.threads.iter().max_by_key(|(_, ns)| *ns);
            let thread = most.map_or(cpu.thread, |(thread, _)| *thread);
            let _ = write!(summary, ",[{:?},{thread}]", cpu.spent);
            (cpu.spent, cpu.threads) = ([0; 4], Vec::new());
        }
        self.begin(last_ns);
        format!(
            "<script type=\"application/json\" class=\"c\" data-s=\"{}]\">\
             {{\"starts\":[{starts}],\"changes\":[{changes}],\"events\":[{events}]}}</script>\n",
            summary.replace(' ', "")
        )
    }

    fn begin(&mut self, ns: u64) {
        (self.chunk.first_ns, self.chunk.last_ns) = (ns, ns);
        for cpu in &self.cpus {
            let comma = comma(&self.chunk.starts);
            let (state, thread) = (cpu.state as u8, cpu.thread);
            let _ = write!(self.chunk.starts, "{comma}[{state},{thread}]");
        }
    }
}

/// What stands between the elements of a list.
fn comma(list: &str) -> &'static str {
    if list.is_empty() { "" } else { ",\n" }
}

impl Cpu {
    fn new(since_ns: u64) -> Self {
        Self {
            state: State::Ring0,
            thread: 0,
            is_free: false,
            until_ns: since_ns,
            spent: [0; 4],
            threads: Vec::new(),
        }
    }

    /// Counts the time until then as spent.
    fn spend(&mut self, ns: u64) {
        let spent = ns.saturating_sub(self.until_ns);
        self.until_ns = self.until_ns.max(ns);
        self.spent[self.state as usize] += spent;
        if self.state == State::Idle || spent == 0 {
            return;
        }
        // More are there only where events are not kept.
        let has_room = self.threads.len() <= CHUNK as usize;
        let mut threads = self.threads.iter_mut();
        match threads.find(|(thread, _)| *thread == self.thread) {
            Some((_, ns)) => *ns += spent,
            None if has_room => self.threads.push((self.thread, spent)),
            None => {}
        }
    }
}

/// JSON in ASCII that nothing ends: browsers keep it in half the memory.
fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' if !matches!(c, '<' | '>' | '&') => ascii.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Chunks, Kind, State};

    #[test]
    fn a_summary_has_all_time_and_events_of_its_chunk() {
        let mut chunks = Chunks::new();
        chunks.turn(0, 10, State::Ring3, 1);
        chunks.turn(0, 25, State::Vmm, 1);
        chunks.turn(0, 30, State::Ring3, 1);
        for number in 1..=CHUNK {
            let full = chunks.add(30, Kind::Tick, (0, 1), &["</script>&\u{e9}".into()]);
            assert_eq!(full, number == CHUNK);
        }
        chunks.reach(40);
        let text = chunks.take();
        let summary = "data-s=\"[0,40,256,[0,0,0,0,0,256,0,0,0,0,0,0],0,[[25,10,5,0],1]]\"";
        assert!(text.contains(summary), "{text}");
        assert!(
            text.is_ascii() && text.matches("</script>").count() == 1,
            "{text}"
        );
        let next = chunks.take();
        assert!(next.contains("data-s=\"[40,40,0,"), "{next}");
        assert!(
            next.contains("{\"starts\":[[0,1]],\"changes\":[],"),
            "{next}"
        );
    }
}
