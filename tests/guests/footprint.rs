//! What the VMM itself takes of the host's memory while a guest runs.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Case;
use crate::support::{Target, binary};

pub const CASES: &[Case] = &[("footprint", footprint)];

const KIB_PER_MIB: u64 = 1024;
/// The VMM's own memory, in KiB.
const LIMIT: u64 = 10 * KIB_PER_MIB;
/// Guest memory in MiB: more than any other mapping of the VMM has.
const GUEST_MIB: u64 = 96;
const POLL: Duration = Duration::from_millis(200);
const POLLS: u32 = 150;

/// Ends the run whatever the test finds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn footprint(target: Target) {
    let child = Command::new(binary())
        .arg("run")
        .args(target.options())
        .args(["--memory", &format!("{GUEST_MIB}M"), "spin", "3600000"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary under test starts");
    let running = Running(child);
    let (own, guest) = settled(running.0.id());
    eprintln!("{target}: VMM {own} KiB, touched guest memory {guest} KiB");
    assert!(own < LIMIT, "the VMM takes {own} KiB");
}

/// Resident KiB of the VMM and of its guest once the guest touches nothing new.
fn settled(pid: u32) -> (u64, u64) {
    let mut last = 0;
    for _ in 0..POLLS {
        thread::sleep(POLL);
        let (own, guest) = resident(pid);
        if guest > 0 && guest == last {
            return (own, guest);
        }
        last = guest;
    }
    panic!("the guest went on touching memory");
}

/// Resident KiB of the process without its guest's memory, and of that: the mapping as
/// large as the guest's memory.
fn resident(pid: u32) -> (u64, u64) {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a running process");
    let field = |line: &str, name: &str| -> Option<u64> {
        let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
        value.parse().ok()
    };
    let (mut size, mut own, mut guest) = (0, 0, 0);
    for line in maps.lines() {
        if let Some(value) = field(line, "Size:") {
            size = value;
        } else if let Some(value) = field(line, "Rss:") {
            if size >= GUEST_MIB * KIB_PER_MIB {
                guest += value;
            } else {
                own += value;
            }
        }
    }
    (own, guest)
}
