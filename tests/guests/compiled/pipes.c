// Pipes: how much they hold, in which pieces, and what descriptors may be. A line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char bytes[1 << 20];

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
    fflush(stdout);
}

static void show(int ends[2]) {
    struct pollfd set[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    int available = -1;
    poll(set, 2, 0);
    ioctl(ends[0], FIONREAD, &available);
    printf("read %x write %x available %d\n", set[0].revents, set[1].revents, available);
}

static void sizes(void) {
    int ends[2];
    say("pipe", pipe2(ends, O_NONBLOCK));
    say("size", fcntl(ends[0], F_GETPIPE_SZ));
    show(ends);
    say("fill", write(ends[1], bytes, sizeof bytes));
    show(ends);
    say("more", write(ends[1], bytes, 1));
    say("read one", read(ends[0], bytes, 1));
    show(ends);
    say("more", write(ends[1], bytes, 1));
    say("read a page less one", read(ends[0], bytes, 4095));
    show(ends);
    say("two pages", write(ends[1], bytes, 8192));
    say("smaller", fcntl(ends[0], F_SETPIPE_SZ, 4096));
    say("drain", read(ends[0], bytes, sizeof bytes));
    say("smaller", fcntl(ends[0], F_SETPIPE_SZ, 4097));
    say("fill", write(ends[1], bytes, sizeof bytes));
    say("larger", fcntl(ends[1], F_SETPIPE_SZ, 1000000));
    say("fill", write(ends[1], bytes, sizeof bytes));
    say("size", fcntl(ends[1], F_GETPIPE_SZ));
    say("drain", read(ends[0], bytes, sizeof bytes));
    say("none", fcntl(ends[0], F_SETPIPE_SZ, 0));
    say("no pipe", fcntl(0, F_GETPIPE_SZ) < 0 ? 0 : 1);
    close(ends[0]);
    show((int[2]){ends[1], ends[1]});
    signal(SIGPIPE, SIG_IGN);
    say("nobody reads", write(ends[1], bytes, 1));
    close(ends[1]);
}

static void small_pieces(void) {
    int ends[2];
    pipe2(ends, O_NONBLOCK);
    // Pieces that fit into a page share it.
    int count = 0;
    while (write(ends[1], bytes, 1000) == 1000)
        count++;
    say("thousands", count);
    show(ends);
    say("rest", write(ends[1], bytes, 96));
    say("drain", read(ends[0], bytes, sizeof bytes));
    count = 0;
    while (write(ends[1], bytes, 4096) == 4096)
        count++;
    say("pages", count);
    close(ends[0]);
    close(ends[1]);
}

static void packets(void) {
    int ends[2];
    say("packets", pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC));
    printf("flags %x %x\n", fcntl(ends[1], F_GETFL), fcntl(ends[1], F_GETFD));
    write(ends[1], "first", 5);
    write(ends[1], "second", 6);
    say("large", write(ends[1], bytes, 5000));
    char part[100];
    say("part", read(ends[0], part, 3));
    say("second", read(ends[0], part, sizeof part));
    say("page", read(ends[0], bytes, sizeof bytes));
    say("rest", read(ends[0], bytes, sizeof bytes));
    say("none", read(ends[0], part, sizeof part));
    int count = 0;
    while (write(ends[1], "x", 1) == 1)
        count++;
    say("slots", count);
    close(ends[0]);
    close(ends[1]);
}

static void in_order(void) {
    int ends[2];
    pipe(ends);
    fflush(stdout);
    if (fork() == 0) {
        close(ends[0]);
        for (int i = 0; i < 100; i++) {
            memset(bytes, i, 30000);
            write(ends[1], bytes, 30000);
        }
        _exit(0);
    }
    close(ends[1]);
    long sum = 0, total = 0;
    for (;;) {
        static unsigned char got[7777];
        long count = read(ends[0], got, sizeof got);
        if (count <= 0)
            break;
        for (long i = 0; i < count; i++)
            sum += (total + i) / 30000 == got[i];
        total += count;
    }
    wait(NULL);
    printf("in order %ld of %ld\n", sum, total);
    close(ends[0]);
}

