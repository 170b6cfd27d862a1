//! KVM's own counters, from the binary statistics interface.
//!
//! `KVM_GET_STATS_FD` gives a file with a header, descriptors and the values (KVM API
//! document, 4.133). Only single counters are read, not histograms.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use kvm_bindings::{kvm_stats_desc, kvm_stats_header};
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

use crate::CpuError;

ioctl_io_nr!(KVM_GET_STATS_FD, kvm_bindings::KVMIO, 0xce);

const HEADER_LEN: usize = size_of::<kvm_stats_header>();
const DESC_LEN: usize = size_of::<kvm_stats_desc>();
/// More than any kernel has; a bound on what is read.
const MAX_COUNTERS: usize = 4096;

/// The counters of one VM or vCPU.
#[derive(Debug)]
pub struct Stats {
    file: File,
    counters: Vec<Counter>,
    data_offset: u64,
}

#[derive(Debug)]
struct Counter {
    name: String,
    offset: u64,
}

fn unreadable(source: std::io::Error) -> CpuError {
    CpuError::Kvm {
        call: "reading KVM's statistics",
        source,
    }
}

fn field(bytes: &[u8], index: usize) -> u32 {
    let start = index * 4;
    bytes
        .get(start..start + 4)
        .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

impl Stats {
    /// The counters of `owner`, a VM's or vCPU's descriptor; `None` where this host's KVM
    /// has no such interface (before Linux 5.14).
    ///
    /// # Errors
    /// A statistics file that cannot be read.
    pub fn open(owner: &impl AsRawFd) -> Result<Option<Self>, CpuError> {
        // SAFETY: the ioctl takes no argument; a non-negative result is a new descriptor.
        let fd = unsafe { ioctl(owner, KVM_GET_STATS_FD()) };
        if fd < 0 {
            return Ok(None);
        }
        // SAFETY: the kernel just made this descriptor for us and nobody else has it.
        let file = unsafe { File::from_raw_fd(fd) };
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(unreadable)?;
        let [name_size, count, desc_offset, data_offset] =
            [1, 2, 4, 5].map(|index| field(&header, index) as usize);
        let entry_len = DESC_LEN + name_size;
        let mut descriptors = vec![0; entry_len * count.min(MAX_COUNTERS)];
        file.read_exact_at(&mut descriptors, desc_offset as u64)
            .map_err(unreadable)?;
        let counters = descriptors
            .chunks_exact(entry_len)
            .filter_map(Counter::parse)
            .collect();
        Ok(Some(Self {
            file,
            counters,
            data_offset: data_offset as u64,
        }))
    }

    /// Every counter by name, as of now, in KVM's order.
    ///
    /// # Errors
    /// A statistics file that cannot be read.
    pub fn read(&self) -> Result<Vec<(String, u64)>, CpuError> {
        let mut values = Vec::with_capacity(self.counters.len());
        for counter in &self.counters {
            let mut value = [0; 8];
            self.file
                .read_exact_at(&mut value, self.data_offset + counter.offset)
                .map_err(unreadable)?;
            values.push((counter.name.clone(), u64::from_le_bytes(value)));
        }
        Ok(values)
    }
}

impl Counter {
    /// One descriptor and the name after it; `None` for a histogram.
    fn parse(entry: &[u8]) -> Option<Self> {
        // Layout of kvm_stats_desc: flags u32, exponent i16, size u16, offset u32,
        // bucket_size u32, name.
        let size = field(entry, 1) >> 16;
        if size != 1 {
            return None;
        }
        let name = entry.get(DESC_LEN..)?.split(|&byte| byte == 0).next()?;
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            offset: u64::from(field(entry, 2)),
        })
    }
}
