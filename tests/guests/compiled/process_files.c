/* What processes tell of themselves and of each other: names of threads, who has sent a signal,
   memory as a file, descriptors of children, what was used. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static const char *contents(const char *path) {
    static char text[4096];
    int fd = open(path, O_RDONLY);
    long count = read(fd, text, sizeof text - 1);
    close(fd);
    text[count < 0 ? 0 : count] = 0;
    return text;
}

static const char *put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_TRUNC);
    const char *result = error(fd < 0 ? -1 : write(fd, text, strlen(text)));
    close(fd);
    return result;
}

static void *named(void *unused) {
    char path[64], name[16];
    prctl(PR_GET_NAME, name);
    printf("inherited %s\n", name);
    prctl(PR_SET_NAME, "a thread");
    sprintf(path, "/proc/self/task/%d/comm", gettid());
    printf("thread %s", contents(path));
    sprintf(path, "/proc/%d/comm", gettid());
    printf("by its number %s", contents(path));
    printf("process %s", contents("/proc/self/comm"));
    printf("write %s, ", put(path, "of 20 characters now"));
    prctl(PR_GET_NAME, name);
    printf("%s\n", name);
    sprintf(path, "/proc/self/task/%d/stat", gettid());
    printf("stat %d\n", !!strstr(contents(path), "(of 20 character)"));
    fflush(stdout);
    /* A child of a thread has the thread's name. */
    pid_t child = fork();
    if (child == 0) {
        printf("child %s", contents("/proc/self/comm"));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
    return 0;
}

static void names(void) {
    printf("write %s\n", put("/proc/self/comm", "renamed"));
    printf("name %s", contents("/proc/self/comm"));
    pthread_t thread;
    pthread_create(&thread, 0, named, 0);
    pthread_join(thread, 0);
    pthread_setname_np(pthread_self(), "by library");
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    fflush(stdout);
    char path[64];
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    sprintf(path, "/proc/%d/comm", child);
    printf("%s, of another %s, ", name, put(path, "x"));
    printf("%s", contents(path));
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    struct stat facts;
    stat("/proc/self/comm", &facts);
    printf("mode %o, owned %d\n", facts.st_mode, facts.st_uid == geteuid());
    stat("/proc/self/mem", &facts);
    printf("mode %o\n", facts.st_mode);
}

static void shortage(void) {
    const char *path = "/proc/self/oom_score_adj";
    printf("oom_score_adj %s", contents(path));
    printf("300 %s, ", put(path, "300\n"));
    printf("%s", contents(path));
    printf("2000 %s, x %s, nothing %s, ", put(path, "2000"), put(path, "x"), put(path, "\n"));
    printf("%s", contents(path));
    fflush(stdout);
    if (fork() == 0) {
        printf("child %s", contents(path));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    printf("0 %s, ", put(path, "0"));
    printf("%s", contents(path));
}

static volatile int code, pid_is, uid_is, status_is;
static pid_t expected;

static void note(int number, siginfo_t *info, void *context) {
    code = info->si_code;
    pid_is = info->si_pid == expected;
    uid_is = info->si_uid == getuid();
    status_is = number == SIGCHLD ? info->si_status : 0;
}

static void senders(void) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGCHLD, &action, 0);
    /* The superuser's number is 0, as nobody's would be. */
    (void)!setresuid(-1, -1, -1);
    expected = getpid();
    kill(getpid(), SIGUSR1);
    printf("kill %d %d %d\n", code, pid_is, uid_is);
    raise(SIGUSR1);
    printf("raise %d %d %d\n", code, pid_is, uid_is);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1});
    printf("sigqueue %d %d %d\n", code, pid_is, uid_is);
    sigset_t child_signal, before;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, &before);
    expected = fork();
    if (expected == 0)
        _exit(7);
    sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, 0);
    printf("SIGCHLD %d %d %d %d\n", code, pid_is, uid_is, status_is);
    siginfo_t info;
    waitid(P_PID, expected, &info, WEXITED);
    printf("waitid %d %d %d\n", info.si_code, info.si_pid == expected, info.si_uid == getuid());
    signal(SIGCHLD, SIG_DFL);
}

/* The same by a user who is another, if that may be. */
static void other_user(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int changed = setresuid(1234, 1234, 1234);
        struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
        sigaction(SIGUSR1, &action, 0);
        uid_is = 0;
        kill(getpid(), SIGUSR1);
        printf("of another user %d\n", uid_is);
        fflush(stdout);
        _exit(changed ? 0 : 1);
    }
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    int changed = info.si_status;
    printf("waitid %d\n", info.si_uid == (changed ? 1234 : getuid()));
    waitpid(child, 0, 0);
}

static char text[] = "some text in memory";
static const char constant[] = "constant";

static void memory(void) {
    char bytes[64] = "";
    int fd = open("/proc/self/mem", O_RDWR);
    printf("open %s, ", error(fd));
    printf("pread %ld ", (long)pread(fd, bytes, 9, (off_t)text));
    printf("%s, ", bytes);
    printf("pwrite %ld ", (long)pwrite(fd, "SOME", 4, (off_t)text));
    printf("%s, ", text);
    lseek(fd, (off_t)constant, SEEK_SET);
    memset(bytes, 0, sizeof bytes);
    printf("read %ld %s\n", (long)read(fd, bytes, sizeof constant), bytes);
    printf("nowhere %s, ", error(pread(fd, bytes, 1, 16)));
    char *pages = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 2 * 4096, 4096);
    static char many[3 * 4096];
    printf("to a hole %ld, ", (long)pread(fd, many, sizeof many, (off_t)pages));
    memset(many, 'm', sizeof many);
    printf("%ld", (long)pwrite(fd, many, sizeof many, (off_t)pages));
    printf(" %c\n", pages[8191]);
    /* A child's, whose memory is another. */
    int ready[2], go_on[2];
    (void)!pipe(ready);
    (void)!pipe(go_on);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        strcpy(text, "a child's");
        (void)!write(ready[1], "x", 1);
        (void)!read(go_on[0], bytes, 1);
        _exit(text[0] == 'A' ? 5 : 6);
    }
    (void)!read(ready[0], bytes, 1);
    char path[64];
    sprintf(path, "/proc/%d/mem", child);
    int other = open(path, O_RDWR);
    memset(bytes, 0, sizeof bytes);
    (void)!pread(other, bytes, 9, (off_t)text);
    (void)!pwrite(other, "A", 1, (off_t)text);
    (void)!write(go_on[1], "x", 1);
    int status;
    waitpid(child, &status, 0);
    printf("child's %s, own %s, status %d\n", bytes, text, WEXITSTATUS(status));
    for (int i = fd; i <= other; i++)
        close(i);
}

