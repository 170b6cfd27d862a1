/* Long copies between programs, files, pipes and sockets, at odd places and of odd lengths: every byte is
   where it belongs, those around it stay, and what cannot be copied ends a copy where it should. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, SIZE = 100 * PAGE };

static unsigned char source[SIZE], target[SIZE + 2 * PAGE];
static uint32_t state = 1;

static uint32_t next(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (uint64_t)state * below >> 32;
}

static uint32_t sum(const unsigned char *bytes, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 16777619;
    return hash;
}

static int file(const char *name)
{
    int fd = memfd_create(name, 0);
    if (fd < 0)
        perror("memfd_create"), exit(1);
    return fd;
}

/* Whether all of target is `other`, but for len bytes at `at` that are `bytes`. */
static int only(size_t at, const unsigned char *bytes, size_t len, int other)
{
    for (size_t i = 0; i < sizeof target; i++)
        if (target[i] != (i - at < len ? bytes[i - at] : other))
            return printf("byte %zu of %zu at %zu\n", i, len, at), 0;
    return 1;
}

static const size_t lengths[] = {1, 255, 256, 257, 4095, 4096, 4097, 8192, 12345, 131071, 131073, SIZE - PAGE};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void files(void)
{
    int fd = file("files"), good = 0;
    for (int i = 0; i < LENGTHS; i++)
        for (int where = 0; where < 4; where++) {
            size_t len = lengths[i], at = next(PAGE), from = next(PAGE), to = next(PAGE);
            if (where == 0)
                at = 0;
            if (where == 1)
                from = to = at = 0;
            ftruncate(fd, 0);
            memset(target, 7, sizeof target);
            ssize_t put = pwrite(fd, source + from, len, at);
            ssize_t got = pread(fd, target + to, sizeof target - to, at);
            good += put == (ssize_t)len && got == (ssize_t)len && only(to, source + from, len, 7);
            /* In the middle of what is there, and what was before. */
            put = pwrite(fd, source, len / 2, at + len / 3);
            got = pread(fd, target, sizeof target, 0);
            printf("%zu: %zd %zd %08x\n", len, put, got, sum(target, got));
        }
    printf("files: %d of %d\n", good, LENGTHS * 4);
    close(fd);
}

static void vectors(void)
{
    int fd = file("vectors");
    struct iovec parts[4];
    size_t at = 3;
    for (int i = 0; i < 4; i++) {
        parts[i] = (struct iovec){source + at, 3 * PAGE + next(5 * PAGE)};
        at += parts[i].iov_len + 1;
    }
    ssize_t put = pwritev(fd, parts, 4, 1000);
    for (int i = 0; i < 4; i++)
        parts[3 - i].iov_base = target + i * 9 * PAGE + next(1000);
    memset(target, 9, sizeof target);
    ssize_t got = preadv(fd, parts, 4, 10);
    printf("vectors: %zd %zd %08x\n", put, got, sum(target, sizeof target));
    close(fd);
}

/* A copy that meets memory which is not there, or cannot be written to, stops there. */
static void faults(void)
{
    int fd = file("faults");
    unsigned char *area = mmap(0, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 5, 10 * PAGE);
    munmap(area + 12 * PAGE, PAGE);
    mprotect(area + 6 * PAGE, PAGE, PROT_READ);
    pwrite(fd, source, SIZE, 0);
    ssize_t got = pread(fd, area + 100, 10 * PAGE, 0);
    printf("into read-only: %s %08x\n", got < 0 ? strerror(errno) : got == 6 * PAGE - 100 ? "up to it" : "?",
           sum(area, 6 * PAGE));
    printf("read-only page: %08x\n", sum(area + 6 * PAGE, PAGE));
    got = pread(fd, area + 7 * PAGE, 10 * PAGE, 0);
    printf("into nothing: %s %08x\n", got < 0 ? strerror(errno) : got == 5 * PAGE ? "up to it" : "?",
           sum(area + 7 * PAGE, 5 * PAGE));
    ssize_t put = pwrite(fd, area + 8 * PAGE, 10 * PAGE, SIZE + 3 * PAGE);
    printf("from nothing: %zd\n", put);
    put = pwrite(fd, area + 12 * PAGE, 2 * PAGE, 0);
    printf("only nothing: %zd %s\n", put, strerror(errno));
    printf("to the kernel: %zd %s\n", pread(fd, (void *)0xffff800000000000, 2 * PAGE, 0), strerror(errno));
    printf("null: %zd %s\n", pread(fd, 0, 2 * PAGE, 0), strerror(errno));
    got = pread(fd, target, sizeof target, SIZE - PAGE);
    printf("file: %zd %08x\n", got, sum(target, got));
    munmap(area, 20 * PAGE);
    close(fd);
}

