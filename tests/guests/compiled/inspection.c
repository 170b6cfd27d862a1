/* Looking into other processes: kcmp, process_madvise, process_vm_readv, and who may. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void compare(const char *what, pid_t one, pid_t other, int kind, int fd, int other_fd) {
    long result = syscall(SYS_kcmp, one, other, kind, (long)fd, (long)other_fd);
    if (result < 0)
        printf("%s %s\n", what, error(result));
    else
        printf("%s %s\n", what, result ? "differ" : "same");
}

static volatile pid_t thread_id;
static int ends[2];

static void *thread(void *unused) {
    thread_id = gettid();
    char byte;
    read(ends[0], &byte, 1);
    return 0;
}

static void kinds(const char *who, pid_t other) {
    static const char *names[] = {"file", "memory", "files", "places", "handlers"};
    for (int kind = KCMP_VM; kind <= KCMP_SIGHAND; kind++) {
        char text[64];
        sprintf(text, "%s: %s", who, names[kind]);
        compare(text, getpid(), other, kind, 0, 0);
    }
}

static void sleeps(void) {
    for (;;)
        pause();
}

/* What a user finds of a process in its files. */
static void files(const char *who, pid_t pid) {
    static const char *names[] = {
        "",       "auxv",   "cmdline", "comm",   "environ", "io",     "limits",   "maps",
        "mem",    "mounts", "smaps",   "stat",   "statm",   "status", "task",     "mountinfo",
        "fd",     "fdinfo", "ns",      "fd/9",   "ns/mnt",  "ns/uts", "fdinfo/9", "cwd",
        "root",   "exe",    "oom_score_adj"};
    printf("files of %s:\n", who);
    for (int n = 0; n < sizeof names / sizeof *names; n++) {
        char path[64], text[512];
        sprintf(path, "/proc/%d/%s", pid, names[n]);
        struct stat facts;
        int found = lstat(path, &facts);
        printf(" %s: %s", names[n], error(found));
        if (found == 0 && !S_ISLNK(facts.st_mode))
            printf(" %o of %d", facts.st_mode, facts.st_uid);
        if (found == 0 && S_ISLNK(facts.st_mode))
            printf(" link of %d, %s", facts.st_uid, error(readlink(path, text, sizeof text)));
        int fd = open(path, O_RDONLY);
        printf(", open %s", error(fd));
        if (fd >= 0 && S_ISREG(facts.st_mode) && strcmp(names[n], "mem"))
            printf(", read %s", error(read(fd, text, 1)));
        close(fd);
        printf("\n");
    }
    fflush(stdout);
}

/* What a user finds of another thread of his in its files, and does to it there. */
static void files_of_thread(void) {
    static const char *names[] = {"", "/comm", "/stat", "/status"};
    pthread_t id;
    thread_id = 0;
    pthread_create(&id, 0, thread, 0);
    while (!thread_id)
        usleep(1000);
    for (int n = 0; n < sizeof names / sizeof *names; n++) {
        char path[64];
        sprintf(path, "/proc/self/task/%d%s", thread_id, names[n]);
        struct stat facts;
        printf("thread%s: %s", names[n], error(stat(path, &facts)));
        printf(" %o of %d %d\n", facts.st_mode, facts.st_uid, facts.st_gid);
    }
    char name[16] = "";
    int set = pthread_setname_np(id, "another");
    int got = pthread_getname_np(id, name, sizeof name);
    printf("named %d %d %s\n", set, got, name);
    write(ends[1], "x", 1);
    pthread_join(id, 0);
    fflush(stdout);
}

static pid_t sleeper(int dumpable) {
    int ready[2];
    pipe(ready);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_DUMPABLE, dumpable);
        write(ready[1], "", 1);
        sleeps();
    }
    read(ready[0], &(char){0}, 1);
    close(ready[0]), close(ready[1]);
    return pid;
}

static void files_of_others(pid_t child) {
    files("a child", child);
    if (fork() == 0) {
        setgid(65534);
        setuid(65534);
        printf("dumpable %d\n", prctl(PR_GET_DUMPABLE) == 1);
        files("another user's", child);
        files("itself as another user", getpid());
        pid_t closed = sleeper(0), open = sleeper(1);
        files("its own that is closed", closed);
        files("its own", open);
        kill(closed, SIGKILL);
        kill(open, SIGKILL);
        wait(0), wait(0);
        prctl(PR_SET_DUMPABLE, 1);
        files("itself", getpid());
        files_of_thread();
        _exit(0);
    }
    wait(0);
}

int main(void) {
    pid_t self = getpid();
    pipe(ends);
    int copy = dup(ends[0]), null = open("/dev/null", O_RDONLY), again = open("/dev/null", O_RDONLY);
    compare("itself", self, self, KCMP_FILE, null, null);
    compare("copy", self, self, KCMP_FILE, ends[0], copy);
    compare("again", self, self, KCMP_FILE, null, again);
    long one = syscall(SYS_kcmp, self, self, KCMP_FILE, (long)null, (long)again);
    long other = syscall(SYS_kcmp, self, self, KCMP_FILE, (long)again, (long)null);
    printf("ordered %d\n", one + other == 3 && (one == 1 || other == 1));
    compare("closed", self, self, KCMP_FILE, null, 99);
    compare("nobody", self, 4194304, KCMP_FILE, null, null);
    compare("kind", self, self, 77, 0, 0);
    pthread_t id;
    pthread_create(&id, 0, thread, 0);
    while (!thread_id)
        usleep(1000);
    kinds("thread", thread_id);
    write(ends[1], "x", 1);
    pthread_join(id, 0);
    fflush(stdout);
    dup2(null, 9);
    static char secret[] = "secret";
    pid_t child = fork();
    if (child == 0)
        sleeps();
    kinds("child", child);
    files_of_others(child);
    compare("file of a child", self, child, KCMP_FILE, null, null);

    char *memory = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(memory + 4096, 4096);
    char text[8] = "";
    struct iovec here = {text, 6}, there = {secret, 6}, parts[] = {{memory, 4096}, {memory, 8192}};
    int fd = syscall(SYS_pidfd_open, self, 0);
#define ADVISE(fd, vectors, count, advice, flags) \
    syscall(SYS_process_madvise, fd, vectors, (long)(count), advice, flags)
    long advised = ADVISE(fd, parts, 1, MADV_COLD, 0);
    printf("advised %ld\n", advised);
    advised = ADVISE(fd, parts, 2, MADV_PAGEOUT, 0);
    printf("in part %ld\n", advised);
    printf("none %s\n", error(ADVISE(fd, parts + 1, 1, MADV_COLD, 0)));
    printf("flags %s\n", error(ADVISE(fd, parts, 1, MADV_COLD, 1)));
    printf("advice %s\n", error(ADVISE(fd, parts, 1, 77, 0)));
    printf("many %s\n", error(ADVISE(fd, parts, 1025, MADV_COLD, 0)));
    printf("descriptor %s\n", error(ADVISE(null, parts, 1, MADV_COLD, 0)));
    close(fd);
    long count = process_vm_readv(child, &here, 1, &there, 1, 0);
    printf("read %ld %s\n", count, text);
    fflush(stdout);
    if (fork() == 0) {
        setgid(65534);
        setuid(65534);
        printf("others: read %s", error(process_vm_readv(child, &here, 1, &there, 1, 0)));
        printf(", write %s", error(process_vm_writev(child, &here, 1, &there, 1, 0)));
        printf(", compare %s\n",
               error(syscall(SYS_kcmp, getpid(), child, KCMP_VM, 0l, 0l)));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    kill(child, SIGKILL);
    wait(0);
    return 0;
}
