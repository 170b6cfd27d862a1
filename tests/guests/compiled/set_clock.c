/* Setting the time of day, and what waits for it. Nothing sets the clock of a host: there what a
   guest must find is printed as it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400

static int is_guest;

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void check(const char *what, int holds) { printf("%s %d\n", what, !is_guest || holds); }

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec;
}

static long now_by_call(void) {
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
    return time.tv_sec;
}

static int step(long seconds) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += seconds;
    return is_guest ? clock_settime(CLOCK_REALTIME, &time) : 0;
}

static int close_to(long value, long expected) {
    return value >= expected && value < expected + 60;
}

static void errors(void) {
    struct timespec time = {1700000000, 1000000000};
    printf("nanoseconds %s\n", error(clock_settime(CLOCK_REALTIME, &time)));
    time = (struct timespec){-1, 0};
    printf("before 1970 %s\n", error(clock_settime(CLOCK_REALTIME, &time)));
    time = (struct timespec){9000000000, 0};
    printf("late %s\n", error(clock_settime(CLOCK_REALTIME, &time)));
    printf("nowhere %s\n", error(syscall(SYS_clock_settime, CLOCK_REALTIME, 8)));
    int clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, 99};
    time = (struct timespec){1700000000, 0};
    for (int n = 0; n < 4; n++)
        printf("clock %s\n", error(clock_settime(clocks[n], &time)));
    struct timeval value = {1700000000, 1000000};
    printf("microseconds %s\n", error(settimeofday(&value, 0)));
    struct timex timex = {0};
    check("adjtimex", adjtimex(&timex) >= 0 && close_to(timex.time.tv_sec, now() - 1));
    fflush(stdout);
    if (fork() == 0) {
        if (setuid(65534))
            _exit(1);
        value.tv_usec = 0;
        printf("forbidden %s, %s", error(clock_settime(CLOCK_REALTIME, &time)),
               error(settimeofday(&value, 0)));
        timex.modes = ADJ_SETOFFSET;
        printf(", %s\n", error(adjtimex(&timex)));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
}

static void steps(void) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    long start = now();
    close(open("/tmp/set_clock.file", O_CREAT | O_WRONLY, 0600));
    check("set", step(DAY) == 0);
    check("a day later", close_to(now(), start + DAY));
    check("by a call", close_to(now_by_call(), start + DAY));
    check("time", close_to(time(0), start + DAY));
    struct timeval value;
    gettimeofday(&value, 0);
    check("gettimeofday", close_to(value.tv_sec, start + DAY));
    clock_gettime(CLOCK_MONOTONIC, &after);
    check("since boot", after.tv_sec - before.tv_sec < 60);
    struct stat facts;
    stat("/tmp/set_clock.file", &facts);
    check("file of before", close_to(facts.st_mtime, start));
    chmod("/tmp/set_clock.file", 0644);
    stat("/tmp/set_clock.file", &facts);
    check("changed after", close_to(facts.st_ctime, start + DAY));
    unlink("/tmp/set_clock.file");
    value.tv_sec = start;
    check("back", !is_guest || settimeofday(&value, 0) == 0);
    check("it is", close_to(now(), start));
    struct timex timex = {.modes = ADJ_SETOFFSET, .time = {.tv_sec = -100, .tv_usec = 500000}};
    check("offset", !is_guest || adjtimex(&timex) >= 0);
    check("it is", close_to(now(), start - 100));
    timex.time.tv_sec = 99;
    check("offset", !is_guest || clock_adjtime(CLOCK_REALTIME, &timex) >= 0);
    check("it is", close_to(now(), start - 1));
    /* A child sees it too. */
    fflush(stdout);
    if (fork() == 0) {
        step(DAY);
        _exit(0);
    }
    wait(0);
    check("by a child", close_to(now(), start + DAY - 1));
    step(-DAY);
}

static volatile int slept;

static void *sleeps(void *until) {
    if (is_guest)
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, 0);
    slept = 1;
    return 0;
}

enum { FUTEX, LOCK, SEVERAL, QUEUE, WAITERS };

static struct timespec later;
static const char *ended[WAITERS];
static uint32_t words[WAITERS];

