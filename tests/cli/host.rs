//! What `vmm info` says of the host.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Target, binary, host_info, output_with_input, suite};

pub fn trials() -> Vec<Trial> {
    let mut trials = suite::on(&[Target::Kvm], &[("facts", facts)]);
    trials.push(suite::plain("self_tests_pass", self_tests_pass));
    trials
}

fn facts(_: Target) {
    let facts = &host_info()["kvm"]["facts"];
    let processors = fs::read_to_string("/proc/cpuinfo").expect("Linux has it");
    let vendor = facts["vendor"].as_str().expect("a name");
    assert!(
        processors.contains(&format!("vendor_id\t: {vendor}\n")),
        "{facts}"
    );
    assert_eq!(
        facts["capabilities"]["KVM_CAP_SPLIT_IRQCHIP"], true,
        "{facts}"
    );
    let modules = ["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
    let is_told = modules.iter().any(|module| Path::new(module).exists());
    for fact in ["nested_paging", "unrestricted_guest", "nesting"] {
        assert_eq!(facts[fact].is_boolean(), is_told, "{facts}");
    }
}

fn self_tests_pass() {
    let mut command = Command::new(binary());
    command.args(["info", "--json", "--check"]);
    let output = output_with_input(&mut command, None);
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = info["checks"].as_array().expect("machines");
    let there = Target::ALL
        .iter()
        .filter(|target| target.missing().is_none());
    // And the interpreter.
    assert_eq!(checks.len(), there.count() + 1, "{info}");
    for check in checks {
        assert_eq!(check["passed"], true, "{info}");
        let says = check["says"].as_str().expect("text");
        let tests = says.strip_suffix(" tests, 0 failed").expect("a count");
        assert!(tests.parse::<u32>().is_ok_and(|count| count > 30), "{info}");
    }
    assert_eq!(output.status.code(), Some(0));
}
