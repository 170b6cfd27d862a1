//! Lists a directory (the working one) by name; directories end with a slash (R22).

#![no_std]
#![no_main]

use core::ffi::CStr;

use guest_user::file::{self, O_DIRECTORY, O_RDONLY};
use guest_user::path::Path;
use guest_user::syscall::Result;
use guest_user::{Arguments, io, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let path = arguments.c_strings().nth(1).unwrap_or(c".");
    match list(path) {
        Ok(()) => 0,
        Err(error) => {
            io::print(io::STDERR, format_args!("ls: {path:?}: {error:?}\n"));
            1
        }
    }
}

/// Without a heap to sort in, looks for the next name in order until there is none.
fn list(path: &CStr) -> Result<()> {
    let text = path.to_str().unwrap_or("?");
    let mut last = Path::new(format_args!(""));
    loop {
        let mut next: Option<Path> = None;
        let directory = file::open(path, O_RDONLY | O_DIRECTORY)?;
        file::for_each_name(directory, |name| {
            let sooner = |next: &Path| name < next.as_c_str();
            if name > last.as_c_str() && next.as_ref().is_none_or(sooner) {
                next = name
                    .to_str()
                    .ok()
                    .map(|name| Path::new(format_args!("{name}")));
            }
        })?;
        file::close(directory)?;
        let Some(name) = next else {
            return Ok(());
        };
        let shown = name.as_c_str().to_str().unwrap_or("?");
        let entry = Path::new(format_args!("{text}/{shown}"));
        // Nothing else can be opened as one; a device perhaps not at all.
        let slash = match file::open(entry.as_c_str(), O_RDONLY | O_DIRECTORY) {
            Ok(directory) => file::close(directory).map(|()| "/")?,
            Err(_) => "",
        };
        println!("{shown}{slash}");
        last = name;
    }
}
