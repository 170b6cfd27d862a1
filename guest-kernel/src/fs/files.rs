//! File descriptors: small numbers that stand for open files.

/// Descriptors that a process can have.
const LIMIT: usize = 16;

/// What a descriptor can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFile {
    /// The serial console. Numbered from 1 so that no file is all zeros: unused tables
    /// then take no room in the image.
    Console = 1,
}

/// One process's descriptors.
pub struct FileTable {
    files: [Option<OpenFile>; LIMIT],
}

impl FileTable {
    /// No open files.
    pub const EMPTY: Self = Self {
        files: [None; LIMIT],
    };

    /// Standard input, output and error on the console.
    pub const fn standard() -> Self {
        let mut table = Self::EMPTY;
        let mut fd = 0;
        while fd < 3 {
            table.files[fd] = Some(OpenFile::Console);
            fd += 1;
        }
        table
    }

    /// What `fd` stands for, if anything.
    pub fn get(&self, fd: u64) -> Option<OpenFile> {
        let index = usize::try_from(fd).ok()?;
        *self.files.get(index)?
    }
}

#[cfg(test)]
mod tests {
    use super::{FileTable, OpenFile};

    #[test]
    fn three_descriptors_are_open_at_first() {
        let table = FileTable::standard();
        assert_eq!(table.get(2), Some(OpenFile::Console));
        for fd in [3, 15, 16, u64::MAX] {
            assert_eq!(table.get(fd), None);
        }
    }
}
