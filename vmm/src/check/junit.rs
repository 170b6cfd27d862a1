//! What was found, for what reads JUnit's XML.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Case, Checked};
use crate::compare::Machine;
use crate::printable::printable;

impl Checked {
    /// A suite for each machine, with a test for each guest that ran there; what is missing is
    /// a test that was skipped.
    pub fn junit(&self) -> String {
        let mut report = Report::new("vmm check");
        for &machine in Machine::ALL {
            let mut suite = TestSuite::new(machine.name());
            let cases = self.cases.iter().filter(|case| case.machine == machine);
            suite.add_test_cases(cases.map(|case| self.test(case)));
            let missing = self
                .missing
                .iter()
                .filter(|missing| missing.machine == machine);
            suite.add_test_cases(missing.map(|missing| {
                let mut status = TestCaseStatus::skipped();
                status.set_message(printable(&missing.reason));
                TestCase::new("all guests", status)
            }));
            if suite.tests > 0 {
                report.add_test_suite(suite);
            }
        }
        report.to_string().expect("text is written to memory")
    }

    fn test(&self, case: &Case) -> TestCase {
        let broken = case.broken().map(|figure| {
            let (file, line, says) = (&self.file, figure.line, figure.says());
            printable(&format!("{file}:{line}: {}: {says}", figure.figure))
        });
        let broken: Vec<_> = broken.collect();
        let status = match broken.first() {
            None => TestCaseStatus::success(),
            Some(first) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(first.as_str());
                status.set_description(broken.join("\n"));
                status
            }
        };
        let mut test = TestCase::new(printable(&case.guest), status);
        test.set_classname(case.machine.name());
        test.set_time(Duration::from_nanos(case.wall_ns));
        test.set_assertions(case.figures.len());
        test
    }
}
