// What threads do at once, each on a CPU of its own where there are several: a lock that hands
// itself on, words that the kernel changes as they do, and stores to pages that are given back.

#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 3, ROUNDS = 500, PAGES = 1024, PAGE = 4096, TIMES = 5 };

static pthread_mutex_t lock;
static long guarded;

static void *count(void *unused) {
    for (int n = 0; n < ROUNDS; n++) {
        pthread_mutex_lock(&lock);
        guarded++;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void inheriting_lock(void) {
    pthread_mutexattr_t kind;
    pthread_t threads[THREADS];
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&lock, &kind);
    for (int n = 0; n < THREADS; n++)
        pthread_create(&threads[n], 0, count, 0);
    for (int n = 0; n < THREADS; n++)
        pthread_join(threads[n], 0);
    printf("under the lock %ld\n", guarded);
}

static int word;

static void *add(void *in_kernel) {
    static int nobody;
    int code = FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_LT, 0);
    for (int n = 0; n < ROUNDS; n++) {
        if (in_kernel)
            syscall(SYS_futex, &nobody, FUTEX_WAKE_OP, 0, 0, &word, code);
        else
            __atomic_add_fetch(&word, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static void words(void) {
    pthread_t threads[2];
    pthread_create(&threads[0], 0, add, 0);
    pthread_create(&threads[1], 0, add, &word);
    pthread_join(threads[0], 0);
    pthread_join(threads[1], 0);
    printf("added %d\n", word);
}

static char *pages;
static int is_done;

static void *store(void *unused) {
    while (!__atomic_load_n(&is_done, __ATOMIC_SEQ_CST))
        for (int n = 0; n < PAGES; n++)
            *(volatile long *)(pages + n * PAGE) = 0x4141414141414000;
    return unused;
}

static void stores(void) {
    pthread_t thread;
    long full = 0;
    pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_create(&thread, 0, store, 0);
    for (int n = 0; n < TIMES; n++) {
        madvise(pages, PAGES * PAGE, MADV_DONTNEED);
        char *fresh = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int at = 0; at < PAGES * PAGE; at += PAGE) {
            full += *(long *)(fresh + at);
            fresh[at] = 1;
        }
        munmap(fresh, PAGES * PAGE);
    }
    __atomic_store_n(&is_done, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, 0);
    printf("in fresh pages %ld\n", full);
}

int main(void) {
    inheriting_lock();
    words();
    stores();
    return 0;
}
