//! Directories are made, listed, entered and removed (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    // It may be there already.
    let _ = file::make_directory(c"/tmp");
    let mut buffer = [0; 64];
    println!("make: {:?}", file::make_directory(c"/tmp/dirs"));
    println!("make again: {:?}", file::make_directory(c"/tmp/dirs"));
    println!(
        "make below nothing: {:?}",
        file::make_directory(c"/tmp/none/x")
    );
    println!("enter: {:?}", file::change_directory(c"/tmp/dirs"));
    println!("here: {:?}", file::current_directory(&mut buffer));
    file::make_directory(c"inner").expect("room");
    for name in [c"a", c"b", c"inner/c"] {
        let fd = file::open(name, O_WRONLY | O_CREAT).expect("a new file");
        file::close(fd).expect("it was open");
    }
    count(c".");
    count(c"inner");
    count(c"inner/..");
    println!("into a file: {:?}", file::change_directory(c"a"));
    println!("through a file: {:?}", file::open(c"a/x", O_RDONLY).err());
    println!(
        "write a directory: {:?}",
        file::open(c"inner", O_WRONLY).err()
    );
    println!(
        "remove what is not empty: {:?}",
        file::remove_directory(c"inner")
    );
    println!("unlink a directory: {:?}", file::unlink(c"inner").is_err());
    let child = process::spawn(|| u8::from(file::change_directory(c"inner").is_err()));
    process::wait(child.expect("a child")).expect("it ended");
    println!(
        "after a child went elsewhere: {:?}",
        file::current_directory(&mut buffer)
    );
    for name in [c"a", c"b", c"inner/c"] {
        file::unlink(name).expect("it was there");
    }
    file::remove_directory(c"inner").expect("it is empty");
    file::change_directory(c"/").expect("it is there");
    println!("remove: {:?}", file::remove_directory(c"/tmp/dirs"));
    println!("enter: {:?}", file::change_directory(c"/tmp/dirs"));
    0
}

fn count(path: &core::ffi::CStr) {
    let fd = file::open(path, O_RDONLY | O_DIRECTORY).expect("it is there");
    let (mut names, mut letters) = (0, 0);
    file::for_each_name(fd, |name| {
        names += 1;
        letters += name.count_bytes();
    })
    .expect("a directory");
    file::close(fd).expect("it was open");
    println!("{path:?} has {names} names of {letters} letters");
}
