// What is told of watched files and directories, in which order, and how it is read.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    unsigned bit;
    const char *name;
} names[] = {
    {IN_ACCESS, "access"},         {IN_MODIFY, "modify"},
    {IN_ATTRIB, "attrib"},         {IN_CLOSE_WRITE, "close_write"},
    {IN_CLOSE_NOWRITE, "close"},   {IN_OPEN, "open"},
    {IN_MOVED_FROM, "moved_from"}, {IN_MOVED_TO, "moved_to"},
    {IN_CREATE, "create"},         {IN_DELETE, "delete"},
    {IN_DELETE_SELF, "delete_self"}, {IN_MOVE_SELF, "move_self"},
    {IN_Q_OVERFLOW, "overflow"},   {IN_IGNORED, "ignored"},
    {IN_ISDIR, "isdir"},
};

static int queue, directory_watch, file_watch;

static const char *watch_name(int wd) {
    static char other[16];
    if (wd == directory_watch) return "dir";
    if (wd == file_watch) return "file";
    sprintf(other, "%d", wd);
    return other;
}

// Prints and takes what the queue has.
static void show(const char *what) {
    static char buffer[1 << 16] __attribute__((aligned(8)));
    static unsigned last_cookie;
    int available = -1;
    ioctl(queue, FIONREAD, &available);
    long got = read(queue, buffer, sizeof buffer);
    printf("%s:%s", what, got < 0 ? strerror(errno) : available == got ? "" : " wrong size");
    for (char *at = buffer; at < buffer + (got < 0 ? 0 : got);) {
        struct inotify_event *event = (void *)at;
        printf(" %s", watch_name(event->wd));
        for (int i = 0; i < sizeof names / sizeof *names; i++)
            if (event->mask & names[i].bit) printf(",%s", names[i].name);
        if (event->len) printf("(%s+%d)", event->name, event->len - (int)strlen(event->name));
        if (event->cookie) printf("=%s", event->cookie == last_cookie ? "same" : "new");
        if (event->cookie) last_cookie = event->cookie;
        at += sizeof *event + event->len;
    }
    printf("\n");
}

// Prints how a call that should fail did.
static void fails(const char *what, long result) {
    printf("%s: %ld %s\n", what, result, strerror(errno));
}

static void make(const char *path) { close(open(path, O_CREAT | O_WRONLY, 0644)); }

// What /proc says of a watch.
static void described(int wd, const char *path) {
    char name[64], line[256];
    unsigned number, mask;
    unsigned long node;
    struct stat st;
    stat(path, &st);
    sprintf(name, "/proc/self/fdinfo/%d", queue);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "inotify wd:%x ino:%lx sdev:%*x mask:%x", &number, &node, &mask) == 3 && number == wd)
            printf("watch of the file %d, for %x\n", node == st.st_ino, mask);
    if (file) fclose(file);
}

static void contents(void) {
    char byte;
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    show("create");
    file_watch = inotify_add_watch(queue, "f", IN_ALL_EVENTS);
    described(file_watch, "f");
    printf("written %ld\n", write(fd, "abc", 3) + pwrite(fd, "d", 1, 5));
    show("write twice");
    lseek(fd, 0, SEEK_SET);
    read(fd, &byte, 1);
    show("read");
    lseek(fd, 100, SEEK_SET);
    read(fd, &byte, 1);
    show("read nothing");
    int ends[2];
    off_t start = 0;
    pipe(ends);
    printf("sent %ld\n", sendfile(ends[1], fd, &start, 2));
    show("sendfile");
    start = 100;
    printf("sent %ld\n", sendfile(ends[1], fd, &start, 2));
    show("sendfile of nothing");
    close(ends[0]);
    close(ends[1]);
    ftruncate(fd, 2);
    truncate("f", 1);
    show("truncate");
    fchmod(fd, 0600);
    show("fchmod");
    chmod("f", 0644);
    chown("f", -1, -1);
    show("chmod, chown");
    struct timespec now_both[2] = {{1, 0}, {2, 0}}, one[2] = {{3, 0}, {0, UTIME_OMIT}};
    utimensat(AT_FDCWD, "f", now_both, 0);
    utimensat(AT_FDCWD, "f", one, 0);
    show("times");
    int again = dup(fd);
    close(fd);
    show("close of two");
    close(again);
    show("close");
    close(open("f", O_RDONLY));
    show("open and close");
    close(open("f", O_PATH));
    show("path only");
    link("f", "g");
    show("link");
    close(open("g", O_RDONLY));
    show("by another name");
    symlink("f", "s");
    close(open("s", O_RDONLY));
    show("symlink");
}

static void moves(void) {
    rename("f", "f2");
    show("rename");
    int fd = open("f2", O_WRONLY);
    rename("f2", "f3");
    write(fd, "x", 1);
    show("write after a rename");
    close(fd);
    make("victim");
    show("victim");
    int victim = inotify_add_watch(queue, "victim", IN_ALL_EVENTS);
    rename("f3", "victim");
    show("replace");
    fails("ended", inotify_rm_watch(queue, victim));
    mkdir("sub", 0755);
    make("sub/in");
    show("mkdir");
    rename("victim", "sub/out");
    show("move out");
    renameat2(AT_FDCWD, "sub/out", AT_FDCWD, "g", RENAME_EXCHANGE);
    show("exchange");
    closedir(opendir("sub"));
    show("open a directory");
    DIR *all = opendir(".");
    while (readdir(all)) ;
    closedir(all);
    show("list");
    rename("sub", "other");
    show("rename a directory");
}

