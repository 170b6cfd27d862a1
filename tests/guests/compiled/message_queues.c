/* POSIX message queues: order, limits, waiting, notification, permissions. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static char name[64], other[64];

static mqd_t make(long messages, long size, int flags) {
    struct mq_attr facts = {.mq_maxmsg = messages, .mq_msgsize = size};
    return mq_open(name, O_RDWR | O_CREAT | flags, 0600, &facts);
}

static void facts(mqd_t queue) {
    struct mq_attr facts;
    mq_getattr(queue, &facts);
    printf("flags %lx, %ld of %ld, %ld bytes\n", facts.mq_flags, facts.mq_curmsgs,
           facts.mq_maxmsg, facts.mq_msgsize);
}

static void receive(mqd_t queue) {
    char text[8192];
    unsigned priority = 99;
    long size = mq_receive(queue, text, sizeof text, &priority);
    printf("%s %ld at %u: %.*s\n", error(size), size, priority, size < 0 ? 0 : (int)size, text);
}

static void order(void) {
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0640, 0);
    facts(queue);
    printf("closes %d\n", fcntl(queue, F_GETFD));
    struct stat status;
    fstat(queue, &status);
    printf("mode %o\n", status.st_mode);
    receive(queue);
    mq_send(queue, "low", 3, 1);
    mq_send(queue, "high", 4, 9);
    mq_send(queue, "low too", 7, 1);
    mq_send(queue, "", 0, 5);
    mq_send(queue, "high too", 8, 9);
    mq_send(queue, "lowest", 6, 0);
    facts(queue);
    for (int n = 0; n < 7; n++)
        receive(queue);
    printf("again %s\n", error(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, 0)));
    printf("priority %s\n", error(mq_send(queue, "x", 1, 32768)));
    printf("priority %s\n", error(mq_send(queue, "x", 1, 32767)));
    char small[10];
    printf("small %s\n", error(mq_receive(queue, small, sizeof small, 0)));
    receive(queue);
    printf("bad %s\n", error(syscall(SYS_mq_timedsend, queue, 8L, 5L, 0L, 0L)));
    mqd_t reads = mq_open(name, O_RDONLY), writes = mq_open(name, O_WRONLY);
    printf("send %s, receive %s\n", error(mq_send(reads, "x", 1, 0)),
           error(mq_receive(writes, (char[8192]){}, 8192, 0)));
    mq_close(reads);
    mq_close(writes);
    printf("unlink %s\n", error(mq_unlink(name)));
    printf("unlink %s\n", error(mq_unlink(name)));
    printf("open %s\n", error(mq_open(name, O_RDWR)));
    /* It lives on. */
    printf("send %s\n", error(mq_send(queue, "x", 1, 0)));
    receive(queue);
    printf("close %s\n", error(mq_close(queue)));
    printf("close %s\n", error(mq_close(queue)));
    int null = open("/dev/null", O_RDWR);
    printf("no queue %s\n", error(mq_send(null, "x", 1, 0)));
    close(null);
}

static void limits(void) {
    long sizes[][2] = {{0, 10}, {10, 0}, {-1, 10}, {10, -1}, {65537, 1}, {1, (16 << 20) + 1},
                       {2, 100}};
    for (int n = 0; n < 7; n++) {
        mqd_t queue = make(sizes[n][0], sizes[n][1], 0);
        printf("%ld of %ld: %s\n", sizes[n][0], sizes[n][1], error(queue));
        if (queue < 0)
            continue;
        facts(queue);
        printf("long %s\n", error(mq_send(queue, (char[101]){}, 101, 0)));
        fcntl(queue, F_SETFL, O_NONBLOCK);
        for (int n = 0; n < 3; n++)
            printf("send %s\n", error(mq_send(queue, "123", 3, 0)));
        facts(queue);
        mq_close(queue);
    }
    mq_unlink(name);
    /* Names, as the kernel has them. */
    char long_name[300];
    memset(long_name, 'n', 299);
    long_name[299] = 0;
    const char *names[] = {"", "a/b", ".", "..", long_name};
    for (int n = 0; n < 5; n++)
        printf("name %s\n", error(syscall(SYS_mq_open, names[n], O_RDWR | O_CREAT, 0600, 0L)));
    struct rlimit limit;
    getrlimit(RLIMIT_MSGQUEUE, &limit);
    printf("limit %ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
    limit.rlim_cur = 1000;
    setrlimit(RLIMIT_MSGQUEUE, &limit);
    printf("limited %s\n", error(make(10, 100, 0)));
    mqd_t queue = make(4, 100, 0);
    printf("less %s\n", error(queue));
    mq_close(queue);
    mq_unlink(name);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_MSGQUEUE, &limit);
    for (int n = 0; n < 5; n++) {
        const char *files[] = {"msg_default", "msg_max", "msgsize_default", "msgsize_max",
                               "queues_max"};
        char path[64], text[32] = "";
        sprintf(path, "/proc/sys/fs/mqueue/%s", files[n]);
        int fd = open(path, O_RDONLY);
        read(fd, text, 31);
        close(fd);
        printf("%s %s", files[n], text);
    }
}

