//! Lists processes: number, parent, state and name, as /proc tells them (R14).

#![no_std]
#![no_main]

use core::ffi::CStr;

use guest_user::file::{self, O_DIRECTORY, O_RDONLY};
use guest_user::path::Path;
use guest_user::syscall::Result;
use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let Ok(directory) = file::open(c"/proc", O_RDONLY | O_DIRECTORY) else {
        println!("ps: there is no /proc");
        return 1;
    };
    println!("{:>5} {:>5} {} {}", "pid", "ppid", "s", "name");
    let mut status = 0;
    let listed = file::for_each_name(directory, |name| {
        if name.to_bytes().first().is_some_and(u8::is_ascii_digit) {
            // A process may end meanwhile.
            let _ = show(name);
        }
    });
    if listed.is_err() {
        status = 1;
    }
    status
}

fn show(pid: &CStr) -> Result<()> {
    let number = pid.to_str().unwrap_or("?");
    let path = Path::new(format_args!("/proc/{number}/stat"));
    let file = file::open(path.as_c_str(), O_RDONLY)?;
    let mut buffer = [0; 512];
    let filled = file::read_full(file, &mut buffer)?;
    file::close(file)?;
    let text = core::str::from_utf8(&buffer[..filled]).unwrap_or("");
    // "1 (init) S 0 ...": a name may hold anything, so its last bracket ends it.
    if let (Some(start), Some(end)) = (text.find('('), text.rfind(')')) {
        let mut fields = text[end + 1..].split_ascii_whitespace();
        let (state, parent) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("?"));
        println!("{number:>5} {parent:>5} {state} {}", &text[start + 1..end]);
    }
    Ok(())
}
