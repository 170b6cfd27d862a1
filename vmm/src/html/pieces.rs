//! What pages are made of: figures in tables, bars, parts of a whole.

use maud::{Markup, html};
use serde_json::Value;

use super::words::in_words;
use crate::explain;
use crate::printable::printable;
use crate::report::table::duration;

/// A count, as in "97,985,035".
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Durations in `text`, with the sign for "micro" that pages can have.
pub fn micro(text: &str) -> String {
    text.replace(" us", " \u{b5}s")
}

/// A figure: what is shown, what it is exactly, and where the data has it.
pub struct Figure {
    shown: String,
    exact: String,
    unit: &'static str,
    place: Option<String>,
}

impl Figure {
    /// A count of things.
    pub fn count(count: u64) -> Self {
        Self {
            shown: grouped(count),
            exact: count.to_string(),
            unit: "",
            place: None,
        }
    }

    /// A time in whole nanoseconds.
    pub fn ns(ns: u64) -> Self {
        Self {
            exact: ns.to_string(),
            ..Self::mean_ns(ns as f64)
        }
    }

    /// A time in nanoseconds.
    pub fn mean_ns(ns: f64) -> Self {
        Self {
            shown: micro(&duration(ns)),
            exact: ns.to_string(),
            unit: "ns",
            place: None,
        }
    }

    /// Any number, shown as `shown`.
    pub fn number(number: f64, shown: String) -> Self {
        Self {
            shown,
            exact: number.to_string(),
            unit: "",
            place: None,
        }
    }

    /// The same, which the data has at this place (RFC 6901).
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// By itself.
    pub fn text(&self) -> Markup {
        let title = (self.unit == "ns").then(|| format!("{} ns", self.exact));
        html! {
            data value=(self.exact) data-p=[self.place.as_deref()] title=[title] { (self.shown) }
        }
    }

    /// As a cell of a table.
    pub fn cell(&self) -> Markup {
        html! { td.n data-v=(self.exact) { (self.text()) } }
    }
}

/// A cell for a figure, or for that there is none.
pub fn cell_if(figure: Option<Figure>) -> Markup {
    match figure {
        Some(figure) => figure.cell(),
        None => html! { td.n { span.none title="not known" { "\u{2013}" } } },
    }
}

/// A cell with a bar as long as this share of the longest.
pub fn bar_cell(value: f64, longest: f64) -> Markup {
    let share = match longest > 0.0 {
        true => (value / longest * 100.0).clamp(0.0, 100.0),
        false => 0.0,
    };
    html! {
        td.bar aria-hidden="true" {
            @if share > 0.0 { i style={ "--s:" (format!("{share:.2}")) "%" } {} }
        }
    }
}

/// A section with a heading, which the page's list of sections may name.
pub fn section(id: &str, heading: &str, body: Markup) -> Markup {
    html! { section #(id) aria-labelledby={ (id) "-h" } { h2 #{ (id) "-h" } { (heading) } (body) } }
}

/// The elements of a list; none of anything else.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A field that shows those rows of the tables in an element that have certain words, and a box
/// for those alone that are marked as differing, if it has words for them.
pub fn search(of: &str, differing: Option<&str>) -> Markup {
    html! {
        div.search hidden data-of=(of) {
            label { "Show rows with " input type="search" autocomplete="off" spellcheck="false"; }
            @if let Some(words) = differing {
                label { input type="checkbox"; " only those " (words) }
            }
            output {}
        }
    }
}

/// A column of a table.
pub enum Column {
    /// Of words.
    Text(&'static str),
    /// Of figures.
    Number(String),
    /// Of bars, which belong to the column before.
    Bar,
}

impl Column {
    /// Of figures.
    pub fn number(name: &str) -> Self {
        Self::Number(name.to_owned())
    }
}

/// A table that can be sorted by its columns, with rows `tr`; `total` is below them.
pub fn table(caption: &str, columns: &[Column], rows: Markup, total: Option<Markup>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.sortable {
                caption { span { (caption) } }
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Text(name) => th scope="col" { (name) },
                                Column::Number(name) => th.n scope="col" { (name) },
                                Column::Bar => td.bar {},
                            }
                        }
                    }
                }
                tbody { (rows) }
                @if let Some(total) = total { tfoot { (total) } }
            }
        }
    }
}

/// A part of a whole: its class, which is its colour, its name and its nanoseconds.
pub struct Part {
    pub class: &'static str,
    pub name: &'static str,
    pub ns: u64,
    pub place: String,
}

