//! The initramfs: a cpio archive in the "newc" format (Linux:
//! Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Contents of a page or more start with a page, by zeros after the name as Linux's
//! `gen_init_cpio -a` puts them there: a kernel can map such a file where it lies.
//!
//! `build.rs` compiles this file too, for the archive of all bundled programs.

use abi::virtual_map::PAGE_SIZE;

const ALIGN: usize = 4;
const HEADER_SIZE: usize = 110;
const PAGE: usize = PAGE_SIZE as usize;
const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const TRAILER: &str = "TRAILER!!!";

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Initramfs {
    archive: Vec<u8>,
    /// Bytes that come before `archive`.
    taken: usize,
    /// Bytes that are to follow `archive` next.
    expected: usize,
    entries: u32,
}

impl Initramfs {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; `path` has no leading slash.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[], ALIGN);
    }

    /// Adds an executable file and says at which offset of the archive its contents lie;
    /// `path` has no leading slash.
    pub fn executable(&mut self, path: &str, contents: &[u8]) -> usize {
        let align = if contents.len() < PAGE { ALIGN } else { PAGE };
        self.entry(path, EXECUTABLE, contents, align)
    }

    /// Adds all of an executable file but its contents, which will have `len` bytes and
    /// come next, after what [`take`](Self::take) gives.
    pub fn before_executable(&mut self, path: &str, len: usize) {
        let align = if len < PAGE { ALIGN } else { PAGE };
        self.header(path, EXECUTABLE, len, align);
        self.expected = len;
    }

    /// The archive so far, which contents that were announced follow.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken += self.archive.len() + self.expected;
        let before = std::mem::take(&mut self.archive);
        self.expected = 0;
        self.pad(self.len().next_multiple_of(ALIGN));
        before
    }

    /// The archive with its end marker.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[], ALIGN);
        self.archive
    }

    /// The archive so far, some pages long, for another one to follow at once: files of
    /// that one which are in this one too are hidden. Adds directory `path`, which may be
    /// there already, to fill the last page.
    pub fn finish_before_another(mut self, path: &str) -> Vec<u8> {
        self.entry(path, DIRECTORY, &[], PAGE);
        self.archive
    }

    /// Adds an entry whose contents start with a multiple of `align`, and returns that.
    fn entry(&mut self, path: &str, mode: u32, contents: &[u8], align: usize) -> usize {
        let start = self.header(path, mode, contents.len(), align);
        self.archive.extend_from_slice(contents);
        self.pad(self.len().next_multiple_of(ALIGN));
        start
    }

    /// Adds what goes before `size` bytes of contents that start with a multiple of
    /// `align`, and returns that.
    fn header(&mut self, path: &str, mode: u32, size: usize, align: usize) -> usize {
        self.entries += 1;
        let links = 1;
        let name_start = self.len() + HEADER_SIZE;
        let name_end = name_start + path.len() + 1;
        let contents_start = name_end.next_multiple_of(align);
        // More zeros than the format has after a name count as the name's.
        let name_end = if align > ALIGN {
            contents_start
        } else {
            name_end
        };
        let name_size = (name_end - name_start) as u32;
        // Inode, mode, uid, gid, links, mtime, size, device and special device as major
        // and minor, size of the name with its zero, checksum (unused).
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size as u32,
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
        self.pad(contents_start);
        contents_start
    }

    /// Bytes of the archive so far.
    fn len(&self) -> usize {
        self.taken + self.archive.len()
    }

    /// Adds zeros up to `len` bytes.
    fn pad(&mut self, len: usize) {
        self.archive.resize(len - self.taken, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;

    #[test]
    fn large_contents_start_with_a_page() {
        let mut initramfs = Initramfs::new();
        initramfs.directory("bin");
        initramfs.executable("bin/x", &[b'x'; 4096]);
        initramfs.executable("bin/y", &[b'y'; 4097]);
        let archive = initramfs.finish();
        assert!(archive[4096..8192].iter().all(|&byte| byte == b'x'));
        // The header of x is at 116, that of y at 8192.
        assert_eq!(&archive[116 + 94..116 + 102], b"00000F1E");
        assert_eq!(archive[116 + 110..116 + 116], *b"bin/x\0");
        assert_eq!(&archive[8192 + 110..8192 + 116], b"bin/y\0");
        assert!(archive[12288..16385].iter().all(|&byte| byte == b'y'));
        assert_eq!(archive.len() % 4, 0);
    }

    #[test]
    fn an_archive_can_go_before_another() {
        let mut initramfs = Initramfs::new();
        initramfs.directory("bin");
        let start = initramfs.executable("bin/x", &[b'x'; 5000]);
        assert_eq!(start, 4096);
        let head = initramfs.finish_before_another("bin");
        assert_eq!(head.len(), 12288);
        // After the contents, the header of the directory, whose name fills the page.
        assert_eq!(&head[9096..9102], b"070701");
        assert_eq!(
            &head[9096 + 94..9096 + 102],
            format!("{:08X}", 12288 - 9206).as_bytes()
        );
        assert_eq!(&head[9206..9211], b"bin\0\0");
    }

    #[test]
    fn contents_may_lie_elsewhere() {
        for len in [0, 5, 5000] {
            let contents = vec![b'x'; len];
            let mut whole = Initramfs::new();
            whole.executable("bin/x", &contents);
            let mut parts = Initramfs::new();
            parts.before_executable("bin/x", len);
            let before = parts.take();
            let after = parts.finish_before_another("bin");
            let joined = [before, contents, after].concat();
            assert_eq!(joined, whole.finish_before_another("bin"));
        }
    }

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
