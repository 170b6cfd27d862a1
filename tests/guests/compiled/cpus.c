/* On which CPUs threads run: what a program asks for, and what it is told. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static cpu_set_t all;

static cpu_set_t only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

/* Whether the C library, by the area of restartable sequences, and the kernel say this CPU. */
static int is_on(int cpu) {
    unsigned told = -1, node = -1;
    syscall(SYS_getcpu, &told, &node, 0);
    return sched_getcpu() == cpu && told == (unsigned)cpu;
}

static int lines_with(const char *path, const char *start) {
    char line[4096];
    int count = 0;
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file)) count += !strncmp(line, start, strlen(start));
    fclose(file);
    return count;
}

static volatile int seen, is_over;

static void *tell(void *argument) {
    (void)argument;
    while (!is_over) seen = sched_getcpu();
    return 0;
}

static void own(void) {
    int right = 0, count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        cpu_set_t set = only(cpu), told;
        count++;
        if (sched_setaffinity(0, sizeof set, &set) || !is_on(cpu)) continue;
        sched_getaffinity(0, sizeof told, &told);
        usleep(100);
        right += CPU_EQUAL(&set, &told) && is_on(cpu);
    }
    printf("goes where it wants to: %s\n", right == count ? "yes" : "no");
    sched_setaffinity(0, sizeof all, &all);
}

static void another(void) {
    pthread_t thread;
    int right = 0, count = 0;
    pthread_create(&thread, 0, tell, 0);
    for (int round = 0; round < 3; round++) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (!CPU_ISSET(cpu, &all)) continue;
            cpu_set_t set = only(cpu);
            count++;
            right += !pthread_setaffinity_np(thread, sizeof set, &set);
            /* It runs all the time, and comes there. */
            while (seen != cpu) sched_yield();
        }
    }
    is_over = 1;
    pthread_join(thread, 0);
    printf("a thread that runs goes where another wants: %s\n", right == count ? "yes" : "no");
}

static void child(void) {
    int last = 0;
    while (!CPU_ISSET(last, &all)) last++;
    cpu_set_t set = only(last), told;
    sched_setaffinity(0, sizeof set, &set);
    pid_t pid = fork();
    if (!pid) {
        sched_getaffinity(0, sizeof told, &told);
        _exit(is_on(last) && CPU_EQUAL(&set, &told));
    }
    int status;
    waitpid(pid, &status, 0);
    printf("a child inherits it: %d\n", WEXITSTATUS(status));
    sched_setaffinity(0, sizeof all, &all);
}

static void errors(void) {
    cpu_set_t none;
    CPU_ZERO(&none);
    int result = sched_setaffinity(0, sizeof none, &none);
    printf("no CPU: %d %s\n", result, strerrorname_np(errno));
    result = sched_setaffinity(0, 0, &all);
    printf("no mask: %d %s\n", result, strerrorname_np(errno));
    result = sched_setaffinity(1 << 30, sizeof all, &all);
    printf("nobody's: %d %s\n", result, strerrorname_np(errno));
}

int main(void) {
    sched_getaffinity(0, sizeof all, &all);
    own();
    another();
    child();
    errors();
    int listed = lines_with("/proc/cpuinfo", "processor\t");
    printf("listed: %s\n", listed >= CPU_COUNT(&all) ? "all" : "some");
    /* One for all together. */
    printf("counted: %s\n", lines_with("/proc/stat", "cpu") - 1 == listed ? "each" : "some");
    return 0;
}
