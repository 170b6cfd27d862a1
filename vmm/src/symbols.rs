//! Names of addresses in a guest's code, from the symbol tables of its ELF images.

use elf::ElfBytes;
use elf::abi::{PT_LOAD, SHN_ABS, STT_FUNC, STT_NOTYPE};
use elf::endian::LittleEndian;
use rustc_demangle::demangle;

/// Characters of a name that are kept: there is no limit to what a file may have.
const NAME_LEN: usize = 200;
/// Bytes after a symbol of unknown size that are still its own.
const REACH: u64 = 64 << 10;

/// The symbols and code of an ELF image.
pub struct Image<'a> {
    file: ElfBytes<'a, LittleEndian>,
    bytes: &'a [u8],
}

/// A place in a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function's name, demangled if it is Rust's.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
}

impl<'a> Image<'a> {
    /// `None` if it is no ELF image that can be read.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let file = ElfBytes::minimal_parse(bytes).ok()?;
        Some(Self { file, bytes })
    }

    /// The function that `address` is in.
    pub fn place(&self, address: u64) -> Option<Place> {
        let (symbols, names) = self.file.symbol_table().ok()??;
        let functions = symbols.iter().filter(|symbol| {
            let is_number = symbol.is_undefined() || symbol.st_shndx == SHN_ABS;
            matches!(symbol.st_symtype(), STT_FUNC | STT_NOTYPE) && !is_number
        });
        let around = functions.filter(|symbol| {
            let len = match symbol.st_size {
                0 => REACH,
                size => size,
            };
            address
                .checked_sub(symbol.st_value)
                .is_some_and(|offset| offset < len)
        });
        let nearest = around.max_by_key(|symbol| (symbol.st_value, symbol.st_size))?;
        let name = names.get(nearest.st_name as usize).ok()?;
        let name = format!("{:#}", demangle(name));
        Some(Place {
            name: name.chars().take(NAME_LEN).collect(),
            offset: address - nearest.st_value,
        })
    }

    /// Whether the image has `code` at `address`, where its own headers say.
    pub fn has(&self, address: u64, code: &[u8]) -> bool {
        let loaded = self
            .file
            .segments()
            .into_iter()
            .flat_map(|table| table.iter());
        let mut loaded = loaded.filter(|segment| segment.p_type == PT_LOAD);
        loaded.any(|segment| {
            let at = address.checked_sub(segment.p_vaddr);
            let at = at.filter(|&offset| offset < segment.p_filesz);
            let at = at.and_then(|offset| segment.p_offset.checked_add(offset));
            let at = at.and_then(|offset| usize::try_from(offset).ok());
            let rest = at.and_then(|offset| self.bytes.get(offset..));
            rest.is_some_and(|rest| rest.starts_with(code))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, Place};
    use crate::bundled;

    #[test]
    fn functions_of_the_kernel_have_names() {
        let kernel = Image::parse(bundled::KERNEL).expect("it is an ELF image");
        let entry = kernel.file.ehdr.e_entry;
        let place = kernel.place(entry).expect("the entry has a symbol");
        assert_eq!(place.offset, 0);
        let later = kernel.place(entry + 1).expect("it goes on");
        let name = place.name;
        assert_eq!(later, Place { name, offset: 1 });
        assert_eq!(kernel.place(0), None);
        assert_eq!(kernel.place(u64::MAX), None);
    }

    #[test]
    fn code_is_recognized_where_it_belongs() {
        let hello = bundled::program("hello").expect("it is bundled");
        let image = Image::parse(hello.elf).expect("it is an ELF image");
        let entry = image.file.ehdr.e_entry;
        assert!(image.has(entry, &[]));
        assert!(!image.has(entry, &[0xff; 15]));
        assert!(!image.has(u64::MAX, &[]));
    }

    #[test]
    fn what_is_no_image_has_none() {
        assert!(Image::parse(b"#!/bin/sh").is_none());
        assert!(Image::parse(&bundled::KERNEL[..70]).is_none());
    }
}
