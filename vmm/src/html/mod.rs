//! Reports as one HTML file, which opens from the disk and asks nobody for anything.
//!
//! ```text
//!   run, compare, check, bench, picture (of programs that use the library)
//!                      ─► pieces ─► page    tables and bars are HTML; script.js sorts and filters them
//!   trace ──────────────────────────► page    a canvas, drawn by timeline*.js from the events in the page
//! ```
//!
//! A page has its data as JSON in an element `script` of that type, as `--report json` writes it
//! (of several reports, a list), so that it can be taken out again. Each figure names its place there in
//! `data-p` (RFC 6901), and a test holds one against the other.
//!
//! Guests are hostile, and what they say is in the pages: text is escaped by maud, JSON by
//! `escaped`, scripts make text alone of it, and the page's policy lets run nothing but these
//! scripts, and load nothing at all.
//!
//! Templates are maud's: they are Rust, so the compiler reads them, and there is no second
//! language to learn. Rejected: askama, whose files of templates need a parser more in each
//! build; a library of charts, since bars and points are a line of CSS each, and a timeline of a
//! million events needs levels of detail that the VMM makes, whatever draws them.

mod bench;
mod check;
mod compare;
mod picture;
mod pieces;
mod run;
mod scale;
mod trace;
mod words;

pub use bench::bench;
pub use check::check;
pub use compare::compare;
pub use picture::{Bar, Chart, Picture};
pub use run::run;
pub use trace::HtmlSink;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::printable::printable;

const STYLE: &str = include_str!("style.css");

/// The script of a page, and its SHA-256 in base64, by which the page's policy knows it. A browser
/// that does not find it so says the right one.
struct Script {
    text: &'static str,
    hash: &'static str,
}

impl Script {
    /// Of tables.
    const TABLES: Self = Self {
        text: include_str!("script.js"),
        hash: "LwZFrZ36MzLZCOsU5JXc5ATHdIDPzSEdKbr9djkVJyg=",
    };
    /// Of a trace.
    const TIMELINE: Self = Self {
        text: concat!(
            include_str!("timeline_data.js"),
            include_str!("timeline_draw.js"),
            include_str!("timeline.js"),
        ),
        hash: "R5bcdll7NiN81jSWKvxpfDP2W3Bu36WXbqAg3SY7tI4=",
    };
}

/// A page, but for what all have.
struct Page<'a> {
    /// What it is a report of: a command's name.
    kind: &'static str,
    /// What was run.
    title: &'a str,
    /// Below the title: in a line what came of it.
    lead: Markup,
    /// Elements `section`.
    body: Markup,
    /// The report as JSON: see [`data`].
    data: Markup,
    /// Where that is, in words.
    place: Markup,
    script: Script,
}

impl Page<'_> {
    fn render(&self) -> String {
        let title = printable(self.title);
        let policy = format!(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; \
             base-uri 'none'; form-action 'none'",
            self.script.hash
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="generator" content={ "vmm " (env!("CARGO_PKG_VERSION")) };
                    title { (title) " - vmm " (self.kind) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        p.kind { "vmm " (self.kind) }
                        h1 { (title) }
                        (self.lead)
                    }
                    main { (self.body) }
                    footer {
                        p {
                            "Made by vmm " (env!("CARGO_PKG_VERSION"))
                            ". All figures are in this file as JSON, in " (self.place) ". "
                            a #save hidden download={ "vmm-" (self.kind) ".json" } { "Save them" }
                        }
                    }
                    (self.data)
                    script { (PreEscaped(self.script.text)) }
                }
            }
        };
        page.into_string()
    }
}

/// `json` as the element with the page's data.
fn data(json: &str) -> Markup {
    html! { script #data type="application/json" { (PreEscaped(escaped(json))) } }
}

/// Where [`data`] is.
fn in_data() -> Markup {
    html! { "the element " code { "#data" } }
}

/// `json` for an element that nothing in it can end: the characters that could are in strings
/// alone, where JSON has another way to write them.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::data;

    #[test]
    fn nothing_in_the_data_ends_its_element() {
        let hostile = "</script><script>alert(1)</script><!-- & \u{2028} ]]> \"";
        let json = serde_json::to_string(hostile).expect("a string");
        let element = data(&json).into_string();
        let inner = element.strip_prefix("<script id=\"data\" type=\"application/json\">");
        let inner = inner.and_then(|inner| inner.strip_suffix("</script>"));
        let inner = inner.expect("one element");
        assert!(!inner.contains(['<', '>', '&', '\u{2028}']), "{inner}");
        let back: String = serde_json::from_str(inner).expect("the same string");
        assert_eq!(back, hostile);
    }
}
