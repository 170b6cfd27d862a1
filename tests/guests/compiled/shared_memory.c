/* Mappings that processes and files share: one line for each case, as Linux has it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static sigjmp_buf back;
static volatile int code;

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    code = info->si_code;
    siglongjmp(back, info->si_signo);
}

/* The signal of a read or write, or 0. */
static int touch(volatile char *at, int writes) {
    int number = sigsetjmp(back, 1);
    if (number) return number;
    if (writes) *at = 'w'; else (void)*at;
    return 0;
}

static char folder[] = "/tmp/sharedXXXXXX";
static char path[64];

static int new_file(long size) {
    static int count;
    snprintf(path, sizeof path, "%s/%d", folder, count++);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) perror(path), exit(1);
    for (long at = 0; at < size; at++) {
        char byte = 'a' + at / PAGE;
        if (pwrite(fd, &byte, 1, at) != 1) exit(2);
        if (at % PAGE == 0) at += (size - at > PAGE ? PAGE : size - at) - 2;
    }
    if (ftruncate(fd, size)) exit(3);
    return fd;
}

static char *map(int fd, long pages, int protection, int flags) {
    char *at = mmap(0, pages * PAGE, protection, flags, fd, 0);
    if (at == MAP_FAILED) printf("  mmap: %s\n", strerror(errno));
    return at;
}

static const int RW = PROT_READ | PROT_WRITE;

static char at(int fd, long offset) {
    char byte = '?';
    long got = pread(fd, &byte, 1, offset);
    return got == 1 ? byte : got == 0 ? '$' : '!';
}

static void coherence(void) {
    int fd = new_file(3 * PAGE);
    char *one = map(fd, 3, RW, MAP_SHARED), *two = map(fd, 3, RW, MAP_SHARED);
    char *own = map(fd, 3, RW, MAP_PRIVATE);
    printf("coherence: %c %c %c\n", one[0], two[PAGE], own[2 * PAGE]);
    one[0] = '1';
    printf("  a store is seen: %c %c %c\n", two[0], own[0], at(fd, 0));
    pwrite(fd, "2", 1, PAGE);
    printf("  a write is seen: %c %c %c\n", one[PAGE], two[PAGE], own[PAGE]);
    own[PAGE] = 'p';
    pwrite(fd, "3", 1, PAGE);
    printf("  a private copy stays: %c %c %c\n", one[PAGE], own[PAGE], at(fd, PAGE));
    own[0] = 'q';
    printf("  and is private: %c %c %c\n", one[0], own[0], at(fd, 0));
    madvise(own, PAGE, MADV_DONTNEED);
    printf("  until discarded: %c\n", own[0]);
    if (fork() == 0) {
        one[5] = 'c', own[5] = 'd', two[2 * PAGE] = 'e';
        _exit(0);
    }
    wait(0);
    printf("  a child shares: %d %d %c %c\n", two[5], own[5] == 'd', one[2 * PAGE], at(fd, 2 * PAGE));
    printf("  msync %d %d", msync(one, 3 * PAGE, MS_SYNC), msync(one, PAGE, MS_ASYNC | MS_SYNC));
    printf(" %d", errno == EINVAL);
    munmap(one, 3 * PAGE), munmap(two, 3 * PAGE);
    printf(" %d %d\n", msync(one, PAGE, MS_SYNC), errno == ENOMEM);
    close(fd);
    printf("  without a descriptor: %c\n", own[2 * PAGE]);
    munmap(own, 3 * PAGE);
}

static int others(char *start, long pages, int protection, long page) {
    return remap_file_pages(start, pages * PAGE, protection, page, 0) ? errno : 0;
}

/* Pages of a file in another order. */
static void orders(void) {
    int fd = new_file(3 * PAGE);
    char *all = map(fd, 3, RW, MAP_SHARED), *own = map(fd, 1, RW, MAP_PRIVATE);
    for (int n = 0; n < 3; n++)
        all[n * PAGE] = 'a' + n;
    printf("orders: %d %d", others(all, 2, 0, 1), others(all + 2 * PAGE + 5, 1, 0, 0));
    printf(" %c%c%c", all[0], all[PAGE], all[2 * PAGE]);
    all[0] = 'x';
    printf(" stored %c%c%c", at(fd, 0), at(fd, PAGE), at(fd, 2 * PAGE));
    printf(" back %d %c%c%c", others(all, 3, 0, 0), all[0], all[PAGE], all[2 * PAGE]);
    printf(" refused %d %d", others(all, 1, PROT_READ, 0), others(all, 0, 0, 0));
    printf(" %d %d", others(own, 1, 0, 0), others(all, 3, 0, 1l << 52));
    printf(" %d %d", others(own, 1, 0, 1l << 52), others(all, 3, 0, -1));
    mprotect(all + PAGE, PAGE, PROT_READ);
    printf(" %d", others(all, 2, 0, 0));
    munmap(all + PAGE, PAGE);
    printf(" %d\n", others(all, 3, 0, 0));
    munmap(all, 3 * PAGE), munmap(own, PAGE);
    close(fd);
}

