// Locks of files: flock, ranges of processes, ranges of open files. Prints a line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char path[64];

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
    fflush(stdout);
}

static int lock(int fd, int command, int type, off_t start, off_t len) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, command, &lock);
}

static pid_t parent;

// Which lock is in the way, as another process sees it.
static void show(int fd, const char *what, int type, off_t start, off_t len) {
    if (fork() == 0) {
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
        say(what, fcntl(fd, F_GETLK, &lock));
        if (lock.l_type != F_UNLCK)
            printf("type %d whence %d start %ld len %ld pid %d\n", lock.l_type, lock.l_whence,
                   (long)lock.l_start, (long)lock.l_len,
                   lock.l_pid == parent ? 1 : lock.l_pid);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void ranges(void) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    parent = getpid();
    say("write lock", lock(fd, F_SETLK, F_WRLCK, 10, 20));
    show(fd, "inside", F_RDLCK, 15, 1);
    show(fd, "before", F_WRLCK, 0, 10);
    show(fd, "after", F_WRLCK, 30, 0);
    show(fd, "all", F_WRLCK, 0, 0);
    say("unlock the middle", lock(fd, F_SETLK, F_UNLCK, 15, 5));
    show(fd, "middle", F_WRLCK, 15, 5);
    show(fd, "left", F_WRLCK, 0, 15);
    show(fd, "right", F_WRLCK, 15, 100);
    say("read lock over it", lock(fd, F_SETLK, F_RDLCK, 12, 10));
    show(fd, "write", F_WRLCK, 12, 10);
    show(fd, "read", F_RDLCK, 12, 10);
    say("join", lock(fd, F_SETLK, F_WRLCK, 0, 0));
    show(fd, "joined", F_RDLCK, 1000, 1);
    // Descriptors of the same process do not matter, but closing any of them does.
    int other = open(path, O_RDWR);
    say("same process", lock(other, F_SETLK, F_WRLCK, 0, 0));
    close(other);
    show(fd, "closed", F_WRLCK, 0, 0);
    say("negative", lock(fd, F_SETLK, F_WRLCK, 10, -5));
    show(fd, "negative", F_WRLCK, 0, 0);
    say("before start", lock(fd, F_SETLK, F_WRLCK, 10, -11));
    say("type", lock(fd, F_SETLK, 7, 0, 0));
    say("type", lock(fd, F_GETLK, F_UNLCK, 0, 0));
    say("far", lock(fd, F_SETLK, F_WRLCK, 0x7fffffffffffffff, 2));
    write(fd, "0123456789", 10);
    int ends[2];
    struct flock nowhere = {.l_type = F_WRLCK, .l_whence = -1};
    pipe(ends);
    say("of a pipe from nowhere", fcntl(ends[1], F_SETLK, &nowhere));
    close(ends[0]);
    close(ends[1]);
    struct flock from_end = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -4, .l_len = 2};
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    say("from the end", fcntl(fd, F_SETLK, &from_end));
    show(fd, "from the end", F_WRLCK, 0, 0);
    int read_only = open(path, O_RDONLY);
    say("write lock, read only", lock(read_only, F_SETLK, F_WRLCK, 0, 0));
    say("read lock", lock(read_only, F_SETLK, F_RDLCK, 0, 0));
    close(read_only);
    close(fd);
}

static void conflicts(void) {
    int fd = open(path, O_RDWR), ready[2];
    pipe(ready);
    lock(fd, F_SETLK, F_WRLCK, 0, 10);
    pid_t child = fork();
    if (child == 0) {
        say("child", lock(fd, F_SETLK, F_WRLCK, 5, 10));
        say("child, elsewhere", lock(fd, F_SETLK, F_WRLCK, 10, 10));
        write(ready[1], "r", 1);
        say("child waits", lock(fd, F_SETLKW, F_WRLCK, 5, 1));
        exit(0);
    }
    char byte;
    read(ready[0], &byte, 1);
    struct timespec delay = {0, 300000000};
    nanosleep(&delay, NULL);
    // It waits for us.
    say("deadlock", lock(fd, F_SETLKW, F_WRLCK, 10, 1));
    int released = lock(fd, F_SETLK, F_UNLCK, 0, 0);
    wait(NULL);
    say("release", released);
    say("the child is gone", lock(fd, F_SETLK, F_WRLCK, 0, 0));
    // A child does not inherit locks; another program keeps them.
    fflush(stdout);
    if (fork() == 0) {
        say("inherited", lock(fd, F_SETLK, F_RDLCK, 0, 0));
        exit(0);
    }
    wait(NULL);
    close(fd);
    close(ready[0]);
    close(ready[1]);
}