static void ends(void) {
    int fd = open("g", O_RDWR);
    unlink("sub/out");
    unlink("other/out");
    show("another name");
    unlink("g");
    show("unlink an open file");
    write(fd, "x", 1);
    show("write to it");
    close(fd);
    show("close it");
    int sub = inotify_add_watch(queue, "other", IN_DELETE_SELF | IN_DELETE | IN_ONLYDIR);
    unlink("other/in");
    rmdir("other");
    show("rmdir");
    fails("still", inotify_rm_watch(queue, sub));
    unlink("s");
    show("unlink a link");
}

static void ways(void) {
    make("w");
    show("w");
    int wd = inotify_add_watch(queue, "w", IN_ATTRIB | IN_ONESHOT);
    chmod("w", 0600);
    chmod("w", 0644);
    show("once");
    printf("a new number: %d\n", inotify_add_watch(queue, "w", IN_ATTRIB) > wd);
    wd = inotify_add_watch(queue, "w", IN_ATTRIB);
    printf("same: %d\n", inotify_add_watch(queue, "w", IN_OPEN | IN_MASK_ADD) == wd);
    fails("not a new one", inotify_add_watch(queue, "w", IN_OPEN | IN_MASK_CREATE));
    file_watch = wd;
    inotify_rm_watch(queue, directory_watch);
    show("removed");
    close(open("w", O_RDONLY));
    chmod("w", 0600);
    show("both");
    inotify_add_watch(queue, "w", IN_CLOSE);
    close(open("w", O_RDONLY));
    show("one");
    directory_watch = inotify_add_watch(queue, ".", IN_MODIFY | IN_EXCL_UNLINK);
    int fd = open("w", O_RDWR | O_TRUNC);
    show("cut");
    unlink("w");
    write(fd, "x", 1);
    show("not of what is unlinked");
    close(fd);
    show("its end");
}

static void errors(void) {
    int pipes[2];
    pipe(pipes);
    fails("no events", inotify_add_watch(queue, ".", 0));
    fails("no queue", inotify_add_watch(pipes[0], ".", IN_OPEN));
    fails("closed", inotify_add_watch(99, ".", IN_OPEN));
    fails("nothing", inotify_add_watch(queue, "none", IN_OPEN));
    fails("a file", inotify_add_watch(queue, "/proc/self/exe", IN_OPEN | IN_ONLYDIR));
    fails("both", inotify_add_watch(queue, ".", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE));
    fails("no watch", inotify_rm_watch(queue, 12345));
    fails("flags", inotify_init1(1));
    fails("write", write(queue, "x", 1));
    char small[20];
    inotify_add_watch(queue, ".", IN_CREATE);
    make("a-name");
    fails("small", read(queue, small, sizeof small));
    show("still there");
}

static void waits(void) {
    struct pollfd one = {queue, POLLIN};
    int set = epoll_create1(0), wd = inotify_add_watch(queue, "a-name", IN_ATTRIB);
    struct epoll_event event = {EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, queue, &event);
    printf("ready: %d %d\n", poll(&one, 1, 0), epoll_wait(set, &event, 1, 0));
    fcntl(queue, F_SETFL, 0);
    pid_t child = fork();
    if (!child) {
        usleep(20000);
        chmod("a-name", 0600);
        _exit(0);
    }
    struct inotify_event waited;
    long got = read(queue, &waited, sizeof waited);
    printf("a read that waits: %ld %d %x\n", got, waited.wd == wd, waited.mask);
    waitpid(child, 0, 0);
    chmod("a-name", 0644);
    printf("ready: %d %d\n", poll(&one, 1, 0), epoll_wait(set, &event, 1, 0));
    fcntl(queue, F_SETFL, O_NONBLOCK);
    file_watch = wd;
    show("taken");
    printf("ready: %d %d\n", poll(&one, 1, 0), epoll_wait(set, &event, 1, 0));
}

// A node that several watch: it is told to those who still do.
static void several(void) {
    char text[4096];
    int others[3];
    for (int n = 0; n < 3; n++) {
        others[n] = inotify_init1(IN_NONBLOCK);
        inotify_add_watch(others[n], ".", IN_CREATE);
    }
    for (int n = 0; n < 3; n++) {
        char name[] = {'0' + n, 0};
        close(open(name, O_CREAT | O_WRONLY, 0600));
        for (int m = n; m < 3; m++) printf("%d%s", (int)read(others[m], text, sizeof text), m < 2 ? " " : "\n");
        unlink(name);
        close(others[n]);
    }
}

int main(void) {
    char folder[] = "/tmp/inotify-XXXXXX";
    mkdtemp(folder);
    chdir(folder);
    queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    printf("flags: %d %d\n", fcntl(queue, F_GETFL) & (O_NONBLOCK | O_ACCMODE), fcntl(queue, F_GETFD));
    show("nothing");
    directory_watch = inotify_add_watch(queue, ".", IN_ALL_EVENTS);
    contents();
    moves();
    ends();
    ways();
    errors();
    waits();
    several();
    close(queue);
    unlink("a-name");
    chdir("/");
    printf("clean: %d\n", rmdir(folder));
    return 0;
}
