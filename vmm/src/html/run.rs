//! The page of one run.

use maud::{Markup, html};
use serde_json::Value;

use super::pieces::{
    Column, Figure, Part, bar_cell, cell_if, figures, legend, micro, parts, search, section, table,
};
use super::{Page, Script, data, in_data, words::in_words};
use crate::explain;
use crate::report::table::duration;
use crate::report::{Report, State, text};

/// The page of a run of `what`: a program and its arguments.
pub fn run(report: &Report, what: &str) -> String {
    let json = report.to_json();
    let value: Value = serde_json::from_str(&json).unwrap_or_default();
    let body = html! {
        (key_figures(report))
        @if let Some(state) = &report.state { (state_section(report, state)) }
        (times(report))
        (exits(report))
        (cpus(report))
        @for (id, heading) in PARTS {
            (figures(id, heading, &format!("/{id}"), &value[id]))
        }
        (figures("sandbox", "Sandbox", "/sandbox", &value["sandbox"]))
    };
    let page = Page {
        kind: "run",
        title: what,
        lead: lead(report),
        body,
        data: data(&json),
        place: in_data(),
        script: Script::TABLES,
    };
    page.render()
}

/// Fields of a report that are counters, with their headings.
const PARTS: [(&str, &str); 6] = [
    ("guest", "Counted by the guest's kernel"),
    ("emu", "Counted by the emulator"),
    ("kvm", "KVM's own counters"),
    ("remedies", "Remedies for a software-backed KVM"),
    ("host_instructions", "Instructions of the host"),
    (
        "unsupported_syscalls",
        "System calls that the guest's kernel does not have",
    ),
];

/// What ended the run, and on what.
fn lead(report: &Report) -> Markup {
    let machine = text::machine(report.accel, report.host_kind, report.apic);
    html! {
        p.lead {
            strong.outcome.bad[!report.outcome.is_orderly()] {
                (crate::printable::printable(&report.outcome.to_string()))
            }
            span { (machine) ": " (report.host_kind.explanation()) }
        }
        @if !report.warnings.is_empty() {
            ul.warnings { @for warning in &report.warnings { li { (warning) } } }
        }
    }
}

fn key_figures(report: &Report) -> Markup {
    let boot = report
        .boot_ns
        .map(|ns| Figure::ns(ns).at("/boot_ns").text());
    let (ring0, ring3) = report.ring_instructions();
    let instructions = ring0
        .zip(ring3)
        .map(|(ring0, ring3)| ring0.saturating_add(ring3));
    html! {
        dl.key {
            div { dt { "wall time" } dd { (Figure::ns(report.wall_ns).at("/wall_ns").text()) } }
            div {
                dt { "first instruction in ring 3 after" }
                dd { @match boot { Some(boot) => (boot), None => span.none { "not known" } } }
            }
            div { dt { "VM exits" } dd { (Figure::count(report.exits.total()).at("/exits_total").text()) } }
            @if let Some(count) = instructions {
                div { dt { "guest instructions" } dd { (Figure::count(count).text()) } }
            }
            @if let Some(calls) = report.guest.syscalls {
                div { dt { "system calls" } dd { (Figure::count(calls).at("/guest/syscalls").text()) } }
            }
            div { dt { "CPUs" } dd { (Figure::count(report.cpus.into()).at("/cpus").text()) } }
        }
    }
}

