//! From the boot code to the first process.

use core::fmt;

use abi::words::Word;
use abi::{Errno, ports};
use arch::log::Log;
use arch::pvh::BootInfo;
use arch::trap::UserContext;
use arch::{boot, clock, log_line, shared, startup};
use devices::virtio_console;
use formats::command_line::{CommandLine, Files};
use formats::elf::Elf;
use formats::initramfs;
use mm::address_space::{MemoryLimits, STACK_LIMIT};
use mm::{FilePages, Shared, kernel_stacks};

use crate::fs::mount::Location;
use crate::fs::path::{Links, Start};
use crate::fs::{self, FileTable, Surroundings, calls, ramfs, running, standard, terminal};
use crate::proc::arguments::ProgramArguments;
use crate::proc::credentials::{Ids, Rights};
use crate::proc::current;
use crate::proc::limits::{Limit, Limits};
use crate::proc::process::{INIT, Name, last_component};
use crate::proc::program::{self, Image};
use crate::proc::scheduler;
use crate::proc::script::Interpreters;
use crate::proc::spawn::{self, First};
use crate::proc::system::{self, Names};
use crate::ring3;
use crate::saving;
use crate::syscall::{self, execute};

/// Longest path of init.
const PATH_MAX: usize = linux_raw_sys::general::PATH_MAX as usize;

/// What every first process finds in its environment.
const ENVIRONMENT: [&[u8]; 2] = [b"PATH=/bin", b"HOME=/"];

/// Runs the machine. Called once, on the boot stack, with only the descriptors loaded.
pub fn start(info: &BootInfo) -> ! {
    shared::publish();
    let options = CommandLine::parse(info.command_line);
    let initramfs = match options.files {
        Files::Initramfs | Files::Both => info.initramfs,
        Files::Host => &[],
    };
    if options.log_apart {
        Log::use_port(ports::LOG);
    }
    if options.has_virtio_consoles {
        virtio_console::add_consoles();
    }
    options
        .virtio
        .into_iter()
        .flatten()
        .for_each(virtio_console::add);
    let cpus = options.cpus.or_else(|| info.listed_cpus());
    mm::start(info, options.ram_contents);
    boot::enable_cpu(options.cpu);
    start_cpus(cpus.unwrap_or(1));
    syscall::time::start(options.realtime_ns, options.user_tsc);
    ramfs::start(initramfs, options.files != Files::Initramfs);
    if let Some(word) = options.host_name {
        // One that is too long leaves the name as it is.
        let _ = word.with_bytes::<{ system::Name::MAX }, _>(|name| Names::first().host.set(name));
    }
    if options.saves {
        saving::start(info.command_line);
    }
    let init = options
        .init
        .with_bytes::<PATH_MAX, _>(|path| first_process(initramfs, &options, path));
    if init.is_none() {
        panic!("the path in init= is too long: it may have {PATH_MAX} bytes");
    }
    shared::enter_ring_3(clock::counter());
    scheduler::start(options.tick_ns)
}

/// Starts the CPUs but this one.
fn start_cpus(count: usize) {
    if count > 1 {
        let running = startup::start_others(count, scheduler::run_threads, kernel_stacks::for_cpu);
        if running < count {
            log_line!("{running} of {count} CPUs have started");
        }
    }
}

