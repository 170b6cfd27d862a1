//! Text in columns, and durations.

use std::fmt;

use crate::printable::WIDTH;

/// Writes `lines` in columns, the first `left` of them left-aligned, the others right;
/// two spaces before each column, none at the end of a line. Where the right ones do not
/// fit beside each other, there is a table for each part of them.
pub fn write<L: AsRef<[String]>>(
    f: &mut fmt::Formatter<'_>,
    lines: &[L],
    left: usize,
) -> fmt::Result {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        let cells = line.as_ref();
        widths.resize(widths.len().max(cells.len()), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            // A column in which no line has anything takes no room.
            *width = match cell.len() {
                0 => *width,
                len => (GAP.len() + len).max(*width),
            };
        }
    }
    let labels = left.min(widths.len());
    let room = WIDTH.saturating_sub(widths[..labels].iter().sum());
    let mut first = labels;
    loop {
        let mut taken = 0;
        let fitting = widths[first..].iter().take_while(|&&width| {
            taken += width;
            taken <= room
        });
        let end = match fitting.count() {
            0 => widths.len().min(first + 1),
            columns => first + columns,
        };
        for line in lines {
            let shown = (0..labels).chain(first..end);
            write_line(
                f,
                line.as_ref(),
                shown.map(|column| (column, widths[column])),
                left,
            )?;
        }
        if end == widths.len() {
            return Ok(());
        }
        writeln!(f)?;
        first = end;
    }
}

/// What is before each column.
const GAP: &str = "  ";

fn write_line(
    f: &mut fmt::Formatter<'_>,
    cells: &[String],
    columns: impl Iterator<Item = (usize, usize)>,
    left: usize,
) -> fmt::Result {
    let mut text = String::new();
    for (column, width) in columns.filter(|&(_, width)| width > 0) {
        let width = width - GAP.len();
        let cell = cells.get(column).map_or("", String::as_str);
        text.push_str(GAP);
        text.push_str(&if column < left {
            format!("{cell:width$}")
        } else {
            format!("{cell:>width$}")
        });
    }
    writeln!(f, "{}", text.trim_end())
}

/// A duration to three digits, as in "1.23 us".
pub fn duration(ns: f64) -> String {
    let (value, unit) = match ns {
        0.0 => return "0 ns".to_owned(),
        ns if ns < 999.5 => (ns, "ns"),
        ns if ns < 999.5e3 => (ns / 1e3, "us"),
        ns if ns < 999.5e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A ratio to three digits, or all before the point.
pub fn ratio(ratio: f64) -> String {
    let decimals = match ratio {
        ratio if ratio < 9.995 => 2,
        ratio if ratio < 99.95 => 1,
        _ => 0,
    };
    format!("{ratio:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (0.5, "0.50 ns"),
            (9.994, "9.99 ns"),
            (9.996, "10.0 ns"),
            (99.96, "100 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 us"),
            (12_345.0, "12.3 us"),
            (999_600.0, "1.00 ms"),
            (41_200_000.0, "41.2 ms"),
            (1.5e9, "1.50 s"),
            (3.6e12, "3600 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
