//! The system calls, by Linux's numbers: the one table from which the kernel takes a call's
//! handler, and the trace, on both sides, the kinds of its arguments.
//!
//! It is a macro, since handlers are the kernel's and names of flags the VMM's: each
//! expands the rows to what it needs. Rejected: a constant with an `enum` of all handlers
//! and one of all names, which would be two more places to touch.

/// The kind of an argument. `N` is the type of names of numbers, which the VMM defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<N> {
    /// A number with a sign, of 32 bits.
    Int,
    /// A number with a sign, of 64 bits.
    Long,
    /// A size or count.
    Size,
    /// A pointer, or another number best shown in hexadecimal.
    Hex,
    /// A file's permissions.
    Octal,
    /// A descriptor of a folder.
    Folder,
    /// A string that ends with a zero.
    Text,
    /// As many bytes as the next argument says.
    Bytes,
    /// Strings: pointers to them, up to a null pointer.
    Texts,
    /// As many `struct iovec` as the next argument says.
    Parts,
    /// A `struct timespec`.
    Time,
    /// A number that has a name.
    Choice(N),
    /// Flags.
    Bits(N),
    /// Flags of `open`.
    Open,
    /// Permissions of a file, if the argument before makes one.
    OpenMode,
    /// Operation of `futex`.
    Futex,
    /// Flags of `clone`, and a signal.
    Clone,
    /// Where the call writes as many bytes as it returns.
    BytesOut,
    /// Where it writes two descriptors.
    PairOut,
    /// Where `wait4` writes a status.
    StatusOut,
    /// Where it writes a `struct timespec`.
    TimeOut,
}

impl<N> Kind<N> {
    /// Whether it is known only when the call has returned.
    pub const fn is_output(&self) -> bool {
        matches!(
            self,
            Self::BytesOut | Self::PairOut | Self::StatusOut | Self::TimeOut
        )
    }
}

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A number.
    Number,
    /// An address.
    Address,
}

