//! Archives for tests, here and of the kernel.

/// An archive of files with these names, modes and contents.
pub fn archive(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, contents) in files.iter().chain(&[("TRAILER!!!", 0, &[][..])]) {
        let (size, name_size) = (contents.len(), name.len() + 1);
        let header = format!(
            "070701{:08x}{mode:08x}{:032x}{size:08x}{:032x}{name_size:08x}{:08x}",
            0, 0, 0, 0
        );
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// An entry of an archive, with owner 100:200, changed 1,000,000,000 s after 1970, and with
/// this link count, number and disk.
pub fn with_fields(
    (name, mode, contents): (&str, u32, &[u8]),
    links: u32,
    [node, major, minor]: [u32; 3],
) -> Vec<u8> {
    let mut entry = archive(&[(name, mode, contents)]);
    entry.truncate(entry.len() - archive(&[]).len());
    for (field, value) in [
        (0, node),
        (2, 100),
        (3, 200),
        (4, links),
        (5, 1_000_000_000),
    ] {
        put(&mut entry, field, value);
    }
    put(&mut entry, 7, major);
    put(&mut entry, 8, minor);
    entry
}

fn put(entry: &mut [u8], field: usize, value: u32) {
    entry[6 + 8 * field..][..8].copy_from_slice(format!("{value:08x}").as_bytes());
}
