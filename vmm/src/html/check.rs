//! The page of a check.

use maud::{Markup, html};

use super::pieces::{Column, Figure, search, section, table};
use super::{Page, Script, data, in_data};
use crate::check::{Case, Checked, Judgement};
use crate::printable::printable;

/// The page of a check.
pub fn check(checked: &Checked) -> String {
    let json = checked.to_json();
    let page = Page {
        kind: "check",
        title: &checked.file,
        lead: lead(checked),
        body: figures(checked),
        data: data(&json),
        place: in_data(),
        script: Script::TABLES,
    };
    page.render()
}

fn lead(checked: &Checked) -> Markup {
    html! {
        p.lead { strong.outcome.bad[!checked.holds()] { (checked.verdict()) } }
        @if !checked.missing.is_empty() || checked.note.is_some() {
            ul.warnings {
                @if let Some(note) = &checked.note { li { (printable(note)) } }
                @for each in &checked.missing {
                    li { (each.machine) " is not on this host: " (printable(&each.reason)) }
                }
            }
        }
    }
}

fn figures(checked: &Checked) -> Markup {
    let columns = [
        Column::number("line"),
        Column::Text("guest"),
        Column::Text("machine"),
        Column::Text("figure"),
        Column::number("expected"),
        Column::number("measured"),
        Column::number("more"),
    ];
    let rows = html! {
        @for (number, case) in checked.cases.iter().enumerate() {
            @for (index, figure) in case.figures.iter().enumerate() {
                (row(case, figure, &format!("/cases/{number}/figures/{index}")))
            }
        }
    };
    let heading = "What must hold";
    section(
        "figures",
        heading,
        html! {
            (search("figure-rows", Some("that do not hold")))
            div #figure-rows { (table(heading, &columns, rows, None)) }
        },
    )
}

/// A figure, which the data has at `place`.
fn row(case: &Case, figure: &Judgement, place: &str) -> Markup {
    let more = figure.more.filter(|_| !figure.holds);
    html! {
        tr class=[(!figure.holds).then_some("differs broken")] {
            (Figure::count(figure.line as u64).at(format!("{place}/line")).cell())
            th scope="row" { (printable(&case.guest)) }
            td { (case.machine) }
            td { (figure.figure) }
            td.n { (printable(&figure.expected)) }
            @match figure.count {
                Some(count) => (Figure::count(count).at(format!("{place}/count")).cell()),
                None => td.n { (printable(&figure.measured)) },
            }
            td.n data-v=(more.unwrap_or(0)) { @if let Some(more) = more { (format!("{more:+}")) } }
        }
    }
}