/// The CPU as a bad end has left it.
fn state_section(report: &Report, state: &State) -> Markup {
    let cpu = match report.cpus {
        1 => "The CPU".to_owned(),
        _ => format!("CPU {}", state.cpu),
    };
    let rip = state.registers.iter().find(|(name, _)| *name == "rip");
    let rip = rip.map(|(_, rip)| format!("{rip:#x}"));
    section(
        "state",
        &format!("{cpu} at its end"),
        html! {
            p {
                "In ring " (Figure::count(state.ring.into()).at("/state/ring").text())
                @if let Some(symbol) = &state.symbol {
                    ", in " code { (symbol.name) "+" (format!("{:#x}", symbol.offset)) } " of " (symbol.image)
                }
                "."
            }
            @match &state.instruction {
                Some(instruction) => {
                    p { "At " code { span.bytes { (instruction.bytes) } "  " (instruction.text) } ":" }
                    pre.code {
                        @for line in &state.code {
                            @if Some(&line.address) == rip.as_ref() {
                                mark { (line.address) "  " (line.text) } "\n"
                            } @else {
                                (line.address) "  " (line.text) "\n"
                            }
                        }
                    }
                }
                None => p { "The instruction is at an address that cannot be read." },
            }
            dl.registers {
                @for (name, value) in state.registers.iter() {
                    div { dt { (name) } dd { (format!("{value:#x}")) } }
                }
            }
        },
    )
}

fn times(report: &Report) -> Markup {
    let time = &report.time;
    let all = [
        ("guest", "guest", time.guest_ns, "guest_ns"),
        ("vmm", "VMM", time.vmm_ns, "vmm_ns"),
        ("idle", "idle", time.idle_ns, "idle_ns"),
        ("setup", "set-up", time.setup_ns, "setup_ns"),
    ];
    let all = all.map(|(class, name, ns, field)| Part {
        class,
        name,
        ns,
        place: format!("/time/{field}"),
    });
    section(
        "time",
        "Where the time went",
        html! {
            (parts(&all, report.wall_ns))
            (legend(&all, report.wall_ns))
            p.why {
                "Guest is all time in the accelerator, and what KVM does there for the guest; VMM is what exits "
                "took to serve; idle is when the CPU was halted, or not started yet; set-up is the machine being "
                "made and ended."
                @if let Some(boot) = report.boot_ns {
                    " The guest's kernel had its first program in ring 3 "
                    (micro(&duration(boot as f64))) " after the process of the VMM had started."
                }
                @if report.cpus > 1 { " Of several CPUs it is the mean." }
            }
        },
    )
}

/// Rows of one kind together: what they have in common, how many exits, and how long.
type Sum = (String, u64, u64);

fn sums(report: &Report, key: impl Fn(&crate::report::ExitRow) -> String) -> Vec<Sum> {
    let mut sums: Vec<Sum> = Vec::new();
    for row in report.exits.rows() {
        let key = key(row);
        match sums.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, count, ns)) => {
                *count += row.count;
                *ns = ns.saturating_add(row.ns);
            }
            None => sums.push((key, row.count, row.ns)),
        }
    }
    sums.sort_by_key(|&(_, count, _)| std::cmp::Reverse(count));
    sums
}

fn exits(report: &Report) -> Markup {
    if report.exits.total() == 0 {
        return section("exits", "VM exits", html! { p { "None." } });
    }
    let by_reason = sums(report, |row| row.reason.name().to_owned());
    let by_device = sums(report, |row| match text::device(row.detail) {
        "" => "none".to_owned(),
        device => device.to_owned(),
    });
    section(
        "exits",
        "VM exits",
        html! {
            div.pair {
                (sum_table("By reason", "reason", &by_reason))
                (sum_table("By device", "device", &by_device))
            }
            (exit_table(report))
            p.why {
                "Counts are exact. Times are from the vCPU's return to its next entry; of each reason the first "
                "1,024 exits are timed, then one in 16 by chance, which stands for 16."
            }
        },
    )
}

fn sum_table(caption: &str, name: &'static str, sums: &[Sum]) -> Markup {
    let most = sums.iter().map(|&(_, count, _)| count).max().unwrap_or(0) as f64;
    let longest = sums.iter().map(|&(.., ns)| ns).max().unwrap_or(0) as f64;
    let columns = [
        Column::Text(name),
        Column::number("exits"),
        Column::Bar,
        Column::number("time"),
        Column::Bar,
    ];
    let rows = html! {
        @for (name, count, ns) in sums {
            tr {
                th scope="row" { (name) }
                (Figure::count(*count).cell()) (bar_cell(*count as f64, most))
                (Figure::ns(*ns).cell()) (bar_cell(*ns as f64, longest))
            }
        }
    };
    table(caption, &columns, rows, None)
}