/// Hands the table to the macro `$rows`. A row is
///
/// ```text
/// name = module::handler(kinds of the arguments) -> what it returns;
/// ```
///
/// The handler is in the kernel's `syscall`, and gets the arguments or, `with context`, all
/// of the program's state. A call without one is ENOSYS, and here for its name in a trace.
/// Kinds are those of [`Kind`]; without an arrow it returns a number.
#[macro_export]
macro_rules! system_calls {
    ($rows:ident) => {
        $rows! {
            read = file::read(Int, BytesOut, Size);
            write = file::write(Int, Bytes, Size);
            open = path::open(Text, Open, OpenMode);
            close = descriptor::close(Int);
            stat = stat::stat(Text, Hex);
            fstat = stat::fstat(Int, Hex);
            lstat = stat::lstat(Text, Hex);
            poll = poll::poll(Hex, Size, Int);
            lseek = file::lseek(Int, Long, Choice(WHENCE));
            mmap = memory::mmap(Hex, Size, Bits(PROTECTION), Bits(MAPPING), Int, Size) -> Address;
            mprotect = memory::mprotect(Hex, Size, Bits(PROTECTION));
            munmap = memory::munmap(Hex, Size);
            brk = memory::brk(Hex) -> Address;
            rt_sigaction = signal::rt_sigaction(Choice(SIGNALS), Hex, Hex, Size);
            rt_sigprocmask = signal::rt_sigprocmask(Choice(MASKING), Hex, Hex, Size);
            rt_sigreturn = signal::rt_sigreturn() with context;
            ioctl = terminal::ioctl(Int, Choice(TERMINAL), Hex);
            pread64 = file::pread64(Int, BytesOut, Size, Long);
            pwrite64 = file::pwrite64(Int, Bytes, Size, Long);
            readv = file::readv(Int, Hex, Size);
            writev = file::writev(Int, Parts, Size);
            access = path::access(Text, Bits(ACCESS));
            pipe = descriptor::pipe(PairOut);
            select = select::select(Int, Hex, Hex, Hex, Hex);
            sched_yield = process::sched_yield();
            mremap = memory::mremap(Hex, Size, Size, Bits(REMAPPING), Hex) -> Address;
            msync = memory::msync(Hex, Size, Bits(SYNCING));
            mincore = advice::mincore(Hex, Size, Hex);
            madvise = advice::madvise(Hex, Size, Choice(ADVICE));
            shmget = ipc::shmget(Hex, Size, Hex);
            shmat = ipc::shmat(Int, Hex, Hex) -> Address;
            shmctl = ipc::shmctl(Int, Int, Hex);
            dup = descriptor::dup(Int);
            dup2 = descriptor::dup2(Int, Int);
            pause = signal::pause();
            nanosleep = time::nanosleep(Time, Hex);
            getitimer = alarm::getitimer(Choice(INTERVALS), Hex);
            alarm = alarm::alarm(Size);
            setitimer = alarm::setitimer(Choice(INTERVALS), Hex, Hex);
            getpid = process::getpid();
            sendfile = copying::sendfile(Int, Int, Hex, Size);
            socket = socket::socket(Choice(FAMILIES), Hex, Int);
            connect = socket::connect(Int, Hex, Size);
            accept = socket::accept(Int, Hex, Hex);
            sendto = message::sendto(Int, Bytes, Size, Hex, Hex, Size);
            recvfrom = message::recvfrom(Int, BytesOut, Size, Hex, Hex, Hex);
            sendmsg = message::sendmsg(Int, Hex, Hex);
            recvmsg = message::recvmsg(Int, Hex, Hex);
            shutdown = socket::shutdown(Int, Int);
            bind = socket::bind(Int, Hex, Size);
            listen = socket::listen(Int, Int);
            getsockname = socket::getsockname(Int, Hex, Hex);
            getpeername = socket::getpeername(Int, Hex, Hex);
            socketpair = socket::socketpair(Choice(FAMILIES), Hex, Int, PairOut);
            setsockopt = socket_option::setsockopt(Int, Int, Int, Hex, Size);
            getsockopt = socket_option::getsockopt(Int, Int, Int, Hex, Hex);
            clone = process::clone(Clone, Hex, Hex, Hex, Hex) with context;
            fork = process::fork() with context;
            vfork = process::vfork() with context;
            execve = execute::execve(Text, Texts, Hex) with context;
            exit = process::exit(Int);
            wait4 = process::wait4(Int, StatusOut, Bits(WAITING), Hex);
            kill = kill::kill(Int, Choice(SIGNALS));
            uname = system::uname(Hex);
            semget = semaphore::semget(Hex, Int, Hex);
            semop = semaphore::semop(Int, Hex, Size);
            semctl = semaphore::semctl(Int, Int, Int, Hex);
            shmdt = ipc::shmdt(Hex);
            msgget = ipc::msgget(Hex, Hex);
            msgsnd = ipc::msgsnd(Int, Hex, Size, Hex);
            msgrcv = ipc::msgrcv(Int, Hex, Size, Long, Hex);
            msgctl = ipc::msgctl(Int, Int, Hex);
            fcntl = descriptor::fcntl(Int, Choice(CONTROL), Hex);
            flock = locks::flock(Int, Bits(LOCKING));
            fsync = file::fsync(Int);
            fdatasync = file::fsync(Int);
            truncate = path::truncate(Text, Long);
            ftruncate = file::ftruncate(Int, Long);
            getcwd = path::getcwd(BytesOut, Size);
            chdir = path::chdir(Text);
            fchdir = path::fchdir(Int);
            rename = path::rename(Text, Text);
            mkdir = path::mkdir(Text, Octal);
            rmdir = path::rmdir(Text);
            creat = path::creat(Text, Octal);
            link = link::link(Text, Text);
            unlink = path::unlink(Text);
            symlink = link::symlink(Text, Text);
            readlink = link::readlink(Text, BytesOut, Size);
            chmod = attributes::chmod(Text, Octal);
            fchmod = attributes::fchmod(Int, Octal);
            chown = attributes::chown(Text, Int, Int);
            fchown = attributes::fchown(Int, Int, Int);
            lchown = attributes::lchown(Text, Int, Int);
            sethostname = system::sethostname(Bytes, Size);
            setdomainname = system::setdomainname(Bytes, Size);
            umask = path::umask(Octal);
            gettimeofday = time::gettimeofday(Hex, Hex);
            getrlimit = usage::getrlimit(Choice(LIMITS), Hex);
            getrusage = usage::getrusage(Choice(USERS), Hex);
            sysinfo = system::sysinfo(Hex);
            times = usage::times(Hex);
            getuid = credentials::getuid();
            getgid = credentials::getgid();
            setuid = credentials::setuid(Int);
            setgid = credentials::setgid(Int);
            geteuid = credentials::geteuid();
            getegid = credentials::getegid();
            setpgid = process::setpgid(Int, Int);
            getppid = process::getppid();
            getpgrp = process::getpgrp();
            setsid = process::setsid();
            setreuid = credentials::setreuid(Int, Int);
            setregid = credentials::setregid(Int, Int);
            getgroups = credentials::getgroups(Int, Hex);
            setgroups = credentials::setgroups(Int, Hex);
            setresuid = credentials::setresuid(Int, Int, Int);
            getresuid = credentials::getresuid(Hex, Hex, Hex);
            setresgid = credentials::setresgid(Int, Int, Int);
            getresgid = credentials::getresgid(Hex, Hex, Hex);
            getpgid = process::getpgid(Int);
            setfsuid = credentials::setfsuid(Int);
            setfsgid = credentials::setfsgid(Int);
            getsid = process::getsid(Int);
            capget = prctl::capget(Hex, Hex);
            capset = prctl::capset(Hex, Hex);
            rt_sigpending = signal::rt_sigpending(Hex, Size);
            rt_sigtimedwait = signal::rt_sigtimedwait(Hex, Hex, Time, Size);
            rt_sigqueueinfo = kill::rt_sigqueueinfo(Int, Choice(SIGNALS), Hex);
            rt_sigsuspend = signal::rt_sigsuspend(Hex, Size);
            sigaltstack = signal::sigaltstack(Hex, Hex) with context;
            utime = attributes::utime(Text, Hex);
            mknod = special::mknod(Text, Octal, Hex);
            personality = prctl::personality(Hex);
            ustat = statfs::ustat(Int, Hex);
            statfs = statfs::statfs(Text, Hex);
            fstatfs = statfs::fstatfs(Int, Hex);
            sysfs = statfs::sysfs(Int, Hex, Hex);
            getpriority = scheduling::getpriority(Int, Int);
            setpriority = scheduling::setpriority(Int, Int, Int);
            sched_setparam = scheduling::sched_setparam(Int, Hex);
            sched_getparam = scheduling::sched_getparam(Int, Hex);
            sched_setscheduler = scheduling::sched_setscheduler(Int, Int, Hex);
            sched_getscheduler = scheduling::sched_getscheduler(Int);
            sched_get_priority_max = scheduling::sched_get_priority_max(Int);
            sched_get_priority_min = scheduling::sched_get_priority_min(Int);
            sched_rr_get_interval = scheduling::sched_rr_get_interval(Int, TimeOut);
            mlock = advice::mlock(Hex, Size);
            munlock = advice::munlock(Hex, Size);
            mlockall = advice::mlockall(Bits(LOCKING_ALL));
            munlockall = advice::munlockall();
            pivot_root = mount::pivot_root(Text, Text);
            prctl = prctl::prctl(Choice(PROCESS), Hex, Hex, Hex, Hex);
            arch_prctl = thread::arch_prctl(Choice(BASES), Hex);
            setrlimit = usage::setrlimit(Choice(LIMITS), Hex);
            adjtimex = clock_setting::adjtimex(Hex);
            chroot = path::chroot(Text);
            sync = file::sync();
            settimeofday = clock_setting::settimeofday(Hex, Hex);
            mount = mount::mount(Text, Text, Text, Hex, Text);
            umount2 = mount::umount2(Text, Hex);
            gettid = process::gettid();
            readahead = space::readahead(Int, Long, Size);
            setxattr = xattr::setxattr(Text, Text, Bytes, Size, Hex);
            lsetxattr = xattr::lsetxattr(Text, Text, Bytes, Size, Hex);
            fsetxattr = xattr::fsetxattr(Int, Text, Bytes, Size, Hex);
            getxattr = xattr::getxattr(Text, Text, Hex, Size);
            lgetxattr = xattr::lgetxattr(Text, Text, Hex, Size);
            fgetxattr = xattr::fgetxattr(Int, Text, Hex, Size);
            listxattr = xattr::listxattr(Text, Hex, Size);
            llistxattr = xattr::llistxattr(Text, Hex, Size);
            flistxattr = xattr::flistxattr(Int, Hex, Size);
            removexattr = xattr::removexattr(Text, Text);
            lremovexattr = xattr::lremovexattr(Text, Text);
            fremovexattr = xattr::fremovexattr(Int, Text);
            tkill = kill::tkill(Int, Choice(SIGNALS));
            time = time::time(Hex);
            futex = futex::futex(Hex, Futex, Int, Hex, Hex, Hex);
            sched_setaffinity = scheduling::sched_setaffinity(Int, Size, Hex);
            sched_getaffinity = scheduling::sched_getaffinity(Int, Size, Hex);
            epoll_create = epoll::epoll_create(Int);
            remap_file_pages = memory::remap_file_pages(Hex, Size, Hex, Size, Hex);
            getdents64 = listing::getdents64(Int, Hex, Size);
            set_tid_address = thread::set_tid_address(Hex);
            semtimedop = semaphore::semtimedop(Int, Hex, Size, Hex);
            fadvise64 = space::fadvise64(Int, Long, Size, Int);
            timer_create = timer::timer_create(Choice(CLOCKS), Hex, Hex);
            timer_settime = timer::timer_settime(Int, Int, Hex, Hex);
            timer_gettime = timer::timer_gettime(Int, Hex);
            timer_getoverrun = timer::timer_getoverrun(Int);
            timer_delete = timer::timer_delete(Int);
            clock_settime = clock_setting::clock_settime(Choice(CLOCKS), Time);
            clock_gettime = time::clock_gettime(Choice(CLOCKS), TimeOut);
            clock_getres = time::clock_getres(Choice(CLOCKS), TimeOut);
            clock_nanosleep = time::clock_nanosleep(Choice(CLOCKS), Bits(TIMER), Time, Hex);
            exit_group = process::exit_group(Int);
            epoll_wait = epoll::epoll_wait(Int, Hex, Int, Int);
            epoll_ctl = epoll::epoll_ctl(Int, Choice(EPOLL), Int, Hex);
            tgkill = kill::tgkill(Int, Int, Choice(SIGNALS));
            utimes = attributes::utimes(Text, Hex);
            mq_open = message_queue::mq_open(Text, Open, OpenMode, Hex);
            mq_unlink = message_queue::mq_unlink(Text);
            mq_timedsend = message_queue::mq_timedsend(Int, Bytes, Size, Int, Hex);
            mq_timedreceive = message_queue::mq_timedreceive(Int, BytesOut, Size, Hex, Hex);
            mq_notify = message_queue::mq_notify(Int, Hex);
            mq_getsetattr = message_queue::mq_getsetattr(Int, Hex, Hex);
            waitid = process::waitid(Choice(WAIT_KINDS), Int, Hex, Bits(WAITING), Hex);
            ioprio_set = scheduling::ioprio_set(Int, Int, Int);
            ioprio_get = scheduling::ioprio_get(Int, Int);
            inotify_init = inotify::inotify_init();
            inotify_add_watch = inotify::inotify_add_watch(Int, Text, Hex);
            inotify_rm_watch = inotify::inotify_rm_watch(Int, Int);
            openat = path::openat(Folder, Text, Open, OpenMode);
            mkdirat = path::mkdirat(Folder, Text, Octal);
            mknodat = special::mknodat(Folder, Text, Octal, Hex);
            fchownat = attributes::fchownat(Folder, Text, Int, Int, Bits(AT_FLAGS));
            futimesat = attributes::futimesat(Folder, Text, Hex);
            newfstatat = stat::newfstatat(Folder, Text, Hex, Bits(AT_FLAGS));
            unlinkat = path::unlinkat(Folder, Text, Bits(AT_FLAGS));
            renameat = path::renameat(Folder, Text, Folder, Text);
            linkat = link::linkat(Folder, Text, Folder, Text, Bits(AT_FLAGS));
            symlinkat = link::symlinkat(Text, Folder, Text);
            readlinkat = link::readlinkat(Folder, Text, BytesOut, Size);
            fchmodat = attributes::fchmodat(Folder, Text, Octal);
            faccessat = path::faccessat(Folder, Text, Bits(ACCESS));
            pselect6 = select::pselect6(Int, Hex, Hex, Hex, Hex, Hex);
            ppoll = poll::ppoll(Hex, Size, Hex, Hex, Size);
            unshare = sharing::unshare(Clone);
            set_robust_list = futex::set_robust_list(Hex, Size);
            get_robust_list = futex::get_robust_list(Int, Hex, Hex);
            splice = copying::splice(Int, Hex, Int, Hex, Size, Hex);
            tee = copying::tee(Int, Int, Size, Hex);
            sync_file_range = space::sync_file_range(Int, Long, Size, Hex);
            vmsplice = copying::vmsplice(Int, Parts, Size, Hex);
            utimensat = attributes::utimensat(Folder, Text, Hex, Bits(AT_FLAGS));
            epoll_pwait = epoll::epoll_pwait(Int, Hex, Int, Int, Hex, Size);
            signalfd = event::signalfd(Int, Hex, Size);
            timerfd_create = event::timerfd_create(Choice(CLOCKS), Bits(EVENT_FLAGS));
            eventfd = event::eventfd(Int);
            fallocate = space::fallocate(Int, Hex, Long, Size);
            timerfd_settime = event::timerfd_settime(Int, Bits(TIMER), Hex, Hex);
            timerfd_gettime = event::timerfd_gettime(Int, Hex);
            accept4 = socket::accept4(Int, Hex, Hex, Hex);
            signalfd4 = event::signalfd4(Int, Hex, Size, Bits(EVENT_FLAGS));
            eventfd2 = event::eventfd2(Int, Bits(EVENT_FLAGS));
            epoll_create1 = epoll::epoll_create1(Bits(EVENT_FLAGS));
            dup3 = descriptor::dup3(Int, Int, Bits(PIPE_FLAGS));
            pipe2 = descriptor::pipe2(PairOut, Bits(PIPE_FLAGS));
            inotify_init1 = inotify::inotify_init1(Bits(EVENT_FLAGS));
            preadv = vector::preadv(Int, Hex, Size, Long);
            pwritev = vector::pwritev(Int, Parts, Size, Long);
            rt_tgsigqueueinfo = kill::rt_tgsigqueueinfo(Int, Int, Choice(SIGNALS), Hex);
            recvmmsg = message::recvmmsg(Int, Hex, Size, Hex, Hex);
            prlimit64 = usage::prlimit64(Int, Choice(LIMITS), Hex, Hex);
            clock_adjtime = clock_setting::clock_adjtime(Choice(CLOCKS), Hex);
            syncfs = space::syncfs(Int);
            sendmmsg = message::sendmmsg(Int, Hex, Size, Hex);
            setns = sharing::setns(Int, Clone);
            getcpu = thread::getcpu(Hex, Hex, Hex);
            process_vm_readv = process_memory::process_vm_readv(Int, Hex, Size, Hex, Size, Hex);
            process_vm_writev = process_memory::process_vm_writev(Int, Hex, Size, Hex, Size, Hex);
            kcmp = compare::kcmp(Int, Int, Int, Int, Int);
            sched_setattr = scheduling::sched_setattr(Int, Hex, Int);
            sched_getattr = scheduling::sched_getattr(Int, Hex, Int, Int);
            renameat2 = path::renameat2(Folder, Text, Folder, Text, Bits(RENAMING));
            getrandom = system::getrandom(BytesOut, Size, Bits(RANDOM));
            memfd_create = memory_file::memfd_create(Text, Bits(MEMORY_FILE));
            execveat = execute::execveat(Folder, Text, Texts, Hex, Bits(AT_FLAGS)) with context;
            membarrier = advice::membarrier(Hex, Hex, Int);
            mlock2 = advice::mlock2(Hex, Size, Hex);
            copy_file_range = copying::copy_file_range(Int, Hex, Int, Hex, Size, Hex);
            preadv2 = vector::preadv2(Int, Hex, Size, Long, Long, Hex);
            pwritev2 = vector::pwritev2(Int, Parts, Size, Long, Long, Hex);
            statx = stat::statx(Folder, Text, Bits(AT_FLAGS), Hex, Hex);
            rseq = thread::rseq(Hex, Size, Hex, Hex);
            pidfd_send_signal = pidfd::pidfd_send_signal(Int, Choice(SIGNALS), Hex, Size);
            pidfd_open = pidfd::pidfd_open(Int, Bits(EVENT_FLAGS));
            clone3 = process::clone3(Hex, Size) with context;
            close_range = descriptor::close_range(Size, Size, Bits(CLOSING));
            openat2 = opening::openat2(Folder, Text, Hex, Size);
            pidfd_getfd = pidfd::pidfd_getfd(Int, Int, Size);
            faccessat2 = path::faccessat2(Folder, Text, Bits(ACCESS), Bits(AT_FLAGS));
            process_madvise = process_memory::process_madvise(Int, Hex, Size, Choice(ADVICE), Hex);
            epoll_pwait2 = epoll::epoll_pwait2(Int, Hex, Int, Hex, Hex, Size);
            futex_waitv = futex2::futex_waitv(Hex, Size, Hex, Hex, Choice(CLOCKS));
            fchmodat2 = attributes::fchmodat2(Folder, Text, Octal, Bits(AT_FLAGS));
            futex_wake = futex2::futex_wake(Hex, Hex, Int, Hex);
            futex_wait = futex2::futex_wait(Hex, Hex, Hex, Hex, Hex, Choice(CLOCKS));
            futex_requeue = futex2::futex_requeue(Hex, Hex, Int, Int);
        }
    };
}
