//! Pages of programs that use the library: times on one scale, and words beside them.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::json;

use super::pieces::{Column, Figure, micro, section, table};
use super::scale::Scale;
use super::{Page, Script, data, in_data};
use crate::printable::printable;
use crate::report::SCHEMA;
use crate::report::table::duration;

/// What a program has measured.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// Its name.
    pub title: &'static str,
    /// What it shows, in a sentence.
    pub lead: &'static str,
    /// In the order of the page.
    pub charts: Vec<Chart>,
}

/// Times on one scale, with a table of them.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// What they are times of.
    pub heading: String,
    /// Names of what bars have in `cells`.
    pub columns: Vec<&'static str>,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// A time.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// When it began, in nanoseconds since others did, if that matters: then the scale is of time
    /// that passes, else it is logarithmic.
    pub from_ns: Option<u64>,
    /// Nanoseconds.
    pub ns: f64,
    /// What else there is to say of it.
    pub cells: Vec<String>,
}

impl Picture {
    /// As a page in one file.
    pub fn page(&self) -> String {
        let json = json!({ "schema": SCHEMA, "picture": self }).to_string();
        let charts = self.charts.iter().enumerate();
        let page = Page {
            kind: "example",
            title: self.title,
            lead: html! { p.lead { span { (self.lead) } } },
            body: html! {
                @for (number, chart) in charts {
                    (section(&format!("chart-{number}"), &printable(&chart.heading), chart.body(number)))
                }
            },
            data: data(&json),
            place: in_data(),
            script: Script::TABLES,
        };
        page.render()
    }
}

impl Chart {
    fn body(&self, number: usize) -> Markup {
        let bars = || self.bars.iter().enumerate();
        let time = |nth: usize, bar: &Bar| {
            Figure::mean_ns(bar.ns).at(format!("/picture/charts/{number}/bars/{nth}/ns"))
        };
        let axis = Axis::of(&self.bars);
        let names = ["which", "time"]
            .into_iter()
            .chain(self.columns.iter().copied());
        let columns: Vec<_> = names.map(Column::Text).collect();
        let rows = html! {
            @for (nth, bar) in bars() {
                tr {
                    th scope="row" { (printable(&bar.name)) }
                    (time(nth, bar).cell())
                    @for cell in &bar.cells { td.wrap { (printable(cell)) } }
                }
            }
        };
        html! {
            figure.chart {
                @for (_, bar) in bars() {
                    div class="row set0" {
                        span.label { (printable(&bar.name)) }
                        div.track {
                            @for (place, _) in axis.ticks() { s style={ "left:" (place) } {} }
                            (axis.mark(bar))
                        }
                        span.n { (micro(&duration(bar.ns))) }
                    }
                }
                div.row.axis aria-hidden="true" {
                    span {}
                    div.track { @for (place, name) in axis.ticks() { small style={ "left:" (place) } { (name) } } }
                }
            }
            (table("The same as figures", &columns, rows, None))
        }
    }
}

/// Where times are in a chart.
enum Axis {
    /// Each by itself.
    Costs(Scale),
    /// One beside the other, of so many nanoseconds.
    Passing(f64),
}

impl Axis {
    fn of(bars: &[Bar]) -> Self {
        let ends = bars
            .iter()
            .filter_map(|bar| Some(bar.from_ns? as f64 + bar.ns));
        match ends.fold(0.0, f64::max) {
            0.0 => Self::Costs(Scale::of(bars.iter().map(|bar| bar.ns))),
            end => Self::Passing(end),
        }
    }

    fn mark(&self, bar: &Bar) -> Markup {
        match self {
            Self::Costs(scale) => html! { b style={ "left:" (percent(scale.place(bar.ns))) } {} },
            Self::Passing(end) => {
                let share = |ns: f64| percent(ns / end * 100.0);
                let from = share(bar.from_ns.unwrap_or(0) as f64);
                html! { em style={ "left:" (from) ";width:" (share(bar.ns)) } {} }
            }
        }
    }

    fn ticks(&self) -> Vec<(String, String)> {
        match self {
            Self::Costs(scale) => {
                let ticks = scale.ticks().into_iter();
                ticks
                    .map(|(ns, name)| (percent(scale.place(ns)), name))
                    .collect()
            }
            Self::Passing(end) => [0.25, 0.5, 0.75]
                .map(|share| (percent(share * 100.0), micro(&duration(share * end))))
                .into(),
        }
    }
}

fn percent(number: f64) -> String {
    format!("{number:.2}%")
}
