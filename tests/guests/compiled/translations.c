/* Threads that use pages while another one unmaps, protects, moves or shares them: what they do
 * after that has returned is never by the old translation. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 12, USERS = 3, ROUNDS = 4 };

/* What the users do in a round. */
enum use { READ, WRITE, END };

static volatile char *volatile pages;
static volatile int use;
/* The number of the round, and of the last one whose change is done. */
static volatile int round_now, changed;
/* What a user must not read any more. */
static volatile char old;
static volatile int stale, faults;
static struct user { volatile int round; volatile long steps; } users[USERS];

static __thread sigjmp_buf back;

static void on_fault(int number) {
    (void)number;
    siglongjmp(back, 1);
}

static long steps(int user) { return __atomic_load_n(&users[user].steps, __ATOMIC_ACQUIRE); }

/* Uses all pages until the round is over, or a fault comes. */
static void take_part(int number, int round) {
    struct user *user = &users[number];
    if (sigsetjmp(back, 1)) {
        __atomic_fetch_add(&faults, 1, __ATOMIC_SEQ_CST);
        return;
    }
    user->round = round;
    while (round_now == round) {
        int is_changed = changed == round;
        for (int page = 0; page < PAGES; page++) {
            volatile char *at = pages + page * PAGE + number;
            if (use == WRITE) *at = (char)user->steps;
            if ((use == WRITE || *at == old) && is_changed)
                __atomic_fetch_add(&stale, 1, __ATOMIC_SEQ_CST);
        }
        __atomic_fetch_add(&user->steps, 1, __ATOMIC_SEQ_CST);
    }
}

/* Rounds with odd numbers use the pages, between them all rest. */
static void *run(void *argument) {
    int number = (int)(long)argument, last = 0;
    while (use != END) {
        int round = round_now;
        if (round % 2 && round != last) take_part(number, last = round);
        else users[number].round = round, sched_yield();
    }
    return 0;
}

static void begin(int round) { __atomic_store_n(&round_now, round, __ATOMIC_SEQ_CST); }

static void rest(void) {
    int round = round_now + 1;
    begin(round);
    for (int user = 0; user < USERS; user++) while (users[user].round != round) usleep(1000);
}

/* Waits until each user has used the pages some more, or has met a fault. */
static void let_use(int round, int before) {
    for (int user = 0; user < USERS; user++) {
        long start = steps(user);
        while (users[user].round != round || (steps(user) < start + 3 && faults - before < USERS))
            usleep(1000);
    }
}

/* A child that shares the pages of the round. */
static pid_t sharer;
static void end_sharer(void);

/* Has all use fresh pages while `change` changes them, and for a while after. */
static void try(const char *what, enum use how, void (*change)(void), int does_fault) {
    int fault_count = 0, all_stale = 0;
    for (int number = 0; number < ROUNDS; number++) {
        char *fresh = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(fresh, 'o', PAGES * PAGE);
        pages = fresh, old = 'o', use = how;
        stale = 0;
        int before = faults, round = round_now + 1;
        begin(round);
        let_use(round, before);
        change();
        __atomic_store_n(&changed, round, __ATOMIC_SEQ_CST);
        if (does_fault) while (faults - before < USERS && !stale) usleep(1000);
        else let_use(round, before);
        fault_count += faults - before, all_stale += stale;
        rest();
        if (sharer) end_sharer();
        munmap(fresh, PAGES * PAGE);
    }
    printf("%s: %d stale, %d faults\n", what, all_stale, fault_count);
}

static void unmap(void) { munmap((void *)pages, PAGES * PAGE); }
static void unmap_one(void) {
    for (int page = 0; page < PAGES; page++) munmap((char *)pages + page * PAGE, PAGE);
}
static void map_over(void) {
    mmap((void *)pages, PAGES * PAGE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
static void protect(void) { mprotect((void *)pages, PAGES * PAGE, PROT_READ); }
static void forbid(void) { mprotect((void *)pages, PAGES * PAGE, PROT_NONE); }
static void forget(void) { madvise((void *)pages, PAGES * PAGE, MADV_DONTNEED); }
static void move(void) {
    void *target = mmap(0, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mremap((void *)pages, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    munmap(target, PAGES * PAGE);
}

/* By which that child is told that the round is over. */
static int sharers_pipe[2];

static void end_sharer(void) {
    close(sharers_pipe[0]), close(sharers_pipe[1]);
    waitpid(sharer, 0, 0);
    sharer = 0;
}

/* This process writes to each page, which a child shares: to a copy. */
static void copy(void) {
    pipe(sharers_pipe);
    sharer = fork();
    if (!sharer) {
        char byte;
        close(sharers_pipe[1]);
        read(sharers_pipe[0], &byte, 1);
        _exit(0);
    }
    for (int page = 0; page < PAGES; page++) memset((char *)pages + page * PAGE, 'n', USERS);
}

/* A child sees what was there as it was made, whatever the others write meanwhile. */
static int differs;
static void watch(void) {
    pid_t child = fork();
    if (!child) {
        char first[PAGES * PAGE];
        memcpy(first, (char *)pages, sizeof first);
        struct timespec start, now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        do clock_gettime(CLOCK_MONOTONIC, &now);
        while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 5000000);
        _exit(memcmp(first, (char *)pages, sizeof first) != 0);
    }
    int status;
    waitpid(child, &status, 0);
    differs += status != 0;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &action, 0);
    pthread_t threads[USERS];
    pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long user = 0; user < USERS; user++) pthread_create(&threads[user], 0, run, (void *)user);
    try("munmap", READ, unmap, 1);
    try("munmap, page by page", WRITE, unmap_one, 1);
    try("mmap over it", READ, map_over, 0);
    try("mprotect to read", WRITE, protect, 1);
    try("mprotect to nothing", READ, forbid, 1);
    try("madvise", READ, forget, 0);
    try("mremap", READ, move, 1);
    try("copy-on-write", READ, copy, 0);
    for (int i = 0; i < ROUNDS; i++) {
        char *fresh = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(fresh, 'o', PAGES * PAGE);
        pages = fresh, use = WRITE;
        int round = round_now + 1;
        begin(round);
        let_use(round, faults);
        watch();
        rest();
        munmap(fresh, PAGES * PAGE);
    }
    printf("fork: %d differ\n", differs);
    use = END;
    for (int user = 0; user < USERS; user++) pthread_join(threads[user], 0);
    return 0;
}
