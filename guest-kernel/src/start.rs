//! From the boot code to the first process.

use core::fmt;

use crate::arch::pvh::BootInfo;
use crate::arch::trap::UserContext;
use crate::arch::{boot, clock};
use crate::command_line::CommandLine;
use crate::fs::{FileTable, initramfs};
use crate::proc::arguments::{Arguments, TooLong};
use crate::proc::elf::Elf;
use crate::proc::process::{self, Name, Process, last_component};
use crate::proc::{program, scheduler};
use crate::{mm, ring3, shared, syscall};

/// What every first process finds in its environment.
const ENVIRONMENT: [&[u8]; 2] = [b"PATH=/bin", b"HOME=/"];

/// Runs the machine. Called once, on the boot stack, with descriptors loaded and nothing
/// else done.
pub fn start(info: &BootInfo) -> ! {
    shared::publish();
    let options = CommandLine::parse(info.command_line);
    mm::start(info, options.ram_contents);
    boot::enable_cpu(&options);
    syscall::time::set_realtime(options.realtime_ns);
    let (process, context) = first_process(info, &options);
    scheduler::start(options.tick_ns);
    shared::enter_ring_3(clock::counter());
    process.start(context, ring3::serve)
}

/// Loads init, as the only process, and makes its address space the current one.
fn first_process(info: &BootInfo, options: &CommandLine) -> (&'static Process, UserContext) {
    let path = options.init;
    let fail = |what: &dyn fmt::Debug| -> ! { panic!("{}: {what:?}", path.escape_ascii()) };
    let file = initramfs::find(info.initramfs, path);
    let file = file.unwrap_or_else(|| fail(&"not in the initramfs"));
    let elf = Elf::parse(file).unwrap_or_else(|error| fail(&error));
    let space = program::load(elf).unwrap_or_else(|error| fail(&error));
    let process = process::spawn(Name::of(path), space, FileTable::standard());
    let process = process.unwrap_or_else(|error| fail(&error));
    let arguments = arguments(options).unwrap_or_else(|error| fail(&error));
    let start = program::build_stack(&mut process.space(), elf, &arguments);
    let start = start.unwrap_or_else(|error| fail(&error));
    (process, UserContext::new(start.entry, start.stack))
}

/// Init's arguments: its name as a shell would have it, then what the command line says.
fn arguments(options: &CommandLine) -> Result<Arguments, TooLong> {
    let mut arguments = Arguments::new().ok_or(TooLong)?;
    arguments.push_argument(last_component(options.init).iter().copied())?;
    for word in options.arguments() {
        arguments.push_argument(word.bytes())?;
    }
    for string in ENVIRONMENT {
        arguments.push_environment(string)?;
    }
    Ok(arguments)
}
