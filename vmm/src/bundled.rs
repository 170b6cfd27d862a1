//! The guest images that the binary carries: the kernel and every program of
//! `guest-user/src/bin`, built by `build.rs`.

use crate::boot::Initramfs;
use crate::program;

/// A guest program.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its name: that of its source file, and of its file in the guest's `/bin`.
    pub name: &'static str,
    /// What it shows: the first line of its documentation.
    pub about: &'static str,
    /// The static ELF executable.
    pub elf: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The bundled program with this name.
pub fn program(name: &str) -> Option<&'static Program> {
    let index = PROGRAMS.binary_search_by_key(&name, |program| program.name);
    index.ok().map(|index| &PROGRAMS[index])
}

/// An initramfs with every bundled program in `/bin`, and with `first` before them, so that
/// the kernel finds it at once; it hides a bundled program of its name.
pub fn initramfs(first: Option<&program::Program>) -> Vec<u8> {
    let mut initramfs = Initramfs::new();
    initramfs.directory("bin");
    if let Some(first) = first {
        initramfs.executable(&format!("bin/{}", first.name), &first.elf);
    }
    let hidden = first.map(|first| first.name.as_str());
    for other in PROGRAMS.iter().filter(|other| Some(other.name) != hidden) {
        initramfs.executable(&format!("bin/{}", other.name), other.elf);
    }
    initramfs.finish()
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