static void pidfds(void) {
    int fd = -1, next = dup(1);
    close(next);
    struct clone_args arguments = {
        .flags = CLONE_PIDFD, .pidfd = (unsigned long)&fd, .exit_signal = SIGCHLD};
    fflush(stdout);
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        /* The child has no such descriptor. */
        _exit(fcntl(next, F_GETFD) < 0 && errno == EBADF ? 8 : 9);
    printf("clone3: %d, close on exec %d, ", fd == next, fcntl(fd, F_GETFD));
    struct pollfd poll_fd = {fd, POLLIN, 0};
    siginfo_t info;
    printf("poll %d, ", poll(&poll_fd, 1, -1));
    printf("waitid %s", error(waitid(P_PIDFD, fd, &info, WEXITED)));
    printf(" %d %d\n", info.si_pid == child, info.si_status);
    close(fd);
    child = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (child == 0)
        for (;;)
            pause();
    printf("clone: %d, kill %s", fd == next,
           error(syscall(SYS_pidfd_send_signal, fd, SIGKILL, 0, 0)));
    int status;
    printf(", wait %d", waitpid(child, &status, 0) == child);
    printf(" %d\n", WTERMSIG(status));
    close(fd);
    int both = 0;
    long result = syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &both, 0, 0);
    printf("with the number: %s, ", error(result));
    arguments.pidfd = 8;
    result = syscall(SYS_clone3, &arguments, sizeof arguments);
    printf("nowhere: %s", error(result));
    printf(", descriptor left: %s\n", error(fcntl(next, F_GETFD)));
    arguments.pidfd = (unsigned long)&fd;
    arguments.flags = CLONE_PIDFD | CLONE_FILES | CLONE_VFORK;
    child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(fcntl(next, F_GETFD) < 0 ? 8 : 9);
    waitpid(child, &status, 0);
    printf("shared: %d %d\n", fd == next, WEXITSTATUS(status));
    close(fd);
}

// Directories of /proc stand for processes too, where signals are sent.
static void directories(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    char path[40];
    snprintf(path, sizeof path, "/proc/%d", child);
    int directory = open(path, O_RDONLY | O_DIRECTORY), named = open(path, O_PATH);
    int tasks = openat(directory, "task", O_RDONLY | O_DIRECTORY);
    printf("directory: check %s", error(syscall(SYS_pidfd_send_signal, directory, 0, 0, 0)));
    printf(", O_PATH %s", error(syscall(SYS_pidfd_send_signal, named, 0, 0, 0)));
    printf(", task %s", error(syscall(SYS_pidfd_send_signal, tasks, 0, 0, 0)));
    printf(", kill %s", error(syscall(SYS_pidfd_send_signal, directory, SIGKILL, 0, 0)));
    int status = 0;
    waitpid(child, &status, 0);
    printf(", ended by %d", WTERMSIG(status));
    printf(", gone %s\n", error(syscall(SYS_pidfd_send_signal, directory, 0, 0, 0)));
    close(directory);
    close(named);
    close(tasks);
}

static void used(void) {
    struct rusage before, after, children;
    getrusage(RUSAGE_SELF, &before);
    enum { PAGES = 500 };
    char *pages = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(pages, PAGES * 4096, MADV_NOHUGEPAGE);
    // Backwards: a kernel may map more pages of those that are touched in order.
    for (int i = PAGES; i-- > 0;)
        pages[i * 4096] = 1;
    getrusage(RUSAGE_SELF, &after);
    long faults = after.ru_minflt - before.ru_minflt;
    printf("faults %d", faults >= PAGES && faults < PAGES + 50);
    printf(", peak %d", after.ru_maxrss >= PAGES * 4);
    munmap(pages, PAGES * 4096);
    before = after;
    getrusage(RUSAGE_SELF, &after);
    printf(", stays %d\n", after.ru_maxrss >= before.ru_maxrss);
    fflush(stdout);
    enum { MORE = 4000 };
    pid_t child = fork();
    if (child == 0) {
        pages = mmap(0, MORE * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(pages, MORE * 4096, MADV_NOHUGEPAGE);
        for (int i = MORE; i-- > 0;)
            pages[i * 4096] = 1;
        _exit(0);
    }
    struct rusage of_child;
    getrusage(RUSAGE_CHILDREN, &before);
    wait4(child, 0, 0, &of_child);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("child: faults %d, peak %d", of_child.ru_minflt >= MORE, of_child.ru_maxrss >= MORE * 4);
    printf("; children: faults %d, peak %d\n", children.ru_minflt - before.ru_minflt >= MORE,
           children.ru_maxrss >= of_child.ru_maxrss);
}

int main(void) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    names();
    shortage();
    senders();
    other_user();
    memory();
    pidfds();
    directories();
    used();
    return 0;
}
