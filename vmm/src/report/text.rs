//! The report for people: aligned tables, then a bar chart of exits by reason.
//!
//! Plain ASCII without colours or cursor movement, for it may end in a file. Counters that
//! are zero are left out where there are many of them (KVM's, the remedies'), and a
//! section that would be empty is not shown.

use std::fmt;

use super::table::{self, duration};
use super::{Counters, EmuCounters, ExitDetail, ExitTable, GuestCpu, Report, VcpuReport};
use crate::cpu::{Accel, HostKind};
use crate::devices::{ApicMode, bus};
use crate::exit::ExitReason;

/// Characters in the longest bar of the chart.
const BAR_LEN: u64 = 40;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_head(f, self)?;
        match &self.state {
            Some(state) if self.cpus > 1 => write!(f, "\n{state:#}")?,
            Some(state) => write!(f, "\n{state}")?,
            None => {}
        }
        write_exits(f, self)?;
        let counters = |counters: &Option<Counters>| -> Vec<(String, u64)> {
            let counters = counters.iter().flat_map(Counters::iter);
            let counters = counters.filter(|&(_, value)| value != 0);
            counters
                .map(|(name, value)| (name.to_owned(), value))
                .collect()
        };
        write_counters(f, "KVM's own counters", &counters(&self.kvm))?;
        write_counters(
            f,
            "Remedies for software-backed KVM",
            &counters(&self.remedies),
        )?;
        write_emulator(f, self.emu.as_ref())?;
        write_counters(f, "Guest", &self.guest_counters())?;
        write_vcpus(f, &self.vcpus)?;
        write_unsupported(f, &self.unsupported_syscalls)?;
        write_chart(f, &self.exits)
    }
}

impl Report {
    fn guest_counters(&self) -> Vec<(String, u64)> {
        named([
            ("system calls", self.guest.syscalls),
            ("context switches", self.guest.context_switches),
            ("timer ticks", self.guest.timer_ticks),
            ("page faults", self.guest.page_faults),
            ("forks", self.guest.forks),
            ("frames", self.guest.frames),
            ("boot instructions", self.guest.boot_instructions),
        ])
    }
}

fn write_emulator(f: &mut fmt::Formatter<'_>, emu: Option<&EmuCounters>) -> fmt::Result {
    let Some(emu) = emu else {
        return Ok(());
    };
    let retired = named([
        ("ring 0", Some(emu.ring0)),
        ("ring 3", Some(emu.ring3)),
        ("total", Some(emu.instructions)),
    ]);
    write_counters(f, "Instructions emulated", &retired)?;
    let counts = &emu.counts;
    let mut lines = vec![
        ["TLB misses".to_owned(), counts.tlb_misses.to_string()],
        [
            "jump table misses".to_owned(),
            counts.jump_misses.to_string(),
        ],
    ];
    if counts.translating_ns > 0 {
        lines.extend(
            [
                ("blocks translated", counts.translated_blocks.to_string()),
                ("bytes of host code", counts.translated_bytes.to_string()),
                ("time translating", duration(counts.translating_ns as f64)),
                ("left to interpreter", counts.translation_exits.to_string()),
            ]
            .map(|(name, value)| [name.to_owned(), value]),
        );
    }
    writeln!(f, "\nEmulator")?;
    table::write(f, &lines, 1)
}

/// What the guest's programs asked for in vain, the most frequent first.
fn write_unsupported(f: &mut fmt::Formatter<'_>, calls: &Counters) -> fmt::Result {
    /// Names in the line; the rest is in the sum.
    const MOST: usize = 8;
    let mut calls: Vec<_> = calls.iter().collect();
    if calls.is_empty() {
        return Ok(());
    }
    calls.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let total = calls
        .iter()
        .fold(0, |sum: u64, &(_, count)| sum.saturating_add(count));
    let named = calls.iter().take(MOST);
    let named: Vec<_> = named
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let more = if calls.len() > MOST { ", ..." } else { "" };
    writeln!(
        f,
        "\nunsupported system calls: {total} ({}{more})",
        named.join(", ")
    )
}