/* A file to itself, through a shared mapping. */
static void onto_itself(void)
{
    int fd = file("itself");
    pwrite(fd, source, 40 * PAGE, 0);
    unsigned char *area = mmap(0, 40 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    area[5 * PAGE] = 77;
    ssize_t put = pwrite(fd, area, 10 * PAGE, 20 * PAGE);
    ssize_t got = pread(fd, area + 10 * PAGE, 10 * PAGE, 20 * PAGE);
    ssize_t same = pread(fd, area + 3 * PAGE, 4 * PAGE, 3 * PAGE);
    printf("onto itself: %zd %zd %zd %08x\n", put, got, same, sum(area, 40 * PAGE));
    munmap(area, 40 * PAGE);
    close(fd);
}

static void between(void)
{
    int one = file("one"), other = file("other");
    pwrite(one, source, SIZE, 0);
    off_t start = 123, place = 4567;
    ssize_t moved = copy_file_range(one, &start, other, &place, 50 * PAGE + 1, 0);
    printf("copy_file_range: %zd %d %d\n", moved, (int)start, (int)place);
    start = 5;
    lseek(other, 30 * PAGE, SEEK_SET);
    moved = sendfile(other, one, &start, SIZE);
    printf("sendfile: %zd %d %d\n", moved, (int)start, (int)lseek(other, 0, SEEK_CUR));
    start = PAGE, place = 3 * PAGE + 50;
    moved = copy_file_range(one, &start, one, &place, 2 * PAGE, 0);
    lseek(one, 90 * PAGE + 10, SEEK_SET);
    lseek(other, 0, SEEK_SET);
    ssize_t rest = copy_file_range(one, 0, other, 0, SIZE, 0);
    printf("rest: %zd %zd %d %d\n", moved, rest, (int)lseek(one, 0, SEEK_CUR), (int)lseek(other, 0, SEEK_CUR));
    for (int i = 0; i < 2; i++) {
        memset(target, 1, sizeof target);
        ssize_t got = pread(i ? other : one, target, sizeof target, 0);
        printf("%zd %08x\n", got, sum(target, sizeof target));
    }
    close(one), close(other);
}

static void pipes(void)
{
    for (int i = 0; i < LENGTHS; i++) {
        int ends[2];
        pipe(ends);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            size_t put = write(ends[1], source + 11, lengths[i]);
            _exit(put != lengths[i]);
        }
        close(ends[1]);
        memset(target, 7, sizeof target);
        size_t done = 0;
        for (ssize_t got; (got = read(ends[0], target + 5 + done, next(40000) + 1)) > 0;)
            done += got;
        int status;
        waitpid(child, &status, 0);
        printf("pipe: %zu %d %d\n", done, status, only(5, source + 11, lengths[i], 7));
        close(ends[0]);
    }
}

static ssize_t all(int from, off_t *start, int to, size_t len)
{
    size_t done = 0;
    for (ssize_t moved; done < len && (moved = splice(from, start, to, 0, len - done, 0)) > 0;)
        done += moved;
    return done;
}

/* From a file through two pipes to a file, a part of it by a read, the rest by sendfile. */
static void splices(void)
{
    int from = file("from"), one[2], other[2];
    /* How often pipes() has asked for a number depends on who ran when. */
    state = 1;
    pwrite(from, source, SIZE, 0);
    pipe(one), pipe(other);
    for (int i = 0; i < LENGTHS; i++) {
        size_t len = lengths[i] < 60000 ? lengths[i] : 15 * PAGE + i;
        int to = file("to");
        off_t start = next(PAGE), first = start;
        lseek(to, next(3 * PAGE), SEEK_SET);
        size_t at = lseek(to, 0, SEEK_CUR);
        ssize_t in = all(from, &start, one[1], len);
        ssize_t between = all(one[0], 0, other[1], len);
        memset(target, 7, sizeof target);
        ssize_t got = read(other[0], target + 9, len / 3);
        int good = only(9, source + first, len / 3, 7);
        ssize_t out = all(other[0], 0, to, len - len / 3);
        ssize_t sent = sendfile(to, from, &start, PAGE + i);
        memset(target, 7, sizeof target);
        ssize_t end = pread(to, target, sizeof target, 0);
        good += !memcmp(target + at, source + first + len / 3, len - len / 3 + PAGE + i);
        printf("splices: %zd %zd %zd %zd %zd %d %zd %d\n", in, between, got, out, sent, (int)start, end, good);
        close(to);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        /* More than a pipe holds. */
        off_t start = 77, end = 77 + 80 * PAGE;
        while (start < end && sendfile(one[1], from, &start, end - start) > 0)
            ;
        _exit(start != end);
    }
    close(one[1]);
    memset(target, 7, sizeof target);
    size_t done = 0;
    for (ssize_t got; (got = read(one[0], target + done, next(30000) + 1)) > 0;)
        done += got;
    int status;
    waitpid(child, &status, 0);
    printf("sendfile to a pipe: %zu %d %d\n", done, status, only(0, source + 77, 80 * PAGE, 7));
    close(one[0]), close(other[0]), close(other[1]), close(from);
}

