//! Suites of cases that run on every accelerator.

use libtest_mimic::{Arguments, Failed, Trial};

use super::Target;

/// A test by name: what must hold on a target.
pub type Case = (&'static str, fn(Target));

/// `cases` on each of `targets` as tests `case::target`. A target that this host does not
/// have shows as ignored, and a line says why; `RINGFENCE_REQUIRE=kvm` makes that a failure.
pub fn on(targets: &[Target], cases: &[Case]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &target in targets {
        let missing = target.missing();
        match missing {
            None => eprintln!("{target}: runs here"),
            Some(why) => eprintln!("{target}: does not run here: {why}"),
        }
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
