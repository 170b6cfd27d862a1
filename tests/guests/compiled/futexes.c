// Futexes: locks whose owner ends, locks that the kernel hands on, and arguments.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
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

static pthread_mutex_t *lock;
// Beside it: that somebody has it.
static volatile int *held;

static void make(int robust, int inherit, int shared) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    if (robust) pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (inherit) pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    if (shared) pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    lock = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(lock, &kind);
    held = (volatile int *)(lock + 1);
}

static void *hold(void *argument) {
    pthread_mutex_lock(lock);
    *held = 1;
    usleep(argument ? 30000 : 0);
    return 0;
}

static void owner_ends(int inherit) {
    pthread_t thread;
    make(1, inherit, 0);
    pthread_create(&thread, 0, hold, 0);
    pthread_join(thread, 0);
    printf("lock: %s", strerror(pthread_mutex_lock(lock)));
    printf(", consistent: %d", pthread_mutex_consistent(lock));
    printf(", unlock: %d\n", pthread_mutex_unlock(lock));
    make(1, inherit, 0);
    pthread_create(&thread, 0, hold, lock);
    while (!*held) usleep(1000);
    printf("lock with a wait: %s\n", strerror(pthread_mutex_lock(lock)));
    printf("unlock: %d, ", pthread_mutex_unlock(lock));
    printf("lock again: %s\n", strerror(pthread_mutex_lock(lock)));
    pthread_join(thread, 0);
    make(1, inherit, 1);
    for (int by_signal = 0; by_signal < 2; by_signal++) {
        *held = 0;
        pid_t child = fork();
        if (!child) {
            pthread_mutex_lock(lock);
            *held = 1;
            usleep(20000);
            if (by_signal) raise(SIGKILL);
            _exit(0);
        }
        while (!*held) usleep(1000);
        printf("of a process: %s\n", strerror(pthread_mutex_lock(lock)));
        pthread_mutex_consistent(lock);
        pthread_mutex_unlock(lock);
        waitpid(child, 0, 0);
    }
}

static int total;
static void *add(void *argument) {
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(lock);
        int before = total;
        if (i % 50 == 0) sched_yield();
        total = before + 1;
        pthread_mutex_unlock(lock);
    }
    return argument;
}

static void many(void) {
    pthread_t threads[4];
    make(0, 1, 0);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, add, 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    printf("together: %d\n", total);
    pthread_mutex_lock(lock);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    pid_t child = fork();
    if (!child) _exit(0);
    waitpid(child, 0, 0);
    printf("try: %s\n", strerror(pthread_mutex_trylock(lock)));
}

