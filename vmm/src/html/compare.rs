//! The page of a comparison.

use maud::{Markup, html};

use super::pieces::{
    Column, Figure, Part, bar_cell, cell_if, legend, micro, parts, search, section, table,
};
use super::{Page, Script, data, in_data, words::in_words};
use crate::compare::{Cause, MachineSummary, Spread, Summary};
use crate::printable::printable;
use crate::report::table::{duration, ratio};
use crate::report::text;

/// The page of a comparison.
pub fn compare(summary: &Summary) -> String {
    let words = std::iter::once(&summary.program).chain(&summary.args);
    let title = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    let json = summary.to_json();
    let body = html! {
        (machines(summary))
        (per_instruction(summary))
        (times(summary))
        (exits(summary))
        (guest(summary))
        (runs(summary))
    };
    let page = Page {
        kind: "compare",
        title: &title,
        lead: lead(summary),
        body,
        data: data(&json),
        place: in_data(),
        script: Script::TABLES,
    };
    page.render()
}

fn lead(summary: &Summary) -> Markup {
    let verdict = &summary.verdict;
    let how = match summary.runs {
        1 => "one run on each machine".to_owned(),
        runs => format!("medians of {runs} runs on each machine, with their ranges"),
    };
    html! {
        p.lead {
            strong.outcome.bad[!verdict.agrees()] { (printable(&summary.verdict_text())) }
            span { (how) @if summary.cpus > 1 { ", " (summary.cpus) " CPUs" } }
        }
        @if !verdict.differences.is_empty() {
            ul.warnings { @for difference in &verdict.differences { li { (printable(difference)) } } }
        }
    }
}

/// A spread's median, with its range below where there is one.
fn spread_cell(spread: &Spread, place: &str, figure: fn(u64) -> Figure) -> Markup {
    let median = figure(spread.median).at(format!("{place}/median"));
    html! {
        td.n data-v=(spread.median) {
            (median.text())
            @if spread.constant().is_none() {
                small.range {
                    (figure(spread.min).at(format!("{place}/min")).text()) "\u{2013}"
                    (figure(spread.max).at(format!("{place}/max")).text())
                }
            }
        }
    }
}

fn known_cell(spread: Option<&Spread>, place: &str, figure: fn(u64) -> Figure) -> Markup {
    match spread {
        Some(spread) => spread_cell(spread, place, figure),
        None => cell_if(None),
    }
}

fn machines(summary: &Summary) -> Markup {
    let columns = [
        Column::Text("machine"),
        Column::Text("what it is"),
        Column::Text("outcome"),
        Column::number("VM exits"),
        Column::number("wall time"),
        Column::number("bytes printed"),
    ];
    let rows = html! {
        @for (number, machine) in summary.machines.iter().enumerate() {
            @let place = format!("/machines/{number}");
            tr {
                th scope="row" { (machine.machine.name()) }
                td.wrap { (text::machine(machine.accel, machine.host_kind, machine.apic)) }
                td.wrap { (printable(&machine.outcome.to_string())) }
                (spread_cell(&machine.exits_total, &format!("{place}/exits_total"), Figure::count))
                (spread_cell(&machine.wall_ns, &format!("{place}/wall_ns"), Figure::ns))
                (Figure::count(machine.output_bytes).at(format!("{place}/output_bytes")).cell())
            }
        }
        @for missing in &summary.missing {
            tr {
                th scope="row" { (missing.machine.name()) }
                td.wrap colspan="5" { "not on this host: " (printable(&missing.reason)) }
            }
        }
    };
    section(
        "machines",
        "Machines",
        table("Machines", &columns, rows, None),
    )
}

