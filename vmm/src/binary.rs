//! The program's own file, which constants of the binary can be mapped from again: into the
//! memory of a guest, where they take no time and no memory until they are touched.

use std::fs::File;
use std::slice;
use std::sync::OnceLock;

use libc::{Elf64_Phdr, PT_LOAD, PT_PHDR};
use vm_memory::GuestMemoryError;

use crate::layout::PAGE;
use crate::memory::GuestRam;

/// Where Linux has the running program.
pub const PATH: &str = "/proc/self/exe";

/// The file, and its parts as they are mapped in this process.
struct Binary {
    file: File,
    headers: &'static [Elf64_Phdr],
    /// What is added to the file's addresses.
    base: u64,
}

impl Binary {
    /// `None` if the system does not say where it is.
    fn find() -> Option<Self> {
        // SAFETY: the system maps the table of program headers of the running program, as
        // these entries of the auxiliary vector say (System V ABI, x86-64, 3.4.3), for good.
        let headers = unsafe {
            let start = libc::getauxval(libc::AT_PHDR) as *const Elf64_Phdr;
            let count = libc::getauxval(libc::AT_PHNUM) as usize;
            (!start.is_null()).then(|| slice::from_raw_parts(start, count))?
        };
        let own = headers.iter().find(|header| header.p_type == PT_PHDR)?;
        Some(Self {
            file: File::open(PATH).ok()?,
            headers,
            base: (headers.as_ptr() as u64).wrapping_sub(own.p_vaddr),
        })
    }

    /// Where in the file `bytes` are, if they are a constant of the program.
    fn offset(&self, bytes: &[u8]) -> Option<u64> {
        let address = (bytes.as_ptr() as u64).wrapping_sub(self.base);
        self.headers.iter().find_map(|header| {
            let within = address.checked_sub(header.p_vaddr)?;
            let is_constant = header.p_type == PT_LOAD && header.p_flags & libc::PF_W == 0;
            let fits = within.checked_add(bytes.len() as u64)? <= header.p_filesz;
            (is_constant && fits).then_some(header.p_offset + within)
        })
    }
}

fn binary() -> Option<&'static Binary> {
    static BINARY: OnceLock<Option<Binary>> = OnceLock::new();
    BINARY.get_or_init(Binary::find).as_ref()
}

/// Puts `bytes` into guest memory at `gpa`: whole pages of a constant are mapped, the rest is
/// copied.
///
/// # Errors
/// Not all of the range is RAM.
pub fn place(ram: &GuestRam, gpa: u64, bytes: &[u8]) -> Result<(), GuestMemoryError> {
    let head = (gpa.next_multiple_of(PAGE) - gpa).min(bytes.len() as u64) as usize;
    let pages = bytes[head..].len() / PAGE as usize * PAGE as usize;
    let (first, rest) = bytes.split_at(head);
    let (pages, last) = rest.split_at(pages);
    ram.write(gpa, first)?;
    let start = gpa + head as u64;
    if !is_mapped(ram, start, pages) {
        ram.write(start, pages)?;
    }
    ram.write(start + pages.len() as u64, last)
}

/// Maps whole pages of a constant at `gpa`, if that can be done.
fn is_mapped(ram: &GuestRam, gpa: u64, pages: &[u8]) -> bool {
    let offset = |binary: &Binary| binary.offset(pages).filter(|at| at.is_multiple_of(PAGE));
    match binary().and_then(|binary| Some((&binary.file, offset(binary)?))) {
        Some((file, offset)) if !pages.is_empty() => {
            ram.map(gpa, file, offset, pages.len()).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestAddress};

    use super::{binary, place};
    use crate::bundled::INITRAMFS;
    use crate::memory::GuestRam;

    fn placed(gpa: u64, bytes: &[u8]) -> Vec<u8> {
        let ram = GuestRam::new(8 << 20).expect("address space");
        place(&ram, gpa, bytes).expect("it fits");
        // A guest may write to it, and to what is around it.
        let mut found = vec![0; bytes.len()];
        let read = ram.mmap().read_slice(&mut found, GuestAddress(gpa));
        read.expect("inside RAM");
        ram.write(gpa, b"changed").expect("inside RAM");
        found
    }

    #[test]
    fn constants_are_mapped_and_anything_is_placed() {
        let binary = binary().expect("the system says where");
        let offset = binary.offset(INITRAMFS);
        assert!(offset.is_some_and(|offset| offset.is_multiple_of(4096)));
        assert_eq!(binary.offset(&[0; 9].repeat(2)), None);
        for bytes in [INITRAMFS, &INITRAMFS[5..], &INITRAMFS[..70], &[]] {
            for gpa in [0x1000, 0x1005, 0x1ffb] {
                assert!(placed(gpa, bytes) == bytes, "{gpa:#x}, {}", bytes.len());
                let copy = bytes.to_vec();
                assert!(placed(gpa, &copy) == bytes, "{gpa:#x}, {}", bytes.len());
            }
        }
        let ram = GuestRam::new(1 << 20).expect("address space");
        assert!(place(&ram, 0x1000, INITRAMFS).is_err());
    }
}
