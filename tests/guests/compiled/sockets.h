// What the programs about sockets have in common: they print what each call does.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static inline void say(const char *what, long result)
{
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static inline void say_poll(const char *what, int fd)
{
    struct pollfd file = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    int count = poll(&file, 1, 0);
    printf("%s: %d %s%s%s%s%s\n", what, count, file.revents & POLLIN ? "in " : "",
           file.revents & POLLOUT ? "out " : "", file.revents & POLLRDHUP ? "rdhup " : "",
           file.revents & POLLHUP ? "hup " : "", file.revents & POLLERR ? "err" : "");
}

static inline struct sockaddr_in at4(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
}

static inline int port_of(int fd)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &len);
    return ntohs(name.sin6_port);
}

// Prints an address without the port, which differs from run to run.
static inline void say_name(const char *what, int fd, int peer)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    char text[INET6_ADDRSTRLEN];
    memset(&name, 0, sizeof name);
    if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&name, &len) < 0) {
        say(what, -1);
        return;
    }
    const void *ip = name.sin6_family == AF_INET ? (void *)&((struct sockaddr_in *)&name)->sin_addr
                                                 : (void *)&name.sin6_addr;
    printf("%s: family %d, %u bytes, %s, port %s\n", what, name.sin6_family, len,
           inet_ntop(name.sin6_family, ip, text, sizeof text),
           name.sin6_port == 0 ? "0" : ntohs(name.sin6_port) < 32768 ? "chosen" : "any");
}