static mqd_t shared;

static void *sends(void *text) {
    usleep(30000);
    mq_send(shared, text, strlen(text), 3);
    return 0;
}

static void *receives(void *unused) {
    usleep(30000);
    return (void *)mq_receive(shared, (char[8192]){}, 8192, 0);
}

static void nothing(int number) {}

static void waiting(void) {
    shared = make(1, 8192, 0);
    pthread_t thread;
    pthread_create(&thread, 0, sends, "waited for");
    receive(shared);
    pthread_join(thread, 0);
    mq_send(shared, "first", 5, 0);
    pthread_create(&thread, 0, receives, 0);
    printf("room %s\n", error(mq_send(shared, "second", 6, 0)));
    void *size;
    pthread_join(thread, &size);
    printf("received %ld\n", (long)size);
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    moment.tv_nsec += 20000000;
    if (moment.tv_nsec >= 1000000000)
        moment.tv_sec++, moment.tv_nsec -= 1000000000;
    printf("full %s\n", error(mq_timedsend(shared, "x", 1, 0, &moment)));
    receive(shared);
    printf("empty %s\n", error(mq_timedreceive(shared, (char[8192]){}, 8192, 0, &moment)));
    moment.tv_nsec = -1;
    printf("invalid %s\n", error(mq_timedreceive(shared, (char[8192]){}, 8192, 0, &moment)));
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 30000}}, 0);
    printf("signal %s\n", error(mq_receive(shared, (char[8192]){}, 8192, 0)));
    struct pollfd poll_it = {.fd = shared, .events = POLLIN | POLLOUT};
    printf("poll %d", poll(&poll_it, 1, 0));
    printf(" %x\n", poll_it.revents);
    mq_send(shared, "x", 1, 0);
    printf("poll %d", poll(&poll_it, 1, 0));
    printf(" %x\n", poll_it.revents);
    receive(shared);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    epoll_ctl(set, EPOLL_CTL_ADD, shared, &event);
    printf("epoll %d\n", epoll_wait(set, &event, 1, 0));
    pthread_create(&thread, 0, sends, "for epoll");
    printf("epoll %d\n", epoll_wait(set, &event, 1, 5000));
    pthread_join(thread, 0);
    receive(shared);
    close(set);
    fflush(stdout);
    /* A child has it too. */
    if (fork() == 0) {
        mq_send(shared, "of a child", 10, 7);
        _exit(0);
    }
    receive(shared);
    wait(0);
    mq_close(shared);
    mq_unlink(name);
}

static volatile int code, value, sender;

static void note(int number, siginfo_t *info, void *context) {
    code = info->si_code;
    value = info->si_value.sival_int;
    sender = info->si_pid;
}

static void told(pid_t by) {
    printf("told %d, value %d, by it %d\n", code, value, sender == by);
    code = value = sender = 0;
}

static void notification(void) {
    mqd_t queue = make(5, 8192, O_NONBLOCK);
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    event.sigev_value.sival_int = 42;
    printf("listen %s\n", error(mq_notify(queue, &event)));
    printf("listen %s\n", error(mq_notify(queue, &event)));
    mq_send(queue, "1", 1, 0);
    told(getpid());
    mq_send(queue, "2", 1, 0);
    told(getpid());
    /* Only what comes to an empty queue is told. */
    printf("listen %s\n", error(mq_notify(queue, &event)));
    mq_send(queue, "3", 1, 0);
    told(getpid());
    for (int n = 0; n < 3; n++)
        receive(queue);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("busy %s\n", error(mq_notify(queue, &event)));
        printf("not its own %s\n", error(mq_notify(queue, 0)));
        fflush(stdout);
        mq_send(queue, "4", 1, 0);
        _exit(0);
    }
    wait(0);
    told(child);
    receive(queue);
    printf("listen %s\n", error(mq_notify(queue, &event)));
    printf("stop %s\n", error(mq_notify(queue, 0)));
    mq_send(queue, "5", 1, 0);
    told(getpid());
    receive(queue);
    /* Any descriptor that is closed ends it. */
    printf("listen %s\n", error(mq_notify(queue, &event)));
    close(dup(queue));
    mq_send(queue, "6", 1, 0);
    told(getpid());
    receive(queue);
    fflush(stdout);
    if (fork() == 0) {
        mq_notify(queue, &event);
        _exit(0);
    }
    wait(0);
    event.sigev_notify = SIGEV_NONE;
    printf("listen %s\n", error(mq_notify(queue, &event)));
    mq_send(queue, "7", 1, 0);
    told(getpid());
    printf("listen %s\n", error(mq_notify(queue, &event)));
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = 65;
    printf("no signal %s\n", error(mq_notify(queue, &event)));
    event.sigev_notify = 77;
    printf("no kind %s\n", error(mq_notify(queue, &event)));
    printf("no queue %s\n", error(mq_notify(-1, 0)));
    mq_close(queue);
    mq_unlink(name);
}

