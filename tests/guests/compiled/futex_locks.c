// Waits that end with a lock: FUTEX_WAIT_REQUEUE_PI, and who wakes there.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long futex(void *word, int operation, int value, void *timeout, void *second, int value_3) {
    long got = syscall(SYS_futex, word, operation, value, timeout, second, value_3);
    return got < 0 ? -errno : got;
}

static const char *name(long got) {
    static __thread char text[4][24];
    static __thread int turn;
    if (got < 0) return strerrorname_np(-got);
    turn = (turn + 1) % 4;
    sprintf(text[turn], "%ld", got);
    return text[turn];
}

// What they share, at different addresses in different processes.
struct shared {
    unsigned word, lock, other;
    unsigned turns[8], turn;
    volatile int ready;
    int total;
};
static struct shared *all;

static long wait_there(struct shared *at, void *until, int clock) {
    return futex(&at->word, FUTEX_WAIT_REQUEUE_PI | clock, at->word, until, &at->lock, 0);
}
static long requeue(struct shared *at, long most) {
    return futex(&at->word, FUTEX_CMP_REQUEUE_PI, 1, (void *)most, &at->lock, at->word);
}
static long lock(unsigned *word) { return futex(word, FUTEX_LOCK_PI, 0, 0, 0, 0); }
static long unlock(unsigned *word) { return futex(word, FUTEX_UNLOCK_PI, 0, 0, 0, 0); }

// Waits until a thread of this process or another one sleeps.
static void until_asleep(int tid) {
    char path[64], text[256], state = 0;
    sprintf(path, "/proc/%d/stat", tid);
    while (state != 'S') {
        usleep(1000);
        FILE *file = fopen(path, "r");
        if (!file) {
            printf("no thread %s\n", name(-errno));
            exit(1);
        }
        if (fgets(text, sizeof text, file)) state = strrchr(text, ')')[2];
        fclose(file);
    }
}

struct waiter {
    pthread_t thread;
    volatile int tid;
    int number;
    long got;
    unsigned found;
    int signals;
    void (*before)(void);
};

static void *waits(void *argument) {
    struct waiter *own = argument;
    if (own->before) own->before();
    own->tid = gettid();
    own->got = wait_there(all, 0, 0);
    own->found = all->lock;
    if (own->got == 0) {
        all->turns[all->turn++] = own->number;
        if ((all->lock & FUTEX_TID_MASK) != own->tid) printf("not its own\n");
        unlock(&all->lock);
    }
    return 0;
}

static void start(struct waiter *own, int number, void (*before)(void)) {
    memset(own, 0, sizeof *own);
    own->number = number;
    own->before = before;
    pthread_create(&own->thread, 0, waits, own);
    while (!own->tid) usleep(1000);
    until_asleep(own->tid);
}

static void free_lock(void) {
    struct waiter own;
    printf("nobody: %s\n", name(requeue(all, 1)));
    for (long most = 0; most < 2; most++) {
        start(&own, 0, 0);
        printf("free: %s", name(requeue(all, most)));
        pthread_join(own.thread, 0);
        printf(" got %s, marked %d, left %u\n", name(own.got), own.found >> 31, all->lock);
    }
}

static void in_order(void) {
    struct waiter own[4];
    for (long most = 0; most < 4; most++) {
        all->turn = 0;
        lock(&all->lock);
        for (int i = 0; i < 4; i++) start(&own[i], i, 0);
        long moved = requeue(all, most);
        printf("held, at most %ld: %s", most, name(moved));
        printf(", unlock %s", name(unlock(&all->lock)));
        for (int i = 0; i < moved; i++) pthread_join(own[i].thread, 0);
        printf(", then %s\n", name(requeue(all, 9)));
        for (int i = moved; i < 4; i++) pthread_join(own[i].thread, 0);
        for (int i = 0; i < all->turn; i++) printf("%u ", all->turns[i]);
        printf("left %u\n", all->lock);
    }
}

