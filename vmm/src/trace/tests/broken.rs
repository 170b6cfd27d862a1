//! The tracer on rings that no kernel of ours would leave.

use super::*;

#[test]
fn a_cpu_that_there_is_not_breaks_the_ring() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer_of(2, ring, Filter::all());
    kernel.record_on(1, Kind::Tick, 1, &[1]);
    kernel.record_on(2, Kind::Tick, 2, &[2]);
    tracer.drain(7);
    let lines: Vec<_> = text.text().lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let why = "its ring is broken: a record of a CPU that there is not";
    assert!(lines[1].ends_with(why), "{lines:?}");
    assert!(tracer.guest.is_none());
}

#[test]
fn a_broken_ring_ends_the_guest_s_events_with_one_line() {
    let (kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer(ring, Filter::all());
    kernel.write(offset_of!(TraceRing, wanted), u64::MAX);
    kernel.write(offset_of!(TraceRing, head), u64::MAX / 2);
    tracer.drain(7);
    tracer.drain(8);
    assert_eq!(
        text.text(),
        "0.000000000  [vmm]        the guest's trace ends here, its ring is broken: \
         more words than it can hold\n"
    );
    let wanted = GuestAddress(GPA + offset_of!(TraceRing, wanted) as u64);
    let wanted: u64 = kernel.ram.mmap().read_obj(wanted).expect("RAM");
    assert_eq!(wanted, 0, "the kernel is told to stop");
}

#[test]
fn a_broken_ring_abandons_calls_when_the_last_event_was() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer(ring, Filter::all());
    kernel.record(Kind::Call, 20, &[39, 0, 0, 0, 0, 0, 0]);
    kernel.record(Kind::Tick, 21, &[7]);
    kernel.put(&[0, 0]);
    tracer.drain(50);
    let expected = "\
0.000000020  [kernel]     getpid( <unfinished ...>
0.000000021  [kernel]     tick 7
0.000000021  [pid 0]      <... getpid resumed>) = ?
0.000000021  [vmm]        the guest's trace ends here, its ring is broken: a record of no known kind
";
    assert_eq!(text.text(), expected);
}

#[test]
fn no_words_of_a_guest_break_the_tracer() {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut broken, mut whole) = (0, 0);
    for round in 0..2000 {
        let (mut kernel, ring) = Kernel::new();
        let (mut tracer, text, json) = tracer(ring, Filter::all());
        for _ in 0..random() % 40 {
            let kind = Kind::new((random() % 11) as u8).unwrap_or(Kind::Tick);
            let len = (random() % 12) as usize;
            let words: Vec<u64> = (0..len)
                .map(|_| match random() % 3 {
                    0 => random(),
                    1 => random() % 400,
                    _ => chunk_head(random() as u8 % 6, random() as usize % 20, random() as u32),
                })
                .collect();
            kernel.record(kind, random(), &words);
        }
        if round % 4 == 0 {
            kernel.put(&[random(), random(), random()]);
        }
        tracer.drain(1_000_000);
        match tracer.guest {
            None => broken += 1,
            Some(_) => whole += 1,
        }
        tracer.with_sinks(|sink| sink.finish(1_000_000));
        for line in text.text().lines() {
            assert!(line.is_ascii() && !line.contains('\x1b'), "{line:?}");
        }
        serde_json::from_str::<serde_json::Value>(&json.text()).expect("JSON");
    }
    assert!(broken > 100 && whole > 10, "{broken} {whole}");
}