static void descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 1024;
    setrlimit(RLIMIT_NOFILE, &limit);
    int base = open("/dev/null", O_RDWR);
    say("highest", dup2(base, 1023));
    say("too high", dup2(base, 1024));
    say("from", fcntl(base, F_DUPFD, 1000));
    say("from too high", fcntl(base, F_DUPFD, 1024));
    say("cloexec", fcntl(base, F_DUPFD_CLOEXEC, 500));
    say("cloexec", fcntl(500, F_GETFD));
    say("same", dup3(base, base, 0));
    say("flags", dup3(base, 600, O_NONBLOCK));
    say("closed", dup3(888, 600, O_CLOEXEC));
    say("cloexec", dup3(base, 600, O_CLOEXEC));
    int last = 0;
    for (int fd; (fd = dup(base)) >= 0;)
        last = fd;
    say("last", last);
    say("full", dup(base));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(1022, &set);
    say("select", select(1023, NULL, &set, NULL, NULL));
    say("is set", FD_ISSET(1022, &set));
    say("close range", syscall(SYS_close_range, 700, 800, 0));
    say("is closed", fcntl(700, F_GETFD));
    say("is open", fcntl(801, F_GETFD));
    say("mark range", syscall(SYS_close_range, 801, 900, 4));
    say("is marked", fcntl(850, F_GETFD));
    say("is not", fcntl(901, F_GETFD));
    say("backwards", syscall(SYS_close_range, 5, 4, 0));
    say("flags", syscall(SYS_close_range, 5, 6, 1));
    limit.rlim_cur = 4000;
    limit.rlim_max = 4000;
    say("more", setrlimit(RLIMIT_NOFILE, &limit));
    say("highest", dup2(base, 3999));
    say("too high", dup2(base, 4000));
    if (fork() == 0) {
        say("child", fcntl(3999, F_GETFD));
        exit(0);
    }
    wait(NULL);
    say("close all", syscall(SYS_close_range, 3, ~0U, 2));
    say("first", dup(0));
    close(3);
}

static void flags(void) {
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    printf("directory %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
    close(fd);
    char path[64];
    snprintf(path, sizeof path, "/tmp/pipes.%d", getpid());
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_SYNC | O_TRUNC, 0600);
    printf("file %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
    say("set", fcntl(fd, F_SETFL, O_NONBLOCK | O_RDONLY));
    printf("file %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
    say("fioclex", ioctl(fd, FIOCLEX));
    say("marked", fcntl(fd, F_GETFD));
    say("fionclex", ioctl(fd, FIONCLEX));
    say("not marked", fcntl(fd, F_GETFD));
    int value = 0;
    say("fionbio", ioctl(fd, FIONBIO, &value));
    printf("file %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
    write(fd, "12345", 5);
    lseek(fd, 2, SEEK_SET);
    say("fionread", ioctl(fd, FIONREAD, &value));
    printf("%d\n", value);
    close(fd);
    unlink(path);
}

// What is left of a timeout is told, but not to programs of some other systems.
static void timeouts(void) {
    for (int sticky = 0; sticky < 2; sticky++) {
        struct timeval left = {0, 1000};
        struct timespec more = {0, 1000000};
        personality(sticky ? STICKY_TIMEOUTS : 0);
        say("select", select(0, NULL, NULL, NULL, &left));
        say("pselect", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &more, NULL));
        printf("left %ld us, %ld ns\n", (long)left.tv_usec, (long)more.tv_nsec);
    }
    personality(0);
}

int main(void) {
    mkdir("/tmp", 0777);
    sizes();
    small_pieces();
    packets();
    in_order();
    flags();
    timeouts();
    descriptors();
    return 0;
}
