// What clone and clone3 make of their flags, and how children are waited for.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup, future;
};

static long clone3(struct arguments *arguments, size_t size) {
    long got = syscall(SYS_clone3, arguments, size);
    return got < 0 ? -errno : got;
}

static volatile int caught;
static void note(int signal) { caught = signal; }

static long refused(struct arguments arguments, size_t size) {
    long got = clone3(&arguments, size);
    if (!got) _exit(99);
    return got;
}

static void wrong(void) {
    struct arguments none = {0}, some;
    printf("small %ld large %ld", refused(none, 56), refused(none, 5000));
    some = none, some.future = 1;
    printf(" future %ld", refused(some, sizeof some));
    some = none, some.exit_signal = 65;
    printf(" signal %ld", refused(some, 64));
    some = none, some.stack = 4096;
    printf(" stack %ld", refused(some, 64));
    some = none, some.stack_size = 4096;
    printf(" no stack %ld", refused(some, 64));
    some = none, some.flags = CLONE_SIGHAND;
    printf(" handlers %ld", refused(some, 64));
    some = none, some.flags = CLONE_THREAD;
    printf(" thread %ld", refused(some, 64));
    some = none, some.flags = CLONE_SIGHAND | CLONE_VM | 0x100000000ULL;
    printf(" clear %ld", refused(some, 64));
    some = none, some.flags = 1ULL << 40;
    printf(" unknown %ld\n", refused(some, 64));
}

static void fork_like(void) {
    static volatile int shared_word;
    int status, tid = 0;
    struct arguments some = {0};
    some.exit_signal = SIGCHLD;
    some.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
    some.parent_tid = (uintptr_t)&tid;
    some.child_tid = (uintptr_t)&shared_word;
    long child = clone3(&some, sizeof some);
    if (!child) _exit(shared_word == getpid() ? 4 : 5);
    waitpid(child, &status, 0);
    printf("child %d, told %d, its own %d\n", WEXITSTATUS(status), tid == child, shared_word);
    signal(SIGUSR1, note);
    signal(SIGUSR2, SIG_IGN);
    some.flags = 0x100000000ULL;
    child = clone3(&some, sizeof some);
    if (!child) {
        struct sigaction one, two;
        sigaction(SIGUSR1, 0, &one);
        sigaction(SIGUSR2, 0, &two);
        _exit((one.sa_handler == SIG_DFL) + 2 * (two.sa_handler == SIG_IGN));
    }
    waitpid(child, &status, 0);
    printf("without handlers: %d\n", WEXITSTATUS(status));
}

static void end_signals(void) {
    int status;
    struct arguments some = {0};
    some.exit_signal = SIGUSR1;
    caught = 0;
    long child = clone3(&some, 64);
    if (!child) _exit(7);
    while (!caught) usleep(1000);
    printf("signal %d", caught == SIGUSR1);
    int got = waitpid(child, &status, WNOHANG);
    printf(" usual %d %d", got, errno);
    got = waitpid(child, &status, __WCLONE);
    printf(" clone %d %d\n", got == child, WEXITSTATUS(status));
    some.exit_signal = 0;
    child = clone3(&some, 64);
    if (!child) _exit(8);
    got = waitpid(child, &status, __WALL);
    printf("all %d %d\n", got == child, WEXITSTATUS(status));
}

static int run(void *argument) {
    if (argument) *(int *)argument = 42;
    signal(SIGTERM, note);
    return 3;
}

static void shares(void) {
    static char stack[65536] __attribute__((aligned(16)));
    int word = 0, status;
    struct sigaction action;
    int pid = clone(run, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_FS | CLONE_FILES | SIGCHLD, &word);
    waitpid(pid, &status, 0);
    sigaction(SIGTERM, 0, &action);
    printf("shared: memory %d handlers %d status %d\n", word, action.sa_handler == note,
           WEXITSTATUS(status));
    word = 0;
    signal(SIGTERM, SIG_DFL);
    pid = clone(run, stack + sizeof stack, SIGCHLD, &word);
    waitpid(pid, &status, 0);
    sigaction(SIGTERM, 0, &action);
    printf("copied: memory %d handlers %d status %d\n", word, action.sa_handler == note,
           WEXITSTATUS(status));
    pid = clone(run, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_IO | SIGCHLD, &word);
    printf("after vfork: %d\n", word);
    waitpid(pid, &status, 0);
    fflush(stdout);
    // A child of the parent's.
    int middle = fork();
    if (!middle) {
        int got = clone(run, stack + sizeof stack, CLONE_PARENT | SIGCHLD, 0);
        errno = 0;
        _exit(waitpid(got, 0, 0) < 0 && errno == ECHILD ? 1 : 2);
    }
    waitpid(middle, &status, 0);
    printf("no child of its own: %d", WEXITSTATUS(status));
    int got = waitpid(-1, &status, 0);
    printf(", but of its parent: %d %d\n", got > 0, WEXITSTATUS(status));
}

static void waits(void) {
    siginfo_t info;
    int status;
    int child = fork();
    if (!child) _exit(6);
    int got = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    printf("kept: %d code %d status %d pid %d\n", got, info.si_code, info.si_status,
           info.si_pid == child);
    got = waitid(P_PGID, getpgrp(), &info, WEXITED);
    printf("group: %d code %d status %d uid %d signal %d\n", got, info.si_code, info.si_status,
           info.si_uid == getuid(), info.si_signo);
    got = waitid(P_ALL, 0, &info, WEXITED);
    printf("none: %d %d\n", got, errno);
    child = fork();
    if (!child) {
        raise(SIGSTOP);
        raise(SIGKILL);
    }
    waitid(P_PID, child, &info, WSTOPPED);
    printf("stopped: code %d status %d\n", info.si_code, info.si_status);
    memset(&info, 1, sizeof info);
    got = waitid(P_PID, child, &info, WEXITED | WNOHANG);
    printf("not yet: %d signal %d pid %d\n", got, info.si_signo, info.si_pid);
    kill(child, SIGCONT);
    waitid(P_PID, child, &info, WCONTINUED | WEXITED);
    printf("went on or ended: %d\n", info.si_code == CLD_CONTINUED || info.si_code == CLD_KILLED);
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
    got = waitid(P_PID, 0, &info, WEXITED);
    printf("process 0: %d %d", got, errno);
    got = waitid(P_PGID, -5, &info, WEXITED);
    printf(" group -5: %d %d", got, errno);
    got = waitid(P_ALL, 0, &info, WNOHANG);
    printf(" nothing: %d %d", got, errno);
    got = waitid(77, 0, &info, WEXITED);
    printf(" kind: %d %d", got, errno);
    got = syscall(SYS_wait4, 0x80000000L, 0, 0, 0);
    printf(" least: %d %d\n", got, errno);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    wrong();
    fork_like();
    end_signals();
    shares();
    waits();
    return 0;
}
