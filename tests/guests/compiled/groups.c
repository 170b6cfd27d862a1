// Lists of groups, up to the longest that there can be.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 65536 };
static unsigned wanted[MOST + 1], got[MOST + 1];

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }
// glibc would ask its threads; this is one.
static long set(long count, const void *list) { return syscall(SYS_setgroups, count, list); }
static long get(long count, void *list) { return syscall(SYS_getgroups, count, list); }

static int compare(const void *left, const void *right) {
    unsigned a = *(unsigned *)left, b = *(unsigned *)right;
    return a < b ? -1 : a > b;
}

static void tell(const char *what) {
    memset(got, 0xee, sizeof got);
    long count = get(MOST, got);
    unsigned sum = 0;
    int sorted = 1;
    for (long i = 0; i < count; i++) {
        sum = sum * 31 + got[i];
        sorted &= !i || got[i - 1] <= got[i];
    }
    printf("%s: %ld, sum %x, sorted %d, beyond %x", what, count, sum, sorted, got[count]);
    printf(", too few %s, count %ld\n", count > 1 ? error(get(count - 1, got)) : "-", get(0, 0));
}

static void lists(void) {
    int counts[] = {1, 2, 256, 257, 499, 500, 501, 1000, 5000, MOST};
    for (int i = 0; i < 10; i++) {
        unsigned state = i + 1;
        for (int n = 0; n < counts[i]; n++) {
            state = state * 1103515245 + 12345;
            wanted[n] = i % 2 ? state >> 8 : state >> 16 & 255;
        }
        printf("set %s ", error(set(counts[i], wanted)));
        tell("list");
        qsort(wanted, counts[i], sizeof *wanted, compare);
        printf("the same: %d\n", !memcmp(wanted, got, counts[i] * sizeof *wanted));
    }
}

static void errors(void) {
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    printf("too many %s", error(set(MOST + 1, wanted)));
    printf(" negative %s", error(set(-1, wanted)));
    printf(" nowhere %s", error(set(2, pages + 4092)));
    printf(" no list %s", error(set(1, 0)));
    unsigned nobody[] = {1, -1};
    printf(" nobody %s", error(set(2, nobody)));
    printf(" get negative %s", error(get(-1, got)));
    printf(" get nowhere %s\n", error(get(MOST, pages + 4096 - 4000)));
    tell("as before");
}

static void heirs(void) {
    for (int n = 0; n < MOST; n++) wanted[n] = 100000 + 2 * n;
    set(MOST, wanted);
    char path[] = "/tmp/groups-XXXXXX";
    int fd = mkstemp(path), status;
    fchmod(fd, 0040);
    fflush(stdout);
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (!child) {
            if (round == 7) set(1, wanted);
            setresuid(1000, 1000, 1000);
            _exit(get(0, 0) == MOST);
        }
        waitpid(child, &status, 0);
        if (round == 6 || round == 7) printf("child %d ", WEXITSTATUS(status));
    }
    unsigned owners[] = {100000, 100001, 99999, 100000 + 2 * (MOST - 1), 100000 + 2 * MOST};
    for (int i = 0; i < 5; i++) {
        fchown(fd, 0, owners[i]);
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            setresuid(1000, 1000, 1000);
            printf("group %u: %s\n", owners[i], error(open(path, O_RDONLY)));
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    unlink(path);
    printf("no right: ");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setresuid(1000, 1000, 1000);
        printf("%s\n", error(set(0, 0)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
}

static void status(void) {
    for (int n = 0; n < 300; n++) wanted[n] = 300 - n;
    set(300, wanted);
    char *line = 0;
    size_t size = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (getline(&line, &size, file) > 0)
        if (!strncmp(line, "Groups:", 7)) printf("%zu %.30s\n", strlen(line), line);
    fclose(file);
}

int main(void) {
    printf("none: %s", error(set(0, 0)));
    printf(" %ld\n", get(0, 0));
    lists();
    errors();
    heirs();
    status();
    printf("none: %s", error(set(0, 0)));
    printf(" %ld\n", get(MOST, got));
    return 0;
}
