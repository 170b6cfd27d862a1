/* futex_waitv, and the calls that say how large a futex is. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE_32 2
#define PRIVATE 128
#define WAITV 449
#define WAKE 454
#define WAIT 455
#define REQUEUE 456

struct waiter {
    unsigned long value, address;
    unsigned flags, reserved;
};

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static unsigned words[200];
static struct waiter all[200];

static void prepare(int flags) {
    for (int n = 0; n < 200; n++)
        all[n] = (struct waiter){words[n], (unsigned long)&words[n], SIZE_32 | flags, 0};
}

static long wait_any(int count, struct timespec *until, int clock) {
    return syscall(WAITV, all, count, 0, until, clock);
}

static long wake(unsigned *word, int count, int flags) {
    return syscall(WAKE, word, -1u, count, SIZE_32 | flags);
}

static int flags_of_waker;
static unsigned *word_of_waker;

static void *waker(void *unused) {
    long woken;
    while ((woken = wake(word_of_waker, 1, flags_of_waker)) == 0)
        usleep(1000);
    return (void *)woken;
}

static void wake_later(unsigned *word, int flags, int count) {
    word_of_waker = word;
    flags_of_waker = flags;
    pthread_t thread;
    pthread_create(&thread, 0, waker, 0);
    long number = wait_any(count, 0, 0);
    void *woken;
    pthread_join(thread, &woken);
    printf("woken %ld by %ld\n", number, (long)woken);
}

static struct timespec soon(int clock) {
    struct timespec moment;
    clock_gettime(clock, &moment);
    moment.tv_nsec += 20000000;
    if (moment.tv_nsec >= 1000000000)
        moment.tv_sec++, moment.tv_nsec -= 1000000000;
    return moment;
}

static void nothing(int number) {}

static void several(void) {
    prepare(PRIVATE);
    wake_later(&words[0], PRIVATE, 3);
    wake_later(&words[2], PRIVATE, 3);
    wake_later(&words[127], PRIVATE, 128);
    prepare(0);
    wake_later(&words[1], 0, 2);
    printf("too many %s\n", error(wait_any(129, 0, 0)));
    printf("none %s\n", error(wait_any(0, 0, 0)));
    printf("nowhere %s\n", error(syscall(WAITV, 0L, 1, 0, 0L, 0)));
    printf("bad place %s\n", error(syscall(WAITV, 8L, 1, 0, 0L, 0)));
    printf("flags %s\n", error(syscall(WAITV, all, 1, 1, 0L, 0)));
    words[1] = 5;
    printf("changed %s\n", error(wait_any(2, 0, 0)));
    words[1] = 0;
    struct timespec moment = soon(CLOCK_MONOTONIC);
    printf("late %s\n", error(wait_any(2, &moment, CLOCK_MONOTONIC)));
    moment = soon(CLOCK_REALTIME);
    printf("late %s\n", error(wait_any(2, &moment, CLOCK_REALTIME)));
    printf("clock %s\n", error(wait_any(2, &moment, CLOCK_BOOTTIME)));
    moment.tv_nsec = -1;
    printf("moment %s\n", error(wait_any(2, &moment, CLOCK_REALTIME)));
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 30000}}, 0);
    printf("signal %s\n", error(wait_any(2, 0, 0)));
    struct waiter bad[] = {
        {0, (unsigned long)words + 1, SIZE_32, 0}, {0, (unsigned long)words, 0, 0},
        {0, (unsigned long)words, SIZE_32, 1},     {1ul << 32, (unsigned long)words, SIZE_32, 0},
        {0, 8, SIZE_32, 0},                        {0, (unsigned long)words, SIZE_32 | 64, 0},
    };
    for (int n = 0; n < 6; n++)
        printf("element %s\n", error(syscall(WAITV, &bad[n], 1, 0, 0L, 0)));
    printf("nobody %ld\n", wake(&words[0], 9, 0));
}

/* Another process wakes by a shared word. */
static void shared(void) {
    unsigned *word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    all[1].address = (unsigned long)word;
    all[1].value = *word;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        while (syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0) == 0)
            usleep(1000);
        _exit(0);
    }
    printf("by a child %ld\n", wait_any(2, 0, 0));
    waitpid(child, 0, 0);
}

static void *waits(void *word) {
    long result = syscall(WAIT, word, 0L, -1u, SIZE_32 | PRIVATE, 0L, 0);
    return (void *)(result ? (long)errno : 0);
}

static void single(void) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, 0, waits, &words[3]);
    while (wake(&words[3], 1, PRIVATE) == 0)
        usleep(1000);
    pthread_join(thread, &result);
    printf("waited %ld\n", (long)result);
    words[3] = 1;
    printf("changed %s\n", error(syscall(WAIT, &words[3], 0L, -1u, SIZE_32, 0L, 0)));
    struct timespec moment = soon(CLOCK_MONOTONIC);
    printf("late %s\n",
           error(syscall(WAIT, &words[3], 1L, -1u, SIZE_32, &moment, CLOCK_MONOTONIC)));
    printf("no mask %s\n", error(syscall(WAIT, &words[3], 1L, 0, SIZE_32, 0L, 0)));
    printf("size %s\n", error(syscall(WAIT, &words[3], 1L, 1, 0, 0L, 0)));
    printf("wake none %ld\n", syscall(WAKE, &words[3], 1, 0, SIZE_32));
    printf("wake flags %s\n", error(syscall(WAKE, &words[3], 1, 1, 0)));
    printf("wake mask %s\n", error(syscall(WAKE, &words[3], 1ul << 32, 1, SIZE_32)));
    words[4] = words[5] = 0;
    pthread_create(&thread, 0, waits, &words[4]);
    struct waiter pair[2] = {{0, (unsigned long)&words[4], SIZE_32 | PRIVATE, 0},
                             {0, (unsigned long)&words[5], SIZE_32 | PRIVATE, 0}};
    long moved;
    while ((moved = syscall(REQUEUE, pair, 0, 0, 1)) == 0)
        usleep(1000);
    printf("moved %ld\n", moved);
    printf("woken %ld, %ld\n", wake(&words[4], 1, PRIVATE), wake(&words[5], 1, PRIVATE));
    pthread_join(thread, &result);
    printf("waited %ld\n", (long)result);
    pair[0].value = 7;
    printf("changed %s\n", error(syscall(REQUEUE, pair, 0, 1, 1)));
    printf("flags %s\n", error(syscall(REQUEUE, pair, 1, 1, 1)));
    printf("count %s\n", error(syscall(REQUEUE, pair, 0, -1, 1)));
}

int main(void) {
    several();
    shared();
    single();
    return 0;
}
