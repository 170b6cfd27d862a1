//! What was found, for a person: as text, as Markdown, and as GitHub's annotations.

use std::fmt;

use super::judge::in_percent;
use super::{Case, Checked, Judgement};
use crate::printable::{printable, wrap};

/// Lines about what does not hold, what is missing, and the verdict.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, figure) in self.broken() {
            let (file, line, guest) = (&self.file, figure.line, &case.guest);
            let says = format!(
                "{guest} on {}: {}: {}",
                case.machine,
                figure.figure,
                figure.says()
            );
            writeln!(f, "{}", printable(&format!("{file}:{line}: {says}")))?;
        }
        if let Some(note) = &self.note {
            f.write_str(&wrap("", note))?;
        }
        for missing in &self.missing {
            let machine = format!("{} is not on this host: ", missing.machine);
            f.write_str(&wrap(&machine, &printable(&missing.reason)))?;
        }
        f.write_str(&wrap("", &self.verdict()))
    }
}

impl Checked {
    /// What does not hold, in the order of the file.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&Case, &Judgement)> {
        let of = |case| Case::broken(case).map(move |figure| (case, figure));
        self.cases.iter().flat_map(of)
    }

    /// How much holds, in a sentence.
    pub(crate) fn verdict(&self) -> String {
        let figures: usize = self.cases.iter().map(|case| case.figures.len()).sum();
        let broken = self.broken().count();
        let machines: Vec<_> = self
            .machines()
            .iter()
            .map(|machine| machine.name())
            .collect();
        let machines = match machines.is_empty() {
            true => "no machine".to_owned(),
            false => machines.join(", "),
        };
        let (runs, held) = (self.cases.len(), figures - broken);
        match broken {
            0 => format!("{held} figures of {runs} runs hold, on {machines}"),
            _ => format!("{held} figures of {runs} runs hold, {broken} not, on {machines}"),
        }
    }

    /// The same for a page of Markdown: what does not hold as a table.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n", cell(&self.file), self.verdict());
        if self.broken().next().is_some() {
            text += "\n| line | guest | machine | figure | expected | measured | more |\n";
            text += "|---:|---|---|---|---:|---:|---:|\n";
        }
        for (case, figure) in self.broken() {
            let more = match (figure.more, figure.more_percent) {
                (Some(more), Some(percent)) => format!("{more:+} ({})", in_percent(percent)),
                (Some(more), None) => format!("{more:+}"),
                _ => String::new(),
            };
            let [guest, name, expected, measured] = [
                &case.guest,
                &figure.figure,
                &figure.expected,
                &figure.measured,
            ]
            .map(|s| cell(s));
            let (line, machine) = (figure.line, case.machine);
            text += &format!(
                "| {line} | {guest} | {machine} | {name} | {expected} | {measured} | {more} |\n"
            );
        }
        if let Some(note) = &self.note {
            text += &format!("\n{}\n", cell(note));
        }
        for missing in &self.missing {
            text += &format!(
                "\n`{}` is not on this host: {}\n",
                missing.machine,
                cell(&missing.reason)
            );
        }
        text
    }

    /// What a job of GitHub's prints for its lines to show beside the file: what does not hold as
    /// errors, machines that are missing as warnings.
    pub fn annotations(&self) -> String {
        let file = property(&self.file);
        let mut text = String::new();
        for (case, figure) in self.broken() {
            let title = property(&format!("{} on {}", case.guest, case.machine));
            let message = message(&format!("{}: {}", figure.figure, figure.says()));
            text += &format!(
                "::error file={file},line={},title={title}::{message}\n",
                figure.line
            );
        }
        for missing in &self.missing {
            let message = message(&format!("{}: {}", missing.machine, missing.reason));
            text += &format!("::warning file={file},title=not on this host::{message}\n");
        }
        text
    }
}

/// `text` as code in a cell of a table, which nothing in it can end.
fn cell(text: &str) -> String {
    let text = printable(text).replace('`', "'").replace('|', "\\|");
    format!("`{text}`")
}

/// `text` as a message of an annotation.
fn message(text: &str) -> String {
    printable(text).replace('%', "%25")
}

/// `text` as a property of an annotation.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
