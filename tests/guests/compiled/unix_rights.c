// Files and credentials through Unix sockets; prints what each call does.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockets.h"

static union {
    struct cmsghdr header;
    char bytes[2048];
} control;

static long send_files(int fd, const char *text, const int *files, int count)
{
    struct iovec part = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count >= 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), files, count * sizeof(int));
    }
    return sendmsg(fd, &message, 0);
}

static int files[300], file_count;

static long receive(int fd, size_t size, size_t room, int flags)
{
    static char text[4096];
    struct iovec part = {text, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    message.msg_control = room ? &control : NULL;
    message.msg_controllen = room;
    memset(text, 0, sizeof text);
    long result = recvmsg(fd, &message, flags);
    file_count = 0;
    if (result < 0) {
        printf("recvmsg: %s\n", strerrorname_np(errno));
        return result;
    }
    printf("recvmsg: %ld '%.20s' control %zu%s%s%s%s\n", result, text, message.msg_controllen,
           message.msg_flags & MSG_TRUNC ? " trunc" : "",
           message.msg_flags & MSG_CTRUNC ? " ctrunc" : "",
           message.msg_flags & MSG_EOR ? " eor" : "",
           message.msg_flags & MSG_CMSG_CLOEXEC ? " cloexec" : "");
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_type == SCM_CREDENTIALS) {
            struct ucred from;
            memcpy(&from, CMSG_DATA(part), sizeof from);
            printf("  from %s, uid %d, gid %d, length %zu\n",
                   from.pid == 0 ? "nobody" : from.pid == getpid() ? "itself" : from.pid == getppid() ? "its parent" : "other",
                   from.uid, from.gid, part->cmsg_len);
        } else {
            file_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(files, CMSG_DATA(part), file_count * sizeof(int));
            printf("  kind %d, %d files, length %zu\n", part->cmsg_type, file_count, part->cmsg_len);
        }
    }
    return result;
}

static void close_files(void)
{
    for (int number = 0; number < file_count; number++)
        close(files[number]);
}