/// The figure to drive to 1.
fn per_instruction(summary: &Summary) -> Markup {
    let longest = |figure: fn(&MachineSummary) -> Option<f64>| {
        let known = summary.machines.iter().filter_map(figure);
        known.fold(0.0, f64::max)
    };
    let (most, slowest) = (
        longest(|machine| machine.host_per_guest),
        longest(|machine| machine.slowdown),
    );
    let columns = [
        Column::Text("machine"),
        Column::number("host instructions per guest instruction"),
        Column::Bar,
        Column::number("time against the fastest"),
        Column::Bar,
        Column::number("host instructions"),
        Column::number("guest, ring 0"),
        Column::number("guest, ring 3"),
    ];
    let rows = html! {
        @for (number, machine) in summary.machines.iter().enumerate() {
            @let place = |field: &str| format!("/machines/{number}/{field}");
            tr {
                th scope="row" { (machine.machine.name()) }
                (cell_if(machine.host_per_guest.map(|figure| {
                    Figure::number(figure, ratio(figure)).at(place("host_per_guest"))
                })))
                (bar_cell(machine.host_per_guest.unwrap_or(0.0), most))
                (cell_if(machine.slowdown.map(|figure| {
                    Figure::number(figure, format!("{}\u{d7}", ratio(figure))).at(place("slowdown"))
                })))
                (bar_cell(machine.slowdown.unwrap_or(0.0), slowest))
                (known_cell(machine.host_instructions.as_ref(), &place("host_instructions"), Figure::count))
                (known_cell(machine.ring0_instructions.as_ref(), &place("ring0_instructions"), Figure::count))
                (known_cell(machine.ring3_instructions.as_ref(), &place("ring3_instructions"), Figure::count))
            }
        }
    };
    let mut reasons: Vec<_> = summary
        .machines
        .iter()
        .filter_map(|machine| machine.host_instructions_error.as_deref())
        .collect();
    reasons.dedup();
    section(
        "instructions",
        "Instructions executed per instruction emulated",
        html! {
            p.why {
                "What the host executes for each instruction of the guest: the figure to drive to 1. "
                "The time against the fastest machine is that in guest and VMM."
            }
            (table("Instructions executed per instruction emulated", &columns, rows, None))
            @for reason in reasons { p.why { "Host instructions are not counted: " (printable(reason)) "." } }
        },
    )
}

/// What a figure of time is called, its field in the data, and where a machine has it.
type Time = (
    &'static str,
    &'static str,
    fn(&MachineSummary) -> Option<&Spread>,
);

const TIMES: [Time; 6] = [
    ("wall", "wall_ns", |machine| Some(&machine.wall_ns)),
    ("in the guest", "guest_ns", |machine| {
        Some(&machine.guest_ns)
    }),
    ("in the VMM", "vmm_ns", |machine| Some(&machine.vmm_ns)),
    ("idle", "idle_ns", |machine| Some(&machine.idle_ns)),
    ("setting up", "setup_ns", |machine| Some(&machine.setup_ns)),
    ("ring 3 after", "boot_ns", |machine| {
        machine.boot_ns.as_ref()
    }),
];

fn times(summary: &Summary) -> Markup {
    let longest = summary
        .machines
        .iter()
        .map(|machine| machine.wall_ns.max)
        .max();
    let longest = longest.unwrap_or(1);
    let mut columns = vec![Column::Text("time")];
    columns.extend(
        summary
            .machines
            .iter()
            .map(|machine| Column::number(machine.machine.name())),
    );
    let rows = html! {
        @for (name, field, figure) in TIMES {
            tr {
                th scope="row" { (name) }
                @for (number, machine) in summary.machines.iter().enumerate() {
                    (known_cell(figure(machine), &format!("/machines/{number}/{field}"), Figure::ns))
                }
            }
        }
    };
    section(
        "time",
        "Where the time went",
        html! {
            @for (number, machine) in summary.machines.iter().enumerate() {
                @let all = machine_parts(machine, number);
                div.machine {
                    h3 { (machine.machine.name()) }
                    (parts(&all, longest))
                    (range(machine, longest))
                }
            }
            @if let Some(machine) = summary.machines.first() { (legend(&machine_parts(machine, 0), 0)) }
            p.why { "Bars are medians, to one scale. Below each, a point for the wall time of every run, and their range." }
            (table("Medians and ranges", &columns, rows, None))
        },
    )
}

fn machine_parts(machine: &MachineSummary, number: usize) -> [Part; 4] {
    let all = [
        ("guest", "guest", machine.guest_ns.median, "guest_ns"),
        ("vmm", "VMM", machine.vmm_ns.median, "vmm_ns"),
        ("idle", "idle", machine.idle_ns.median, "idle_ns"),
        ("setup", "set-up", machine.setup_ns.median, "setup_ns"),
    ];
    all.map(|(class, name, ns, field)| Part {
        class,
        name,
        ns,
        place: format!("/machines/{number}/{field}/median"),
    })
}