fn exit_table(report: &Report) -> Markup {
    let rows = report.exits.rows();
    let several: Vec<_> = report.vcpus.iter().collect();
    let mut columns = vec![
        Column::Text("reason"),
        Column::Text("detail"),
        Column::Text("device"),
        Column::number("exits"),
        Column::number("time"),
        Column::number("mean"),
    ];
    columns.extend((0..several.len()).map(|cpu| Column::Number(format!("CPU {cpu}"))));
    let body = html! {
        @for (number, row) in rows.iter().enumerate() {
            tr {
                th scope="row" title=(explain::exit(row.reason)) { (row.reason.name()) }
                td { (row.detail) }
                td { (text::device(row.detail)) }
                (Figure::count(row.count).at(format!("/exits/{number}/count")).cell())
                (Figure::ns(row.ns).at(format!("/exits/{number}/ns")).cell())
                (Figure::mean_ns((row.ns as f64 / row.count as f64).round()).cell())
                @for vcpu in &several {
                    (Figure::count(vcpu.exits.count_of(row.reason, row.detail)).cell())
                }
            }
        }
    };
    let total = html! {
        tr {
            th scope="row" { "total" } td {} td {}
            (Figure::count(report.exits.total()).at("/exits_total").cell())
            (Figure::ns(report.exits.total_ns()).cell())
            (Figure::mean_ns((report.exits.total_ns() as f64 / report.exits.total() as f64).round()).cell())
            @for (cpu, vcpu) in several.iter().enumerate() {
                (Figure::count(vcpu.exits.total()).at(format!("/vcpus/{cpu}/exits_total")).cell())
            }
        }
    };
    html! {
        (search("exit-rows", None))
        div #exit-rows { (table("By reason and place", &columns, body, Some(total))) }
    }
}

fn cpus(report: &Report) -> Markup {
    if report.vcpus.is_empty() {
        return html! {};
    }
    let most = report
        .vcpus
        .iter()
        .map(|vcpu| vcpu.exits.total())
        .max()
        .unwrap_or(0) as f64;
    let counted = [
        "wake_ipis",
        "flush_ipis",
        "shootdowns",
        "lock_wait_ns",
        "idle_ns",
    ];
    let are_counted = report.vcpus.iter().any(|vcpu| vcpu.guest.is_some());
    let counted = if are_counted { &counted[..] } else { &[] };
    let mut columns = vec![Column::Text("CPU"), Column::number("exits"), Column::Bar];
    columns.extend(counted.iter().map(|name| Column::Number(in_words(name))));
    let rows = html! {
        @for (number, vcpu) in report.vcpus.iter().enumerate() {
            @let guest = serde_json::to_value(vcpu.guest).unwrap_or_default();
            tr {
                th scope="row" { (number) }
                (Figure::count(vcpu.exits.total()).at(format!("/vcpus/{number}/exits_total")).cell())
                (bar_cell(vcpu.exits.total() as f64, most))
                @for name in counted {
                    (cell_if(guest[*name].as_u64().map(|value| {
                        let figure = match name.ends_with("_ns") {
                            true => Figure::ns(value),
                            false => Figure::count(value),
                        };
                        figure.at(format!("/vcpus/{number}/guest/{name}"))
                    })))
                }
            }
        }
    };
    section(
        "cpus",
        "CPUs side by side",
        html! {
            (table("Each CPU", &columns, rows, None))
            @if are_counted {
                dl.terms {
                    @for name in counted {
                        div { dt { (in_words(name)) } dd { (explain::counter(name)) } }
                    }
                }
            }
        },
    )
}
