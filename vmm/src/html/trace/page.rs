//! The page around the events.

use maud::{PreEscaped, html};

use crate::html::pieces::section;
use crate::html::{Page, Script, in_data};

/// Where the events go.
const EVENTS: &str = "<!--events-->";

/// The page before and after its events.
pub(super) fn page(what: &str) -> (String, String) {
    let tool = |id: &str, label: &str, sign: &str| {
        html! { button.tool type="button" #(id) title=(label) aria-label=(label) { (sign) } }
    };
    let body = html! {
        noscript { p { "The timeline is drawn by a script in this page, which this browser does not run." } }
        dl.key #key {}
        (section("timeline", "Timeline", html! {
            div.tools {
                (tool("in", "Zoom in (+)", "+")) (tool("out", "Zoom out (-)", "\u{2212}"))
                (tool("left", "Earlier (left arrow)", "\u{2190}")) (tool("right", "Later (right arrow)", "\u{2192}"))
                (tool("all", "The whole run (0)", "whole run"))
                output #span aria-live="polite" {}
            }
            canvas #lanes tabindex="0" role="application"
                aria-label="Timeline of each CPU. Plus and minus zoom, arrows move, 0 shows the whole run; the list below has every event." {}
            output.under #under {}
            ul.colours {
                @for (class, name) in [("guest", "ring 3"), ("ring0", "ring 0"), ("vmm", "VMM"), ("idle", "idle")] {
                    li { i class=(class) {} (name) }
                }
                @for (class, name) in [("tick", "tick"), ("fault", "page fault"), ("signal", "signal")] {
                    li { i class={ "mark " (class) } {} (name) }
                }
            }
            p.why {
                "Wheel or pinch to zoom, drag to move, click for the event. Time is the guest's. There is no event for the "
                "return from a trap: ring 3 is taken to go on where its page fault was resolved or its tick was counted."
            }
        }))
        (section("events", "Events", html! {
            form.filters #filters {
                fieldset #kinds { legend { "Kinds" } }
                label { "of " select #who { option value="" { "every process" } } }
                label { "with " input #words type="search" autocomplete="off" spellcheck="false"; }
                output #found aria-live="polite" {}
            }
            div.browse {
                div.list #list tabindex="0" role="listbox" aria-label="Events" { div #rows {} }
                div.detail #detail aria-live="polite" { p.why { "Choose an event, here or in the timeline." } }
            }
        }))
    };
    let page = Page {
        kind: "trace",
        title: what,
        lead: html! {},
        body,
        data: PreEscaped(EVENTS.to_owned()),
        place: html! { (in_data()) ", events in elements " code { ".c" } },
        script: Script::TIMELINE,
    };
    let page = page.render();
    match page.split_once(EVENTS) {
        Some((head, tail)) => (head.to_owned(), tail.to_owned()),
        None => (page, String::new()),
    }
}
