/* Pseudo-terminals: their names, their line discipline, their ends, and job control on them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void show(const char *what, const char *bytes, long count) {
    printf("%s: %ld", what, count);
    if (count < 0)
        printf(" %s", strerrorname_np(errno));
    printf(" \"");
    for (long i = 0; i < count; i++) {
        unsigned char byte = bytes[i];
        byte >= ' ' && byte < 127 ? putchar(byte) : printf("\\%02x", byte);
    }
    printf("\"\n");
}

/* Reads what there is, and waits for something. */
static void show_read(const char *what, int fd) {
    char bytes[4096];
    show(what, bytes, read(fd, bytes, sizeof bytes));
}

/* Reads `count` bytes, in however many pieces they come. */
static void show_bytes(const char *what, int fd, long count) {
    char bytes[100];
    long had = 0, more = 1;
    struct pollfd poll_fd = {fd, POLLIN, 0};
    for (; had < count && more > 0; had += more) {
        poll(&poll_fd, 1, -1);
        more = read(fd, bytes + had, sizeof bytes - had);
    }
    show(what, bytes, had);
}

static void type(int fd, const char *keys) { (void)!write(fd, keys, strlen(keys)); }

static void show_poll(const char *what, int fd) {
    struct pollfd poll_fd = {fd, POLLIN | POLLOUT | POLLPRI, 0};
    int count = poll(&poll_fd, 1, 0);
    printf("%s: %d %x\n", what, count, poll_fd.revents);
}

static void open_pair(int *master, int *slave) {
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    unlockpt(*master);
    *slave = open(ptsname(*master), O_RDWR | O_NOCTTY);
}

static void names(void) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    unsigned number = -1;
    int locked = -1, zero = 0;
    printf("TIOCGPTN %s\n", error(ioctl(master, TIOCGPTN, &number)));
    char path[32], link[32], text[64] = "";
    sprintf(path, "/dev/pts/%u", number);
    printf("TIOCGPTLCK %s", error(ioctl(master, TIOCGPTLCK, &locked)));
    printf(" %d\n", locked);
    printf("locked: %s\n", error(open(path, O_RDWR | O_NOCTTY)));
    printf("peer locked: %s\n", error(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY)));
    printf("TIOCSPTLCK %s\n", error(ioctl(master, TIOCSPTLCK, &zero)));
    int slave = open(path, O_RDWR | O_NOCTTY);
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    printf("slaves %d %d, TIOCGPTN of one: %s\n", slave > 0, peer > 0,
           error(ioctl(slave, TIOCGPTN, &number)));
    printf("ttyname %d %d\n", !strcmp(ttyname(slave), path), !strcmp(ttyname(peer), path));
    sprintf(link, "/proc/self/fd/%d", peer);
    (void)!readlink(link, text, sizeof text - 1);
    printf("link %d\n", !strcmp(text, path));
    struct stat by_path, by_fd;
    stat(path, &by_path);
    fstat(peer, &by_fd);
    printf("stat %d %d, %u %d, owned %d\n", by_path.st_ino == by_fd.st_ino,
           S_ISCHR(by_fd.st_mode), major(by_fd.st_rdev), minor(by_fd.st_rdev) == number,
           by_fd.st_uid == geteuid());
    printf("chmod %s", error(chmod(path, 0604)));
    fstat(slave, &by_fd);
    printf(" %o\n", by_fd.st_mode & 07777);
    fstat(master, &by_fd);
    printf("master %u %u, terminals %d %d\n", major(by_fd.st_rdev), minor(by_fd.st_rdev),
           isatty(master), isatty(slave));
    printf("lseek %s\n", error(lseek(slave, 0, SEEK_SET)));
    close(slave);
    close(peer);
    close(master);
    /* Where others open terminals, one of them may get the number for a while. */
    int tries = 0;
    while (stat(path, &by_path) == 0 && tries++ < 1000)
        usleep(1000);
    printf("gone: %s\n", error(stat(path, &by_path)));
}

