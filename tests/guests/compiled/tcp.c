// TCP on the loopback interface; prints what each call does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static char buffer[1 << 18];
static int on = 1;

static void say_error(const char *what, int fd)
{
    int error = -1;
    socklen_t len = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    printf("%s: %s\n", what, error ? strerrorname_np(error) : "none");
}

static int listener(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0);
    bind(fd, (struct sockaddr *)&any, sizeof any);
    listen(fd, 5);
    *port = port_of(fd);
    return fd;
}

static void pair(int fd[2])
{
    int port, server = listener(&port);
    struct sockaddr_in to = at4("127.0.0.1", port);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(fd[0], (struct sockaddr *)&to, sizeof to);
    fd[1] = accept(server, NULL, NULL);
    close(server);
}

static void connecting(void)
{
    int port, server = listener(&port), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = at4("127.0.0.1", port), nobody = at4("127.0.0.1", 1);
    puts("== connecting");
    say_poll("new", client);
    say("recv", recv(client, buffer, 1, 0));
    say("send", send(client, buffer, 1, MSG_NOSIGNAL));
    say("peer", getpeername(client, (struct sockaddr *)buffer, &(socklen_t){100}));
    say_name("name", client, 0);
    say("shutdown", shutdown(client, SHUT_WR));
    say("refused", connect(client, (struct sockaddr *)&nobody, sizeof nobody));
    say_error("error", client);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    say("short", connect(client, (struct sockaddr *)&to, 4));
    say("connect", connect(client, (struct sockaddr *)&to, sizeof to));
    say("connect again", connect(client, (struct sockaddr *)&to, sizeof to));
    say("listen", listen(client, 1));
    say_name("name", client, 0);
    say_name("peer", client, 1);
    say_poll("connected", client);
    say_poll("server", server);
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    int accepted = accept4(server, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    printf("accepted %d, %u bytes, same port %d\n", accepted > 0, len,
           ntohs(from.sin_port) == port_of(client));
    say("server port", port_of(accepted) == port);
    say("nonblocking", !!(fcntl(accepted, F_GETFL) & O_NONBLOCK));
    say("recv", recv(accepted, buffer, 1, 0));
    fcntl(server, F_SETFL, O_NONBLOCK);
    say("accept", accept(server, NULL, NULL));
    say("accept client", accept(client, NULL, NULL));
    say("send", send(client, "hello", 5, 0));
    say("peek", recv(accepted, buffer, 3, MSG_PEEK));
    int count = -1;
    ioctl(accepted, FIONREAD, &count);
    say("FIONREAD", count);
    socklen_t from_len = sizeof from;
    say("recvfrom", recvfrom(accepted, buffer, 100, 0, (struct sockaddr *)&from, &from_len));
    say("sendto", sendto(client, "x", 1, 0, (struct sockaddr *)&nobody, sizeof nobody));
    close(accepted);
    close(client);
    close(server);

    client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    server = listener(&port);
    to = at4("127.0.0.1", port);
    say("in background", connect(client, (struct sockaddr *)&to, sizeof to));
    struct pollfd file = {client, POLLOUT, 0};
    say("poll", poll(&file, 1, 1000));
    say_error("error", client);
    say("connect again", connect(client, (struct sockaddr *)&to, sizeof to));
    say("and again", connect(client, (struct sockaddr *)&to, sizeof to));
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    say("refused in background", connect(client, (struct sockaddr *)&nobody, sizeof nobody));
    file.fd = client;
    say("poll", poll(&file, 1, 1000));
    say_poll("refused", client);
    say_error("error", client);
    say_error("error", client);
    close(client);
    close(server);
    struct sockaddr_in away = at4("192.0.2.1", 80), any = at4("0.0.0.0", 1);
    client = socket(AF_INET, SOCK_STREAM, 0);
    say("any", connect(client, (struct sockaddr *)&any, sizeof any));
    say("bind away", bind(client, (struct sockaddr *)&away, sizeof away));
    struct sockaddr unknown = {AF_X25, {0}};
    say("bind unknown", bind(client, &unknown, sizeof(struct sockaddr_in)));
    say("connect unknown", connect(client, &unknown, sizeof(struct sockaddr_in)));
    close(client);
}

static void ending(void)
{
    int fd[2];
    puts("== ending");
    pair(fd);
    say("half", shutdown(fd[0], SHUT_WR));
    say_poll("half", fd[0]);
    say_poll("other", fd[1]);
    say("send", send(fd[0], "x", 1, MSG_NOSIGNAL));
    say("recv", recv(fd[1], buffer, 1, 0));
    say("send back", send(fd[1], "back", 4, 0));
    say("recv back", recv(fd[0], buffer, 10, 0));
    say("other half", shutdown(fd[1], SHUT_WR));
    say_poll("both", fd[0]);
    say("again", shutdown(fd[0], SHUT_RDWR));
    close(fd[0]);
    close(fd[1]);

    pair(fd);
    close(fd[1]);
    say_poll("closed", fd[0]);
    say("recv", recv(fd[0], buffer, 10, 0));
    say("first send", send(fd[0], "x", 1, MSG_NOSIGNAL));
    usleep(10000);
    say_poll("reset", fd[0]);
    say("second send", send(fd[0], "x", 1, MSG_NOSIGNAL));
    say("third send", send(fd[0], "x", 1, MSG_NOSIGNAL));
    say("recv", recv(fd[0], buffer, 10, 0));
    close(fd[0]);

    pair(fd);
    send(fd[0], "unread", 6, 0);
    send(fd[1], "on its way", 10, 0);
    close(fd[1]);
    say_poll("lossy", fd[0]);
    say("recv", recv(fd[0], buffer, 10, 0));
    say("recv", recv(fd[0], buffer, 10, 0));
    say("recv", recv(fd[0], buffer, 10, 0));
    say("send", send(fd[0], "x", 1, MSG_NOSIGNAL));
    close(fd[0]);

    pair(fd);
    struct linger linger = {1, 0};
    say("linger", setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    close(fd[1]);
    say_poll("aborted", fd[0]);
    say_error("error", fd[0]);
    say("peer", getpeername(fd[0], (struct sockaddr *)buffer, &(socklen_t){100}));
    close(fd[0]);

    pair(fd);
    say("shut reading", shutdown(fd[0], SHUT_RD));
    say_poll("shut", fd[0]);
    say("recv", recv(fd[0], buffer, 10, 0));
    say("send", send(fd[1], "anyway", 6, 0));
    say("recv", recv(fd[0], buffer, 10, 0));
    close(fd[0]);
    close(fd[1]);

    int port, server = listener(&port), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = at4("127.0.0.1", port);
    connect(client, (struct sockaddr *)&to, sizeof to);
    close(server);
    say("not accepted", recv(client, buffer, 1, 0));
    close(client);
    server = listener(&port);
    say("shut listener", shutdown(server, SHUT_RD));
    say("accept", accept(server, NULL, NULL));
    close(server);
}

static void ports(void)
{
    int port, server = listener(&port);
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in same = at4("127.0.0.1", port), any = at4("0.0.0.0", port),
                       third = at4("127.0.0.3", port);
    puts("== ports");
    say("same", bind(other, (struct sockaddr *)&same, sizeof same));
    say("any", bind(other, (struct sockaddr *)&any, sizeof any));
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    say("reuse", bind(other, (struct sockaddr *)&same, sizeof same));
    say("third", bind(other, (struct sockaddr *)&third, sizeof third));
    say("listen", listen(other, 5));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    say("connect third", connect(client, (struct sockaddr *)&third, sizeof third));
    int accepted = accept(other, NULL, NULL);
    say_name("name", accepted, 0);
    say_name("peer", accepted, 1);
    close(accepted);
    close(client);
    close(other);
    close(server);

    // A server that has ended a connection first and starts again.
    server = listener(&port);
    same = at4("127.0.0.1", port);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&same, sizeof same);
    accepted = accept(server, NULL, NULL);
    close(accepted);
    close(server);
    server = socket(AF_INET, SOCK_STREAM, 0);
    say("in use", bind(server, (struct sockaddr *)&same, sizeof same));
    recv(client, buffer, 1, 0);
    close(client);
    say("in use", bind(server, (struct sockaddr *)&same, sizeof same));
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    say("reused", bind(server, (struct sockaddr *)&same, sizeof same) < 0 ? 0 : 0);
    close(server);

    int group[2];
    for (int number = 0; number < 2; number++) {
        group[number] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(group[number], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        struct sockaddr_in address = at4("127.0.0.1", number ? port_of(group[0]) : 0);
        say("group", bind(group[number], (struct sockaddr *)&address, sizeof address));
        say("listen", listen(group[number], 5));
    }
    close(group[0]);
    close(group[1]);
    server = socket(AF_INET, SOCK_STREAM, 0);
    say("listen unbound", listen(server, 1));
    say_name("name", server, 0);
    close(server);
}

static void processes(void)
{
    int port, server = listener(&port), status;
    puts("== processes");
    fflush(stdout);
    if (fork() == 0) {
        for (int number = 0; number < 3; number++) {
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            struct sockaddr_in to = at4("127.0.0.1", port);
            connect(fd, (struct sockaddr *)&to, sizeof to);
            FILE *stream = fdopen(fd, "r+");
            fprintf(stream, "request %d\n", number);
            fflush(stream);
            char line[100] = "";
            fgets(line, sizeof line, stream);
            printf("client got %s", line);
            fclose(stream);
        }
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in to = at4("127.0.0.1", port);
        connect(fd, (struct sockaddr *)&to, sizeof to);
        long sum = 0, count;
        while ((count = read(fd, buffer, 50000)) > 0)
            for (long at = 0; at < count; at++)
                sum += (unsigned char)buffer[at];
        printf("client read %ld\n", sum);
        fflush(stdout);
        _exit(0);
    }
    for (int number = 0; number < 3; number++) {
        int fd = accept(server, NULL, NULL);
        FILE *stream = fdopen(fd, "r+");
        char line[100] = "";
        fgets(line, sizeof line, stream);
        fseek(stream, 0, SEEK_CUR);
        fprintf(stream, "answer to %s", line);
        fclose(stream);
    }
    int fd = accept(server, NULL, NULL);
    for (int at = 0; at < (int)sizeof buffer; at++)
        buffer[at] = at * 11;
    for (int round = 0; round < 4; round++)
        write(fd, buffer, sizeof buffer);
    close(fd);
    wait(&status);
    close(server);
    say("status", status);
    int ends[2];
    pair(ends);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    long filled = 0, count;
    while ((count = send(ends[0], buffer, 4096, 0)) > 0)
        filled += count;
    printf("filled %d, then %s\n", filled > 65536, strerrorname_np(errno));
    say_poll("full", ends[0]);
    say("all", recv(ends[1], buffer, 60000, MSG_WAITALL));
    struct timeval time = {0, 2000};
    setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    while (recv(ends[1], buffer, sizeof buffer, 0) > 0)
        ;
    say("timeout", recv(ends[1], buffer, 1, 0));
    say_poll("empty", ends[0]);
}

int main(void)
{
    signal(SIGPIPE, SIG_DFL);
    connecting();
    ending();
    ports();
    processes();
    return 0;
}