fn named<const N: usize>(counters: [(&str, Option<u64>); N]) -> Vec<(String, u64)> {
    let known = counters.into_iter();
    known
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn write_head(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    writeln!(f, "Outcome  {}", report.outcome)?;
    let machine = machine(report.accel, report.host_kind, report.apic);
    match report.cpus {
        1 => writeln!(f, "Machine  {machine}")?,
        cpus => writeln!(f, "Machine  {machine}, {cpus} CPUs")?,
    }
    write!(f, "Time     {}", duration(report.wall_ns as f64))?;
    match report.boot_ns {
        Some(ns) => writeln!(f, ", ring 3 after {}", duration(ns as f64)),
        None if is_boot_unknown(report) => writeln!(f),
        None => writeln!(f, ", ring 3 not reached"),
    }?;
    let part = |ns: u64| duration(ns as f64);
    writeln!(
        f,
        "         guest {}, VMM {}, idle {}, set-up {}",
        part(report.time.guest_ns),
        part(report.time.vmm_ns),
        part(report.time.idle_ns),
        part(report.time.setup_ns)
    )
}

/// Whether ring 3 may have been reached: only a kernel that shares its counters says when.
fn is_boot_unknown(report: &Report) -> bool {
    let shares = report.guest.syscalls.is_some();
    !shares && report.emu.is_none_or(|emu| emu.ring3 != 0)
}

/// What ran a guest, in words.
pub fn machine(accel: Accel, host_kind: HostKind, apic: ApicMode) -> String {
    let accel = match (accel, host_kind) {
        (Accel::Emu, _) => "built-in emulator",
        (Accel::Kvm, HostKind::Software) => "KVM without hardware assistance",
        (Accel::Kvm, _) => "KVM",
    };
    let apic = match apic {
        ApicMode::Kernel => "KVM",
        ApicMode::User => "the VMM",
    };
    format!("{accel}, local APIC in {apic}")
}

/// vCPUs that have a column each, at most; more are in the totals alone.
const MOST_COLUMNS: usize = 8;

fn write_exits(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let exits = &report.exits;
    if exits.total() == 0 {
        return writeln!(f, "\nNo VM exits");
    }
    let apart: &[VcpuReport] = match report.vcpus.len() {
        2..=MOST_COLUMNS => &report.vcpus,
        _ => &[],
    };
    let head = ["reason", "detail", "device", "count", "time", "mean"].map(String::from);
    let vcpus = (0..apart.len()).map(|number| format!("CPU {number}"));
    let mut lines: Vec<Vec<String>> = vec![head.into_iter().chain(vcpus).collect()];
    lines.extend(exits.rows().iter().map(|row| {
        let line = exit_line(
            row.reason.name(),
            row.detail.to_string(),
            device(row.detail),
            row.count,
            row.ns,
        );
        let counts = apart.iter();
        let counts = counts.map(|vcpu| vcpu.exits.count_of(row.reason, row.detail).to_string());
        line.into_iter().chain(counts).collect()
    }));
    let line = exit_line("total", String::new(), "", exits.total(), exits.total_ns());
    let totals = apart.iter().map(|vcpu| vcpu.exits.total().to_string());
    lines.push(line.into_iter().chain(totals).collect());
    writeln!(f, "\nVM exits")?;
    table::write(f, &lines, 3)
}

/// A line for each of several vCPUs: its exits, and what the guest has counted of it.
fn write_vcpus(f: &mut fmt::Formatter<'_>, vcpus: &[VcpuReport]) -> fmt::Result {
    let are_counted = vcpus.iter().any(|vcpu| vcpu.guest.is_some());
    if vcpus.len() <= MOST_COLUMNS && !are_counted {
        // The table of exits has a column for each.
        return Ok(());
    }
    let counted = ["wake IPIs", "flush IPIs", "shootdowns", "lock wait", "idle"];
    let head = ["CPU", "exits"].into_iter();
    let head = head.chain(counted.into_iter().filter(|_| are_counted));
    let mut lines: Vec<Vec<String>> = vec![head.map(String::from).collect()];
    for (number, vcpu) in vcpus.iter().enumerate() {
        let mut line = vec![number.to_string(), vcpu.exits.total().to_string()];
        if let Some(guest) = vcpu.guest {
            line.extend(guest_cells(guest));
        }
        lines.push(line);
    }
    writeln!(f, "\nEach CPU")?;
    table::write(f, &lines, 1)
}

fn guest_cells(guest: GuestCpu) -> [String; 5] {
    [
        guest.wake_ipis.to_string(),
        guest.flush_ipis.to_string(),
        guest.shootdowns.to_string(),
        duration(guest.lock_wait_ns as f64),
        duration(guest.idle_ns as f64),
    ]
}

fn exit_line(reason: &str, detail: String, device: &str, count: u64, ns: u64) -> [String; 6] {
    [
        reason.to_owned(),
        detail,
        device.to_owned(),
        count.to_string(),
        duration(ns as f64),
        duration(ns as f64 / count as f64),
    ]
}

/// The name of the device that an exit reached.
pub fn device(detail: ExitDetail) -> &'static str {
    let name = match detail {
        ExitDetail::None | ExitDetail::Number(_) | ExitDetail::Other => return "",
        ExitDetail::Port(port) => u16::try_from(port).ok().and_then(bus::port_name),
        ExitDetail::Gpa(gpa) => bus::mmio_name(gpa),
        ExitDetail::Msr(index) => u32::try_from(index).ok().and_then(bus::msr_name),
    };
    name.unwrap_or("unclaimed")
}

fn write_counters(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    counters: &[(String, u64)],
) -> fmt::Result {
    if counters.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = counters
        .iter()
        .map(|(name, value)| [name.clone(), value.to_string()])
        .collect();
    writeln!(f, "\n{title}")?;
    table::write(f, &lines, 1)
}

/// Bars as long as a reason's share of the commonest one; any exit at all shows.
fn write_chart(f: &mut fmt::Formatter<'_>, exits: &ExitTable) -> fmt::Result {
    let counts: Vec<_> = ExitReason::ALL
        .iter()
        .map(|&reason| (reason, exits.count(reason)))
        .filter(|&(_, count)| count != 0)
        .collect();
    let Some(most) = counts.iter().map(|&(_, count)| count).max() else {
        return Ok(());
    };
    let name_len = counts.iter().map(|(reason, _)| reason.name().len()).max();
    let (name_len, count_len) = (name_len.unwrap_or(0), most.to_string().len());
    writeln!(f, "\nVM exits by reason")?;
    for (reason, count) in counts {
        let share = u128::from(count) * u128::from(BAR_LEN) / u128::from(most);
        let bar = "#".repeat(share.max(1) as usize);
        let reason = reason.name();
        writeln!(f, "  {reason:name_len$}  {count:>count_len$}  {bar}")?;
    }
    Ok(())
}