static void copies(void) {
    int fd = new_file(2 * PAGE);
    char *one = map(fd, 2, RW, MAP_SHARED);
    /* The same page on both sides of a copy. */
    strcpy(one, "abcdefgh");
    printf("copies: %ld %.8s", (long)pread(fd, one + 4, 4, 0), one);
    printf(" %ld %.8s", (long)pwrite(fd, one, 2, 6), one);
    printf(" %ld", (long)pwrite(fd, one, PAGE, PAGE));
    printf(" %.8s\n", one + PAGE);
    char *fresh = map(-1, 1, RW, MAP_PRIVATE | MAP_ANONYMOUS);
    int other = new_file(0);
    memset(fresh, 'x', PAGE);
    pwrite(other, fresh, PAGE, 0);
    fresh[0] = 'y';
    printf("  writes keep what was: %c", at(other, 0));
    pread(other, fresh, PAGE, 0);
    pwrite(other, "z", 1, 0);
    printf(" and so do reads: %c %c", fresh[0], at(other, 0));
    char *shared = map(other, 1, RW, MAP_SHARED);
    pread(other, fresh, PAGE, 0);
    shared[0] = 's';
    printf(" %c %c", fresh[0], at(other, 0));
    fresh[0] = 't';
    printf(" %c %c\n", shared[0], at(other, 0));
}

static void ends(void) {
    int fd = new_file(PAGE + 10);
    char *one = map(fd, 4, RW, MAP_SHARED), *own = map(fd, 4, RW, MAP_PRIVATE);
    printf("ends: %d %d", touch(one + PAGE + 100, 0), one[PAGE + 100]);
    printf(" past %d", touch(one + 2 * PAGE, 0));
    printf(" %d", code == BUS_ADRERR);
    printf(" %d %d\n", touch(own + 2 * PAGE, 1), touch(one + 3 * PAGE, 1));
    ftruncate(fd, 3 * PAGE);
    printf("  longer %d %d %d\n", touch(one + 2 * PAGE, 1), at(fd, 2 * PAGE), touch(own + 2 * PAGE, 0));
    own[0] = 'p', one[0] = 's', own[2 * PAGE] = 'p';
    ftruncate(fd, 10);
    printf("  shorter %d %d", touch(one + PAGE, 0), touch(own + 2 * PAGE, 0));
    printf(" %c %c %d\n", one[0], own[0], one[11]);
    ftruncate(fd, 2 * PAGE);
    printf("  again %d %d\n", one[PAGE], own[PAGE]);
    ftruncate(fd, 0);
    printf("  nothing %d %d", touch(one, 0), touch(own, 0));
    if (fork() == 0) _exit(touch(one, 1));
    int status;
    wait(&status);
    printf(" child %d\n", WEXITSTATUS(status));
    pwrite(fd, "back", 4, 0);
    printf("  back %.4s %.4s\n", one, own);
}

static void protections(void) {
    int fd = new_file(PAGE), only = open(path, O_RDONLY), write_only = open(path, O_WRONLY);
    printf("protections:");
    printf(" %d", mmap(0, PAGE, RW, MAP_SHARED, only, 0) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, PAGE, PROT_READ, MAP_SHARED, write_only, 0) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0) == MAP_FAILED ? errno : 0);
    char *one = map(only, 1, PROT_READ, MAP_SHARED);
    printf(" %d %d", mprotect(one, PAGE, RW), errno);
    char *own = map(only, 1, PROT_READ, MAP_PRIVATE);
    printf(" %d", mprotect(own, PAGE, RW));
    printf(" %d %d", touch(one, 1), touch(own, 1));
    char *two = map(fd, 1, RW, MAP_SHARED);
    two[0] = 'z';
    mprotect(two, PAGE, PROT_READ);
    printf(" %d", touch(two, 1));
    mprotect(two, PAGE, PROT_NONE);
    printf(" %d", touch(two, 0));
    mprotect(two, PAGE, RW);
    printf(" %d %c\n", touch(two, 1), one[0]);
    printf("  flags %d", mmap(0, PAGE, RW, 0, fd, 0) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | 1 << 27, fd, 0) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, PAGE, RW, MAP_SHARED, fd, 1) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, 0, RW, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0);
    printf(" %d", mmap(0, PAGE, RW, MAP_SHARED, 99, 0) == MAP_FAILED ? errno : 0);
    int dir = open("/", O_RDONLY);
    printf(" %d\n", mmap(0, PAGE, PROT_READ, MAP_SHARED, dir, 0) == MAP_FAILED ? errno : 0);
    char *code = mmap(0, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, "\xb8\x2a\0\0\0\xc3", 6);
    printf("  code written in place: %d\n", ((int (*)(void))code)());
}