static void settings(void) {
    int master, slave;
    open_pair(&master, &slave);
    struct termios now;
    tcgetattr(slave, &now);
    printf("flags %o %o %o %o, keys", now.c_iflag, now.c_oflag, now.c_cflag, now.c_lflag);
    for (int i = 0; i < 17; i++)
        printf(" %d", now.c_cc[i]);
    printf("\n");
    cfmakeraw(&now);
    printf("set by the master %s", error(tcsetattr(master, TCSANOW, &now)));
    tcgetattr(slave, &now);
    printf(", flags %o %o %o %o\n", now.c_iflag, now.c_oflag, now.c_cflag, now.c_lflag);
    struct termio older;
    printf("older %s", error(ioctl(slave, TCGETA, &older)));
    printf(" %o %o %o %o", older.c_iflag, older.c_oflag, older.c_cflag, older.c_lflag);
    for (int i = 0; i < 8; i++)
        printf(" %d", older.c_cc[i]);
    older.c_lflag |= ECHO;
    older.c_cc[VINTR] = 7;
    printf(", set %s", error(ioctl(slave, TCSETAW, &older)));
    tcgetattr(slave, &now);
    printf(" %o %o, keys %d %d", now.c_lflag, now.c_cflag, now.c_cc[VINTR], now.c_cc[VSUSP]);
    printf(", nowhere %s %s\n", error(ioctl(slave, TCGETA, 8)), error(ioctl(slave, TCSETAF, 8)));
    struct winsize size;
    ioctl(slave, TIOCGWINSZ, &size);
    printf("size %d %d %d %d", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    size = (struct winsize){30, 100, 5, 6};
    ioctl(master, TIOCSWINSZ, &size);
    size = (struct winsize){0};
    ioctl(slave, TIOCGWINSZ, &size);
    printf(", %d %d %d %d\n", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    printf("drain %s, break %s\n", error(tcdrain(slave)), error(tcsendbreak(slave, 0)));
    close(slave);
    close(master);
}

static void lines(void) {
    int master, slave, count = -1;
    open_pair(&master, &slave);
    type(slave, "one\ntwo");
    show_bytes("shown", master, 8);
    type(master, "a line\n");
    show_bytes("echo", master, 8);
    poll(&(struct pollfd){slave, POLLIN, 0}, 1, -1);
    ioctl(slave, FIONREAD, &count);
    printf("to be read %d\n", count);
    show_read("line", slave);
    type(master, "wrong\025ab c\027d\177e\n");
    show_read("edited", slave);
    show_bytes("echo", master, 34);
    type(master, "q\026\003\n\004");
    show_read("quoted", slave);
    show_read("end", slave);
    show_bytes("echo", master, 7);
    fcntl(slave, F_SETFL, O_NONBLOCK);
    show_read("nothing", slave);
    type(master, "half");
    show_bytes("echo", master, 4);
    show_read("half a line", slave);
    tcflush(slave, TCIFLUSH);
    type(master, " line\n");
    show_bytes("after a flush", slave, 6);
    show_bytes("echo", master, 7);
    struct termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    type(master, "raw\r\n\003\023");
    show_bytes("raw", slave, 7);
    type(slave, "\n\r\t");
    show_bytes("shown", master, 3);
    close(slave);
    close(master);
}

static void flow(void) {
    int master, slave;
    open_pair(&master, &slave);
    fcntl(slave, F_SETFL, O_NONBLOCK);
    show_poll("slave", slave);
    show_poll("master", master);
    printf("TCOOFF %s", error(tcflow(slave, TCOOFF)));
    printf(" %s", error(write(slave, "x", 1)));
    printf(", TCOON %s\n", error(tcflow(slave, TCOON)));
    tcflow(slave, TCIOFF);
    show_read("TCIOFF", master);
    /* A slave that writes more than there is room for waits for the master to read. */
    fcntl(slave, F_SETFL, 0);
    enum { TOTAL = 100000 };
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        static char bytes[TOTAL];
        memset(bytes, 'z', TOTAL);
        close(master);
        _exit(write(slave, bytes, TOTAL) != TOTAL);
    }
    close(slave);
    long total = 0, count;
    char bytes[5000];
    while ((count = read(master, bytes, sizeof bytes)) > 0)
        total += count;
    int status;
    waitpid(child, &status, 0);
    printf("%ld bytes, then %s, status %d\n", total, strerrorname_np(errno), status);
    close(master);
    /* A master that types more than there is room for waits for the slave to read. */
    open_pair(&master, &slave);
    struct termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    child = fork();
    if (child == 0) {
        static char many[TOTAL];
        _exit(write(master, many, TOTAL) != TOTAL);
    }
    for (total = 0; total < TOTAL; total += count)
        count = read(slave, bytes, sizeof bytes);
    waitpid(child, &status, 0);
    printf("%ld bytes typed, status %d\n", total, status);
    close(slave);
    close(master);
}

static void packets(void) {
    int master, slave, on = 1, is_on = -1;
    open_pair(&master, &slave);
    printf("TIOCPKT %s", error(ioctl(master, TIOCPKT, &on)));
    ioctl(master, TIOCGPKT, &is_on);
    printf(" %d\n", is_on);
    type(slave, "data");
    show_read("data", master);
    tcflow(slave, TCOOFF);
    show_poll("stopped", master);
    show_read("stopped", master);
    tcflow(slave, TCOON);
    show_read("started", master);
    fcntl(slave, F_SETFL, O_NONBLOCK);
    type(master, "\023");
    show_read("stopped by key", master);
    printf("write %s\n", error(write(slave, "x", 1)));
    type(master, "\021");
    show_read("started by key", master);
    printf("write %s\n", error(write(slave, "y", 1)));
    show_read("data", master);
    tcflush(slave, TCIFLUSH);
    show_read("flushed", master);
    type(master, "\023");
    show_read("stopped by key", master);
    type(master, "\003");
    usleep(50000);
    show_read("interrupted", master);
    show_read("echo", master);
    printf("write %s\n", error(write(slave, "z", 1)));
    show_read("data", master);
    struct termios raw;
    tcgetattr(slave, &raw);
    raw.c_iflag &= ~IXON;
    tcsetattr(slave, TCSANOW, &raw);
    show_read("no keys", master);
    raw.c_iflag |= IXON;
    tcsetattr(slave, TCSANOW, &raw);
    show_read("keys", master);
    close(slave);
    close(master);
}

static void ends(void) {
    int master, slave;
    open_pair(&master, &slave);
    type(slave, "last words\n");
    close(slave);
    show_bytes("left", master, 12);
    show_read("then", master);
    show_poll("then", master);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    show_poll("back", master);
    type(slave, "back");
    show_read("back", master);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 7}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, master, &event);
    printf("epoll %d", epoll_wait(epoll, &event, 1, 0));
    type(slave, "x");
    printf(" %d", epoll_wait(epoll, &event, 1, 1000));
    printf(" %x\n", event.events);
    close(epoll);
    type(master, "unread\n");
    close(master);
    show_poll("hung up", slave);
    show_read("hung up", slave);
    printf("write %s", error(write(slave, "x", 1)));
    struct termios now;
    printf(", tcgetattr %s", error(tcgetattr(slave, &now)));
    printf(", tcsetpgrp %s\n", error(tcsetpgrp(slave, getpgrp())));
    close(slave);
}

