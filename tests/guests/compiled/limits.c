// What a process says of itself and of what it may use: prctl, priorities, policies, capabilities.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long result(long got) { return got < 0 ? -errno : got; }

static void of_process(void) {
    int word = 7;
    printf("death signal %ld", result(prctl(PR_SET_PDEATHSIG, SIGUSR1)));
    printf(" %ld", result(prctl(PR_GET_PDEATHSIG, &word)));
    printf(" is %d, 65: %ld\n", word, result(prctl(PR_SET_PDEATHSIG, 65)));
    prctl(PR_SET_PDEATHSIG, 0);
    printf("dumpable %ld", result(prctl(PR_GET_DUMPABLE)));
    printf(" %ld %ld", result(prctl(PR_SET_DUMPABLE, 0)), result(prctl(PR_GET_DUMPABLE)));
    printf(" 3: %ld\n", result(prctl(PR_SET_DUMPABLE, 3)));
    prctl(PR_SET_DUMPABLE, 1);
    printf("keep %ld", result(prctl(PR_GET_KEEPCAPS)));
    printf(" %ld %ld", result(prctl(PR_SET_KEEPCAPS, 1)), result(prctl(PR_GET_KEEPCAPS)));
    printf(" 2: %ld\n", result(prctl(PR_SET_KEEPCAPS, 2)));
    printf("slack %ld", result(prctl(PR_GET_TIMERSLACK)));
    printf(" %ld %ld", result(prctl(PR_SET_TIMERSLACK, 1000)), result(prctl(PR_GET_TIMERSLACK)));
    printf(" %ld", result(prctl(PR_SET_TIMERSLACK, 0)));
    printf(" %ld\n", result(prctl(PR_GET_TIMERSLACK)));
    printf("capability %ld", result(prctl(PR_CAPBSET_READ, 0)) >= 0);
    printf(" 41: %ld 99: %ld\n", result(prctl(PR_CAPBSET_READ, 63)), result(prctl(PR_CAPBSET_READ, 99)));
    printf("privileges %ld", result(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
    printf(" 0: %ld", result(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)));
    printf(" more: %ld", result(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0)));
    printf(" %ld", result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
    printf(" %ld\n", result(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
    printf("unknown %ld\n", result(prctl(9999, 0, 0, 0, 0)));
    printf("persona %d", personality(0xffffffff));
    printf(" %d", personality(ADDR_NO_RANDOMIZE));
    printf(" %#x\n", personality(0xffffffff));
    personality(0);
}

static void orphans(void) {
    int word = 0, pipes[2];
    printf("reaper %ld", result(prctl(PR_SET_CHILD_SUBREAPER, 1)));
    prctl(PR_GET_CHILD_SUBREAPER, &word);
    printf(" %d\n", word);
    fflush(stdout);
    pipe(pipes);
    if (!fork()) {
        if (!fork()) {
            char byte;
            read(pipes[0], &byte, 1);
            _exit(33);
        }
        _exit(0);
    }
    int status;
    wait(&status);
    write(pipes[1], "x", 1);
    wait(&status);
    printf("orphan %d\n", WEXITSTATUS(status));
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    // A child hears of its parent's end.
    fflush(stdout);
    if (!fork()) {
        if (!fork()) {
            sigset_t set;
            siginfo_t info;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR2);
            sigprocmask(SIG_BLOCK, &set, 0);
            prctl(PR_SET_PDEATHSIG, SIGUSR2);
            write(pipes[1], "x", 1);
            int got = sigwaitinfo(&set, &info);
            printf("parent ended: %d code %d\n", got, info.si_code);
            fflush(stdout);
            write(pipes[1], "y", 1);
            _exit(0);
        }
        char byte;
        read(pipes[0], &byte, 1);
        _exit(0);
    }
    wait(&status);
    char byte;
    read(pipes[0], &byte, 1);
}

static void priorities(void) {
    errno = 0;
    printf("nice %d", getpriority(PRIO_PROCESS, 0));
    printf(" %ld %d", result(setpriority(PRIO_PROCESS, 0, 5)), getpriority(PRIO_PROCESS, 0));
    printf(" %ld %d\n", result(setpriority(PRIO_PROCESS, getpid(), 100)), getpriority(PRIO_PROCESS, 0));
    printf("which %ld", result(getpriority(7, 0)));
    printf(" who %ld", result(getpriority(PRIO_PROCESS, 4000000)));
    printf(" group %ld\n", result(setpriority(PRIO_PGRP, 4000000, 1)));
    int status, child = fork();
    if (!child) _exit(getpriority(PRIO_PROCESS, 0));
    waitpid(child, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    struct sched_param one = {1}, none = {0}, now = {9};
    struct timespec turn;
    for (int policy = 0; policy < 7; policy++)
        printf("policy %d: %ld %ld\n", policy, result(sched_get_priority_min(policy)),
               result(sched_get_priority_max(policy)));
    printf("other with 1: %ld", result(sched_setscheduler(0, SCHED_OTHER, &one)));
    printf(" batch: %ld", result(sched_setscheduler(0, SCHED_BATCH, &none)));
    printf(" %ld", result(sched_getscheduler(0)));
    printf(" idle: %ld", result(sched_setscheduler(0, SCHED_IDLE, &none)));
    printf(" %ld", result(sched_getscheduler(0)));
    printf(" fifo with 0: %ld", result(sched_setscheduler(0, SCHED_FIFO, &none)));
    printf(" unknown: %ld", result(sched_setscheduler(0, 4, &none)));
    printf(" nobody: %ld\n", result(sched_setscheduler(4000000, SCHED_OTHER, &none)));
    printf("reset %ld", result(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none)));
    printf(" %#lx", result(sched_getscheduler(0)));
    child = fork();
    if (!child) _exit(sched_getscheduler(0));
    waitpid(child, &status, 0);
    printf(" child %d\n", WEXITSTATUS(status));
    printf("parameters %ld", result(sched_getparam(0, &now)));
    printf(" %d, null %ld", now.sched_priority, result(syscall(SYS_sched_getparam, 0, 0)));
    printf(" -1: %ld", result(sched_getparam(-1, &now)));
    printf(" turn %ld %d\n", result(sched_rr_get_interval(0, &turn)), turn.tv_nsec >= 0);
    uint32_t attributes[12] = {0};
    printf("attributes %ld", result(syscall(SYS_sched_getattr, 0, attributes, 48, 0)));
    printf(" policy %u nice %d", attributes[1], (int)attributes[4]);
    printf(" small %ld", result(syscall(SYS_sched_getattr, 0, attributes, 40, 0)));
    printf(" flags %ld\n", result(syscall(SYS_sched_getattr, 0, attributes, 48, 1)));
    printf("io %ld", result(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3)));
    printf(" %#lx", result(syscall(SYS_ioprio_get, 1, 0)));
    printf(" class 4: %ld which 9: %ld\n", result(syscall(SYS_ioprio_set, 1, 0, 4 << 13)),
           result(syscall(SYS_ioprio_get, 9, 0)));
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    printf("no CPU: %ld", result(sched_setaffinity(0, sizeof cpus, &cpus)));
    printf(" size 3: %ld", result(syscall(SYS_sched_getaffinity, 0, 3, &cpus)));
    printf(" nobody: %ld\n", result(sched_getaffinity(4000000, sizeof cpus, &cpus)));
}

static void capabilities(void) {
    uint32_t header[2] = {0x12345, 0}, data[6];
    printf("version: %ld", result(syscall(SYS_capget, header, data)));
    printf(" %#x", header[0]);
    header[0] = 0x12345;
    printf(" asked: %ld %#x", result(syscall(SYS_capget, header, 0)), header[0]);
    printf(" %ld", result(syscall(SYS_capget, header, data)));
    header[1] = -1;
    printf(" -1: %ld", result(syscall(SYS_capget, header, data)));
    header[1] = 4000000;
    printf(" nobody: %ld\n", result(syscall(SYS_capget, header, data)));
    header[1] = 0;
    data[0] = data[3] = 0;
    printf("none in effect: %ld", result(syscall(SYS_capset, header, data)));
    data[0] = data[1] = data[3] = data[4] = 0;
    printf(" none: %ld", result(syscall(SYS_capset, header, data)));
    data[1] = 1;
    printf(" more: %ld\n", result(syscall(SYS_capset, header, data)));
}

static void limits(void) {
    struct rlimit limit;
    limit.rlim_cur = 5, limit.rlim_max = 4;
    printf("soft over hard: %ld", result(setrlimit(RLIMIT_CPU, &limit)));
    printf(" unknown: %ld", result(getrlimit(16, &limit)));
    printf(" nobody: %ld\n", result(prlimit(4000000, RLIMIT_CPU, 0, &limit)));
    limit.rlim_cur = 100, limit.rlim_max = 200;
    printf("pending: %ld", result(setrlimit(RLIMIT_SIGPENDING, &limit)));
    int status, child = fork();
    if (!child) {
        getrlimit(RLIMIT_SIGPENDING, &limit);
        _exit(limit.rlim_cur == 100 && limit.rlim_max == 200);
    }
    waitpid(child, &status, 0);
    printf(" inherited: %d\n", WEXITSTATUS(status));
    fflush(stdout);
    child = fork();
    if (!child) {
        limit.rlim_cur = 1, limit.rlim_max = 10;
        setrlimit(RLIMIT_CPU, &limit);
        for (;;) {}
    }
    waitpid(child, &status, 0);
    printf("CPU time: signal %d\n", WTERMSIG(status) == SIGXCPU);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    // Whatever the tests themselves run with.
    if (setpriority(PRIO_PROCESS, 0, 0)) {
        puts("the tests are nice, and may not be otherwise");
        return 1;
    }
    of_process();
    orphans();
    limits();
    priorities();
    capabilities();
    return 0;
}
