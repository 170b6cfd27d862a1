//! The initramfs: a cpio archive in the "newc" format (Linux:
//! Documentation/driver-api/early-userspace/buffer-format.rst).

const ALIGN: usize = 4;
const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const TRAILER: &str = "TRAILER!!!";

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Initramfs {
    archive: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; `path` has no leading slash.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[]);
    }

    /// Adds an executable file; `path` has no leading slash.
    pub fn executable(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, EXECUTABLE, contents);
    }

    /// The archive with its end marker.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.archive
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let links = 1;
        let size = contents.len() as u32;
        let name_size = path.len() as u32 + 1;
        // Inode, mode, uid, gid, links, mtime, size, device and special device as major
        // and minor, size of the name with its zero, checksum (unused).
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.archive.extend_from_slice(b"070701");
        for field in fields {
            self.archive
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.archive.extend_from_slice(path.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive
            .resize(self.archive.len().next_multiple_of(ALIGN), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;

    #[test]
    fn headers_and_contents_are_aligned() {
        let mut initramfs = Initramfs::new();
        initramfs.directory("bin");
        initramfs.executable("bin/x", b"hello");
        let archive = initramfs.finish();
        assert_eq!(archive.len() % 4, 0);
        // 110 bytes of header, "bin\0", 2 bytes to the next multiple of four.
        let file = &archive[116..];
        assert_eq!(&file[..6], b"070701");
        assert_eq!(&file[14..22], b"000081ED");
        assert_eq!(&file[54..62], b"00000005");
        assert_eq!(&file[110..121], b"bin/x\0hello");
        assert!(archive.windows(10).any(|bytes| bytes == b"TRAILER!!!"));
    }
}
