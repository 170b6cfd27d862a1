//! Reports as HTML pages, opened in Chromium: nothing is complained of or asked for, figures are
//! those of the data, and sorting, filters and the timeline do what they say.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod pictures;
mod reports;
mod trace;

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use browser::Browser;
use support::required;

/// A test that needs a browser.
type Case = (&'static str, fn());

/// More than a page has without its data.
const MOST_BYTES: usize = 2 << 20;

fn main() {
    let missing = browser::missing();
    if let Some(why) = &missing {
        eprintln!("pages: does not run: {why}");
    }
    let ignored = missing.is_some() && !required("chromium");
    let cases = [reports::CASES, pictures::CASES, trace::CASES].concat();
    let trials = cases.into_iter().map(|(name, case)| {
        let missing = missing.clone();
        let trial = Trial::test(name, move || match missing {
            Some(why) => Err(Failed::from(why)),
            None => {
                case();
                Ok(())
            }
        });
        trial.with_ignored_flag(ignored)
    });
    support::suite::main(trials.collect());
}

/// A folder for pages, which ends with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It exists: `new` made it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What must hold of every page; returns its browser and its data.
#[track_caller]
fn open(path: &Path) -> (Browser, Value) {
    let text = std::fs::read_to_string(path).expect("a page");
    let mut browser = Browser::open(path, 1280);
    let data = browser.value("document.getElementById('data').textContent");
    let data = data.as_str().expect("the data is text");
    assert!(text.len() < MOST_BYTES + data.len(), "{} bytes", text.len());
    let data: Value = serde_json::from_str(data).expect("the data is JSON");
    assert_eq!(data["schema"], 1);
    figures_are_of(&mut browser, &data);
    is_for_all(&mut browser);
    for width in [400, 1280] {
        browser.resize(width);
        let wide = browser
            .value("document.documentElement.scrollWidth")
            .as_u64();
        assert!(wide <= Some(width.into()), "{wide:?} at {width}");
    }
    browser.assert_quiet();
    (browser, data)
}

/// Each figure that names its place in the data is the one there, exactly, and to a reader.
#[track_caller]
fn figures_are_of(browser: &mut Browser, data: &Value) {
    let figures = browser.value(
        "[...document.querySelectorAll('[data-p]')].map(e => [e.dataset.p, e.value, e.textContent, e.title])",
    );
    let figures = support::list(&figures);
    assert!(figures.len() > 3, "{figures:?}");
    for figure in figures {
        let part = |index: usize| figure[index].as_str().unwrap_or_default();
        let [place, exact, shown, title] = [part(0), part(1), part(2), part(3)];
        let value = data.pointer(place);
        let value = value.unwrap_or_else(|| panic!("{place} is not in the data"));
        let number = value
            .as_f64()
            .unwrap_or_else(|| panic!("{place} is {value}"));
        // serde_json reads a number as one of its neighbours, if it is quicker.
        let difference = exact.parse().map_or(f64::NAN, |exact: f64| exact - number);
        assert!(difference.abs() <= number.abs() * 1e-15, "{place}: {exact}");
        match title.strip_suffix(" ns") {
            Some(ns) => assert_eq!(
                (ns, shown_ns(shown, number)),
                (exact, true),
                "{place}: {shown}"
            ),
            None if value.is_u64() => assert_eq!(shown.replace(',', ""), exact, "{place}"),
            None => assert!(!shown.is_empty(), "{place}"),
        }
    }
}

/// Whether a duration is this one to its last digit.
fn shown_ns(shown: &str, ns: f64) -> bool {
    let Some((number, unit)) = shown.split_once(' ') else {
        return false;
    };
    let unit = match unit {
        "ns" => 1.0,
        "\u{b5}s" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return false,
    };
    let shown = number.parse::<f64>().unwrap_or(f64::NAN) * unit;
    (shown - ns).abs() <= ns * 0.006 + 0.006
}

/// A reader without eyes or a mouse gets all of it.
#[track_caller]
fn is_for_all(browser: &mut Browser) {
    let wrong = browser.value(
        "[...document.querySelectorAll('table')].filter(t => !t.caption?.textContent || \
           [...t.querySelectorAll('th')].some(h => !h.scope)).map(t => t.outerHTML.slice(0, 200)) \
         .concat([...document.querySelectorAll('[role=img], [role=region], canvas')] \
           .filter(e => !e.ariaLabel).map(e => e.outerHTML.slice(0, 200))) \
         .concat([...document.querySelectorAll('section')] \
           .filter(e => !document.getElementById(e.getAttribute('aria-labelledby'))?.textContent).map(e => e.id)) \
         .concat(document.documentElement.lang === 'en' ? [] : ['no language'])",
    );
    assert_eq!(wrong, Value::Array(Vec::new()));
}