static void errors(void) {
    static unsigned other;
    struct waiter own;
    struct timespec bad = {0, -1};
    int op = FUTEX_CMP_REQUEUE_PI;
    void *one = (void *)1;
    printf("same: %s", name(futex(&other, FUTEX_WAIT_REQUEUE_PI, 0, 0, &other, 0)));
    printf(" %s", name(futex(&other, op, 1, one, &other, 0)));
    printf(" not aligned: %s", name(futex(&other, FUTEX_WAIT_REQUEUE_PI, 0, 0, (char *)&other + 1, 0)));
    printf(" time: %s", name(futex(&other, FUTEX_WAIT_REQUEUE_PI, 0, &bad, &all->lock, 0)));
    printf(" value: %s", name(futex(&other, FUTEX_WAIT_REQUEUE_PI, 1, 0, &all->lock, 0)));
    printf(" %s", name(futex(&all->word, op, 1, one, &all->lock, all->word + 1)));
    printf(" counts: %s", name(futex(&all->word, op, 0, one, &all->lock, all->word)));
    printf(" %s", name(futex(&all->word, op, 2, one, &all->lock, all->word)));
    printf(" %s", name(futex(&all->word, op, 1, (void *)-1, &all->lock, all->word)));
    printf(" clock: %s\n", name(futex(&all->word, op | FUTEX_CLOCK_REALTIME, 1, one, &all->lock, all->word)));
    struct shared *again = mremap(all, 0, sizeof *all, MREMAP_MAYMOVE);
    printf("same by another way: %s", name(futex(&all->word, FUTEX_WAIT_REQUEUE_PI, all->word, 0, &again->word, 0)));
    printf(" %s\n", name(futex(&all->word, op, 1, one, &again->word, all->word)));
    munmap(again, sizeof *again);
    start(&own, 0, 0);
    printf("another lock: %s", name(futex(&all->word, op, 1, one, &other, all->word)));
    printf(" wake: %s", name(futex(&all->word, FUTEX_WAKE, 1, 0, 0, 0)));
    printf(" with op: %s", name(futex(&all->word, FUTEX_WAKE_OP, 1, one, &other, 0)));
    printf(" requeue: %s", name(futex(&all->word, FUTEX_REQUEUE, 0, one, &other, 0)));
    all->lock = 0x3fffff;
    printf(" no owner: %s", name(requeue(all, 1)));
    all->lock = own.tid;
    printf(" its own: %s", name(requeue(all, 1)));
    all->lock = 0;
    printf(" at last: %s\n", name(requeue(all, 1)));
    pthread_join(own.thread, 0);
}

static void *waits_plainly(void *argument) {
    *(volatile int *)argument = gettid();
    return (void *)futex(&all->word, FUTEX_WAIT, all->word, 0, 0, 0);
}

static void plain_waiter(void) {
    pthread_t thread;
    volatile int tid = 0;
    pthread_create(&thread, 0, waits_plainly, (void *)&tid);
    while (!tid) usleep(1000);
    until_asleep(tid);
    printf("plain: %s", name(requeue(all, 1)));
    printf(" to lock: %s", name(lock(&all->word)));
    printf(" wake: %s\n", name(futex(&all->word, FUTEX_WAKE, 1, 0, 0, 0)));
    pthread_join(thread, 0);
}

static void late(void) {
    int clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        struct timespec before, until, after;
        int flag = i ? FUTEX_CLOCK_REALTIME : 0;
        clock_gettime(clocks[i], &before);
        until = before;
        until.tv_nsec += 30000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        printf("late: %s", name(wait_there(all, &until, flag)));
        clock_gettime(clocks[i], &after);
        long ns = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
        printf(" after it: %d", ns >= 30000000);
        until.tv_sec = 0;
        printf(" long ago: %s\n", name(wait_there(all, &until, flag)));
    }
}

static void *waits_late(void *argument) {
    struct waiter *own = argument;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    own->tid = gettid();
    own->got = wait_there(all, &until, 0);
    return 0;
}

static void late_for_lock(void) {
    struct waiter own = {0};
    lock(&all->lock);
    pthread_create(&own.thread, 0, waits_late, &own);
    while (!own.tid) usleep(1000);
    until_asleep(own.tid);
    printf("moved: %s", name(requeue(all, 0)));
    pthread_join(own.thread, 0);
    printf(" late: %s", name(own.got));
    printf(" unlock: %s", name(unlock(&all->lock)));
    printf(" left %u\n", all->lock);
}

static volatile int signals;
static void handler(int signal) { signals++; }

static void interrupted(void) {
    struct waiter own;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, 0);
    signals = 0;
    start(&own, 0, 0);
    pthread_kill(own.thread, SIGUSR1);
    while (!signals) usleep(1000);
    until_asleep(own.tid);
    lock(&all->lock);
    printf("waits again: %s", name(requeue(all, 1)));
    pthread_kill(own.thread, SIGUSR1);
    pthread_join(own.thread, 0);
    printf(" moved: %s signals %d", name(own.got), signals);
    printf(" unlock: %s", name(unlock(&all->lock)));
    printf(" left %u\n", all->lock);
}

static void take_other(void) { lock(&all->other); }

