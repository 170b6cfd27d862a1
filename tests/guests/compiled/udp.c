// UDP on the loopback interface, and messages by the calls for many; prints what each does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"

static char buffer[1 << 17];

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in name = {0};
    socklen_t len = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &len);
    return name;
}

static long send_to(int fd, const char *text, struct sockaddr_in to)
{
    return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to);
}

int main(void)
{
    int one = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0), from;
    socklen_t len = sizeof from;
    say_poll("new", one);
    say("peer", getpeername(one, (struct sockaddr *)&from, &len));
    say("send", send(one, "x", 1, 0));
    say("recv", recv(one, buffer, 1, MSG_DONTWAIT));
    say("bind", bind(other, (struct sockaddr *)&any, sizeof any));
    struct sockaddr_in to = name_of(other);
    say("bind same", bind(one, (struct sockaddr *)&to, sizeof to));
    say("sendto", send_to(one, "hello", to));
    printf("own port %d, own address %s\n", name_of(one).sin_port != 0,
           inet_ntoa(name_of(one).sin_addr));
    say_poll("arrived", other);
    int count = -1;
    ioctl(other, FIONREAD, &count);
    say("FIONREAD", count);
    say("peek", recvfrom(other, buffer, 3, MSG_PEEK | MSG_TRUNC, NULL, NULL));
    memset(buffer, 0, 100);
    len = sizeof from;
    say("recvfrom", recvfrom(other, buffer, 100, 0, (struct sockaddr *)&from, &len));
    printf("'%s' from %s, %u bytes, same port %d\n", buffer, inet_ntoa(from.sin_addr), len,
           from.sin_port == name_of(one).sin_port);
    say("reply", send_to(other, "back", from));
    say("recv", recv(one, buffer, 2, 0));
    say("gone", recv(one, buffer, 2, MSG_DONTWAIT));
    say("empty", send_to(one, "", to));
    say_poll("empty", other);
    say("recv", recv(other, buffer, 10, 0));
    say("connect", connect(one, (struct sockaddr *)&to, sizeof to));
    printf("own address %s\n", inet_ntoa(name_of(one).sin_addr));
    say("send", send(one, "connected", 9, 0));
    say("write", write(one, "written", 7));
    say("read", read(other, buffer, 100));
    say("read", read(other, buffer, 100));
    int third = socket(AF_INET, SOCK_DGRAM, 0);
    say("from a third", send_to(third, "third", name_of(one)));
    say("not heard", recv(one, buffer, 100, MSG_DONTWAIT));
    say("too long", sendto(one, buffer, 65508, 0, NULL, 0));
    say("longest", send(one, buffer, 65507, 0));
    say("recv", recv(other, buffer, sizeof buffer, 0));
    close(other);
    say("to nobody", send(one, "x", 1, 0));
    say_poll("refused", one);
    say("send", send(one, "x", 1, 0));
    say("send", send(one, "x", 1, 0));
    say("recv", recv(one, buffer, 1, MSG_DONTWAIT));
    say("recv", recv(one, buffer, 1, MSG_DONTWAIT));
    say("unconnected", send_to(third, "x", to));
    say("recv", recv(third, buffer, 1, MSG_DONTWAIT));
    struct sockaddr none = {AF_UNSPEC, {0}};
    say("disconnect", connect(one, &none, sizeof none));
    say("send", send(one, "x", 1, 0));
    say("port 0", send_to(one, "x", at4("127.0.0.1", 0)));
    say("listen", listen(one, 1));
    say("accept", accept(one, NULL, NULL));
    say("shutdown", shutdown(one, SHUT_RDWR));
    close(one);
    say("bind away", bind(third, (struct sockaddr *)&(struct sockaddr_in){AF_INET, 0, {htonl(0xc0000201)}, {0}}, 16));
    close(third);

    puts("== names");
    int chosen = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in local = at4("0.0.0.0", 0);
    say("bind", bind(chosen, (struct sockaddr *)&local, sizeof local));
    local = name_of(chosen);
    close(chosen);
    chosen = socket(AF_INET, SOCK_DGRAM, 0);
    say("bind", bind(chosen, (struct sockaddr *)&local, sizeof local));
    struct sockaddr_in there = at4("127.0.0.1", 80);
    say("connect", connect(chosen, (struct sockaddr *)&there, sizeof there));
    printf("from %s\n", inet_ntoa(name_of(chosen).sin_addr));
    say("disconnect", connect(chosen, &none, sizeof none));
    printf("from %s %d\n", inet_ntoa(name_of(chosen).sin_addr), name_of(chosen).sin_port == local.sin_port);
    close(chosen);

    puts("== reuse");
    int fd[2];
    struct sockaddr_in shared = at4("127.0.0.1", 0);
    for (int number = 0; number < 2; number++) {
        fd[number] = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(fd[number], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        say("bind", bind(fd[number], (struct sockaddr *)&shared, sizeof shared));
        shared = name_of(fd[0]);
    }
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    say("send", send_to(sender, "last", shared));
    say("first", recv(fd[0], buffer, 10, MSG_DONTWAIT));
    say("last", recv(fd[1], buffer, 10, MSG_DONTWAIT));
    close(fd[0]);
    close(fd[1]);

    puts("== many");
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    bind(receiver, (struct sockaddr *)&any, sizeof any);
    to = name_of(receiver);
    struct iovec parts[4] = {{"a", 1}, {"bb", 2}, {"ccc", 3}, {"dddd", 4}};
    struct mmsghdr messages[4];
    memset(messages, 0, sizeof messages);
    for (int number = 0; number < 4; number++) {
        messages[number].msg_hdr.msg_name = &to;
        messages[number].msg_hdr.msg_namelen = sizeof to;
        messages[number].msg_hdr.msg_iov = &parts[number];
        messages[number].msg_hdr.msg_iovlen = 1;
    }
    say("sendmmsg", sendmmsg(sender, messages, 4, 0));
    printf("%u %u %u %u\n", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len,
           messages[3].msg_len);
    char places[6][3];
    struct iovec rooms[6];
    struct mmsghdr received[6];
    memset(received, 0, sizeof received);
    for (int number = 0; number < 6; number++) {
        rooms[number] = (struct iovec){places[number], 3};
        received[number].msg_hdr.msg_name = &from;
        received[number].msg_hdr.msg_namelen = sizeof from;
        received[number].msg_hdr.msg_iov = &rooms[number];
        received[number].msg_hdr.msg_iovlen = 1;
    }
    say("recvmmsg", recvmmsg(receiver, received, 6, MSG_WAITFORONE, NULL));
    for (int number = 0; number < 4; number++)
        printf("%u bytes, flags %x, name %u\n", received[number].msg_len,
               received[number].msg_hdr.msg_flags, received[number].msg_hdr.msg_namelen);
    say("recvmmsg", recvmmsg(receiver, received, 6, MSG_DONTWAIT, NULL));
    struct timeval time = {0, 3000};
    setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    say("timeout", recv(receiver, buffer, 1, 0));

    puts("== processes");
    fflush(stdout);
    time.tv_usec = 0;
    setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    if (fork() == 0) {
        for (int number = 0; number < 5; number++) {
            len = sizeof from;
            count = recvfrom(receiver, buffer, 100, 0, (struct sockaddr *)&from, &len);
            buffer[0] = 'R';
            sendto(receiver, buffer, count, 0, (struct sockaddr *)&from, len);
        }
        _exit(0);
    }
    for (int number = 0; number < 5; number++) {
        char text[20];
        sprintf(text, "request %d", number);
        send_to(sender, text, to);
        memset(buffer, 0, 20);
        recv(sender, buffer, 20, 0);
        puts(buffer);
    }
    wait(NULL);
    int flooded = 0;
    while (flooded < 600 && send_to(sender, "drop", to) == 4)
        flooded++;
    int kept = 0;
    while (recv(receiver, buffer, 100, MSG_DONTWAIT) == 4)
        kept++;
    printf("all sent %d, some kept %d, some lost %d\n", flooded == 600, kept > 100, kept < 600);
    return 0;
}