static int own_word;
static void *wait_for_own(void *argument) {
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec++;
    long *got = argument;
    got[0] = futex(&own_word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0);
    got[1] = futex(&own_word, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    soon.tv_sec -= 2;
    got[2] = futex(&own_word, FUTEX_LOCK_PI, 0, &soon, 0, 0);
    got[3] = futex(&own_word, FUTEX_LOCK_PI, 0, 0, 0, 0);
    got[4] = (own_word & FUTEX_TID_MASK) == syscall(SYS_gettid);
    got[5] = futex(&own_word, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    return 0;
}

static void by_hand(void) {
    long got[6] = {0};
    pthread_t thread;
    printf("free: %ld", futex(&own_word, FUTEX_LOCK_PI, 0, 0, 0, 0));
    printf(" own %d", own_word == syscall(SYS_gettid));
    printf(" again %ld", futex(&own_word, FUTEX_LOCK_PI, 0, 0, 0, 0));
    pthread_create(&thread, 0, wait_for_own, got);
    usleep(50000);
    printf(" wake %ld", futex(&own_word, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    pthread_join(thread, 0);
    printf(" other: %ld %ld %ld %ld %ld %ld\n", got[0], got[1], got[2], got[3], got[4], got[5]);
    own_word = 0x3fffff;
    printf("no such owner: %ld\n", futex(&own_word, FUTEX_LOCK_PI, 0, 0, 0, 0));
}

static int words[2];
static void *wait_on(void *argument) {
    int which = *(int *)argument;
    futex(&words[which], FUTEX_WAIT, words[which], 0, 0, 0);
    return 0;
}

// Those that go to where they are count too.
static void to_itself(void) {
    pthread_t threads[3];
    int which = 0;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, wait_on, &which);
    while (futex(&words[0], FUTEX_REQUEUE, 0, (void *)9, &words[0], 0) != 3) usleep(1000);
    printf("to itself: %ld", futex(&words[0], FUTEX_REQUEUE, 1, (void *)1, &words[0], 0));
    printf(" %ld", futex(&words[0], FUTEX_REQUEUE, 0, (void *)9, &words[0], 0));
    // The call that says how large a word is wakes one at least, unless it is to wake none.
    printf(" none: %ld", syscall(454, &words[0], -1u, 0, 2));
    printf(" negative: %ld", syscall(454, &words[0], -1u, -1, 2));
    printf(" last: %ld\n", futex(&words[0], FUTEX_WAKE, 9, 0, 0, 0));
    for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
}

static void wake_op(void) {
    pthread_t threads[2];
    int which[2] = {0, 1};
    words[1] = 5;
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, wait_on, &which[i]);
    usleep(50000);
    int add_if_5 = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
    printf("woken: %ld", futex(&words[0], FUTEX_WAKE_OP, 1, (void *)1, &words[1], add_if_5));
    printf(" word: %d\n", words[1]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
    int operations[] = {FUTEX_OP_SET, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR,
                        FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT};
    for (int i = 0; i < 5; i++) {
        long got = futex(&words[0], FUTEX_WAKE_OP, 0, 0, &words[1],
                         FUTEX_OP(operations[i], 6, FUTEX_OP_CMP_LT, 0));
        printf("%ld %d, ", got, words[1]);
    }
    printf("unknown: %ld\n", futex(&words[0], FUTEX_WAKE_OP, 0, 0, &words[1], 0x70000000));
}

static void arguments(void) {
    static int word;
    struct timespec bad = {0, -1}, none = {0, 0};
    char *unmapped = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(unmapped, 4096);
    printf("not aligned: %ld", futex((char *)&word + 1, FUTEX_WAKE, 1, 0, 0, 0));
    printf(" unknown: %ld", futex(&word, 99, 1, 0, 0, 0));
    printf(" time: %ld", futex(&word, FUTEX_WAIT, 0, &bad, 0, 0));
    printf(" late: %ld", futex(&word, FUTEX_WAIT, 0, &none, 0, 0));
    printf(" other value: %ld", futex(&word, FUTEX_WAIT, 1, 0, 0, 0));
    printf(" no bits: %ld", futex(&word, FUTEX_WAIT_BITSET, 0, 0, 0, 0));
    printf(" wake no bits: %ld", futex(&word, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
    printf(" clock: %ld", futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0));
    printf(" negative: %ld", futex(&word, FUTEX_REQUEUE, -1, 0, &words, 0));
    printf(" changed: %ld", futex(&word, FUTEX_CMP_REQUEUE, 1, 0, &words, 7));
    printf(" nowhere: %ld", futex(unmapped, FUTEX_WAIT, 0, 0, 0, 0));
    printf(" %ld", futex(unmapped, FUTEX_WAKE, 1, 0, 0, 0));
    printf(" %ld", futex(unmapped, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    printf(" %ld\n", futex((void *)-4096L, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    void *head = 0;
    size_t size = 0;
    long got = syscall(SYS_get_robust_list, 0, &head, &size);
    printf("list: %ld %d %zu", got, head != 0, size);
    printf(" set: %ld", syscall(SYS_set_robust_list, head, 23L) < 0 ? -errno : 0L);
    printf(" of nobody: %ld\n", syscall(SYS_get_robust_list, 0x3ffffe, &head, &size) < 0 ? -errno : 0L);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    owner_ends(0);
    owner_ends(1);
    many();
    by_hand();
    to_itself();
    wake_op();
    arguments();
    return 0;
}
