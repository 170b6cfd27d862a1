//! Files are made, written, read, sought in, renamed and removed; errors say why not (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use guest_user::file::{SEEK_CUR, SEEK_END, SEEK_SET};
use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    // It may be there already.
    let _ = file::make_directory(c"/tmp");
    let (path, other) = (c"/tmp/files", c"/tmp/files.renamed");
    println!("missing: {:?}", file::open(path, O_RDONLY).err());
    let fd = file::open(path, O_RDWR | O_CREAT | O_EXCL).expect("a new file");
    println!(
        "exists: {:?}",
        file::open(path, O_RDWR | O_CREAT | O_EXCL).err()
    );
    println!("write: {:?}", file::write_all(fd, b"0123456789"));
    println!("offset: {:?}", file::seek(fd, 0, SEEK_CUR));
    println!("at the end: {:?}", file::read(fd, &mut [0; 4]));
    println!(
        "seek to -3 from the end: {:?}",
        file::seek(fd, -3, SEEK_END)
    );
    show("read", fd);
    println!("seek before the start: {:?}", file::seek(fd, -1, SEEK_SET));
    println!("seek past the end: {:?}", file::seek(fd, 12, SEEK_SET));
    println!("write there: {:?}", file::write_all(fd, b"ab"));
    println!("size: {:?}", file::stat(fd).map(|stat| stat.st_size));
    println!("back: {:?}", file::seek(fd, 8, SEEK_SET));
    show("zeros between", fd);
    println!("rename: {:?}", file::rename(path, other));
    println!("old name: {:?}", file::open(path, O_RDONLY).err());
    let append = file::open(other, O_WRONLY | O_APPEND).expect("it is there");
    println!("append: {:?}", file::write_all(append, b"!"));
    println!(
        "read what is open to write: {:?}",
        file::read(append, &mut [0])
    );
    println!("size: {:?}", file::stat(fd).map(|stat| stat.st_size));
    println!("unlink: {:?}", file::unlink(other));
    file::seek(fd, 0, SEEK_SET).expect("a file");
    show("still open", fd);
    println!("close: {:?}", file::close(fd));
    println!("close again: {:?}", file::close(fd));
    file::close(append).expect("it was open");
    let truncated = file::open(path, O_RDWR | O_CREAT | O_TRUNC).expect("a new file");
    println!("new: {:?}", file::stat(truncated).map(|stat| stat.st_size));
    file::close(truncated).expect("it was open");
    println!(
        "unlink: {:?}, again: {:?}",
        file::unlink(path),
        file::unlink(path)
    );
    0
}

fn show(what: &str, fd: file::Fd) {
    let mut text = [0; 64];
    let result = file::read_full(fd, &mut text);
    println!(
        "{what}: {:?}",
        result.map(|count| core::str::from_utf8(&text[..count]))
    );
}
