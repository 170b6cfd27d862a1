// TCP and UDP by IPv6 on the loopback interface; prints what each call does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 18];
static int on = 1;

static void say(const char *what, long result)
{
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

static struct sockaddr_in at4(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
}

static struct sockaddr_in6 at6(const char *ip, int port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &address.sin6_addr);
    return address;
}

static int port_of(int fd)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &len);
    return ntohs(name.sin6_port);
}

// Prints an address without the port, which differs from run to run.
static void say_name(const char *what, int fd, int peer)
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

static void streams(void)
{
    int server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 any = at6("::", 0);
    puts("== streams");
    say("bind", bind(server, (struct sockaddr *)&any, sizeof any));
    say_name("name", server, 0);
    say("listen", listen(server, 5));
    int port = port_of(server);
    struct sockaddr_in6 to = at6("::1", port), mapped = at6("::ffff:127.0.0.1", port);
    struct sockaddr_in to4 = at4("127.0.0.1", port);
    say("connect", connect(client, (struct sockaddr *)&to, sizeof to));
    int accepted = accept(server, NULL, NULL);
    say_name("name", accepted, 0);
    say_name("peer", accepted, 1);
    say("send", send(accepted, "six", 3, 0));
    say("recv", recv(client, buffer, 10, 0));
    close(accepted);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    say("from 4", connect(client, (struct sockaddr *)&to4, sizeof to4));
    say("4 to 6", connect(client, (struct sockaddr *)&to, sizeof to));
    accepted = accept(server, NULL, NULL);
    say_name("name", accepted, 0);
    say_name("peer", accepted, 1);
    close(accepted);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    say("mapped", connect(client, (struct sockaddr *)&mapped, sizeof mapped));
    say_name("name", client, 0);
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    say("same port", bind(client, (struct sockaddr *)&to4, sizeof to4));
    close(server);
    server = socket(AF_INET6, SOCK_STREAM, 0);
    say("only", setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
    any = at6("::", 0);
    bind(server, (struct sockaddr *)&any, sizeof any);
    listen(server, 5);
    to4 = at4("127.0.0.1", port_of(server));
    say("refused", connect(client, (struct sockaddr *)&to4, sizeof to4));
    close(client);
    close(server);
}

static void messages(void)
{
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to;
    socklen_t len;
    puts("== messages");
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6}, from6;
    say("bind", bind(six, (struct sockaddr *)&any6, sizeof any6));
    len = sizeof any6;
    getsockname(six, (struct sockaddr *)&any6, &len);
    to = at4("127.0.0.1", ntohs(any6.sin6_port));
    say("from 4", sendto(sender, "four", 4, 0, (struct sockaddr *)&to, sizeof to));
    len = sizeof from6;
    char text[INET6_ADDRSTRLEN];
    say("recvfrom", recvfrom(six, buffer, 10, 0, (struct sockaddr *)&from6, &len));
    printf("%s %u\n", inet_ntop(AF_INET6, &from6.sin6_addr, text, sizeof text), len);
    say("reply", sendto(six, "six", 3, 0, (struct sockaddr *)&from6, len));
    say("recv", recv(sender, buffer, 10, 0));
    any6.sin6_addr = in6addr_loopback;
    say("to itself", sendto(six, "self", 4, 0, (struct sockaddr *)&any6, sizeof any6));
    len = sizeof from6;
    say("recvfrom", recvfrom(six, buffer, 10, 0, (struct sockaddr *)&from6, &len));
    printf("%s %u\n", inet_ntop(AF_INET6, &from6.sin6_addr, text, sizeof text), len);
    say("6 by 4", sendto(sender, "x", 1, 0, (struct sockaddr *)&any6, sizeof any6));
}

static void options(void)
{
    int value = -1;
    socklen_t len = sizeof value;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    puts("== options");
    say("hops", setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){5}, sizeof(int)));
    getsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value, &len);
    say("hops", value);
    say("class", setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &(int){8}, sizeof(int)));
    getsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &value, &len);
    say("class", value);
    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len);
    say("only", value);
}

int main(void)
{
    streams();
    messages();
    options();
    return 0;
}
