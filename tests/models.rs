//! The concurrent parts in all orders that they may run in: `tests/models`.

use libtest_mimic::{Arguments, Trial};

fn main() {
    let cases = models::CASES.iter().copied().flatten();
    let trials = cases.map(|&(name, model)| {
        Trial::test(name, move || {
            model();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
