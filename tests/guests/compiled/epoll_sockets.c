// Sets of sockets to wait for: stream, datagram, listening; what comes and goes. A line for each.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void add(int set, int fd, unsigned events, unsigned name) {
    struct epoll_event event = {events, {.u32 = name}};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
        printf("add %s\n", strerrorname_np(errno));
}

// What is ready, by name; waits for the first as long as `ms`.
static void look(const char *what, int set, int ms) {
    struct epoll_event found[8];
    int count = epoll_wait(set, found, 8, ms);
    printf("%s:", what);
    for (unsigned name = 0; name < 8; name++)
        for (int i = 0; i < count; i++)
            if (found[i].data.u32 == name)
                printf(" %u=%x", name, found[i].events);
    printf("\n");
    fflush(stdout);
}

static void *later(void *argument) {
    struct timespec delay = {0, 20000000};
    nanosleep(&delay, NULL);
    write(*(int *)argument, "x", 1);
    return NULL;
}

static void pairs(int style) {
    int set = epoll_create1(0), ends[2];
    char bytes[100];
    socketpair(AF_UNIX, style | SOCK_NONBLOCK, 0, ends);
    add(set, ends[0], EPOLLIN | EPOLLOUT | EPOLLET, 0);
    look("new", set, 0);
    look("again", set, 0);
    write(ends[1], "abc", 3);
    look("written", set, 0);
    look("again", set, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, later, &ends[1]);
    look("later", set, 5000);
    pthread_join(thread, NULL);
    while (read(ends[0], bytes, sizeof bytes) > 0)
        ;
    static char many[4000];
    int rounds = 0;
    while (write(ends[0], many, sizeof many) > 0 && rounds < 10000)
        rounds++;
    printf("full %d\n", rounds > 3 && rounds < 10000);
    look("full", set, 0);
    while (read(ends[1], many, sizeof many) > 0)
        ;
    look("room", set, 0);
    close(ends[1]);
    look("gone", set, 0);
    close(ends[0]);
    look("closed", set, 0);
    close(set);
}

static void connections(void) {
    int set = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    bind(listener, (struct sockaddr *)&address, len);
    listen(listener, 5);
    getsockname(listener, (struct sockaddr *)&address, &len);
    add(set, listener, EPOLLIN, 1);
    look("quiet", set, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&address, len);
    look("connection", set, 5000);
    int server = accept(listener, NULL, NULL);
    look("accepted", set, 0);
    add(set, server, EPOLLIN | EPOLLRDHUP, 2);
    add(set, client, EPOLLIN | EPOLLONESHOT, 3);
    look("quiet", set, 0);
    write(client, "hello", 5);
    look("to the server", set, 5000);
    write(server, "world", 5);
    look("to both", set, 0);
    look("once", set, 0);
    char bytes[10];
    read(server, bytes, 10);
    look("read", set, 0);
    shutdown(client, SHUT_WR);
    look("half closed", set, 5000);
    close(client);
    close(server);
    look("closed", set, 0);
    close(listener);
    close(set);
}

static void datagrams(void) {
    int set = epoll_create1(0);
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    bind(one, (struct sockaddr *)&address, len);
    getsockname(one, (struct sockaddr *)&address, &len);
    add(set, one, EPOLLIN, 1);
    look("quiet", set, 0);
    sendto(other, "abc", 3, 0, (struct sockaddr *)&address, len);
    look("datagram", set, 5000);
    char bytes[10];
    recv(one, bytes, 10, 0);
    look("read", set, 0);
    close(one);
    close(other);
    close(set);
}

int main(void) {
    pairs(SOCK_STREAM);
    pairs(SOCK_SEQPACKET);
    connections();
    datagrams();
    return 0;
}