/// Parts side by side in one bar, beside a longer one if `longest` is more than their sum.
pub fn parts(parts: &[Part], longest: u64) -> Markup {
    let longest = longest.max(1) as f64;
    let shares: Vec<_> = parts
        .iter()
        .map(|part| part.ns as f64 / longest * 100.0)
        .collect();
    let words: Vec<_> = parts
        .iter()
        .map(|part| format!("{} {}", part.name, duration(part.ns as f64)))
        .collect();
    html! {
        div.parts role="img" aria-label=(words.join(", ")) {
            @for ((part, share), words) in parts.iter().zip(shares).zip(&words) {
                i class=(part.class) style={ "--s:" (format!("{share:.3}")) "%" } title=(words) {}
            }
        }
    }
}

/// The names of parts with their colours, and what they are of `whole` if that is not 0.
pub fn legend(parts: &[Part], whole: u64) -> Markup {
    html! {
        dl.legend {
            @for part in parts {
                div {
                    dt { i class=(part.class) {} (part.name) }
                    @if whole > 0 {
                        dd {
                            (Figure::ns(part.ns).at(part.place.clone()).text())
                            small { (share_of(part.ns, whole)) }
                        }
                    }
                }
            }
        }
    }
}

/// As in "12 %".
fn share_of(part: u64, whole: u64) -> String {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    match share {
        share if share > 0.0 && share < 1.0 => "< 1 %".to_owned(),
        share => format!("{share:.0} %"),
    }
}

/// A part of a report, whatever is in it: a row for each figure with what it means, those that
/// are zero by name alone. `place` is where the data has it.
pub fn figures(id: &str, heading: &str, place: &str, part: &Value) -> Markup {
    let mut found = Vec::new();
    collect(place, "", part, &mut found);
    if found.is_empty() {
        return html! {};
    }
    let (some, zero): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(_, _, value)| !is_zero(value));
    let row = |(place, name, value): &(String, String, &Value)| {
        html! {
            tr {
                th scope="row" title=(printable(name)) { (in_words(&printable(name))) }
                (value_cell(name, place, value))
                td.why { (explain::counter(name)) }
            }
        }
    };
    let columns = [
        Column::Text("name"),
        Column::number("value"),
        Column::Text("what it is"),
    ];
    section(
        id,
        heading,
        html! {
            @if !some.is_empty() {
                (table(heading, &columns, html! { @for figure in &some { (row(figure)) } }, None))
            }
            @if !zero.is_empty() {
                details {
                    summary { (zero.len()) " more " (if zero.len() == 1 { "is" } else { "are" }) " zero" }
                    (table("Those that are zero", &columns, html! { @for figure in &zero { (row(figure)) } }, None))
                }
            }
        },
    )
}

/// The leaves of `value`, each with its place and name.
fn collect<'a>(
    place: &str,
    name: &str,
    value: &'a Value,
    into: &mut Vec<(String, String, &'a Value)>,
) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
                let name = match name {
                    "" => key.clone(),
                    name => format!("{name}.{key}"),
                };
                collect(&place, &name, value, into);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                collect(
                    &format!("{place}/{number}"),
                    &format!("{name}.{number}"),
                    item,
                    into,
                );
            }
        }
        value => into.push((place.to_owned(), name.to_owned(), value)),
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn value_cell(name: &str, place: &str, value: &Value) -> Markup {
    let figure = match (value.as_u64(), value.as_f64()) {
        (Some(ns), _) if name.ends_with("_ns") => Figure::ns(ns),
        (Some(count), _) => Figure::count(count),
        (None, Some(number)) => Figure::number(number, format!("{number:.2}")),
        (None, None) => {
            let words = value.as_str().map_or_else(|| value.to_string(), printable);
            return html! { td { (words) } };
        }
    };
    figure.at(place).cell()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{figures, grouped};

    #[test]
    fn counts_have_their_digits_in_threes() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (97_985_035, "97,985,035"),
        ] {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn a_part_of_a_report_shows_whatever_is_in_it() {
        let part = json!({ "a<b": { "new_ns": 1500, "none": null }, "zero": 0, "text": "&" });
        let text = figures("x", "A part", "/part", &part).into_string();
        for expected in [
            r#"<data value="1500" data-p="/part/a&lt;b/new_ns" title="1500 ns">"#,
            "1.50 \u{b5}s",
            "a&lt;b",
            "1 more is zero",
            r#"data-p="/part/zero""#,
            "<td>&amp;</td>",
        ] {
            assert!(text.contains(expected), "no {expected}: {text}");
        }
        assert!(
            figures("x", "Nothing", "/part", &json!({ "a": null }))
                .into_string()
                .is_empty()
        );
    }
}