/// Makes init, ready to run.
fn first_process(initramfs: &'static [u8], options: &CommandLine<'static>, path: &[u8]) {
    let fail = |what: &dyn fmt::Debug| -> ! { panic!("{}: {what:?}", path.escape_ascii()) };
    // Whoever init is finds its program.
    let [user, group] = options.owner.map(Ids::all);
    current().credentials.set_users(user);
    current().credentials.set_groups(group);
    let found = find(initramfs, path).unwrap_or_else(|error| match error {
        Errno::ENOENT => fail(&"not among the guest's files"),
        _ => fail(&error),
    });
    let (image, interpreters) = found;
    let arguments = arguments(options, path, &interpreters).unwrap_or_else(|error| fail(&error));
    let loaded = program::load(&image, &arguments, MemoryLimits::NONE);
    let (space, start) = loaded.unwrap_or_else(|error| fail(&error));
    let files = FileTable::standard(options.streams).unwrap_or_else(|error| fail(&error));
    let surroundings = Shared::new(Surroundings::new());
    let surroundings = surroundings.unwrap_or_else(|error| fail(&error));
    let files_limit = Limit {
        soft: fs::DEFAULT_LIMIT,
        hard: fs::FILE_LIMIT as u64,
    };
    let first = First {
        name: Name::of(path),
        space,
        limits: Limits::of_init(STACK_LIMIT, files_limit),
        places: start.places,
    };
    if let Some(word) = options.directory {
        let directory = word.with_bytes::<PATH_MAX, _>(directory);
        let directory = directory.unwrap_or(Err(Errno::ENAMETOOLONG));
        let set = directory.and_then(|directory| surroundings.set_directory(directory));
        set.unwrap_or_else(|error| fail(&(word, error)));
    }
    running::start(options.init);
    let context = UserContext::new(start.entry, start.stack);
    let process = spawn::first(first, &context, ring3::serve);
    let process = process.unwrap_or_else(|error| fail(&error));
    fs::start(process, files, surroundings);
    terminal::CONSOLE.connect(standard::line(options.streams));
    // Init leads the session whose terminal the console is, and is in its foreground.
    terminal::CONSOLE.control(INIT, INIT);
    if options.has_keyboard {
        let started = terminal::CONSOLE.start();
        started.unwrap_or_else(|error| fail(&Errno::from(error)));
    }
}

/// The files of init, and what it is run by if it is a script. That of a static program is taken
/// from the initramfs: booting should take few instructions, and the tree takes many.
fn find(initramfs: &'static [u8], path: &[u8]) -> Result<(Image, Interpreters), Errno> {
    if let Some(file) = initramfs::find(initramfs, path) {
        let program = Elf::parse(Shared::new(FilePages::new(file))?);
        if let Ok(program) = program
            && program.interpreter() == Ok(None)
        {
            let image = Image {
                program,
                interpreter: None,
                rights: Rights::default(),
            };
            return Ok((image, Interpreters::default()));
        }
    }
    let root = Start::of_tree()?;
    let found = execute::find(&root, calls::find_opened(&root, path, Links::Followed)?)?;
    Ok((found.image, found.interpreters))
}

/// The directory with this path.
fn directory(path: &[u8]) -> Result<Location, Errno> {
    calls::directory(calls::locate(&Start::of_tree()?, path, Links::Followed)?)
}

/// Whether an environment string of the command line has the name that `string` has.
fn names_same(word: Word<'_>, string: &[u8]) -> bool {
    let name = string.split_inclusive(|&byte| byte == b'=').next();
    let name = name.unwrap_or_default().iter().copied();
    word.bytes().take(name.len()).eq(name)
}

/// Init's arguments: its name as a shell would have it, then what the command line says.
fn arguments(
    options: &CommandLine,
    path: &[u8],
    interpreters: &Interpreters,
) -> Result<ProgramArguments, Errno> {
    let mut arguments = ProgramArguments::new(STACK_LIMIT);
    match interpreters.is_empty() {
        true => arguments.push_argument([last_component(path)])?,
        false => arguments.push_interpreters(interpreters, path)?,
    }
    for word in options.arguments() {
        arguments.push_argument(word.pieces())?;
    }
    for string in ENVIRONMENT {
        if !options.environment().any(|word| names_same(word, string)) {
            arguments.push_environment([string])?;
        }
    }
    for word in options.environment() {
        arguments.push_environment(word.pieces())?;
    }
    arguments.finish(path)?;
    Ok(arguments)
}
