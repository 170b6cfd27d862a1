// Calls that move bytes of files: at offsets, in pieces, from one to another. A line for each.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[2][64], bytes[100000];

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
    fflush(stdout);
}

static int make(int which, int flags) { return open(path[which], O_RDWR | O_CREAT | flags, 0600); }

static void show(int fd) {
    char text[64];
    long count = pread(fd, text, 63, 0);
    text[count < 0 ? 0 : count] = 0;
    printf("is %ld \"%s\" at %ld\n", count, text, (long)lseek(fd, 0, SEEK_CUR));
}

static void pieces(void) {
    int fd = make(0, O_TRUNC), ends[2];
    struct iovec two[2] = {{"abcd", 4}, {"efgh", 4}};
    say("pwritev", pwritev(fd, two, 2, 2));
    show(fd);
    say("pwritev2", pwritev2(fd, two, 1, -1, 0));
    show(fd);
    say("append", pwritev2(fd, two + 1, 1, 0, RWF_APPEND));
    show(fd);
    say("append and move", pwritev2(fd, two, 1, -1, RWF_APPEND));
    show(fd);
    char one[3], other[3];
    struct iovec into[2] = {{one, 3}, {other, 3}};
    say("preadv", preadv(fd, into, 2, 1));
    printf("%.3s %.3s\n", one, other);
    lseek(fd, 0, SEEK_SET);
    say("preadv2", preadv2(fd, into, 2, -1, RWF_NOWAIT));
    show(fd);
    say("at the end", preadv(fd, into, 2, 1000));
    say("negative", preadv(fd, into, 2, -2));
    say("flags", preadv2(fd, into, 2, 0, 0x40000000));
    say("many", preadv(fd, into, 5000, 0));
    pipe(ends);
    say("pipe", preadv(ends[0], into, 2, 0));
    say("pipe, no wait", preadv2(ends[0], into, 2, -1, RWF_NOWAIT));
    write(ends[1], "xy", 2);
    say("pipe", preadv2(ends[0], into, 2, -1, RWF_NOWAIT));
    int appends = open(path[0], O_RDWR | O_APPEND);
    say("pwrite appends", pwrite(appends, "!", 1, 0));
    show(appends);
    close(appends);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static void space(void) {
    int fd = make(0, O_TRUNC), ends[2];
    struct stat facts;
    say("allocate", fallocate(fd, 0, 10, 90));
    fstat(fd, &facts);
    say("size", facts.st_size);
    say("keep", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000));
    fstat(fd, &facts);
    say("size", facts.st_size);
    say("none", fallocate(fd, 0, 0, 0));
    say("negative", fallocate(fd, 0, -1, 5));
    say("far", fallocate(fd, 0, 0x7fffffffffffffff, 5));
    pipe(ends);
    say("pipe", fallocate(ends[1], 0, 0, 5));
    int read_only = open(path[0], O_RDONLY), folder = open("/tmp", O_RDONLY);
    say("read only", fallocate(read_only, 0, 0, 5));
    say("advice", posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    say("advice", posix_fadvise(fd, 0, 0, 77));
    say("advice", posix_fadvise(ends[0], 0, 0, 0));
    say("advice", posix_fadvise(99, 0, 0, 0));
    say("readahead", readahead(fd, 0, 100));
    say("readahead", readahead(ends[0], 0, 100));
    say("sync range", sync_file_range(fd, 0, 100, 7));
    say("sync range", sync_file_range(fd, 0, 100, 8));
    say("sync range", sync_file_range(ends[0], 0, 100, 0));
    say("syncfs", syncfs(fd));
    say("syncfs", syncfs(99));
    say("truncate", ftruncate(fd, 20));
    say("negative", ftruncate(fd, -1));
    say("read only", ftruncate(read_only, 1));
    say("pipe", ftruncate(ends[1], 1));
    say("folder", ftruncate(folder, 1));
    say("data", lseek(fd, 20, SEEK_DATA));
    say("hole", lseek(fd, 20, SEEK_HOLE));
    pwrite(fd, bytes, 20, 0);
    say("data", lseek(fd, 5, SEEK_DATA));
    say("hole", lseek(fd, 5, SEEK_HOLE));
    say("whence", lseek(fd, 5, 9));
    close(folder);
    close(read_only);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

static void copies(void) {
    int from = make(0, O_TRUNC), to = make(1, O_TRUNC), ends[2], sockets[2];
    write(from, "0123456789", 10);
    off_t start = 3, place = 1;
    say("sendfile", sendfile(to, from, &start, 4));
    printf("start %ld\n", (long)start);
    show(from);
    show(to);
    lseek(from, 8, SEEK_SET);
    say("sendfile", sendfile(to, from, NULL, 100));
    show(from);
    show(to);
    start = 0;
    say("copy range", copy_file_range(from, &start, to, &place, 3, 0));
    printf("start %ld place %ld\n", (long)start, (long)place);
    show(to);
    lseek(from, 2, SEEK_SET);
    say("copy range", copy_file_range(from, NULL, to, NULL, 100, 0));
    show(from);
    show(to);
    say("at the end", copy_file_range(from, NULL, to, NULL, 100, 0));
    start = 0, place = 5;
    say("same file", copy_file_range(from, &start, from, &place, 5, 0));
    show(from);
    start = 0, place = 4;
    say("overlap", copy_file_range(from, &start, from, &place, 5, 0));
    say("flags", copy_file_range(from, NULL, to, NULL, 1, 1));
    pipe(ends);
    say("pipe", copy_file_range(ends[0], NULL, to, NULL, 1, 0));
    start = 0;
    say("to a pipe", sendfile(ends[1], from, &start, 5));
    say("from a pipe", sendfile(to, ends[0], NULL, 5) < 0 ? 0 : 1);
    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
    start = 1;
    say("to a socket", sendfile(sockets[0], from, &start, 3));
    char got[20] = {0};
    say("from it", read(sockets[1], got, 20));
    printf("%s\n", got);
    int append = open(path[1], O_WRONLY | O_APPEND), read_only = open(path[1], O_RDONLY);
    start = 0;
    say("append", sendfile(append, from, &start, 3));
    say("append range", copy_file_range(from, &start, append, NULL, 3, 0));
    say("read only", sendfile(read_only, from, &start, 3));
    say("read only range", copy_file_range(from, &start, read_only, NULL, 3, 0));
    // Large ones, whole and in unequal pieces.
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = i * 7 + i / 256;
    ftruncate(to, 0);
    pwrite(from, bytes, sizeof bytes, 0);
    start = 0, place = 100;
    say("large", copy_file_range(from, &start, to, &place, sizeof bytes, 0));
    static char back[sizeof bytes];
    say("read", pread(to, back, sizeof back, 100));
    say("same", memcmp(back, bytes, sizeof bytes));
    close(append);
    close(read_only);
    close(sockets[0]);
    close(sockets[1]);
    close(ends[0]);
    close(ends[1]);
    close(from);
    close(to);
}

static void splices(void) {
    int file = make(0, O_TRUNC), to = make(1, O_TRUNC), one[2], other[2], sockets[2];
    write(file, "0123456789", 10);
    pipe(one);
    pipe(other);
    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
    loff_t start = 2;
    say("to a pipe", splice(file, &start, one[1], NULL, 5, 0));
    printf("start %ld\n", (long)start);
    say("tee", tee(one[0], other[1], 3, 0));
    say("to a file", splice(one[0], NULL, to, NULL, 100, 0));
    show(to);
    say("pipe to pipe", splice(other[0], NULL, one[1], NULL, 2, 0));
    char got[20] = {0};
    say("read", read(one[0], got, 20));
    printf("%s\n", got);
    say("rest", read(other[0], got, 20));
    say("empty", splice(one[0], NULL, to, NULL, 1, SPLICE_F_NONBLOCK));
    say("empty tee", tee(one[0], other[1], 1, SPLICE_F_NONBLOCK));
    write(sockets[0], "socket", 6);
    say("from a socket", splice(sockets[1], NULL, one[1], NULL, 100, 0));
    say("to a socket", splice(one[0], NULL, sockets[1], NULL, 100, 0));
    say("read", read(sockets[0], got, 20));
    say("no pipe", splice(file, NULL, to, NULL, 1, 0));
    say("same pipe", splice(one[0], NULL, one[1], NULL, 1, 0));
    say("offset of a pipe", splice(one[0], &start, to, NULL, 1, 0));
    say("flags", splice(file, NULL, one[1], NULL, 1, 64));
    say("wrong end", splice(one[1], NULL, to, NULL, 1, 0));
    say("nothing", splice(file, NULL, one[1], NULL, 0, 0));
    say("tee of a file", tee(file, one[1], 1, 0));
    start = 10;
    say("at the end", splice(file, &start, one[1], NULL, 1, 0));
    struct iovec pieces[2] = {{"user", 4}, {" pages", 6}};
    say("vmsplice", vmsplice(one[1], pieces, 2, 0));
    memset(got, 0, sizeof got);
    struct iovec into = {got, 7};
    say("vmsplice back", vmsplice(one[0], &into, 1, 0));
    printf("%s\n", got);
    say("vmsplice of a file", vmsplice(file, pieces, 1, 0));
    int counter = eventfd(1, 0), folder = open(".", O_RDONLY | O_DIRECTORY);
    say("to a counter", splice(one[0], NULL, counter, NULL, 8, 0));
    say("from a counter", splice(counter, NULL, one[1], NULL, 8, 0));
    say("from a directory", splice(folder, NULL, one[1], NULL, 8, 0));
    close(counter);
    close(folder);
    close(one[1]);
    say("left", splice(one[0], NULL, to, NULL, 100, 0));
    say("no writer", splice(one[0], NULL, to, NULL, 100, 0));
    close(other[0]);
    signal(SIGPIPE, SIG_IGN);
    start = 0;
    say("no reader", splice(file, &start, other[1], NULL, 1, 0));
    close(other[1]);
    close(one[0]);
    close(sockets[0]);
    close(sockets[1]);
    close(file);
    close(to);
}

// Waits until a process waits for something: others' locks too.
static void until_waiting(pid_t pid) {
    char path[64], text[256];
    char state = 'R';
    sprintf(path, "/proc/%d/stat", pid);
    while (state != 'S' && state != 'D') {
        usleep(1000);
        FILE *file = fopen(path, "r");
        if (file && fgets(text, sizeof text, file))
            state = strrchr(text, ')')[2];
        if (file)
            fclose(file);
    }
}

// A splice to a socket that has no room, while another wants to read the bytes.
static void reader_waits(void) {
    static int numbers[16384], got[16384];
    int from[2], to[2], status[2], last = -1;
    size_t filled = 0, have = 0;
    ssize_t count;
    pipe(from);
    socketpair(AF_UNIX, SOCK_STREAM, 0, to);
    for (int i = 0; i < 16384; i++)
        numbers[i] = i;
    fcntl(to[1], F_SETFL, O_NONBLOCK);
    while ((count = write(to[1], numbers, 4096)) > 0)
        filled += count;
    fcntl(to[1], F_SETFL, 0);
    write(from[1], numbers, sizeof numbers);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(splice(from[0], NULL, to[1], NULL, sizeof numbers, 0) != sizeof numbers);
    until_waiting(child);
    pid_t reader = fork();
    if (reader == 0)
        _exit(read(from[0], &last, sizeof last) != sizeof last || last != 77777);
    until_waiting(reader);
    while (filled > 0 && (count = read(to[0], got, filled < 4096 ? filled : 4096)) > 0)
        filled -= count;
    waitpid(child, &status[0], 0);
    while (have < sizeof got && (count = recv(to[0], (char *)got + have, sizeof got - have, MSG_DONTWAIT)) > 0)
        have += count;
    last = 77777;
    write(from[1], &last, sizeof last);
    close(from[1]);
    waitpid(reader, &status[1], 0);
    printf("reader waits: %d %d %zu %d\n", status[0], status[1], have, memcmp(numbers, got, sizeof got));
    close(from[0]);
    close(to[0]);
    close(to[1]);
}

// A splice that waits for bytes and then for room, while another reads the bytes.
static void two_readers(void) {
    int from[2], to[2], left = -1, status;
    static char page[4096];
    pipe(from);
    pipe(to);
    fcntl(to[1], F_SETPIPE_SZ, sizeof page);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(splice(from[0], NULL, to[1], NULL, 1, 0) != 1);
    usleep(20000);
    write(to[1], page, sizeof page);
    write(from[1], "x", 1);
    usleep(20000);
    read(from[0], page, 1);
    read(to[0], page, sizeof page);
    usleep(20000);
    write(from[1], "y", 1);
    waitpid(child, &status, 0);
    ioctl(to[0], FIONREAD, &left);
    if (left > 0)
        read(to[0], page, 1);
    printf("two readers: %d %d %c\n", status, left, page[0]);
    for (int i = 0; i < 2; i++) {
        close(from[i]);
        close(to[i]);
    }
}

// What a pipe has no room for stays where it is.
static void more_than_fits(void) {
    static _Alignas(4096) char pages[4 * 4096];
    int ends[2];
    pipe(ends);
    fcntl(ends[1], F_SETPIPE_SZ, 2 * 4096);
    struct iovec piece = {pages, sizeof pages};
    say("vmsplice of more than fits", vmsplice(ends[1], &piece, 1, 0));
    say("vmsplice to a full one", vmsplice(ends[1], &piece, 1, SPLICE_F_NONBLOCK));
    say("drained", read(ends[0], pages, sizeof pages));
    close(ends[0]);
    close(ends[1]);
}

// Pipes of which one does not wait, and one that is open for both.
static void without_waiting(void) {
    static _Alignas(4096) char page[4096];
    int one[2], other[2], sockets[2], ended[2];
    pipe(one);
    pipe(other);
    pipe(ended);
    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
    fcntl(other[1], F_SETFL, O_NONBLOCK);
    say("empty to it", splice(one[0], NULL, other[1], NULL, 1, 0));
    say("tee", tee(one[0], other[1], 1, 0));
    fcntl(other[1], F_SETFL, 0);
    fcntl(other[1], F_SETPIPE_SZ, sizeof page);
    write(other[1], page, sizeof page);
    write(one[1], "x", 1);
    fcntl(one[0], F_SETFL, O_NONBLOCK);
    say("from it to a full one", splice(one[0], NULL, other[1], NULL, 1, 0));
    say("tee", tee(one[0], other[1], 1, 0));
    close(ended[1]);
    say("nothing to a full one", splice(ended[0], NULL, other[1], NULL, 1, SPLICE_F_NONBLOCK));
    say("tee", tee(ended[0], other[1], 1, SPLICE_F_NONBLOCK));
    unlink(path[0]);
    mkfifo(path[0], 0600);
    int both = open(path[0], O_RDWR), left = -1;
    fcntl(both, F_SETPIPE_SZ, sizeof page);
    struct iovec pieces[2] = {{page, sizeof page}, {"more", 4}};
    say("vmsplice", vmsplice(both, pieces, 1, 0));
    say("vmsplice", vmsplice(both, pieces + 1, 1, SPLICE_F_NONBLOCK));
    write(sockets[0], "data", 4);
    say("from a socket", splice(sockets[1], NULL, both, NULL, 4, SPLICE_F_NONBLOCK));
    ioctl(sockets[1], FIONREAD, &left);
    printf("left %d\n", left);
    close(other[0]);
    say("empty to no reader", splice(one[0], NULL, other[1], NULL, 1, 0));
    read(one[0], page, 1);
    say("empty to no reader", splice(one[0], NULL, other[1], NULL, 1, 0));
    for (int i = 0; i < 2; i++)
        close(one[i]), close(sockets[i]);
    close(other[1]);
    close(ended[0]);
    close(both);
    unlink(path[0]);
}

static int signals;
static void count(int signal) { signals++; }

static void limits(void) {
    int fd = make(0, O_TRUNC);
    fflush(stdout);
    if (fork() == 0) {
        signal(SIGXFSZ, count);
        struct rlimit limit = {10, 100};
        say("limit", setrlimit(RLIMIT_FSIZE, &limit));
        say("write", write(fd, bytes, 20));
        say("more", write(fd, bytes, 1));
        printf("signals %d\n", signals);
        say("inside", pwrite(fd, bytes, 5, 3));
        say("truncate", ftruncate(fd, 11));
        say("shorter", ftruncate(fd, 5));
        say("allocate", fallocate(fd, 0, 0, 20));
        printf("signals %d\n", signals);
        int ends[2];
        pipe(ends);
        say("pipe", write(ends[1], bytes, 100));
        signal(SIGXFSZ, SIG_DFL);
        fflush(stdout);
        write(fd, bytes, 20);
        write(fd, bytes, 20);
        exit(0);
    }
    int status;
    wait(&status);
    printf("signal %d\n", WTERMSIG(status));
    close(fd);
}

int main(void) {
    mkdir("/tmp", 0777);
    for (int i = 0; i < 2; i++)
        snprintf(path[i], sizeof path[i], "/tmp/file_calls.%d.%d", getpid(), i);
    pieces();
    space();
    copies();
    splices();
    reader_waits();
    two_readers();
    more_than_fits();
    without_waiting();
    limits();
    unlink(path[0]);
    unlink(path[1]);
    return 0;
}
