//! Suites of cases that run on every accelerator.

use libtest_mimic::{Arguments, Failed, Trial};

use super::Target;

/// A test by name: what must hold on a target.
pub type Case = (&'static str, fn(Target));

/// `cases` on each of `targets` as tests `case::target`. A target that this host does not
/// have shows as ignored, and a line says why; `RINGFENCE_REQUIRE=kvm` makes that a failure.
pub fn on(targets: &[Target], cases: &[Case]) -> Vec<Trial> {
    for &target in targets {
        match target.missing() {
            None => eprintln!("{target}: runs here"),
            Some(why) => eprintln!("{target}: does not run here: {why}"),
        }
    }
    on_each(targets, cases)
}

/// The same for cases that need something else as well, which may be `missing`.
pub fn on_unless(missing: Option<&'static str>, targets: &[Target], cases: &[Case]) -> Vec<Trial> {
    let mut trials = on_each(targets, cases);
    if let Some(why) = missing {
        for (name, _) in cases {
            eprintln!("{name}: does not run: {why}");
        }
        trials = trials
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect();
    }
    trials
}

fn on_each(targets: &[Target], cases: &[Case]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &target in targets {
        let missing = target.missing();
        for &(name, case) in cases {
            let trial = Trial::test(format!("{name}::{target}"), move || match missing {
                Some(why) => Err(Failed::from(why)),
                None => {
                    case(target);
                    Ok(())
                }
            });
            trials.push(trial.with_ignored_flag(missing.is_some() && !target.required()));
        }
    }
    trials
}

/// Runs what the command line of this suite selects.
pub fn main(trials: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// A test that needs no target.
pub fn plain(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that needs no target but something else of the host, which may be `missing`.
pub fn unless(missing: Option<String>, name: &str, test: fn()) -> Trial {
    if let Some(why) = &missing {
        eprintln!("{name}: does not run here: {why}");
    }
    plain(name, test).with_ignored_flag(missing.is_some())
}