/* Waits until `later` for what never comes. */
static void *waits(void *how) {
    long number = (long)how, result = 0;
    uint32_t *word = &words[number];
    struct { uint64_t value, address, flags; } several = {0, (uint64_t)word, 2};
    char byte[16];
    errno = 0;
    if (number == FUTEX)
        result = syscall(SYS_futex, word, 9 | 256, 0, &later, 0, -1);
    if (number == LOCK) {
        *word = getpid();
        result = syscall(SYS_futex, word, 6, 0, &later, 0, 0);
    }
    if (number == SEVERAL)
        result = syscall(SYS_futex_waitv, &several, 1, 0, &later, CLOCK_REALTIME);
    if (number == QUEUE) {
        struct mq_attr size = {.mq_maxmsg = 1, .mq_msgsize = sizeof byte};
        mqd_t queue = mq_open("/set_clock", O_CREAT | O_RDWR, 0600, &size);
        mq_unlink("/set_clock");
        result = mq_timedreceive(queue, byte, sizeof byte, 0, &later);
        mq_close(queue);
    }
    ended[number] = error(result);
    return 0;
}

/* Waits by the time of day end when it comes, however that is. */
static void deadlines(void) {
    pthread_t threads[WAITERS];
    later = (struct timespec){now() + 1000, 0};
    for (long how = 0; is_guest && how < WAITERS; how++)
        pthread_create(&threads[how], 0, waits, (void *)how);
    usleep(50000);
    step(-5000);
    step(5900);
    usleep(50000);
    for (int how = 0; how < WAITERS; how++)
        check("not yet", !ended[how]);
    step(101);
    for (int how = 0; how < WAITERS; how++) {
        if (is_guest)
            pthread_join(threads[how], 0);
        check("late", ended[how] && !strcmp(ended[how], "ETIMEDOUT"));
    }
    step(-1001);
}

static volatile int came;

static void note(int number) { came++; }

static void waiting(void) {
    pthread_t thread;
    struct timespec until = {now() + 1000, 0};
    pthread_create(&thread, 0, sleeps, &until);
    usleep(20000);
    int moves = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    int cancels = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    int stays = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct itimerspec at = {.it_value = {now() + 1000, 0}}, in = {.it_value = {1000, 0}};
    timerfd_settime(moves, TFD_TIMER_ABSTIME, &at, 0);
    timerfd_settime(cancels, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, 0);
    timerfd_settime(stays, 0, &in, 0);
    signal(SIGUSR1, note);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_create(CLOCK_REALTIME, &event, &timer);
    timer_settime(timer, TIMER_ABSTIME, &at, 0);
    uint64_t count;
    printf("early %s\n", error(read(cancels, &count, 8)));
    struct pollfd all[] = {{moves, POLLIN}, {cancels, POLLIN}, {stays, POLLIN}};
    step(10);
    int ready = poll(all, 3, 0);
    check("one is ready", ready == 1 && all[1].revents == POLLIN);
    check("cancelled", read(cancels, &count, 8) < 0 && errno == ECANCELED);
    check("once", read(cancels, &count, 8) < 0 && errno == EAGAIN);
    step(10);
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    check("set anew", timerfd_settime(cancels, flags, &at, 0) < 0 && errno == ECANCELED);
    check("and again", timerfd_settime(cancels, flags, &at, 0) == 0);
    check("nobody yet", !is_guest || (!slept && !came));
    struct itimerspec left;
    timerfd_gettime(moves, &left);
    check("less is left", left.it_value.tv_sec > 900 && left.it_value.tv_sec < 981);
    step(1000);
    pthread_join(thread, 0);
    check("woken", slept);
    check("expired", read(moves, &count, 8) == 8 && count == 1);
    check("not this", read(stays, &count, 8) < 0 && errno == EAGAIN);
    for (int n = 0; is_guest && n < 1000 && !came; n++)
        usleep(1000);
    check("signal", came == 1);
    step(-1020);
}

int main(void) {
    struct utsname names;
    uname(&names);
    setvbuf(stdout, 0, _IOLBF, 0);
    is_guest = !!strstr(names.release, "ringfence");
    errors();
    steps();
    waiting();
    deadlines();
    return 0;
}