/* Zeros of all lengths, also where nothing can be written. */
static void zeros(void)
{
    int zero = open("/dev/zero", O_RDWR), good = 0;
    state = 2;
    static const unsigned char none[SIZE];
    for (int i = 0; i < LENGTHS; i++) {
        size_t at = next(2 * PAGE);
        memset(target, 7, sizeof target);
        good += read(zero, target + at, lengths[i]) == (ssize_t)lengths[i];
        good += only(at, none, lengths[i], 7);
    }
    unsigned char *area = mmap(0, 20 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 5, 10 * PAGE);
    mprotect(area + 6 * PAGE, PAGE, PROT_READ);
    ssize_t got = read(zero, area + 100, 10 * PAGE);
    printf("zeros: %d of %d, %s %08x\n", good, LENGTHS * 2,
           got < 0 ? strerror(errno) : got == 6 * PAGE - 100 ? "up to it" : "?", sum(area, 10 * PAGE));
    struct iovec parts[2] = {{area + 3, 5 * PAGE}, {target + 11, 7 * PAGE}};
    memset(area, 5, 6 * PAGE);
    got = readv(zero, parts, 2);
    printf("zeros: %zd %08x %08x\n", got, sum(area, 10 * PAGE), sum(target, sizeof target));
    munmap(area, 20 * PAGE);
    close(zero);
}

/* Through a stream, of which parts are looked at before they are read, and as messages. */
static void sockets(void)
{
    state = 3;
    for (int i = 0; i < LENGTHS * 2; i++) {
        int ends[2], is_stream = i % 2;
        size_t len = lengths[i / 2] < 150000 || is_stream ? lengths[i / 2] : 150000;
        socketpair(AF_UNIX, is_stream ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            ssize_t put = send(ends[1], source + 13, len, 0);
            put += send(ends[1], source + 13 + len, 77, 0);
            _exit(put != (ssize_t)len + 77);
        }
        close(ends[1]);
        memset(target, 7, sizeof target);
        size_t done = 0;
        if (is_stream) {
            unsigned char seen[600];
            for (ssize_t got; (got = recv(ends[0], seen, sizeof seen, MSG_PEEK)) > 0; done += got) {
                if (memcmp(seen, source + 13 + done, got))
                    printf("peeked something else at %zu\n", done);
                got = recv(ends[0], target + 5 + done, got + next(40000), 0);
            }
        } else {
            done = recv(ends[0], target + 5, sizeof target - 5, 0);
            done += recv(ends[0], target + 5 + done, sizeof target - 5 - done, 0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("socket: %zu %d %d\n", done, status, only(5, source + 13, len + 77, 7));
        close(ends[0]);
    }
}

/* Each process has its own copy of what it writes to, and fresh memory is zero. */
static void memory(void)
{
    size_t len = 300 * PAGE;
    for (int round = 0; round < 3; round++) {
        unsigned char *area = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        size_t nonzero = 0;
        for (size_t i = 0; i < len; i += 64)
            nonzero += area[i] != 0;
        for (size_t i = 0; i < len; i++)
            area[i] = source[i % SIZE] + round;
        uint32_t before = sum(area, len);
        fflush(stdout);
        pid_t child = fork();
        for (size_t i = child ? 0 : 1; i < 300; i += 2)
            area[i * PAGE + 17] ^= 1;
        if (child == 0) {
            printf("child: %zu %08x %08x\n", nonzero, before, sum(area, len));
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, 0, 0);
        printf("parent: %08x\n", sum(area, len));
        munmap(area, len);
    }
}

int main(void)
{
    for (size_t i = 0; i < SIZE; i++)
        source[i] = next(255) + 1;
    files();
    vectors();
    faults();
    onto_itself();
    between();
    pipes();
    splices();
    zeros();
    sockets();
    memory();
    return 0;
}
