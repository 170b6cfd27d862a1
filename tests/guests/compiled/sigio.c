// Signals that tell what can be done with pipes and sockets: O_ASYNC, FIOASYNC and F_SETOWN.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t io;

static void say(const char *what, long got) {
    printf("%s %ld %s\n", what, got < 0 ? -1 : got, got < 0 ? strerrorname_np(errno) : "");
}

// Whether a signal is pending, which is taken.
static void came(const char *what) {
    struct timespec now = {0};
    siginfo_t info;
    int got = sigtimedwait(&io, &info, &now);
    printf("%s: %s %d\n", what, got == SIGIO ? "SIGIO" : "none", got == SIGIO ? info.si_code : 0);
}

static void set(const char *what, int fd, int on) { say(what, ioctl(fd, FIOASYNC, &on)); }

static void put(int fd) { write(fd, "x", 1); }

static void get(int fd) {
    char bytes[8];
    read(fd, bytes, 8);
}

static void flags(int fd) { printf("async %d\n", (fcntl(fd, F_GETFL) & O_ASYNC) != 0); }

static void owners(int fd) {
    struct f_owner_ex owner;
    say("none", fcntl(fd, F_GETOWN));
    say("missing", fcntl(fd, F_SETOWN, 4194304));
    say("missing group", fcntl(fd, F_SETOWN, -4194304));
    say("least", fcntl(fd, F_SETOWN, 0x80000000));
    say("own", fcntl(fd, F_SETOWN, getpid()));
    printf("it is %d\n", fcntl(fd, F_GETOWN) == getpid());
    say("group", fcntl(fd, F_SETOWN, -getpgrp()));
    printf("it is %d\n", fcntl(fd, F_GETOWN) == -getpgrp());
    fcntl(fd, F_GETOWN_EX, &owner);
    printf("kind %d number %d\n", owner.type, owner.pid == getpgrp());
    owner.type = F_OWNER_TID, owner.pid = gettid();
    say("thread", fcntl(fd, F_SETOWN_EX, &owner));
    memset(&owner, 0, sizeof owner);
    fcntl(fd, F_GETOWN_EX, &owner);
    printf("kind %d number %d\n", owner.type, owner.pid == gettid());
    owner.type = 3;
    say("kind", fcntl(fd, F_SETOWN_EX, &owner));
    say("nobody", fcntl(fd, F_SETOWN, 0));
}

static void pipes(void) {
    int ends[2];
    pipe(ends);
    owners(ends[0]);
    set("pipe", ends[0], 1);
    flags(ends[0]);
    put(ends[1]);
    came("nobody is told");
    get(ends[0]);
    fcntl(ends[0], F_SETOWN, getpid());
    put(ends[1]);
    came("written");
    came("once");
    get(ends[0]);
    came("read");
    fcntl(ends[0], F_SETFL, 0);
    flags(ends[0]);
    put(ends[1]);
    came("no more");
    char page[4096] = {0};
    fcntl(ends[1], F_SETFL, O_ASYNC | O_NONBLOCK);
    fcntl(ends[1], F_SETOWN, -getpgrp());
    while (write(ends[1], page, sizeof page) > 0) {}
    came("full");
    for (int n = 0; n < 2; n++) read(ends[0], page, sizeof page);
    came("room");
    close(ends[0]);
    came("end gone");
    close(ends[1]);
}

static void sockets(void) {
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    set("socket", ends[0], 1);
    fcntl(ends[0], F_SETOWN, getpid());
    put(ends[1]);
    came("sent");
    // A copy is the same file.
    int copy = dup(ends[0]);
    close(ends[0]);
    put(ends[1]);
    came("copy");
    close(ends[1]);
    came("peer gone");
    close(copy);
    came("closed");
}

// The child is told of what its parent does.
static void child(void) {
    int ends[2], ready[2];
    pipe(ends);
    pipe(ready);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        siginfo_t info;
        get(ready[0]);
        int got = sigwaitinfo(&io, &info);
        _exit(got == SIGIO && info.si_code == SI_KERNEL ? 5 : 6);
    }
    set("for child", ends[0], 1);
    fcntl(ends[0], F_SETOWN, pid);
    put(ends[1]);
    put(ready[1]);
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    put(ends[1]);
    came("child has gone");
}

int main(void) {
    setpgid(0, 0);
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    sigprocmask(SIG_BLOCK, &io, NULL);
    pipes();
    sockets();
    child();
    int file = open("/proc/self/stat", O_RDONLY);
    set("file", file, 1);
    fcntl(file, F_SETFL, O_ASYNC);
    set("bad", 99, 1);
    return 0;
}