static void nothing(int signal) { (void)signal; }

static void interrupted(void) {
    int fd = open(path, O_RDWR);
    lock(fd, F_SETLK, F_WRLCK, 0, 0);
    if (fork() == 0) {
        struct sigaction action = {.sa_handler = nothing};
        sigaction(SIGALRM, &action, NULL);
        alarm(1);
        say("interrupted", lock(fd, F_SETLKW, F_WRLCK, 0, 0));
        int own = open(path, O_RDWR);
        flock(fd, LOCK_EX);
        alarm(1);
        say("flock interrupted", flock(own, LOCK_EX));
        exit(0);
    }
    wait(NULL);
    close(fd);
}

static void open_files(void) {
    int one = open(path, O_RDWR), other = open(path, O_RDWR), copy = dup(one);
    say("ofd", lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
    say("same file", lock(copy, F_OFD_SETLK, F_WRLCK, 5, 10));
    say("other file", lock(other, F_OFD_SETLK, F_WRLCK, 5, 1));
    say("process", lock(other, F_SETLK, F_RDLCK, 0, 1));
    struct flock lock_seen = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    say("seen", fcntl(other, F_OFD_GETLK, &lock_seen));
    printf("type %d start %ld len %ld pid %d\n", lock_seen.l_type, (long)lock_seen.l_start,
           (long)lock_seen.l_len, lock_seen.l_pid);
    lock_seen.l_pid = 5;
    say("pid", fcntl(other, F_OFD_SETLK, &lock_seen));
    close(one);
    say("a copy is open", lock(other, F_OFD_SETLK, F_WRLCK, 5, 1));
    close(copy);
    say("none is", lock(other, F_OFD_SETLK, F_WRLCK, 5, 1));
    close(other);
}

static void whole_files(void) {
    int one = open(path, O_RDONLY), other = open(path, O_RDWR);
    say("shared", flock(one, LOCK_SH));
    say("shared too", flock(other, LOCK_SH | LOCK_NB));
    say("exclusive", flock(one, LOCK_EX | LOCK_NB));
    say("other exclusive", flock(other, LOCK_EX | LOCK_NB));
    say("unlock", flock(other, LOCK_UN));
    say("exclusive", flock(one, LOCK_EX));
    say("other", flock(other, LOCK_SH | LOCK_NB));
    say("range", lock(other, F_SETLK, F_WRLCK, 0, 0));
    fflush(stdout);
    if (fork() == 0) {
        // The open file is in common.
        say("child", flock(one, LOCK_SH | LOCK_NB));
        say("child unlocks", flock(one, LOCK_UN));
        exit(0);
    }
    wait(NULL);
    say("unlocked", flock(other, LOCK_EX | LOCK_NB));
    say("what", flock(one, 16));
    say("closed", flock(77, LOCK_SH));
    if (fork() == 0) {
        close(other);
        say("child waits", flock(one, LOCK_SH));
        exit(0);
    }
    struct timespec delay = {0, 20000000};
    nanosleep(&delay, NULL);
    printf("closing\n");
    fflush(stdout);
    close(other);
    wait(NULL);
    close(one);
}

int main(void) {
    mkdir("/tmp", 0777);
    snprintf(path, sizeof path, "/tmp/locks.%d", getpid());
    ranges();
    conflicts();
    interrupted();
    open_files();
    whole_files();
    unlink(path);
    return 0;
}
