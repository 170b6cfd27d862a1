//! What a host's KVM says of itself, for whoever owns the host.

use std::arch::x86_64::__cpuid;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::host::{KvmHost, MODULES, NEEDED, WELCOME};

/// Modules of hardware KVM.
const KINDS: [&str; 2] = ["kvm_intel", "kvm_amd"];

/// The facts. What `/sys` does not say is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KvmFacts {
    /// Of the processor, as CPUID leaf 0 has it.
    pub vendor: String,
    /// Whether the processor walks two sets of page tables (Intel's EPT, AMD's NPT).
    pub nested_paging: Option<bool>,
    /// Whether code without paging runs on the processor; AMD's always does.
    pub unrestricted_guest: Option<bool>,
    /// Whether the processor has local APICs for guests (Intel's APICv, AMD's AVIC).
    pub virtual_apic: Option<bool>,
    /// Whether guests can have KVM in turn.
    pub nesting: Option<bool>,
    /// Whether it has the capabilities that Ringfence or a guest uses, and some others.
    pub capabilities: BTreeMap<&'static str, bool>,
}

impl KvmFacts {
    /// Those of `host`.
    pub fn of(host: &KvmHost) -> Self {
        let module = KINDS.map(|name| Path::new(MODULES).join(name));
        let is_amd = module[1].exists();
        let says = |names: &[&str]| {
            let files = names.iter().flat_map(|name| {
                let path = |module: &Path| module.join("parameters").join(name);
                module.each_ref().map(|module| path(module))
            });
            let text = files
                .filter_map(|path| fs::read_to_string(path).ok())
                .next()?;
            Some(matches!(text.trim(), "Y" | "1"))
        };
        Self {
            vendor: vendor(),
            nested_paging: says(&["ept", "npt"]),
            unrestricted_guest: says(&["unrestricted_guest"]).or(is_amd.then_some(true)),
            virtual_apic: says(&["enable_apicv", "avic"]),
            nesting: says(&["nested"]),
            capabilities: NEEDED
                .iter()
                .chain(&WELCOME)
                .map(|&(number, name)| (name, host.has(number)))
                .collect(),
        }
    }
}

fn vendor() -> String {
    let leaf = __cpuid(0);
    let bytes = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
    String::from_utf8_lossy(bytes.as_flattened()).into_owned()
}