static void passing(int type, const char *name)
{
    int fd[2], pipes[2], on = 1;
    char text[10] = "";
    printf("== %s\n", name);
    socketpair(AF_UNIX, type, 0, fd);
    pipe(pipes);
    say("send", send_files(fd[0], "one", &pipes[1], 1));
    close(pipes[1]);
    receive(fd[1], 100, sizeof control, 0);
    say("close on exec", fcntl(files[0], F_GETFD));
    say("write", write(files[0], "through", 7));
    close_files();
    say("read", read(pipes[0], text, 10));
    say("read end", read(pipes[0], text, 10));
    close(pipes[0]);

    pipe(pipes);
    say("send", send_files(fd[0], "two", pipes, 2));
    receive(fd[1], 100, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
    say("close on exec", file_count ? fcntl(files[0], F_GETFD) : -1);
    close_files();
    say("send", send_files(fd[0], "no room", pipes, 2));
    receive(fd[1], 100, 0, 0);
    say("send", send_files(fd[0], "read", pipes, 2));
    say("read", read(fd[1], text, 10));
    say("send", send_files(fd[0], "peek", pipes, 2));
    receive(fd[1], 2, sizeof control, MSG_PEEK);
    close_files();
    receive(fd[1], 2, sizeof control, 0);
    close_files();
    receive(fd[1], 2, sizeof control, MSG_DONTWAIT);
    close_files();
    close(pipes[0]);
    struct pollfd hung = {pipes[1], 0, 0};
    poll(&hung, 1, 0);
    printf("pipe %s\n", hung.revents & POLLERR ? "without reader" : "with reader");
    close(pipes[1]);

    puts("credentials");
    say("plain", send(fd[0], "early", 5, 0));
    say("SO_PASSCRED", setsockopt(fd[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    say("plain", send(fd[0], "plain", 5, 0));
    receive(fd[1], 5, sizeof control, 0);
    receive(fd[1], 100, sizeof control, MSG_DONTWAIT);
    pipe(pipes);
    say("send", send_files(fd[0], "both", pipes, 2));
    receive(fd[1], 100, sizeof control, 0);
    close_files();
    say("send", send_files(fd[0], "short", pipes, 2));
    receive(fd[1], 100, CMSG_SPACE(sizeof(struct ucred)), 0);
    close_files();
    struct ucred self = {getpid(), getuid(), getgid()};
    struct iovec part = {"own", 3};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = CMSG_SPACE(sizeof self);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_CREDENTIALS;
    control.header.cmsg_len = CMSG_LEN(sizeof self);
    memcpy(CMSG_DATA(&control.header), &self, sizeof self);
    say("send own", sendmsg(fd[0], &message, 0));
    receive(fd[1], 100, sizeof control, 0);
    self.pid = 99999999;
    memcpy(CMSG_DATA(&control.header), &self, sizeof self);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_CREDENTIALS;
    control.header.cmsg_len = CMSG_LEN(sizeof self);
    say("send false", sendmsg(fd[0], &message, 0));
    control.header.cmsg_len = CMSG_LEN(5);
    say("send short", sendmsg(fd[0], &message, 0));
    control.header.cmsg_type = 77;
    say("send unknown", sendmsg(fd[0], &message, 0));
    control.header.cmsg_len = 3;
    say("send malformed", sendmsg(fd[0], &message, 0));
    control.header.cmsg_len = 3000;
    say("send beyond", sendmsg(fd[0], &message, 0));
    int bad[2] = {pipes[0], 999};
    say("send bad", send_files(fd[0], "bad", bad, 2));
    for (int number = 0; number < 300; number++)
        files[number] = pipes[0];
    say("send 200", send_files(fd[0], "many", files, 200));
    say("send 254", send_files(fd[0], "many", files, 254));
    say("send none", send_files(fd[0], "none", files, 0));
    setsockopt(fd[1], SOL_SOCKET, SO_PASSCRED, (int[]){0}, sizeof on);
    receive(fd[1], 100, sizeof control, 0);
    close_files();
    receive(fd[1], 100, sizeof control, MSG_DONTWAIT);
    close(pipes[0]);
    close(pipes[1]);
    close(fd[0]);
    close(fd[1]);
}

static void glued(void)
{
    int fd[2];
    puts("== a stream with files in it");
    socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
    send_files(fd[0], "before ", NULL, -1);
    send_files(fd[0], "files ", fd, 1);
    send_files(fd[0], "after ", NULL, -1);
    send_files(fd[0], "more ", fd, 1);
    send_files(fd[0], "more", fd, 1);
    for (int number = 0; number < 4; number++) {
        receive(fd[1], 100, sizeof control, MSG_DONTWAIT);
        close_files();
    }
    close(fd[0]);
    close(fd[1]);
}

// Several control messages come as one.
static void several(const int *counts, int messages)
{
    int fd[2], pipes[2];
    static char room[4096];
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room};
    puts("== several control messages");
    socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
    pipe(pipes);
    for (int i = 0, next = 0; i < messages; i++) {
        struct cmsghdr *header = (struct cmsghdr *)(room + message.msg_controllen);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(counts[i] * sizeof(int));
        for (int j = 0; j < counts[i]; j++)
            ((int *)CMSG_DATA(header))[j] = pipes[next++ % 2];
        message.msg_controllen += CMSG_SPACE(counts[i] * sizeof(int));
    }
    say("sendmsg", sendmsg(fd[0], &message, 0));
    receive(fd[1], 100, sizeof control, MSG_DONTWAIT);
    for (int i = 0; i < file_count; i++)
        printf("%s", (fcntl(files[i], F_GETFL) & O_ACCMODE) == O_WRONLY ? "w" : "r");
    printf(" %d\n", file_count);
    close_files();
    for (int i = 0; i < 2; i++) {
        close(fd[i]);
        close(pipes[i]);
    }
}

static void children(void)
{
    int fd[2], pipes[2], status;
    char text[20] = "";
    puts("== to a child");
    fflush(stdout);
    socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
    if (fork() == 0) {
        close(fd[0]);
        setsockopt(fd[1], SOL_SOCKET, SO_PASSCRED, (int[]){1}, sizeof(int));
        send(fd[1], "r", 1, 0);
        receive(fd[1], 100, sizeof control, 0);
        write(files[0], "from the child", 14);
        fflush(stdout);
        _exit(0);
    }
    close(fd[1]);
    pipe(pipes);
    recv(fd[0], text, 1, 0);
    send_files(fd[0], "take this", &pipes[1], 1);
    close(pipes[1]);
    wait(&status);
    say("read", read(pipes[0], text, 20));
    puts(text);
    say("end", read(pipes[0], text, 20));
    close(pipes[0]);
    close(fd[0]);
}

// Sockets that only messages refer to must not stay for ever.
static void cycles(void)
{
    puts("== cycles");
    int made = 0;
    for (int round = 0; round < 60; round++) {
        int one[2], other[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, one) < 0 ||
            socketpair(AF_UNIX, SOCK_DGRAM, 0, other) < 0)
            break;
        send_files(one[0], "itself", &one[1], 1);
        send_files(one[1], "each", other, 2);
        send_files(other[0], "other", one, 2);
        send_files(other[1], "other", other, 2);
        for (int number = 0; number < 2; number++) {
            close(one[number]);
            close(other[number]);
        }
        made++;
    }
    printf("%d cycles\n", made);

    // What can be received must stay, however often others are collected.
    int chain[21][2];
    for (int number = 0; number < 21; number++)
        socketpair(AF_UNIX, SOCK_STREAM, 0, chain[number]);
    for (int number = 20; number > 0; number--) {
        send_files(chain[number - 1][0], "link", chain[number], 2);
        close(chain[number][0]);
        close(chain[number][1]);
    }
    for (int round = 0; round < 20; round++) {
        int one[2];
        socketpair(AF_UNIX, SOCK_STREAM, 0, one);
        send_files(one[0], "itself", &one[1], 1);
        close(one[0]);
        close(one[1]);
    }
    int at = chain[0][1], links = 0;
    struct iovec part = {(char[10]){0}, 10};
    for (;;) {
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                                 .msg_controllen = sizeof control};
        if (recvmsg(at, &message, MSG_DONTWAIT) <= 0 || message.msg_controllen == 0)
            break;
        int next[2];
        memcpy(next, CMSG_DATA(&control.header), sizeof next);
        at = next[1];
        links++;
    }
    printf("%d links\n", links);
}

int main(void)
{
    passing(SOCK_STREAM, "stream");
    passing(SOCK_DGRAM, "datagram");
    passing(SOCK_SEQPACKET, "sequence");
    glued();
    several((int[]){1, 0, 3, 1}, 4);
    several((int[]){200, 53}, 2);
    several((int[]){200, 54}, 2);
    children();
    cycles();
    return 0;
}
