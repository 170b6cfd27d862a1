//! The guest images that the binary carries: the kernel and every program of
//! `guest-user/src/bin`, built by `build.rs`.
//!
//! The programs lie in an archive that is made when the VMM is built: making it took a
//! fifth of a short run's time when every run did that.

use crate::boot::Initramfs;

/// A guest program.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its name: that of its source file, and of its file in the guest's `/bin`.
    pub name: &'static str,
    /// What it shows: the first paragraph of its documentation.
    pub about: &'static str,
    /// The static ELF executable.
    pub elf: &'static [u8],
}

/// What has made the kernel and the programs: how many instructions they take depends on it.
pub const COMPILER: &str = env!("RINGFENCE_COMPILER");

/// Where the guest has its programs.
pub(crate) const FOLDER: &str = "bin";

/// A file that starts with a page in the binary, so that its pages can be mapped.
#[repr(C, align(4096))]
struct Aligned<const LEN: usize>([u8; LEN]);

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// A part of [`INITRAMFS`].
const fn part(start: usize, len: usize) -> &'static [u8] {
    INITRAMFS.split_at(start).1.split_at(len).0
}

/// The bundled program with this name.
pub fn program(name: &str) -> Option<&'static Program> {
    let index = PROGRAMS.binary_search_by_key(&name, |program| program.name);
    index.ok().map(|index| &PROGRAMS[index])
}

/// What goes before and after the contents of a first file, `len` bytes long, so that the
/// three make up an archive that another can follow at once: the kernel finds the file
/// without a search, and it hides a later one at that `path` (from the root).
pub fn around_first(path: &str, len: usize) -> (Vec<u8>, Vec<u8>) {
    let mut archive = Initramfs::new();
    archive.directory(FOLDER);
    archive.before_executable(path.trim_start_matches('/'), len);
    let before = archive.take();
    (before, archive.finish_before_another(FOLDER))
}

#[cfg(test)]
mod tests {
    use super::{KERNEL, PROGRAMS, program};

    const ELF_MAGIC: &[u8] = b"\x7fELF";

    #[test]
    fn every_image_is_an_elf_and_every_program_is_found() {
        assert!(KERNEL.starts_with(ELF_MAGIC));
        for each in PROGRAMS {
            assert!(each.elf.starts_with(ELF_MAGIC), "{}", each.name);
            assert!(!each.about.is_empty(), "{}", each.name);
            assert_eq!(program(each.name).map(|p| p.name), Some(each.name));
        }
        assert!(program("no such program").is_none());
    }
}
