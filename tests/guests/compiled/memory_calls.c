/* Calls about memory that is a process's own: one line for each group, as Linux has it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static sigjmp_buf back;

static void on_fault(int number) {
    siglongjmp(back, number);
}

static int touch(volatile char *at, int writes) {
    int number = sigsetjmp(back, 1);
    if (number) return number;
    if (writes) *at = 'w'; else (void)*at;
    return 0;
}

static const int RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS;

static char *map(void *at, long pages, int flags) {
    return mmap(at, pages * PAGE, RW, ANON | flags, -1, 0);
}

/* An errno, or 0. */
static int is(long result) {
    return result == -1 ? errno : 0;
}

static int in_child(int (*run)(void)) {
    int status;
    if (fork() == 0) _exit(run());
    wait(&status);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void remapping(void) {
    char *a = map(0, 8, 0), *hole = map(0, 16, 0);
    munmap(hole, 16 * PAGE);
    strcpy(a + PAGE, "second");
    char *b = mremap(a, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
    printf("mremap: fixed %d %s %d", b == hole, b + PAGE, touch(a, 0));
    printf(" rest %d", touch(a + 4 * PAGE, 1));
    printf(" overlap %d", is((long)mremap(b, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b + PAGE)));
    printf(" flags %d", is((long)mremap(b, PAGE, PAGE, MREMAP_FIXED, a)));
    printf(" %d", is((long)mremap(b, PAGE, PAGE, 64)));
    printf(" %d", is((long)mremap(b + 1, PAGE, PAGE, 0)));
    printf(" %d", is((long)mremap(b, PAGE, 0, 0)));
    printf(" %d", is((long)mremap(b, 0, PAGE, MREMAP_MAYMOVE)));
    printf(" %d\n", is((long)mremap(a, PAGE, 2 * PAGE, MREMAP_MAYMOVE)));
    char *c = mremap(b, 4 * PAGE, 2 * PAGE, 0);
    printf("  shrink %d %d", c == b, touch(b + 2 * PAGE, 0));
    c = mremap(b, 2 * PAGE, 3 * PAGE, 0);
    printf(" grow %d %d", c == b, touch(b + 2 * PAGE, 1));
    map(b + 3 * PAGE, 1, MAP_FIXED);
    printf(" no room %d", is((long)mremap(b, 2 * PAGE, 5 * PAGE, 0)));
    c = mremap(b, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    printf(" kept %d %s %d", c != b, c + PAGE, b[PAGE]);
    printf(" %d\n", is((long)mremap(b, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0)));
}

static void places(void) {
    char *a = map(0, 4, 0);
    printf("places: %d", is((long)map(a + PAGE, 1, MAP_FIXED_NOREPLACE)));
    munmap(a + PAGE, PAGE);
    printf(" %d", map(a + PAGE, 1, MAP_FIXED_NOREPLACE) == a + PAGE);
    printf(" %d", is((long)map(a + 1, 1, MAP_FIXED)));
    printf(" low %d", (unsigned long)map(0, 3, MAP_32BIT) < 1ul << 32);
    printf(" huge %d", is((long)map(0, 512, MAP_HUGETLB)));
    printf(" down %d", touch(map(0, 2, MAP_GROWSDOWN), 1));
    printf(" %d", is((long)mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0)));
    printf(" %d", is((long)mmap(0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0)));
    char *b = map(0, 2, MAP_POPULATE), *c = map(0, 2, MAP_LOCKED), *d = map(0, 2, MAP_NORESERVE);
    unsigned char in[2] = {0, 0};
    mincore(b, 2 * PAGE, in);
    printf(" populate %d %d", in[0] & 1, in[1] & 1);
    mincore(c, 2 * PAGE, in);
    printf(" locked %d %d", in[0] & 1, in[1] & 1);
    d[0] = 1;
    mincore(d, 2 * PAGE, in);
    printf(" touched %d %d\n", in[0] & 1, in[1] & 1);
    printf("  mincore %d", is(mincore(d + 1, PAGE, in)));
    munmap(d + PAGE, PAGE);
    printf(" %d %d\n", is(mincore(d, 2 * PAGE, in)), is(mincore(d, PAGE, (void *)8)));
    printf("  munmap %d %d %d\n", is(munmap(a, 0)), is(munmap(a + 1, PAGE)), is(munmap((void *)-PAGE, PAGE)));
}

// An area that grows down to where others keep it from that.
static void growing(void) {
    char *a = map(0, 1024, 0);
    munmap(a, 1024 * PAGE);
    char *top = map(a + 1023 * PAGE, 1, MAP_FIXED | MAP_GROWSDOWN);
    printf("growing: %d %d", touch(top - 10 * PAGE, 1), touch(top - 5 * PAGE, 1));
    printf(" all %d", touch(a + 500 * PAGE, 1));
    map(a, 1, MAP_FIXED);
    printf(" close %d", touch(a + 2 * PAGE, 1));
    printf(" far %d\n", touch(a + 300 * PAGE, 1));
    munmap(a, 1024 * PAGE);
}

static char *shared_with_child;

static int child_reads(void) {
    return touch(shared_with_child, 0) ? 200 : (unsigned char)shared_with_child[0];
}

static void advice(void) {
    char *a = map(0, 4, 0);
    memset(a, 'a', 4 * PAGE);
    printf("madvise: %d %d", madvise(a, PAGE, MADV_DONTNEED), a[0]);
    printf(" free %d", madvise(a + PAGE, PAGE, MADV_FREE));
    shared_with_child = a + 2 * PAGE;
    printf(" fork %d", in_child(child_reads));
    printf(" %d %d", madvise(shared_with_child, PAGE, MADV_WIPEONFORK), in_child(child_reads));
    printf(" %d %d", madvise(shared_with_child, PAGE, MADV_KEEPONFORK), in_child(child_reads));
    printf(" %d %d", madvise(shared_with_child, PAGE, MADV_DONTFORK), in_child(child_reads));
    printf(" %d %d\n", madvise(shared_with_child, PAGE, MADV_DOFORK), in_child(child_reads));
    printf("  refused %d", is(madvise(a + 1, PAGE, MADV_DONTNEED)));
    printf(" %d", is(madvise(a, PAGE, 77)));
    printf(" %d", is(madvise(a, PAGE, MADV_REMOVE)));
    printf(" empty %d", is(madvise(a, 0, MADV_DONTNEED)));
    munmap(a + PAGE, PAGE);
    printf(" hole %d", is(madvise(a, 4 * PAGE, MADV_DONTNEED)));
    printf(" %d\n", a[3 * PAGE]);
    char *b = map(0, 2, 0);
    unsigned char in[2];
    printf("  populate %d", is(madvise(b, PAGE, MADV_POPULATE_WRITE)));
    mincore(b, 2 * PAGE, in);
    printf(" %d %d", in[0] & 1, in[1] & 1);
    mprotect(b, PAGE, PROT_READ);
    printf(" %d", is(madvise(b, PAGE, MADV_POPULATE_WRITE)));
    printf(" %d", is(madvise(b, 4 * PAGE, MADV_DONTDUMP) ? -1 : 0) >= 0);
    for (int each = MADV_NORMAL; each <= MADV_WILLNEED; each++) printf(" %d", madvise(b, PAGE, each));
    printf(" %d\n", madvise(b, PAGE, MADV_DONTDUMP));
    printf("  mlock %d %d", is(mlock(b, PAGE)), is(munlock(b, PAGE)));
    printf(" %d", is(mlock(a, 4 * PAGE)));
    printf(" %d", is(mlockall(0)));
    printf(" %d", is(mlockall(MCL_CURRENT)));
    printf(" %d\n", is(munlockall()));
}

/* KiB of locked memory, without any allocation. */
static long locked(void) {
    static char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    text[read(fd, text, sizeof text - 1)] = 0;
    close(fd);
    char *line = strstr(text, "VmLck:");
    return line ? atol(line + 6) : -1;
}

static int child_locked(void) {
    return locked();
}

static void limit_locks(long pages) {
    struct rlimit limit = {pages * PAGE, pages * PAGE};
    setrlimit(RLIMIT_MEMLOCK, &limit);
}

static void note(const char *what, long result) {
    int error = is(result);
    printf(" %s %d %ld", what, error, locked());
}

/* By who may lock but 16 pages. */
static int lock(void) {
    limit_locks(16);
    if (geteuid() == 0 && setuid(65534)) return 1;
    char *a = map(0, 32, 0);
    printf("locked:");
    note("all", mlock(a, 16 * PAGE));
    note("again", mlock(a + PAGE, PAGE));
    note("more", mlock(a + 16 * PAGE, 1));
    note("mapped", (long)map(0, 1, MAP_LOCKED));
    note("less", munlock(a, 4 * PAGE));
    note("part", mlock(a + 20 * PAGE - 1, 2));
    char *b = map(0, 2, MAP_LOCKED);
    note("mapped", (long)b);
    note("grown", (long)mremap(b, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE));
    note("less", munlock(a + 19 * PAGE, PAGE));
    b = mremap(b, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    note("grown", (long)b);
    printf("\n  child %d", in_child(child_locked));
    note("unmapped", munmap(a, 20 * PAGE));
    note("on fault", syscall(SYS_mlock2, a + 22 * PAGE, PAGE, 1));
    note("bad", syscall(SYS_mlock2, a, PAGE, 2));
    note("protected", mprotect(b, PAGE, PROT_READ));
    munmap(a + 24 * PAGE, PAGE);
    note("hole", mlock(a + 23 * PAGE, 3 * PAGE));
    printf("\n ");
    note("everything", mlockall(MCL_CURRENT));
    note("future", mlockall(MCL_FUTURE));
    note("much", (long)map(0, 11, 0));
    note("heap", (long)sbrk(20 * PAGE));
    note("two", (long)map(0, 2, 0));
    note("none", munlockall());
    note("after", (long)map(0, 2, 0));
    limit_locks(0);
    note("forbidden", mlock(a + 25 * PAGE, PAGE));
    note("mapped", (long)map(0, 1, MAP_LOCKED));
    note("future", mlockall(MCL_FUTURE));
    note("less", munlock(a + 25 * PAGE, PAGE));
    printf("\n");
    return 0;
}

/* How many pages are in memory. */
static int in_place(char *a, long pages) {
    unsigned char in[16] = {};
    int count = 0;
    mincore(a, pages * PAGE, in);
    for (long n = 0; n < pages; n++) count += in[n] & 1;
    return count;
}

/* What a call has said, and how many pages are in memory after it. */
static void show_in_place(const char *what, int error, char *a, long pages) {
    printf(" %s %d %d", what, error, in_place(a, pages));
}

/* What is locked is there, unless it is locked once it is touched. */
static int lock_in_place(void) {
    char *a = map(0, 8, 0);
    mprotect(a + 4 * PAGE, PAGE, PROT_NONE);
    printf("in place:");
    show_in_place("some", is(mlock(a, 8 * PAGE)), a, 8);
    show_in_place("current", is(mlockall(MCL_CURRENT)), a, 8);
    show_in_place("new", 0, map(0, 8, 0), 8);
    int error = is(mlockall(MCL_FUTURE));
    char *b = map(0, 4, 0);
    show_in_place("future", error, b, 4);
    show_in_place("populated", 0, map(0, 4, MAP_POPULATE), 4);
    b = mremap(b, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    show_in_place("grown", 0, b, 8);
    char *end = (char *)(((long)sbrk(0) + PAGE - 1) & -PAGE);
    show_in_place("heap", brk(end + 3 * PAGE), end, 3);
    printf("\n  on fault:");
    error = is(mlockall(MCL_FUTURE | MCL_ONFAULT));
    show_in_place("future", error, map(0, 4, 0), 4);
    show_in_place("locked", 0, map(0, 4, MAP_LOCKED), 4);
    show_in_place("populated", 0, map(0, 4, MAP_POPULATE), 4);
    b = mremap(map(0, 4, 0), 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    show_in_place("grown", 0, b, 8);
    show_in_place("heap", brk(end + 6 * PAGE), end, 6);
    munlockall();
    show_in_place("some", is(mlock2(b, 8 * PAGE, MLOCK_ONFAULT)), b, 8);
    b = mremap(b, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE);
    show_in_place("grown", 0, b, 12);
    show_in_place("then all", is(mlock(b, 8 * PAGE)), b, 12);
    show_in_place("never", is(munlockall()), map(0, 4, 0), 4);
    printf("\n  ranges");
    const long ranges[][2] = {{0x10000, -0x8000}, {0x10000, -1}, {0x10001, -1}, {-4096, 8192},
                              {0x10000, -0x20000}, {0x10000, -0x10000}, {0x10000, 0}};
    for (int n = 0; n < sizeof ranges / sizeof *ranges; n++)
        printf(" %d %d", is(mlock((void *)ranges[n][0], ranges[n][1])),
               is(munlock((void *)ranges[n][0], ranges[n][1])));
    printf("\n");
    return 0;
}

/* How many KiB `smaps` has in this line for what is mapped at `a`; less than 0 if there is none. */
static long in_smaps(char *a, const char *word) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long start, end;
    int is_there = 0;
    long kib = -1;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx", &start, &end) == 2)
            is_there = start <= (unsigned long)a && (unsigned long)a < end;
        else if (is_there && !strncmp(line, word, strlen(word)))
            kib = atol(line + strlen(word));
    }
    fclose(file);
    return kib;
}

/* What is locked cannot be discarded by mistake. */
static int lock_against_advice(void) {
    char *a = map(0, 4, 0), *b = mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(a, 'a', 4 * PAGE);
    printf("kept: %d %d", is(mlock(a + PAGE, PAGE)), is(mlock(b, PAGE)));
    printf(" listed %ld %ld", in_smaps(a + PAGE, "Locked:"), in_smaps(a, "Locked:"));
    printf(" discarded %d", is(madvise(a, 4 * PAGE, MADV_DONTNEED)));
    printf(" %d %d %d", a[0], a[PAGE], a[2 * PAGE]);
    printf(" freed %d", is(madvise(a + PAGE, PAGE, MADV_FREE)));
    printf(" removed %d", is(madvise(b, PAGE, MADV_REMOVE)));
    printf(" synced %d %d", is(msync(b, PAGE, MS_SYNC)), is(msync(b, PAGE, MS_SYNC | MS_INVALIDATE)));
    printf(" %d", is(msync(a, PAGE, MS_INVALIDATE)));
    printf(" meant %d %d\n", is(madvise(a + PAGE, PAGE, MADV_DONTNEED_LOCKED)), a[PAGE]);
    return 0;
}

/* All that may be locked is, and what needs no more pages is granted. */
static int lock_exactly(void) {
    char *a = map(0, 8, 0), *end = (char *)(((long)sbrk(0) + PAGE - 1) & -PAGE);
    brk(end + PAGE);
    limit_locks(4);
    if (geteuid() == 0 && setuid(65534)) return 1;
    printf("exactly: %d", is(mlock(a, 4 * PAGE)));
    printf(" %d %d", is((long)mremap(a, 1, PAGE, 0)), is((long)mremap(a, 4 * PAGE - 5, 4 * PAGE, 0)));
    printf(" %d", is(mlockall(MCL_FUTURE)));
    printf(" %d %d %d", brk(end + 5), brk(end + PAGE), brk(end + PAGE + 1));
    limit_locks(1);
    printf(" %d", brk(end));
    printf(" %ld\n", (char *)sbrk(0) - end);
    return 0;
}

static int grow_data(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_DATA, &limit);
    int result = is((long)map(0, 1024, 0)) == ENOMEM;
    void *end = sbrk(0);
    result |= (brk((char *)end + (4 << 20)) == -1 && errno == ENOMEM) << 1;
    result |= (mmap(0, 8 << 20, PROT_READ, ANON, -1, 0) != MAP_FAILED) << 2;
    result |= (mmap(0, 8 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) << 3;
    return result;
}

static int grow_all(void) {
    struct rlimit limit = {64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &limit);
    return is((long)mmap(0, 128 << 20, PROT_NONE, ANON, -1, 0)) == ENOMEM;
}

static int __attribute__((noinline)) deep(long bytes) {
    volatile char room[16 * PAGE];
    for (unsigned i = 0; i < sizeof room; i += PAGE) room[i] = 1;
    return bytes <= 0 ? room[0] : deep(bytes - (long)sizeof room) + room[PAGE] - 1;
}

static int grow_stack(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &limit);
    signal(SIGSEGV, SIG_DFL);
    return deep(4 << 20);
}

static int deep_enough(void) {
    return deep(6 << 20);
}

static void limits(void) {
    printf("limits: data %d all %d stack %d %d\n", in_child(grow_data), in_child(grow_all), in_child(grow_stack),
           in_child(deep_enough));
}

static void protections(void) {
    char *a = map(0, 2, 0);
    printf("mprotect: %d", is(mprotect(a + 1, PAGE, RW)));
    printf(" %d", is(mprotect(a, 0, RW)));
    printf(" %d", is(mprotect(a, PAGE, 1 << 20)));
    printf(" %d", is(mprotect(a, PAGE, RW | PROT_GROWSDOWN)));
    printf(" %d", is(mprotect(a, PAGE, RW | PROT_GROWSDOWN | PROT_GROWSUP)));
    char on_stack;
    char *page = (char *)((unsigned long)&on_stack & ~(PAGE - 1ul));
    printf(" stack %d", is(mprotect(page, PAGE, RW | PROT_GROWSDOWN)));
    munmap(a + PAGE, PAGE);
    printf(" hole %d", is(mprotect(a, 2 * PAGE, PROT_READ)));
    printf(" %d\n", touch(a, 1) == SIGSEGV);
}

static char target[3 * PAGE] = "target";

static void others(void) {
    int ready[2], go[2];
    pipe(ready), pipe(go);
    pid_t child = fork();
    if (child == 0) {
        strcpy(target, "of the child");
        write(ready[1], "", 1);
        char byte;
        read(go[0], &byte, 1);
        _exit(strcmp(target, "from above"));
    }
    char byte, buffer[64] = "";
    read(ready[0], &byte, 1);
    struct iovec here[2] = {{buffer, 3}, {buffer + 10, 20}}, there = {target, 13};
    printf("process_vm: %ld", (long)process_vm_readv(child, here, 2, &there, 1, 0));
    printf(" %s %s", buffer, buffer + 10);
    struct iovec from = {"from above", 11}, to = {target, 11}, bad = {(void *)8, 8};
    printf(" %ld", (long)process_vm_writev(child, &from, 1, &to, 1, 0));
    printf(" %d", is(process_vm_readv(child, here, 1, &bad, 1, 0)));
    printf(" %d", is(process_vm_readv(child, here, 1, &there, 1, 1)));
    printf(" %d", is(process_vm_readv(999999, here, 1, &there, 1, 0)));
    write(go[1], "", 1);
    int status;
    waitpid(child, &status, 0);
    printf(" %d\n", status);
}

static void barriers(void) {
    long all = syscall(SYS_membarrier, 0, 0, 0);
    printf("membarrier: %lx", all & 0x1f);
    printf(" %ld", syscall(SYS_membarrier, 1, 0, 0));
    printf(" %d", is(syscall(SYS_membarrier, 8, 0, 0)));
    printf(" %ld", syscall(SYS_membarrier, 16, 0, 0));
    printf(" %ld", syscall(SYS_membarrier, 8, 0, 0));
    printf(" %d", is(syscall(SYS_membarrier, 1 << 20, 0, 0)));
    printf(" %d\n", is(syscall(SYS_membarrier, 0, 1, 0)));
}

int main(void) {
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    setvbuf(stdout, 0, _IONBF, 0);
    remapping();
    places();
    growing();
    advice();
    limits();
    protections();
    others();
    barriers();
    printf("%d\n", in_child(lock));
    printf("%d\n", in_child(lock_in_place));
    printf("%d\n", in_child(lock_against_advice));
    printf("%d\n", in_child(lock_exactly));
    return 0;
}
