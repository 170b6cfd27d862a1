// Sets of files to wait for, and descriptors that are events. Prints a line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static int ctl(int set, int what, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = 0x100000000u + fd};
    return epoll_ctl(set, what, fd, &event);
}

// What is ready at once: how many, then events and low half of the data of each.
static void look(const char *what, int set) {
    struct epoll_event found[8];
    int count = epoll_wait(set, found, 8, 0);
    printf("%s: %d", what, count);
    for (int i = 0; i < count; i++)
        printf(" %x:%d", found[i].events, (int)found[i].data.u64);
    printf("\n");
}

static void levels_and_edges(void) {
    int set = epoll_create1(EPOLL_CLOEXEC), ends[2];
    say("cloexec", fcntl(set, F_GETFD));
    pipe(ends);
    say("add", ctl(set, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    say("add again", ctl(set, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    look("empty", set);
    write(ends[1], "ab", 2);
    look("level", set);
    look("level again", set);
    say("edge", ctl(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET));
    look("edge", set);
    look("edge again", set);
    write(ends[1], "c", 1);
    look("edge after a write", set);
    char byte;
    read(ends[0], &byte, 1);
    look("edge after a read", set);
    say("once", ctl(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    look("once", set);
    write(ends[1], "d", 1);
    look("once again", set);
    say("once more", ctl(set, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    look("once more", set);
    say("add writer", ctl(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT));
    look("writer", set);
    say("level", ctl(set, EPOLL_CTL_MOD, ends[0], EPOLLIN));
    close(ends[1]);
    look("writer gone", set);
    say("remove", epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
    say("remove again", epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
    look("removed", set);
    close(ends[0]);
    close(set);
}

static void errors(void) {
    int set = epoll_create(1), file = open("/dev/null", O_RDONLY), event = eventfd(1, 0);
    struct epoll_event found[2];
    say("create 0", epoll_create(0));
    say("create flags", epoll_create1(1));
    say("a device", ctl(set, EPOLL_CTL_ADD, file, EPOLLIN));
    say("itself", ctl(set, EPOLL_CTL_ADD, set, EPOLLIN));
    say("closed", ctl(set, EPOLL_CTL_ADD, 77, EPOLLIN));
    say("no set", ctl(event, EPOLL_CTL_ADD, event, EPOLLIN));
    say("change", ctl(set, EPOLL_CTL_MOD, event, EPOLLIN));
    say("what", ctl(set, 9, event, EPOLLIN));
    say("no memory", epoll_ctl(set, EPOLL_CTL_ADD, event, NULL));
    say("wait for none", epoll_wait(set, found, 0, 0));
    say("wait at no set", epoll_wait(event, found, 1, 0));
    ctl(set, EPOLL_CTL_ADD, event, EPOLLIN);
    say("to nowhere", epoll_wait(set, (struct epoll_event *)8, 1, 0));
    say("still there", epoll_wait(set, found, 2, 0));
    say("exclusive", ctl(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLEXCLUSIVE));
    say("remove", epoll_ctl(set, EPOLL_CTL_DEL, event, NULL));
    say("exclusive once", ctl(set, EPOLL_CTL_ADD, event, EPOLLEXCLUSIVE | EPOLLONESHOT));
    say("exclusive", ctl(set, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLEXCLUSIVE));
    say("change it", ctl(set, EPOLL_CTL_MOD, event, EPOLLIN));
    look("exclusive", set);
    struct timespec none = {0, 0};
    say("pwait2", syscall(SYS_epoll_pwait2, set, found, 2, &none, NULL, 8));
    close(event);
    look("closed", set);
    close(file);
    close(set);
}

static void closing(void) {
    int set = epoll_create1(0), event = eventfd(1, 0), copy = dup(event);
    ctl(set, EPOLL_CTL_ADD, event, EPOLLIN);
    close(event);
    look("a copy is open", set);
    int again = eventfd(1, 0);
    say("same number", again == event);
    say("another file", ctl(set, EPOLL_CTL_ADD, again, EPOLLIN | EPOLLOUT));
    look("both", set);
    close(copy);
    look("one", set);
    close(again);
    look("none", set);
    event = eventfd(1, 0);
    ctl(set, EPOLL_CTL_ADD, event, EPOLLIN);
    fflush(stdout);
    if (fork() == 0) {
        look("child", set);
        close(event);
        close(set);
        exit(0);
    }
    wait(NULL);
    look("parent", set);
    close(set);
    close(event);
}

static void nesting(void) {
    int outer = epoll_create1(0), inner = epoll_create1(0), event = eventfd(0, 0);
    say("nest", ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
    say("loop", ctl(inner, EPOLL_CTL_ADD, outer, EPOLLIN));
    say("event", ctl(inner, EPOLL_CTL_ADD, event, EPOLLIN));
    look("quiet", outer);
    uint64_t one = 1;
    write(event, &one, 8);
    look("outer", outer);
    look("inner", inner);
    struct pollfd set = {outer, POLLIN | POLLOUT, 0};
    say("poll", poll(&set, 1, 0));
    printf("%x\n", set.revents);
    read(event, &one, 8);
    look("outer", outer);
    say("poll", poll(&set, 1, 0));
    int chain[6] = {epoll_create1(0)};
    for (int i = 1; i < 6; i++) {
        chain[i] = epoll_create1(0);
        say("chain", ctl(chain[i], EPOLL_CTL_ADD, chain[i - 1], EPOLLIN));
    }
    for (int i = 0; i < 6; i++)
        close(chain[i]);
    close(outer);
    close(inner);
    close(event);
}

static void *write_later(void *event) {
    struct timespec delay = {0, 20000000};
    nanosleep(&delay, NULL);
    uint64_t one = 1;
    write(*(int *)event, &one, 8);
    return NULL;
}

static void interrupt(int signal) { (void)signal; }

static void waiting(void) {
    int set = epoll_create1(0), event = eventfd(0, 0);
    struct epoll_event found;
    ctl(set, EPOLL_CTL_ADD, event, EPOLLIN);
    say("timeout", epoll_wait(set, &found, 1, 10));
    pthread_t thread;
    pthread_create(&thread, NULL, write_later, &event);
    say("a thread writes", epoll_wait(set, &found, 1, -1));
    pthread_join(thread, NULL);
    uint64_t count;
    read(event, &count, 8);
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    say("signal", epoll_wait(set, &found, 1, -1));
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    say("pwait", epoll_pwait(set, &found, 1, -1, &none));
    close(set);
    close(event);
}

static void counters(void) {
    uint64_t number;
    int event = eventfd(5, EFD_NONBLOCK);
    say("read", read(event, &number, 8));
    printf("%lu\n", number);
    say("empty", read(event, &number, 8));
    say("short", read(event, &number, 7));
    number = UINT64_MAX - 1;
    say("fill", write(event, &number, 8));
    struct pollfd set = {event, POLLIN | POLLOUT, 0};
    poll(&set, 1, 0);
    printf("%x\n", set.revents);
    number = 1;
    say("full", write(event, &number, 8));
    number = UINT64_MAX;
    say("too much", write(event, &number, 8));
    say("short", write(event, &number, 4));
    say("seek", lseek(event, 0, SEEK_SET));
    say("pread", pread(event, &number, 8, 0));
    say("flags", eventfd(0, 2));
    int semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    for (int i = 0; i < 3; i++)
        say("semaphore", read(semaphore, &number, 8));
    close(event);
    close(semaphore);
}

static void timers(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec now, set = {{0, 0}, {0, 20000000}};
    uint64_t count;
    say("not set", read(timer, &count, 8));
    say("set", timerfd_settime(timer, 0, &set, &now));
    printf("%ld %ld\n", now.it_value.tv_sec, now.it_value.tv_nsec);
    timerfd_gettime(timer, &now);
    say("left", now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 20000000);
    say("too early", read(timer, &count, 8));
    struct pollfd poller = {timer, POLLIN, 0};
    say("poll", poll(&poller, 1, 1000));
    say("read", read(timer, &count, 8));
    printf("%lu\n", count);
    say("once", read(timer, &count, 8));
    timerfd_gettime(timer, &now);
    say("left", now.it_value.tv_nsec);
    set.it_interval.tv_nsec = 10000000;
    timerfd_settime(timer, 0, &set, NULL);
    struct timespec delay = {0, 70000000};
    nanosleep(&delay, NULL);
    read(timer, &count, 8);
    say("several", count >= 5);
    clock_gettime(CLOCK_MONOTONIC, &set.it_value);
    set.it_value.tv_sec -= 1;
    set.it_interval.tv_nsec = 0;
    say("past", timerfd_settime(timer, TFD_TIMER_ABSTIME, &set, NULL));
    say("past", read(timer, &count, 8));
    printf("%lu\n", count);
    memset(&set, 0, sizeof set);
    say("stop", timerfd_settime(timer, 0, &set, NULL));
    set.it_value.tv_nsec = 1000000000;
    say("invalid", timerfd_settime(timer, 0, &set, NULL));
    say("flags", timerfd_settime(timer, 8, &set, NULL));
    say("clock", timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    say("write", write(timer, &count, 8));
    say("no timer", timerfd_gettime(0, &now));
    int real = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &set.it_value);
    set.it_value.tv_sec -= 5;
    set.it_interval.tv_sec = 2;
    say("real", timerfd_settime(real, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &set, NULL));
    say("real", read(real, &count, 8));
    printf("%lu\n", count);
    // An edge comes once, as long as nobody reads.
    int poll_set = epoll_create1(0), ticks = 0;
    struct epoll_event found;
    memset(&set, 0, sizeof set);
    set.it_value.tv_nsec = set.it_interval.tv_nsec = 10000000;
    ctl(poll_set, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET);
    timerfd_settime(timer, 0, &set, NULL);
    while (ticks < 3 && epoll_wait(poll_set, &found, 1, 50) == 1)
        ticks++;
    say("ticks", ticks);
    close(poll_set);
    close(real);
    close(timer);
}

static void signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int file = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo info[3];
    say("none", read(file, info, sizeof info));
    say("short", read(file, info, 100));
    kill(getpid(), SIGUSR2);
    struct pollfd poller = {file, POLLIN, 0};
    say("poll", poll(&poller, 1, 0));
    say("read", read(file, info, sizeof info));
    printf("%u %d %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_pid == (uint32_t)getpid());
    sigset_t pending;
    sigpending(&pending);
    say("pending", sigismember(&pending, SIGUSR2));
    int poll_set = epoll_create1(0);
    ctl(poll_set, EPOLL_CTL_ADD, file, EPOLLIN);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    struct epoll_event found;
    say("child", epoll_wait(poll_set, &found, 1, 5000));
    say("read", read(file, info, sizeof info));
    printf("%u %d %d %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_status,
           info[0].ssi_pid == (uint32_t)child);
    wait(NULL);
    look("quiet", poll_set);
    union sigval value = {.sival_int = 42};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    say("change", signalfd(file, &set, 0) == file);
    sigqueue(getpid(), SIGRTMIN, value);
    value.sival_int = 43;
    sigqueue(getpid(), SIGRTMIN, value);
    say("read", read(file, info, sizeof info));
    printf("%d %d %d\n", info[0].ssi_code, info[0].ssi_int, info[1].ssi_int);
    say("no such", signalfd(0, &set, 0));
    close(poll_set);
    close(file);
}

static void processes(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    int file = syscall(SYS_pidfd_open, child, 0);
    say("cloexec", fcntl(file, F_GETFD));
    struct pollfd poller = {file, POLLIN, 0};
    say("alive", poll(&poller, 1, 0));
    say("read", read(file, &poller, 4));
    say("signal 0", syscall(SYS_pidfd_send_signal, file, 0, NULL, 0));
    int set = epoll_create1(0);
    struct epoll_event found;
    ctl(set, EPOLL_CTL_ADD, file, EPOLLIN);
    say("kill", syscall(SYS_pidfd_send_signal, file, SIGKILL, NULL, 0));
    say("ended", epoll_wait(set, &found, 1, 5000));
    say("ended", poll(&poller, 1, -1));
    printf("%x\n", poller.revents);
    siginfo_t info;
    say("wait", waitid(P_PIDFD, file, &info, WEXITED));
    printf("%d %d %d\n", info.si_pid == child, info.si_code, info.si_status);
    say("gone", syscall(SYS_pidfd_send_signal, file, 0, NULL, 0));
    say("wait", waitid(P_PIDFD, file, &info, WEXITED));
    say("none", syscall(SYS_pidfd_open, 0, 0));
    say("flags", syscall(SYS_pidfd_open, getpid(), 1));
    say("not one", syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0));
    int own = syscall(SYS_pidfd_open, getpid(), 0), event = eventfd(7, 0);
    int copy = syscall(SYS_pidfd_getfd, own, event, 0);
    uint64_t count;
    say("getfd", read(copy, &count, 8));
    printf("%lu %d\n", count, fcntl(copy, F_GETFD));
    say("getfd closed", syscall(SYS_pidfd_getfd, own, 99, 0));
    close(copy);
    close(event);
    close(own);
    close(set);
    close(file);
}

// Many files, few of which are ready.
static void crowd(void) {
    enum { MANY = 900 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int set = epoll_create1(0), events[MANY];
    for (int i = 0; i < MANY; i++) {
        events[i] = eventfd(0, 0);
        if (ctl(set, EPOLL_CTL_ADD, events[i], EPOLLIN) < 0)
            say("crowd", -1);
    }
    int sum = 0;
    for (int round = 0; round < 1000; round++) {
        uint64_t one = 1;
        int which = round * 7 % MANY;
        write(events[which], &one, 8);
        struct epoll_event found[4];
        int count = epoll_wait(set, found, 4, -1);
        sum += count * ((int)found[0].data.u64 == events[which]);
        read(events[which], &one, 8);
    }
    say("crowd", sum);
}

int main(void) {
    levels_and_edges();
    errors();
    closing();
    nesting();
    waiting();
    counters();
    timers();
    signals();
    processes();
    crowd();
    return 0;
}