/// The wall times of all runs of a machine, on the scale of the bars.
fn range(machine: &MachineSummary, longest: u64) -> Markup {
    let at = |ns: u64| ns as f64 / longest.max(1) as f64 * 100.0;
    let Spread { min, max, .. } = machine.wall_ns;
    let style = format!("left:{:.3}%;width:{:.3}%", at(min), at(max) - at(min));
    let words = format!(
        "wall time {} to {}",
        duration(min as f64),
        duration(max as f64)
    );
    html! {
        div.spread role="img" aria-label=(micro(&words)) title=(micro(&words)) {
            b style=(style) {}
            @for report in &machine.reports { i style={ "left:" (format!("{:.3}", at(report.wall_ns))) "%" } {} }
        }
    }
}

fn cause_cell(cause: Option<Cause>) -> Markup {
    html! {
        td.why.cause {
            @if let Some(cause) = cause { b.mark { (cause.mark()) } " " (cause.explanation()) }
        }
    }
}

fn exits(summary: &Summary) -> Markup {
    let mut columns = vec![
        Column::Text("reason"),
        Column::Text("detail"),
        Column::Text("device"),
    ];
    columns.extend(
        summary
            .machines
            .iter()
            .map(|machine| Column::number(machine.machine.name())),
    );
    columns.push(Column::Text("why they differ"));
    let rows = html! {
        @for (number, row) in summary.exits.iter().enumerate() {
            tr.differs[row.cause.is_some()] {
                th scope="row" { (row.reason.name()) }
                td { (row.detail) }
                td { (text::device(row.detail)) }
                @for (machine, counts) in row.counts.iter().enumerate() {
                    (spread_cell(counts, &format!("/exits/{number}/counts/{machine}"), Figure::count))
                }
                (cause_cell(row.cause))
            }
        }
    };
    let total = html! {
        tr {
            th scope="row" { "total" } td {} td {}
            @for (number, machine) in summary.machines.iter().enumerate() {
                (spread_cell(&machine.exits_total, &format!("/machines/{number}/exits_total"), Figure::count))
            }
            td {}
        }
    };
    section(
        "exits",
        "VM exits",
        html! {
            (search("exit-rows", Some("that differ")))
            div #exit-rows { (table("VM exits", &columns, rows, Some(total))) }
        },
    )
}

fn guest(summary: &Summary) -> Markup {
    let mut columns = vec![Column::Text("name")];
    columns.extend(
        summary
            .machines
            .iter()
            .map(|machine| Column::number(machine.machine.name())),
    );
    columns.push(Column::Text("why they differ"));
    let rows = html! {
        @for (number, row) in summary.guest.iter().enumerate() {
            tr {
                th scope="row" { (in_words(row.name)) }
                @for (machine, counts) in row.counts.iter().enumerate() {
                    (known_cell(counts.as_ref(), &format!("/guest/{number}/counts/{machine}"), Figure::count))
                }
                (cause_cell(row.cause))
            }
        }
    };
    let heading = "Counted by the guest's kernel";
    section("guest", heading, table(heading, &columns, rows, None))
}

fn runs(summary: &Summary) -> Markup {
    let columns = [
        Column::Text("machine"),
        Column::number("run"),
        Column::Text("outcome"),
        Column::number("VM exits"),
        Column::number("wall time"),
        Column::number("guest"),
        Column::number("VMM"),
        Column::number("idle"),
        Column::number("set-up"),
    ];
    let rows = html! {
        @for (number, machine) in summary.machines.iter().enumerate() {
            @for (run, report) in machine.reports.iter().enumerate() {
                @let place = |field: &str| format!("/machines/{number}/reports/{run}/{field}");
                tr {
                    th scope="row" { (machine.machine.name()) }
                    (Figure::count(run as u64 + 1).cell())
                    td.wrap { (printable(&report.outcome.to_string())) }
                    (Figure::count(report.exits.total()).at(place("exits_total")).cell())
                    (Figure::ns(report.wall_ns).at(place("wall_ns")).cell())
                    (Figure::ns(report.time.guest_ns).at(place("time/guest_ns")).cell())
                    (Figure::ns(report.time.vmm_ns).at(place("time/vmm_ns")).cell())
                    (Figure::ns(report.time.idle_ns).at(place("time/idle_ns")).cell())
                    (Figure::ns(report.time.setup_ns).at(place("time/setup_ns")).cell())
                }
            }
        }
    };
    section(
        "runs",
        "Every run",
        table("Every run", &columns, rows, None),
    )
}
