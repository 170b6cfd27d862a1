//! The form of the texts.
//!
//! ```text
//! # Heading of a group
//!
//! Cost: what holds for all of the group that do not say it themselves.
//!
//! - `name`: What it is. A line may go on
//!   in the next one.
//!   Cause: what brings it about.
//!   Avoid: how there is less of it.
//!   Source: {name}(2), where `{name}` is the item's.
//! ```

use super::{Explanation, Kind, places};

/// Parts of a text by the word before them; the first one is what the item is.
const LABELS: [&str; 5] = ["", "Cause: ", "Cost: ", "Avoid: ", "Source: "];

type Parts = [Option<String>; LABELS.len()];

/// The items of a file.
pub(super) fn read(kind: Kind, text: &'static str) -> Vec<Explanation> {
    let mut items: Vec<(&'static str, Parts)> = Vec::new();
    let (mut of_group, mut is_in_item, mut part) = (Parts::default(), false, 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("# ") {
            (of_group, is_in_item) = (Parts::default(), false);
            continue;
        }
        if let Some((name, about)) = item(line) {
            let mut parts = of_group.clone();
            parts[0] = Some(about.to_owned());
            items.push((name, parts));
            (is_in_item, part) = (true, 0);
            continue;
        }
        let parts = match items.last_mut() {
            Some((_, parts)) if is_in_item => parts,
            _ => &mut of_group,
        };
        let line = line.trim_start();
        match labelled(line) {
            Some((number, rest)) => {
                part = number;
                parts[part] = Some(rest.to_owned());
            }
            None => {
                let text = parts[part].get_or_insert_default();
                *text = format!("{text} {line}");
            }
        }
    }
    let items = items.into_iter();
    items
        .map(|(name, parts)| explanation(kind, name, parts))
        .collect()
}

fn item(line: &'static str) -> Option<(&'static str, &'static str)> {
    line.strip_prefix("- `")?.split_once("`: ")
}

fn labelled(line: &str) -> Option<(usize, &str)> {
    let labels = LABELS.iter().enumerate().skip(1);
    let mut found = labels.filter_map(|(number, label)| Some((number, line.strip_prefix(label)?)));
    found.next()
}

fn explanation(kind: Kind, name: &'static str, parts: Parts) -> Explanation {
    let parts = parts.map(|part| part.map(|text| text.replace("{name}", name)));
    let [about, cause, cost, avoid, source] = parts;
    Explanation {
        kind,
        name,
        numbers: places::numbers(kind, name),
        about: about.unwrap_or_default(),
        cause,
        cost,
        avoid,
        source,
    }
}
