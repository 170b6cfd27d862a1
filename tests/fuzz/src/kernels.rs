//! Kernels and programs that are no good: ELF for PVH, bzImage, ELF of a program. What is loaded
//! lies in RAM, and so does what tells a kernel of its machine.

use vmm::boot::elf::Executable;
use vmm::boot::{BootInfo, Entry, load_kernel, write_boot_info};
use vmm::memory::GuestRam;

const RAM: u64 = 8 << 20;

pub fn run(data: &[u8]) {
    if let Ok(program) = Executable::parse(data) {
        for (_, bytes) in program.loaded() {
            assert!(bytes.len() <= data.len());
        }
    }
    let ram = GuestRam::new(RAM).expect("memory");
    let Ok(kernel) = load_kernel(&ram, data) else {
        return;
    };
    assert!(kernel.end <= RAM);
    for place in [kernel.shared_page, kernel.trace_ring]
        .into_iter()
        .flatten()
    {
        assert!(place < RAM);
    }
    let state = kernel.entry.state();
    if let Entry::Pvh(entry) = kernel.entry {
        assert_eq!(state.regs.rip, u64::from(entry));
    }
    let info = BootInfo {
        command_line: b"quiet",
        initramfs: &[b"0707", b"01"],
        acpi: data.len().is_multiple_of(2),
        cpus: 2,
        virtio: true,
    };
    // RAM may be full of the kernel.
    let _ = write_boot_info(&ram, &kernel, &info);
}
