// Unix sockets: pairs, names, streams, datagrams and sequences; prints what each call does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static char buffer[1 << 18];

static socklen_t named(struct sockaddr_un *address, const char *name, int is_abstract)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path + is_abstract, name);
    return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
}

static int signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void pairs(int type, const char *name)
{
    int fd[2];
    printf("== %s\n", name);
    say("socketpair", socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd));
    say("flags", fcntl(fd[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    say("close on exec", fcntl(fd[0], F_GETFD));
    struct stat facts;
    fstat(fd[0], &facts);
    printf("mode %o\n", facts.st_mode);
    say("lseek", lseek(fd[0], 0, SEEK_CUR));
    say("pread", pread(fd[0], buffer, 1, 0));
    say_name("name", fd[0], 0);
    say_name("peer", fd[0], 1);
    say_poll("poll", fd[0]);
    say("read", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    say("write", write(fd[0], "hello ", 6));
    say("write", write(fd[0], "world", 5));
    say_poll("poll", fd[1]);
    int count = -1;
    ioctl(fd[1], FIONREAD, &count);
    say("FIONREAD", count);
    say("peek", recv(fd[1], buffer, 4, MSG_PEEK));
    say("peek trunc", recv(fd[1], buffer, 4, MSG_PEEK | MSG_TRUNC));
    memset(buffer, 0, 100);
    say("recv", recv(fd[1], buffer, 3, 0));
    printf("'%s'\n", buffer);
    memset(buffer, 0, 100);
    say("recv", recv(fd[1], buffer, 100, 0));
    printf("'%s'\n", buffer);
    say("recv", recv(fd[1], buffer, 100, MSG_DONTWAIT));
    say("empty send", send(fd[0], "", 0, 0));
    say("recv", recv(fd[1], buffer, 100, MSG_DONTWAIT));
    say("oob", recv(fd[1], buffer, 100, MSG_OOB | MSG_DONTWAIT) < 0 ? 0 : 1);
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    say("writev", writev(fd[0], parts, 2));
    char a[3], b[5];
    struct iovec places[2] = {{a, 3}, {b, 5}};
    say("readv", readv(fd[1], places, 2));
    printf("%.3s|%.2s\n", a, b);
    say("shutdown", shutdown(fd[0], SHUT_WR));
    say_poll("poll shut", fd[0]);
    say_poll("poll other", fd[1]);
    signals = 0;
    say("send shut", send(fd[0], "x", 1, 0));
    say("send quiet", send(fd[0], "x", 1, MSG_NOSIGNAL));
    printf("signals %d\n", signals);
    say("recv other", recv(fd[1], buffer, 10, MSG_DONTWAIT));
    say("send back", send(fd[1], "y", 1, 0));
    say("recv back", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    say("close", close(fd[1]));
    say_poll("poll", fd[0]);
    signals = 0;
    say("send gone", send(fd[0], "x", 1, 0));
    say("recv gone", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    printf("signals %d\n", signals);
    say("bad how", shutdown(fd[0], 9));
    close(fd[0]);

    socketpair(AF_UNIX, type, 0, fd);
    write(fd[0], "unread", 6);
    close(fd[1]);
    say_poll("poll lossy", fd[0]);
    int error = -1;
    socklen_t len = sizeof error;
    if (type == SOCK_DGRAM)
        getsockopt(fd[0], SOL_SOCKET, SO_ERROR, &error, &len);
    printf("error %d\n", error);
    say("recv lossy", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    say("recv lossy", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    close(fd[0]);
}

static void listening(int type, int is_abstract)
{
    struct sockaddr_un address;
    socklen_t len = named(&address, is_abstract ? "a name" : "/tmp/unix.socket", is_abstract);
    if (is_abstract)
        len--;
    else
        unlink(address.sun_path);
    int server = socket(AF_UNIX, type, 0), client = socket(AF_UNIX, type, 0);
    say_poll("poll new", client);
    say("connect nowhere", connect(client, (struct sockaddr *)&address, len));
    say("listen unbound", listen(server, 1));
    say("bind", bind(server, (struct sockaddr *)&address, len));
    say("bind again", bind(server, (struct sockaddr *)&address, len));
    say("bind another", bind(client, (struct sockaddr *)&address, len));
    say("connect too early", connect(client, (struct sockaddr *)&address, len));
    say("listen", listen(server, 1));
    say_name("name", server, 0);
    say_poll("poll", server);
    fcntl(server, F_SETFL, O_NONBLOCK);
    say("accept nobody", accept(server, NULL, NULL));
    say("connect", connect(client, (struct sockaddr *)&address, len));
    say("connect again", connect(client, (struct sockaddr *)&address, len));
    say_poll("poll", server);
    say("send", send(client, "early", 5, 0));
    struct sockaddr_un peer;
    socklen_t peer_len = sizeof peer;
    int accepted = accept4(server, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK);
    printf("accepted: %d, %u bytes\n", accepted >= 0, peer_len);
    say("nonblocking", !!(fcntl(accepted, F_GETFL) & O_NONBLOCK));
    say("recv", recv(accepted, buffer, 100, 0));
    say_name("name", accepted, 0);
    say_name("peer", client, 1);
    say_name("peer", accepted, 1);
    struct ucred credentials;
    socklen_t credentials_len = sizeof credentials;
    getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_len);
    printf("own %d, uid %d\n", credentials.pid == getpid(), credentials.uid);
    int more[3];
    for (int number = 0; number < 3; number++) {
        more[number] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        say("connect more", connect(more[number], (struct sockaddr *)&address, len));
    }
    int other = socket(AF_UNIX, type == SOCK_STREAM ? SOCK_DGRAM : SOCK_STREAM, 0);
    say("connect other kind", connect(other, (struct sockaddr *)&address, len));
    say("sendto", sendto(client, "x", 1, 0, (struct sockaddr *)&address, len));
    say("close listener", close(server));
    say("recv dropped", recv(more[0], buffer, 1, 0));
    say("recv dropped", recv(more[0], buffer, 1, 0));
    say("connect closed", connect(more[2], (struct sockaddr *)&address, len));
    if (!is_abstract) {
        struct stat facts;
        stat(address.sun_path, &facts);
        printf("mode %o\n", facts.st_mode & S_IFMT);
        say("open", open(address.sun_path, O_RDWR));
        server = socket(AF_UNIX, type, 0);
        say("bind there", bind(server, (struct sockaddr *)&address, len));
        say("unlink", unlink(address.sun_path));
        say("bind there", bind(server, (struct sockaddr *)&address, len));
        unlink(address.sun_path);
        close(server);
        named(&address, "/tmp/unix.file", 0);
        close(open(address.sun_path, O_CREAT | O_RDWR, 0600));
        say("connect file", connect(more[2], (struct sockaddr *)&address, sizeof address));
        unlink(address.sun_path);
        named(&address, "/no such folder/socket", 0);
        say("bind nowhere", bind(more[2], (struct sockaddr *)&address, sizeof address));
    }
    for (int number = 0; number < 3; number++)
        close(more[number]);
    close(client);
    close(accepted);
    close(other);
}

static void datagrams(void)
{
    struct sockaddr_un one_name, other_name, from;
    socklen_t one_len = named(&one_name, "one", 1), other_len = named(&other_name, "other", 1);
    int one = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
    puts("== datagrams");
    say("send", send(one, "x", 1, 0));
    say("sendto", sendto(one, "x", 1, 0, (struct sockaddr *)&other_name, other_len));
    say("bind", bind(other, (struct sockaddr *)&other_name, other_len));
    say("bind", bind(one, (struct sockaddr *)&one_name, one_len));
    say("sendto", sendto(one, "first", 5, 0, (struct sockaddr *)&other_name, other_len));
    say("connect", connect(one, (struct sockaddr *)&other_name, other_len));
    say("send", send(one, "second", 6, 0));
    say("send nothing", send(one, "", 0, 0));
    for (int number = 0; number < 3; number++) {
        socklen_t len = sizeof from;
        memset(&from, 0, sizeof from);
        say("recvfrom", recvfrom(other, buffer, 100, 0, (struct sockaddr *)&from, &len));
        printf("from %u bytes '%s'\n", len, from.sun_path + 1);
    }
    say("listen", listen(one, 1));
    say("accept", accept(one, NULL, NULL));
    int count = 0;
    while (send(one, "x", 1, MSG_DONTWAIT) == 1)
        count++;
    printf("%d messages, then %s\n", count, strerrorname_np(errno));
    while (recv(other, buffer, 100, MSG_DONTWAIT) >= 0)
        ;
    say("too long", send(one, buffer, 212961, 0));
    say("long", send(one, buffer, 100000, 0));
    say("recv", recv(other, buffer, sizeof buffer, 0));
    say("send back", sendto(other, "y", 1, 0, (struct sockaddr *)&one_name, one_len));
    int third = socket(AF_UNIX, SOCK_DGRAM, 0);
    say("send to connected", sendto(third, "z", 1, 0, (struct sockaddr *)&one_name, one_len));
    say("connect to connected", connect(third, (struct sockaddr *)&one_name, one_len));
    close(other);
    say("send to closed", send(one, "x", 1, 0));
    say("send to closed", send(one, "x", 1, 0));
    say("recv", recv(one, buffer, 10, MSG_DONTWAIT));
    struct sockaddr none = {AF_UNSPEC, {0}};
    say("disconnect", connect(third, &none, sizeof none));
    struct sockaddr_un chosen = {AF_UNIX, {0}};
    say("bind any", bind(third, (struct sockaddr *)&chosen, sizeof chosen.sun_family));
    socklen_t len = sizeof chosen;
    say("name", getsockname(third, (struct sockaddr *)&chosen, &len));
    printf("%u bytes\n", len);
    close(one);
    close(third);
}

static void processes(void)
{
    int fd[2], status;
    puts("== processes");
    fflush(stdout);
    socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
    if (fork() == 0) {
        close(fd[0]);
        long sum = 0, count;
        while ((count = read(fd[1], buffer, 30000)) > 0)
            for (long at = 0; at < count; at++)
                sum += (unsigned char)buffer[at];
        write(fd[1], &sum, sizeof sum);
        _exit(0);
    }
    close(fd[1]);
    for (int at = 0; at < (int)sizeof buffer; at++)
        buffer[at] = at * 7;
    long sum = 0, expected = 0;
    for (int round = 0; round < 4; round++) {
        say("write", write(fd[0], buffer, sizeof buffer));
        for (int at = 0; at < (int)sizeof buffer; at++)
            expected += (unsigned char)buffer[at];
    }
    shutdown(fd[0], SHUT_WR);
    say("all", recv(fd[0], &sum, sizeof sum, MSG_WAITALL));
    printf("same %d\n", sum == expected);
    wait(&status);
    say("end", read(fd[0], &sum, sizeof sum));
    close(fd[0]);

    // An asyncio loop wakes itself like this.
    socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    fcntl(fd[1], F_SETFL, O_NONBLOCK);
    if (fork() == 0) {
        usleep(1000);
        send(fd[1], "", 1, 0);
        _exit(0);
    }
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    say("select", select(fd[0] + 1, &set, NULL, NULL, NULL));
    say("recv", recv(fd[0], buffer, 4096, 0));
    say("recv", recv(fd[0], buffer, 4096, 0));
    wait(&status);
    long filled = 0, count;
    while ((count = send(fd[0], buffer, 4096, 0)) > 0)
        filled += count;
    printf("filled %d, then %s\n", filled > 65536, strerrorname_np(errno));
    say_poll("poll full", fd[0]);
    struct timeval time = {0, 2000};
    fcntl(fd[0], F_SETFL, 0);
    setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    say("timeout", recv(fd[0], buffer, 1, 0));
    say("timeout", send(fd[0], buffer, 1, 0));
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    int fd[2], *volatile nowhere = (int *)8;
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGPIPE, &action, NULL);
    umask(022);
    mkdir("/tmp", 01777);
    pairs(SOCK_STREAM, "stream");
    pairs(SOCK_DGRAM, "datagram");
    pairs(SOCK_SEQPACKET, "sequence");
    puts("== abstract stream");
    listening(SOCK_STREAM, 1);
    puts("== abstract sequence");
    listening(SOCK_SEQPACKET, 1);
    puts("== path");
    listening(SOCK_STREAM, 0);
    datagrams();
    processes();
    puts("== errors");
    say("family", socket(99, SOCK_STREAM, 0));
    say("family", socket(AF_X25, SOCK_STREAM, 0));
    say("type", socket(AF_UNIX, 9, 0));
    say("type", socket(AF_UNIX, SOCK_RDM, 0));
    say("type", socket(AF_UNIX, 15, 0));
    say("protocol", socket(AF_UNIX, SOCK_STREAM, 5));
    say("flags", socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
    say("pair", socketpair(AF_INET, SOCK_STREAM, 0, fd));
    say("pair address", socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere));
    say("not a socket", send(1, "x", 1, 0));
    say("no file", send(99, "x", 1, 0));
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    say("recv", recv(one, buffer, 1, 0));
    say("send", send(one, "x", 1, 0));
    say("accept", accept(one, NULL, NULL));
    say("peer", getpeername(one, (struct sockaddr *)buffer, &(socklen_t){10}));
    say("short", bind(one, (struct sockaddr *)buffer, 1));
    say("long", bind(one, (struct sockaddr *)buffer, 200));
    say("bad address", connect(one, (struct sockaddr *)8, 16));
    return 0;
}