static void anonymous(void) {
    char *all = map(-1, 4, RW, MAP_SHARED | MAP_ANONYMOUS);
    if (fork() == 0) {
        strcpy(all + PAGE, "from a child");
        char *more = mremap(all, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
        _exit(more == MAP_FAILED ? 1 : touch(more + 5 * PAGE, 0));
    }
    int status;
    wait(&status);
    printf("anonymous: %s, grown %d\n", all + PAGE, WEXITSTATUS(status));
    char *two = mremap(all, 0, 2 * PAGE, MREMAP_MAYMOVE);
    printf("  twice: %s\n", two + PAGE);
    printf("  remove %d:", madvise(all + PAGE, PAGE, MADV_REMOVE));
    printf(" %d\n", two[PAGE]);
    int zero = open("/dev/zero", O_RDWR);
    char *zeros = map(zero, 1, RW, MAP_SHARED), *own = map(zero, 1, RW, MAP_PRIVATE);
    if (fork() == 0) zeros[0] = own[0] = 'z', _exit(0);
    wait(0);
    printf("  /dev/zero %d %d\n", zeros[0], own[0]);
}

static void words(void) {
    int fd = new_file(PAGE);
    int *one = (int *)map(fd, 1, RW, MAP_SHARED), *two = (int *)map(fd, 1, RW, MAP_SHARED);
    *one = 0;
    if (fork() == 0) {
        struct timespec limit = {5, 0};
        long result = syscall(SYS_futex, two, FUTEX_WAIT, 0, &limit, 0, 0);
        _exit(result == 0 || errno == EAGAIN ? 7 : 8);
    }
    usleep(20000);
    *one = 1;
    syscall(SYS_futex, one, FUTEX_WAKE, 1, 0, 0, 0);
    int status;
    wait(&status);
    printf("words: %d\n", WEXITSTATUS(status));
}

static void sealed(void) {
    int fd = memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC), plain = memfd_create("", 0);
    printf("memfd: %d %d %d", fcntl(fd, F_GETFD), fcntl(fd, F_GET_SEALS), fcntl(plain, F_GET_SEALS));
    printf(" %d %d", fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), errno);
    printf(" %d %d", memfd_create("x", 0x100), errno);
    char name[300];
    memset(name, 'n', 299), name[250] = 0;
    printf(" %d %d", memfd_create(name, 0), errno);
    name[249] = 0;
    printf(" %d\n", memfd_create(name, 0) > 0);
    ftruncate(fd, 2 * PAGE);
    char *one = map(fd, 2, RW, MAP_SHARED);
    strcpy(one, "sealed");
    printf("  busy %d %d", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), errno);
    munmap(one, 2 * PAGE);
    printf(" %d", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    printf(" grow %d %d", ftruncate(fd, 3 * PAGE), errno);
    printf(" %ld", (long)pwrite(fd, name, 10, 2 * PAGE - 4));
    printf(" %d\n", ftruncate(fd, PAGE));
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
    printf("  shrink %d %d", ftruncate(fd, 1), errno);
    printf(" write %d", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    printf(" %ld %d", (long)pwrite(fd, "x", 1, 0), errno);
    printf(" %d", mmap(0, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0);
    one = map(fd, 1, PROT_READ, MAP_SHARED);
    printf(" %s %d", one, mprotect(one, PAGE, RW));
    char *own = map(fd, 1, RW, MAP_PRIVATE);
    own[0] = 'S';
    printf(" %s", own);
    printf(" %d", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    printf(" %d", fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC));
    printf(" %x\n", fcntl(fd, F_GET_SEALS));
    struct stat stat;
    fstat(plain, &stat);
    printf("  %o %d %ld\n", stat.st_mode, (int)stat.st_nlink, (long)stat.st_size);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGSEGV, &action, 0);
    setvbuf(stdout, 0, _IONBF, 0);
    mkdir("/tmp", 0777);
    if (!mkdtemp(folder)) perror(folder);
    coherence();
    orders();
    copies();
    ends();
    protections();
    anonymous();
    words();
    sealed();
    char command[80];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return access("/bin/rm", X_OK) ? 0 : system(command) & 0;
}
