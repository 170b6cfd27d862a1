// Holes in files of memory: punched, found, counted, mapped, and what is refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static int fd;

static void say(const char *what, long result) {
    printf("%s: %ld %s\n", what, result, result < 0 ? strerror(errno) : "");
}

// Its pages as letters: what they start with, or `.`.
static void show(const char *what) {
    struct stat facts;
    char page[PAGE];
    fstat(fd, &facts);
    printf("%s: %ld bytes, %ld blocks, ", what, (long)facts.st_size, (long)facts.st_blocks);
    for (long at = 0; at < facts.st_size; at += PAGE) {
        memset(page, 0, PAGE);
        pread(fd, page, PAGE, at);
        int zeros = 0;
        for (int i = 0; i < PAGE; i++) zeros += !page[i];
        putchar(zeros == PAGE ? '.' : zeros ? '?' : page[0]);
    }
    printf("\n  data and holes:");
    for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0;) {
        off_t hole = lseek(fd, at, SEEK_HOLE);
        printf(" %ld-%ld", (long)at, (long)hole);
        at = hole;
    }
    printf(", %s\n", strerror(errno));
}

static void fill(int pages) {
    char page[PAGE];
    for (int i = 0; i < pages; i++) {
        memset(page, 'a' + i, PAGE);
        pwrite(fd, page, PAGE, i * PAGE);
    }
}

int main(void) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    fd = memfd_create("holes", MFD_ALLOW_SEALING);
    fill(8);
    show("full");
    say("two pages", fallocate(fd, HOLE, 2 * PAGE, 2 * PAGE));
    show("two pages");
    say("parts", fallocate(fd, HOLE, PAGE - 10, 20));
    show("parts");
    say("parts around a page", fallocate(fd, HOLE, 5 * PAGE - 1, PAGE + 2));
    show("parts around a page");
    printf("from within: %ld %ld\n", (long)lseek(fd, 2 * PAGE + 5, SEEK_DATA),
           (long)lseek(fd, 2 * PAGE + 5, SEEK_HOLE));
    say("to the end", fallocate(fd, HOLE, 7 * PAGE, 100 * PAGE));
    show("to the end");
    say("after it", fallocate(fd, HOLE, 100 * PAGE, PAGE));
    ftruncate(fd, 9 * PAGE + 5);
    pwrite(fd, "x", 1, 9 * PAGE);
    say("a short end", fallocate(fd, HOLE, 9 * PAGE, 5));
    show("a short end");
    say("all", fallocate(fd, HOLE, 0, 10 * PAGE));
    show("all");
    ftruncate(fd, 1L << 40);
    pwrite(fd, "y", 1, (1L << 40) - 1);
    say("far", fallocate(fd, HOLE, PAGE, (1L << 40) - 2 * PAGE));
    printf("far: %ld\n", (long)lseek(fd, 0, SEEK_DATA));
    ftruncate(fd, 0);

    fill(4);
    char *shared = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    private[PAGE] = 'P';
    printf("mapped: %c %c %c %c\n", shared[PAGE], shared[2 * PAGE], private[PAGE], private[2 * PAGE]);
    say("mapped", fallocate(fd, HOLE, PAGE, 2 * PAGE));
    show("mapped");
    printf("shared %d %d %c, private %c %c %d %c\n", shared[PAGE], shared[2 * PAGE], shared[3 * PAGE],
           private[PAGE], private[PAGE + 1], private[2 * PAGE], private[3 * PAGE]);
    shared[PAGE] = 'n';
    memset(shared + 2 * PAGE, 'm', PAGE);
    printf("private after a write: %c %c\n", private[PAGE], private[2 * PAGE]);
    show("written again");
    say("remove", madvise(shared + 2 * PAGE, PAGE, MADV_REMOVE));
    show("removed");

    say("without keeping", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
    say("zero", fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE));
    say("collapse", fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
    say("insert", fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, PAGE));
    say("nothing", fallocate(fd, HOLE, 0, 0));
    munmap(shared, 4 * PAGE);
    say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    say("sealed", fallocate(fd, HOLE, 0, PAGE));
    return 0;
}
