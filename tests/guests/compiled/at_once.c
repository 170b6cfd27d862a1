// Rounds in which all CPUs fork, map, unmap, signal, wait and exit at once: AT_ONCE processes, each
// with children of three threads that end in three ways. The first argument is how many rounds
// there are; with a second one, what is left of them is told, which only a machine of one's own
// shows.

#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 4, PAGES = 8, PAGE = 4096, SIGNALS = 4, WORDS = 50 };

// How a child ends: by itself, by the exit of a thread that others do not expect, by a signal.
enum { RETURNS, ONE_EXITS, IS_KILLED, ENDS };

static _Atomic int caught;
// A word of its own of each process, in memory that its children share.
static _Atomic int *shared;

static void count(int signal) {
    caught++;
}

static void fail(const char *what) {
    printf("failed: %s\n", what);
    fflush(stdout);
    _exit(99);
}

// Pages that come, are filled, lose rights in part, and go.
static void map(void) {
    char *pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        fail("mmap");
    for (int n = 0; n < PAGES; n++) {
        if (pages[n * PAGE])
            fail("a fresh page is not empty");
        pages[n * PAGE] = n + 1;
    }
    mprotect(pages, PAGE, PROT_READ);
    munmap(pages + PAGE, PAGE);
    madvise(pages + 2 * PAGE, PAGE, MADV_DONTNEED);
    for (int n = 0; n < PAGES; n++)
        if (n != 1 && pages[n * PAGE] != (n == 2 ? 0 : n + 1))
            fail("a page has other contents");
    munmap(pages, PAGES * PAGE);
}

static void *maps(void *until_killed) {
    do {
        map();
        map();
    } while (until_killed);
    return 0;
}

// Wakes the parent, which waits until the shared word changes.
static void *talks(void *until_killed) {
    do {
        __atomic_add_fetch(shared, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, shared, FUTEX_WAKE, 1, 0, 0, 0);
        sched_yield();
    } while (until_killed);
    return 0;
}

static void *exits(void *status) {
    map();
    exit((long)status);
}

static int child(int out, long round, int before) {
    int how = round % ENDS;
    void *for_good = how == RETURNS ? 0 : &caught;
    pthread_t threads[3];
    pthread_create(&threads[0], 0, maps, for_good);
    pthread_create(&threads[1], 0, talks, for_good);
    for (int n = 0; n < WORDS; n++)
        if (write(out, &round, sizeof round) != sizeof round)
            fail("write");
    close(out);
    while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == before)
        sched_yield();
    if (how == IS_KILLED)
        while (1)
            map();
    pthread_create(&threads[2], 0, how == ONE_EXITS ? exits : maps, how == ONE_EXITS ? (void *)(round % 50) : 0);
    if (how == ONE_EXITS)
        while (1)
            pause();
    for (int n = 0; n < SIGNALS; n++) {
        int before = caught;
        pthread_kill(pthread_self(), SIGUSR1);
        if (caught == before)
            fail("a signal to itself is late");
    }
    for (int n = 0; n < 3; n++)
        pthread_join(threads[n], 0);
    return round % 50;
}

static void run_round(long round) {
    int ends[2], status, how = round % ENDS, before = __atomic_load_n(shared, __ATOMIC_SEQ_CST);
    long word;
    if (pipe(ends))
        fail("pipe");
    int pid = fork();
    if (pid < 0)
        fail("fork");
    if (!pid) {
        close(ends[0]);
        int code = child(ends[1], round, before);
        exit(code);
    }
    close(ends[1]);
    struct timespec second = {1};
    while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == before)
        syscall(SYS_futex, shared, FUTEX_WAIT, before, &second, 0, 0);
    for (int n = 0; n < WORDS; n++)
        if (read(ends[0], &word, sizeof word) != sizeof word || word != round)
            fail("a word of a pipe");
    for (int n = 0; n < SIGNALS; n++)
        kill(pid, SIGUSR1);
    if (how == IS_KILLED)
        kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        fail("wait");
    int is_right = how == IS_KILLED ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                                    : WIFEXITED(status) && WEXITSTATUS(status) == round % 50;
    if (!is_right) {
        fprintf(stderr, "round %ld: status %#x\n", round, status);
        fail("how a child ended");
    }
    close(ends[0]);
}

static void all(long rounds) {
    for (int n = 0; n < AT_ONCE; n++)
        if (!fork()) {
            shared += n * 16;
            for (long round = n; round < rounds; round += AT_ONCE)
                run_round(round);
            _exit(0);
        }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad += status != 0;
    printf("%ld rounds, %d of %d went wrong\n", rounds, bad, AT_ONCE);
    fflush(stdout);
}

int main(int count_of_words, char **words) {
    struct sysinfo before, after;
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    // What is kept for good is there after the first.
    all(AT_ONCE * ENDS);
    if (count_of_words < 2)
        return 0;
    sysinfo(&before);
    all(atol(words[1]));
    sysinfo(&after);
    if (count_of_words > 2)
        printf("left: %ld bytes, %d processes\n", (long)(before.freeram - after.freeram), after.procs - before.procs);
    return 0;
}