static volatile int came;
static void note(int signal) { came = signal; }

/* Waits for a signal that is blocked otherwise. */
static void wait_for(int signal) {
    sigset_t none;
    sigemptyset(&none);
    while (came != signal)
        sigsuspend(&none);
    came = 0;
}

/* What a session's leader sees of its terminal. */
static void leader(int report, const char *name) {
    FILE *out = fdopen(report, "w");
    struct sigaction action = {.sa_handler = note};
    for (int i = 0; i < 3; i++)
        sigaction((int[]){SIGWINCH, SIGINT, SIGHUP}[i], &action, 0);
    sigset_t noted;
    sigemptyset(&noted);
    for (int i = 0; i < 3; i++)
        sigaddset(&noted, (int[]){SIGWINCH, SIGINT, SIGHUP}[i]);
    sigprocmask(SIG_BLOCK, &noted, 0);
    setsid();
    fprintf(out, "/dev/tty %s", error(open("/dev/tty", O_RDWR)));
    int slave = open(name, O_RDWR);
    int tty = open("/dev/tty", O_RDWR);
    fprintf(out, ", then %d, session %d, group %d\n", tty > 0, tcgetsid(slave) == getpid(),
            tcgetpgrp(tty) == getpid());
    dup2(slave, 0);
    fprintf(out, "ttyname %s\n", ttyname(tty));
    char stat[512] = "", link[40];
    int device = 0, fd = open("/proc/self/stat", O_RDONLY);
    (void)!read(fd, stat, sizeof stat - 1);
    sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %d", &device);
    fprintf(out, "in /proc %d %d\n", major(device),
            minor(device) == (unsigned)atoi(strrchr(name, '/') + 1));
    type(tty, "ready");
    wait_for(SIGWINCH);
    fprintf(out, "SIGWINCH\n");
    type(tty, "size");
    wait_for(SIGINT);
    fprintf(out, "SIGINT\n");
    /* A child in the background stops as it reads, and goes on in the foreground. */
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        char byte;
        _exit(read(0, &byte, 1) == 1 && byte == 'k' ? 5 : 6);
    }
    setpgid(child, child);
    int status;
    waitpid(child, &status, WUNTRACED);
    fprintf(out, "background %s\n", WIFSTOPPED(status) ? strsignal(WSTOPSIG(status)) : "?");
    tcsetpgrp(0, child);
    kill(-child, SIGCONT);
    type(tty, "job");
    waitpid(child, &status, 0);
    fprintf(out, "job %d\n", WEXITSTATUS(status));
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, getpid());
    type(tty, "done");
    wait_for(SIGHUP);
    fprintf(out, "SIGHUP, /dev/tty %s", error(open("/dev/tty", O_RDWR)));
    fprintf(out, ", read %ld\n", (long)read(0, link, 1));
    fclose(out);
    _exit(3);
}

