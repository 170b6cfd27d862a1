//! The page of measures: of one run of `vmm bench`, or of several of several hosts or days.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::pieces::{Column, Figure, cell_if, items, search, section, table};
use super::scale::Scale;
use super::{Page, Script, data, in_data};
use crate::bench::Earlier;
use crate::printable::printable;
use crate::report::SCHEMA;
use crate::report::table::ratio;

/// The page of `reports`, in the order of time: others are held against the first.
pub fn bench(reports: &[Earlier]) -> String {
    let sets: Vec<_> = reports.iter().enumerate().map(Set::new).collect();
    let json = json!({
        "schema": SCHEMA,
        "files": reports.iter().map(|each| json!({ "name": each.name, "report": each.json })).collect::<Vec<_>>(),
    });
    let rows = rows(&sets);
    let title = match &sets[..] {
        [only] => text(&only.report["host"]["cpu"]),
        _ => format!("{} reports", sets.len()),
    };
    let page = Page {
        kind: "bench",
        title: &title,
        lead: html! {
            p.lead { span { "Medians, and a point for each sample. Everything is of one operation." } }
            @for set in &sets {
                @if let Some(kind) = set.report["stopped"]["kind"].as_str() {
                    ul.warnings { li { (printable(&set.name)) " was stopped early: " (printable(kind)) } }
                }
            }
        },
        body: html! {
            (hosts(&sets))
            (distributions(&sets, &rows))
            @if sets.len() > 1 { (against_the_first(&sets, &rows)) }
            (counts(&sets, &rows))
            (absent(&sets))
        },
        data: data(&json.to_string()),
        place: in_data(),
        script: Script::TABLES,
    };
    page.render()
}

/// One report.
struct Set<'a> {
    number: usize,
    name: String,
    report: &'a Value,
}

impl<'a> Set<'a> {
    fn new((number, earlier): (usize, &'a Earlier)) -> Self {
        Self {
            number,
            name: earlier.name.clone(),
            report: &earlier.json,
        }
    }

    fn measures(&self) -> &'a [Value] {
        items(&self.report["measures"])
    }
}

/// A figure of a report.
struct Row<'a> {
    set: usize,
    measure: &'a str,
    about: &'a str,
    machine: &'a str,
    median: f64,
    min: f64,
    max: f64,
    figure: &'a Value,
    place: String,
}

impl Row<'_> {
    /// Each sample, where the report has them.
    fn samples(&self) -> impl Iterator<Item = f64> {
        let samples = items(&self.figure["samples_ns"]).iter();
        samples.filter_map(Value::as_f64)
    }

    fn time(&self) -> Figure {
        Figure::mean_ns(self.median).at(format!("{}/ns/median", self.place))
    }

    fn part(&self, field: &str, figure: fn(f64) -> Figure) -> Option<Figure> {
        let value = self.figure[field].as_f64()?;
        Some(figure(value).at(format!("{}/{field}", self.place)))
    }
}

/// All figures, those of one measure together, and of one machine within it.
fn rows<'a>(sets: &[Set<'a>]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for set in sets {
        for (number, measure) in set.measures().iter().enumerate() {
            for (nth, figure) in items(&measure["figures"]).iter().enumerate() {
                let ns = |part: &str| figure["ns"][part].as_f64().filter(|ns| *ns >= 0.0);
                let names = (measure["name"].as_str(), figure["machine"].as_str());
                let (Some(median), (Some(name), Some(machine))) = (ns("median"), names) else {
                    continue;
                };
                rows.push(Row {
                    set: set.number,
                    measure: name,
                    about: measure["about"].as_str().unwrap_or_default(),
                    machine,
                    median,
                    min: ns("min").unwrap_or(median),
                    max: ns("max").unwrap_or(median),
                    figure,
                    place: format!(
                        "/files/{}/report/measures/{number}/figures/{nth}",
                        set.number
                    ),
                });
            }
        }
    }
    let mut measures: Vec<&str> = Vec::new();
    let mut machines: Vec<&str> = Vec::new();
    for row in &rows {
        for (names, name) in [(&mut measures, row.measure), (&mut machines, row.machine)] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let place = |names: &[&str], name| names.iter().position(|known| *known == name);
    rows.sort_by_key(|row| {
        (
            place(&measures, row.measure),
            place(&machines, row.machine),
            row.set,
        )
    });
    rows
}

