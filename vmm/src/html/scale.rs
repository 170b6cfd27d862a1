//! A logarithmic scale of times.

use super::pieces::micro;
use crate::report::table::duration;

/// From a least to a greatest time, in nanoseconds.
pub struct Scale {
    from: f64,
    to: f64,
}

/// Ticks of a scale, at most, so that their names have room.
const MOST_TICKS: usize = 7;

impl Scale {
    /// One that has room for all of `times`, and for a factor of two at least.
    pub fn of(times: impl Iterator<Item = f64>) -> Self {
        let (mut from, mut to) = (f64::INFINITY, 0.0_f64);
        for ns in times.filter(|ns| ns.is_finite() && *ns > 0.0) {
            (from, to) = (from.min(ns), to.max(ns));
        }
        if from > to {
            (from, to) = (1.0, 1.0);
        }
        let stretch = (to / from)
            .powf(0.04)
            .max((2.0 / (to / from)).max(1.0).sqrt());
        Self {
            from: from / stretch,
            to: to * stretch,
        }
    }

    /// Where a time is, in percent of the whole.
    pub fn place(&self, ns: f64) -> f64 {
        let share = (ns.max(f64::MIN_POSITIVE) / self.from).ln() / (self.to / self.from).ln();
        (share * 100.0).clamp(0.0, 100.0)
    }

    /// Round times on the scale, with their names: as many as have room.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let decades = (self.from.log10().floor() as i32)..=(self.to.log10().ceil() as i32);
        let within = |steps: &[f64]| -> Vec<f64> {
            let all = decades
                .clone()
                .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
            all.filter(|ns| (self.from..=self.to).contains(ns))
                .collect()
        };
        let tries: [&[f64]; 3] = [&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0]];
        let mut tries = tries.into_iter().map(within);
        let mut found = tries
            .find(|ticks| ticks.len() <= MOST_TICKS)
            .unwrap_or_default();
        if found.is_empty() {
            found = within(&[1.0]).into_iter().step_by(3).collect();
        }
        found.into_iter().map(|ns| (ns, tick(ns))).collect()
    }
}

/// What a scale says of a time.
fn tick(ns: f64) -> String {
    let text = micro(&duration(ns));
    // As in "5 ms", where a figure is "5.00 ms".
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!(
                "{} {unit}",
                number.trim_end_matches('0').trim_end_matches('.')
            )
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn times_are_on_the_scale_with_a_few_ticks() {
        for times in [
            &[][..],
            &[0.0],
            &[5.0],
            &[59.1, 31_914.0, 24_629.0],
            &[0.5, 3.0e13],
            &[f64::NAN, 1e9],
        ] {
            let scale = Scale::of(times.iter().copied());
            for &ns in times.iter().filter(|ns| **ns > 0.0) {
                assert!((1.0..=99.0).contains(&scale.place(ns)), "{ns} of {times:?}");
            }
            let ticks = scale.ticks();
            assert!((1..=7).contains(&ticks.len()), "{times:?}: {ticks:?}");
        }
        let names = Scale::of([59.1, 31_914.0].into_iter()).ticks();
        let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["100 ns", "1 \u{b5}s", "10 \u{b5}s"]);
    }
}
