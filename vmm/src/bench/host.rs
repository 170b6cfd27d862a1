//! The host that figures depend on: recorded beside them.

use std::fs;
use std::thread;

use serde::Serialize;

use crate::cpu::HostKind;
use crate::cpu::kvm::KvmHost;

/// The host.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// The processor's model; null if Linux does not say.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cpus: usize,
    /// The release of the host's kernel.
    pub kernel: Option<String>,
    /// What is behind KVM; null where there is none.
    pub kvm: Option<HostKind>,
}

impl Host {
    /// This one.
    pub fn here() -> Self {
        let cpus = thread::available_parallelism();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: fs::read_to_string("/proc/cpuinfo")
                .ok()
                .and_then(|text| model(&text)),
            cpus: cpus.map_or(1, Into::into),
            kernel: kernel.map(|text| text.trim().to_owned()),
            kvm: KvmHost::open().ok().map(|host| host.kind()),
        }
    }
}

/// The first model in `/proc/cpuinfo`.
fn model(cpuinfo: &str) -> Option<String> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn the_model_is_what_linux_says() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Another\n";
        assert_eq!(model(text).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