/// A value of a report for a person.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "\u{2013}".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

fn hosts(sets: &[Set<'_>]) -> Markup {
    let columns = [
        "report",
        "processor",
        "usable CPUs",
        "kernel",
        "KVM",
        "vmm",
        "samples",
    ];
    let rows = html! {
        @for set in sets {
            @let host = &set.report["host"];
            tr {
                th scope="row" { (printable(&set.name)) }
                td.wrap { (text(&host["cpu"])) }
                td.n { (text(&host["cpus"])) }
                td { (text(&host["kernel"])) }
                td { (text(&host["kvm"])) }
                td { (text(&set.report["version"])) }
                td.n { (text(&set.report["samples"])) }
            }
        }
    };
    section(
        "hosts",
        "Where this was measured",
        table(
            "Where this was measured",
            &columns.map(Column::Text),
            rows,
            None,
        ),
    )
}

fn label(sets: &[Set<'_>], row: &Row<'_>) -> Markup {
    html! {
        (printable(row.machine))
        @if sets.len() > 1 { small { (printable(&sets[row.set].name)) } }
    }
}

/// A chart for each measure: its samples on every machine, from every report.
fn distributions(sets: &[Set<'_>], rows: &[Row<'_>]) -> Markup {
    section(
        "time",
        "Time of an operation",
        html! {
            p.why {
                "Scales are logarithmic, one for each measure. A bar is a median, a line the range of all samples, "
                "a point a sample. A range above 10 % of the median is in bold: look for what else the host did."
            }
            div.charts {
                @for rows in rows.chunk_by(|a, b| a.measure == b.measure) { (chart(sets, rows)) }
            }
        },
    )
}

fn chart(sets: &[Set<'_>], rows: &[Row<'_>]) -> Markup {
    let scale = Scale::of(rows.iter().flat_map(|row| [row.min, row.max, row.median]));
    let left = |ns: f64| format!("left:{:.2}%", scale.place(ns));
    html! {
        figure.chart {
            figcaption { code { (printable(rows[0].measure)) } " " span { (printable(rows[0].about)) } }
            @for row in rows {
                @let spread = (row.max - row.min) / row.median.max(f64::MIN_POSITIVE) * 100.0;
                div class={ "row set" (row.set % 6) } {
                    span.label { (label(sets, row)) }
                    div.track {
                        @for (ns, _) in scale.ticks() { s style=(left(ns)) {} }
                        u style={ (left(row.min)) ";width:" (format!("{:.2}", scale.place(row.max) - scale.place(row.min))) "%" } {}
                        @for ns in row.samples() { i style=(left(ns)) {} }
                        b style=(left(row.median)) {}
                    }
                    span.n { (row.time().text()) }
                    span.n.soft.wide[spread > 10.0] title="range of the samples against the median" { (format!("{spread:.0} %")) }
                }
            }
            div.row.axis aria-hidden="true" {
                span {}
                div.track { @for (ns, name) in scale.ticks() { small style=(left(ns)) { (name) } } }
            }
        }
    }
}

/// A row of each measure and machine that several reports have.
fn against_the_first(sets: &[Set<'_>], rows: &[Row<'_>]) -> Markup {
    let mut columns = vec![Column::Text("measure"), Column::Text("machine")];
    for set in sets {
        columns.push(Column::Number(printable(&set.name)));
    }
    for set in &sets[1..] {
        columns.push(Column::Number(format!(
            "{} against the first",
            printable(&set.name)
        )));
    }
    columns.push(Column::Text("beyond all samples"));
    let body = html! {
        @for rows in rows.chunk_by(|a, b| (a.measure, a.machine) == (b.measure, b.machine)) {
            @let first = rows.iter().find(|row| row.set == 0);
            @let word = verdict(rows);
            tr.differs[!word.is_empty()] {
                th scope="row" title=(printable(rows[0].about)) { (printable(rows[0].measure)) }
                td { (printable(rows[0].machine)) }
                @for set in sets {
                    (cell_if(rows.iter().find(|row| row.set == set.number).map(Row::time)))
                }
                @for set in &sets[1..] {
                    @let other = rows.iter().find(|row| row.set == set.number);
                    (cell_if(first.zip(other).filter(|(first, _)| first.median > 0.0).map(|(first, other)| {
                        let times = other.median / first.median;
                        Figure::number(times, format!("{}\u{d7}", ratio(times)))
                    })))
                }
                td class={ "verdict " (word) } { (word) }
            }
        }
    };
    section(
        "against",
        "Against the first report",
        html! {
            p.why {
                "Above 1 is slower than in the first. A word stands where every sample of the last report lies on one "
                "side of every sample of the first: what is less may be chance."
            }
            (search("against-rows", Some("that are slower or faster")))
            div #against-rows { (table("Against the first report", &columns, body, None)) }
        },
    )
}

/// Whether the last report is apart from the first.
fn verdict(rows: &[Row<'_>]) -> &'static str {
    let ends = (rows.first(), rows.last());
    match ends {
        (Some(first), Some(last)) if first.set == 0 && last.set > 0 => match () {
            () if last.min > first.max => "slower",
            () if last.max < first.min => "faster",
            () => "",
        },
        _ => "",
    }
}

fn count(count: f64) -> Figure {
    let whole = count >= 100.0 || (count - count.round()).abs() < 0.005;
    Figure::number(
        count,
        if whole {
            format!("{count:.0}")
        } else {
            format!("{count:.2}")
        },
    )
}

fn counts(sets: &[Set<'_>], rows: &[Row<'_>]) -> Markup {
    const COUNTS: [(&str, &str); 5] = [
        ("exits", "VM exits"),
        ("port_exits", "port exits"),
        ("syscalls", "system calls"),
        ("ring0_instructions", "instructions, ring 0"),
        ("ring3_instructions", "instructions, ring 3"),
    ];
    const TIMES: [(&str, &str); 3] = [
        ("vmm_ns", "in the VMM"),
        ("host_ns", "the host itself"),
        ("one_cpu_ns", "on one CPU"),
    ];
    let mut columns = vec![Column::Text("measure"), Column::Text("machine")];
    if sets.len() > 1 {
        columns.push(Column::Text("report"));
    }
    columns.push(Column::number("time"));
    columns.extend(
        TIMES
            .iter()
            .chain(&COUNTS)
            .map(|(_, name)| Column::number(name)),
    );
    let body = html! {
        @for row in rows {
            tr {
                th scope="row" title=(printable(row.about)) { (printable(row.measure)) }
                td { (printable(row.machine)) }
                @if sets.len() > 1 { td { (printable(&sets[row.set].name)) } }
                (row.time().cell())
                @for (field, _) in TIMES { (cell_if(row.part(field, Figure::mean_ns))) }
                @for (field, _) in COUNTS { (cell_if(row.part(field, count))) }
            }
        }
    };
    section(
        "counts",
        "What an operation costs",
        html! {
            (search("count-rows", None))
            div #count-rows { (table("What an operation costs", &columns, body, None)) }
        },
    )
}

fn absent(sets: &[Set<'_>]) -> Markup {
    let missing = sets.iter().flat_map(|set| {
        let whole = items(&set.report["missing"])
            .iter()
            .map(|missing| ("all measures", missing));
        let single = set.measures().iter().flat_map(|measure| {
            let name = measure["name"].as_str().unwrap_or_default();
            items(&measure["absent"])
                .iter()
                .map(move |absent| (name, absent))
        });
        whole.chain(single).map(move |(name, why)| (set, name, why))
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return html! {};
    }
    let columns = ["measure", "machine", "report", "why"].map(Column::Text);
    let rows = html! {
        @for (set, name, absent) in missing {
            tr {
                th scope="row" { (printable(name)) }
                td { (text(&absent["machine"])) }
                td { (printable(&set.name)) }
                td.why { (text(&absent["reason"])) }
            }
        }
    };
    section(
        "absent",
        "Not measured",
        table("Not measured", &columns, rows, None),
    )
}
