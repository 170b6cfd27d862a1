// More processes at once than a small machine's table has: each has a number of its own, files,
// a timer, and an end.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 520
#define STACK 4096

static int ends[2], pids[COUNT], statuses[COUNT];
static char stacks[COUNT][STACK] __attribute__((aligned(16)));

// Until nobody can write any more.
static int child(void *number) {
    char byte;
    alarm(3600 - (long)number);
    return read(ends[0], &byte, 1) == 0 && alarm(0) > 0 ? (long)number % 100 : 255;
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
    pipe(ends);
    int made = 0, there = 0, good = 0, distinct = 1;
    // They share memory and files, so that each costs little.
    for (long n = 0; n < COUNT; n++) {
        pids[n] = clone(child, stacks[n] + STACK, CLONE_VM | CLONE_FILES | SIGCHLD, (void *)n);
        made += pids[n] > 0;
    }
    for (int n = 0; n < COUNT; n++) there += pids[n] > 0 && kill(pids[n], 0) == 0;
    close(ends[1]);
    for (int n = 0; n < COUNT; n++) {
        waitpid(pids[n], &statuses[n], 0);
        good += WIFEXITED(statuses[n]) && WEXITSTATUS(statuses[n]) == n % 100;
    }
    printf("made %d there %d good %d\n", made, there, good);
    int left = wait(NULL);
    printf("left %d %s\n", left, strerrorname_np(errno));
    int gone = kill(pids[COUNT - 1], 0);
    printf("gone %d %s\n", gone, strerrorname_np(errno));
    qsort(pids, COUNT, sizeof *pids, by_number);
    for (int n = 1; n < COUNT; n++) distinct += pids[n] != pids[n - 1];
    printf("distinct %d\n", distinct);
    return 0;
}