static void sessions(void) {
    int master, slave, report[2], status;
    char bytes[100];
    open_pair(&master, &slave);
    (void)!pipe(report);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const char *name = ptsname(master);
        close(master);
        close(report[0]);
        leader(report[1], name);
    }
    close(report[1]);
    close(slave);
    show_read("master", master);
    struct winsize size = {10, 20};
    ioctl(master, TIOCSWINSZ, &size);
    show_read("master", master);
    pid_t group = -1;
    ioctl(master, TIOCGPGRP, &group);
    printf("foreground %d\n", group == child);
    type(master, "\003");
    /* Input that came before the job asks for it would be another's. */
    long count = read(master, bytes, 1);
    while (count > 0 && !memmem(bytes, count, "job", 3)) {
        long more = read(master, bytes + count, sizeof bytes - count);
        if (more <= 0)
            break;
        count += more;
    }
    show("master", bytes, count);
    type(master, "k\n");
    count = 0;
    while (!memmem(bytes, count, "done", 4)) {
        long more = read(master, bytes + count, sizeof bytes - count);
        if (more <= 0)
            break;
        count += more;
    }
    show("master", bytes, count);
    close(master);
    count = 0;
    char text[1000];
    for (long more; (more = read(report[0], text + count, sizeof text - count - 1)) > 0;)
        count += more;
    text[count] = 0;
    waitpid(child, &status, 0);
    printf("%sstatus %d\n", text, WEXITSTATUS(status));
}

/* What libraries do, and what a session without a handler sees of the end. */
static void forked(void) {
    int master, status;
    struct winsize size = {7, 8};
    char bytes[200];
    long count = 0, more;
    fflush(stdout);
    pid_t child = forkpty(&master, 0, 0, &size);
    if (child == 0) {
        char line[20];
        ioctl(0, TIOCGWINSZ, &size);
        printf("%d %d %d\n", size.ws_row, size.ws_col, isatty(2));
        fflush(stdout);
        fgets(line, sizeof line, stdin);
        printf("got %s", line);
        exit(4);
    }
    show_bytes("forkpty", master, 7);
    type(master, "line\n");
    while ((more = read(master, bytes + count, sizeof bytes - count)) > 0)
        count += more;
    show("forkpty", bytes, count);
    waitpid(child, &status, 0);
    printf("status %d\n", WEXITSTATUS(status));
    close(master);
    fflush(stdout);
    child = forkpty(&master, 0, 0, &size);
    if (child == 0) {
        type(1, "up");
        for (;;)
            pause();
    }
    show_read("forkpty", master);
    close(master);
    waitpid(child, &status, 0);
    printf("%s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "no signal");
}

/* Many at once, whose numbers and memory come back, though others may take some of them. */
static void many(void) {
    enum { MANY = 100, NUMBERS = 4096 };
    static unsigned char had[NUMBERS];
    int masters[MANY], distinct = 1, again = 0;
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < MANY; i++) {
            unsigned number = 0;
            masters[i] = posix_openpt(O_RDWR | O_NOCTTY);
            if (masters[i] < 0 || ioctl(masters[i], TIOCGPTN, &number) < 0)
                printf("%d: %s\n", i, strerrorname_np(errno));
            distinct &= had[number % NUMBERS] != round;
            again += had[number % NUMBERS] == round - 1 && round > 1;
            had[number % NUMBERS] = round;
        }
        for (int i = 0; i < MANY; i++)
            close(masters[i]);
    }
    printf("many: distinct %d, again %d\n", distinct, again > 0);
}

int main(void) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    names();
    settings();
    lines();
    flow();
    packets();
    ends();
    sessions();
    forked();
    many();
    return 0;
}