/* A message is told by a socket, as libraries have it, and with a thread of their own. */
static void by_socket(void) {
    mqd_t queue = make(5, 8192, O_NONBLOCK);
    int socket_of = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
    char cookie[32] = "what was asked for", got[40];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = socket_of};
    event.sigev_value.sival_ptr = cookie;
    printf("listen %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    printf("listen %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    printf("nothing %zd\n", recv(socket_of, got, sizeof got, MSG_DONTWAIT));
    mq_send(queue, "1", 1, 0);
    printf("told %zd", recv(socket_of, got, sizeof got, MSG_DONTWAIT));
    printf(" %s %d\n", got, got[31]);
    receive(queue);
    mq_send(queue, "2", 1, 0);
    printf("once %zd\n", recv(socket_of, got, sizeof got, MSG_DONTWAIT));
    receive(queue);
    for (int closes = 0; closes < 2; closes++) {
        printf("listen %s\n", error(syscall(SYS_mq_notify, queue, &event)));
        if (closes)
            close(dup(queue));
        else
            syscall(SYS_mq_notify, queue, 0);
        printf("removed %zd", recv(socket_of, got, sizeof got, MSG_DONTWAIT));
        printf(" %s %d\n", got, got[31]);
    }
    event.sigev_signo = other;
    printf("another socket %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    event.sigev_signo = queue;
    printf("no socket %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    event.sigev_signo = -1;
    printf("none %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    event.sigev_signo = socket_of;
    event.sigev_value.sival_ptr = (void *)8;
    printf("no cookie %s\n", error(syscall(SYS_mq_notify, queue, &event)));
    close(socket_of);
    close(other);
    mq_close(queue);
    mq_unlink(name);
}

static int ends[2];

static void in_thread(union sigval value) {
    write(ends[1], &value.sival_int, sizeof value.sival_int);
}

static void by_thread(void) {
    mqd_t queue = make(5, 8192, O_NONBLOCK);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_thread};
    int value = 0;
    pipe(ends);
    event.sigev_value.sival_int = 42;
    printf("listen %s\n", error(mq_notify(queue, &event)));
    mq_send(queue, "1", 1, 0);
    read(ends[0], &value, sizeof value);
    printf("in a thread %d\n", value);
    mq_close(queue);
    mq_unlink(name);
}

static void attributes(void) {
    mqd_t queue = make(3, 16, 0);
    struct mq_attr new = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 9}, old;
    printf("set %s\n", error(mq_setattr(queue, &new, &old)));
    printf("old %lx %ld\n", old.mq_flags, old.mq_maxmsg);
    facts(queue);
    new.mq_flags = O_APPEND;
    printf("set %s\n", error(mq_setattr(queue, &new, &old)));
    new.mq_flags = 0;
    printf("set %s\n", error(mq_setattr(queue, &new, 0)));
    facts(queue);
    fcntl(queue, F_SETFL, O_NONBLOCK);
    facts(queue);
    printf("chmod %s\n", error(fchmod(queue, 0620)));
    struct stat status;
    fstat(queue, &status);
    printf("mode %o\n", status.st_mode);
    fflush(stdout);
    if (fork() == 0) {
        setgid(65534);
        if (setuid(65534))
            _exit(1);
        printf("read %s\n", error(mq_open(name, O_RDONLY)));
        printf("write %s\n", error(mq_open(name, O_WRONLY)));
        printf("unlink %s\n", error(mq_unlink(name)));
        struct mq_attr large = {.mq_maxmsg = 11, .mq_msgsize = 8};
        printf("large %s\n", error(mq_open(other, O_RDWR | O_CREAT, 0600, &large)));
        large.mq_maxmsg = 10;
        printf("own %s\n", error(mq_open(other, O_RDWR | O_CREAT, 0600, &large)));
        printf("unlink %s\n", error(mq_unlink(other)));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    mq_close(queue);
    mq_unlink(name);
}

/* What has no name any more counts as long as it is open. */
static void unlinked(void) {
    fflush(stdout);
    if (fork() == 0) {
        struct mq_attr facts = {.mq_maxmsg = 10, .mq_msgsize = 8};
        struct rlimit limit = {1500, 1500};
        setrlimit(RLIMIT_MSGQUEUE, &limit);
        setgid(65534);
        if (setuid(65534))
            _exit(1);
        mqd_t first = mq_open(name, O_RDWR | O_CREAT, 0600, &facts);
        printf("first %s\n", error(first));
        printf("unlink %s\n", error(mq_unlink(name)));
        printf("second %s\n", error(mq_open(name, O_RDWR | O_CREAT, 0600, &facts)));
        printf("send %s\n", error(mq_send(first, "x", 1, 0)));
        printf("close %s\n", error(mq_close(first)));
        printf("second %s\n", error(mq_open(name, O_RDWR | O_CREAT, 0600, &facts)));
        printf("third %s\n", error(mq_open(other, O_RDWR | O_CREAT, 0600, &facts)));
        printf("unlink %s\n", error(mq_unlink(name)));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
}

int main(void) {
    sprintf(name, "/ringfence.%d", getpid());
    sprintf(other, "/ringfence.other.%d", getpid());
    umask(022);
    order();
    limits();
    waiting();
    notification();
    by_socket();
    by_thread();
    attributes();
    unlinked();
    return 0;
}