static void *circle(void *argument) {
    lock(&all->lock);
    *(volatile int *)argument = gettid();
    long got = lock(&all->other);
    unlock(&all->other);
    unlock(&all->lock);
    return (void *)got;
}

static void deadlock(void) {
    struct waiter own;
    pthread_t thread;
    volatile int tid = 0;
    all->other = 0;
    start(&own, 0, take_other);
    pthread_create(&thread, 0, circle, (void *)&tid);
    while (!tid) usleep(1000);
    until_asleep(tid);
    printf("circle: %s\n", name(requeue(all, 1)));
    all->word++;
    // It still waits for the word; its end gives the other lock to who waits for that.
    signals = 0;
    pthread_kill(own.thread, SIGUSR1);
    pthread_join(own.thread, 0);
    printf("got: %s", name(own.got));
    void *got;
    pthread_join(thread, &got);
    printf(", other lock: %s, left: %u %u\n", name((long)got), all->lock, all->other);
    all->other = 0;
}

// Who waited for a lock, and has had it, waits for nobody as it waits for something else.
static int ends[2];
static void *waits_elsewhere(void *argument) {
    char byte;
    lock(&all->lock);
    unlock(&all->lock);
    lock(&all->other);
    *(volatile int *)argument = gettid();
    read(ends[0], &byte, 1);
    return (void *)unlock(&all->other);
}

static void *writes_later(void *argument) {
    until_asleep(*(int *)argument);
    write(ends[1], "", 1);
    return 0;
}

static void no_deadlock(void) {
    pthread_t thread, writer;
    volatile int tid = 0;
    int own = gettid();
    pipe(ends);
    lock(&all->lock);
    pthread_create(&thread, 0, waits_elsewhere, (void *)&tid);
    usleep(50000);
    unlock(&all->lock);
    while (!tid) usleep(1000);
    until_asleep(tid);
    pthread_create(&writer, 0, writes_later, &own);
    printf("waits for who reads: %s", name(lock(&all->other)));
    printf(" %s\n", name(unlock(&all->other)));
    pthread_join(thread, 0);
    pthread_join(writer, 0);
}

static void owner_ends(void) {
    pid_t children[3];
    int status;
    all->ready = all->turn = 0;
    for (int i = 0; i < 3; i++) {
        if ((children[i] = fork())) {
            while (all->ready == i) usleep(1000);
            until_asleep(children[i]);
            continue;
        }
        // Elsewhere in its memory.
        struct shared *at = mremap(all, 0, sizeof *all, MREMAP_MAYMOVE);
        munmap(all, sizeof *all);
        at->ready++;
        long got = wait_there(at, 0, 0);
        at->turns[at->turn++] = i;
        printf("child %d: %s, died %d, own %d\n", i, name(got), !!(at->lock & FUTEX_OWNER_DIED),
               (at->lock & FUTEX_TID_MASK) == gettid());
        // The first one ends with the lock.
        if (i != 0) unlock(&at->lock);
        _exit(0);
    }
    pid_t owner = fork();
    if (!owner) {
        lock(&all->lock);
        printf("moved: %s\n", name(requeue(all, 9)));
        raise(SIGKILL);
    }
    waitpid(owner, &status, 0);
    for (int i = 0; i < 3; i++) waitpid(children[i], &status, 0);
    for (int i = 0; i < 3; i++) printf("%u ", all->turns[i]);
    printf("left %u\n", all->lock);
}

// Each of them waits until it is its turn, as with a mutex and a condition variable.
enum { THREADS = 6, TURNS = 40 };
static void *takes_turns(void *argument) {
    int number = (long)argument;
    for (int turn = 0; turn < TURNS; turn++) {
        lock(&all->lock);
        while (all->total % THREADS != number) {
            unsigned word = all->word;
            unlock(&all->lock);
            long got = futex(&all->word, FUTEX_WAIT_REQUEUE_PI, word, 0, &all->lock, 0);
            if (got == -EAGAIN) lock(&all->lock);
            else if (got != 0) printf("got %s\n", name(got));
        }
        all->total++;
        all->word++;
        long got;
        do got = requeue(all, THREADS);
        while (got == -EAGAIN);
        // Who waits has the lock that this thread holds.
        if (got < 0) printf("moved %s\n", name(got));
        unlock(&all->lock);
    }
    return 0;
}

static void turns(void) {
    pthread_t threads[THREADS];
    all->total = 0;
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, takes_turns, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
    printf("turns: %d left %u\n", all->total, all->lock);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    all = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    free_lock();
    in_order();
    errors();
    plain_waiter();
    late();
    late_for_lock();
    interrupted();
    deadlock();
    no_deadlock();
    owner_ends();
    turns();
    return 0;
}
