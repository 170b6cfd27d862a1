//! ELF files made for tests: the smallest static program, and ways to spoil it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const ADDRESS: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;

/// Where fields of the ELF header lie.
pub const E_TYPE: usize = 16;
/// The machine: 62 is x86-64.
pub const E_MACHINE: usize = 18;

/// What kind of segment the first program header is of.
pub const P_TYPE: usize = 64;

/// A static x86-64 program that exits with `status`.
pub fn program(status: u8) -> Vec<u8> {
    #[rustfmt::skip]
    let code = [
        0xb8, 60, 0, 0, 0,         // mov eax, 60 (exit)
        0xbf, status, 0, 0, 0,     // mov edi, status
        0x0f, 0x05,                // syscall
    ];
    executable(&code)
}

/// Where the code of a program lies.
pub const PROGRAM_CODE: u64 = ADDRESS + HEADERS as u64;

/// A static x86-64 program of this code.
pub fn executable(code: &[u8]) -> Vec<u8> {
    let mut file = header(PROGRAM_CODE, 1);
    let size = (HEADERS + code.len()) as u64;
    segment(&mut file, 1, 0, ADDRESS, size);
    file.extend(code);
    file
}

/// Where a kernel's file lies in guest memory.
pub const KERNEL_LOAD: u64 = 0x10_0000;
/// Where its code lies, behind the headers.
pub const KERNEL_ENTRY: u64 = KERNEL_LOAD + (KERNEL_HEADERS + NOTE_LEN) as u64;
const KERNEL_HEADERS: usize = 64 + 2 * 56;
const NOTE_LEN: usize = 12 + 4 + 4;

/// A PVH kernel of this 32-bit code.
pub fn kernel(code: &[u8]) -> Vec<u8> {
    let mut file = header(KERNEL_ENTRY, 2);
    let size = (KERNEL_HEADERS + NOTE_LEN + code.len()) as u64;
    segment(&mut file, 1, 0, KERNEL_LOAD, size);
    let note = KERNEL_HEADERS as u64;
    segment(&mut file, 4, note, KERNEL_LOAD + note, NOTE_LEN as u64);
    for value in [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), KERNEL_ENTRY as u32] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// An ELF header with so many program headers after it: executable, x86-64.
fn header(entry: u64, program_headers: u16) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(E_TYPE, 0);
    for half in [2u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for long in [entry, 64, 0] {
        file.extend(long.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64, 56, program_headers, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file
}

/// Adds a program header of a readable and executable segment.
fn segment(file: &mut Vec<u8>, kind: u32, offset: u64, address: u64, size: u64) {
    for word in [kind, 5] {
        file.extend(word.to_le_bytes());
    }
    for long in [offset, address, address, size, size, 4] {
        file.extend(long.to_le_bytes());
    }
}

/// A file that is removed at the end of the test.
#[derive(Debug)]
pub struct TempFile(PathBuf);

impl TempFile {
    /// A file with these bytes, whose name ends in `name`.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringfence-{}-{count}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("the temporary folder can be written");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // It exists: `new` made it.
        let _ = fs::remove_file(&self.0);
    }
}
