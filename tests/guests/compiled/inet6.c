// TCP and UDP by IPv6 on the loopback interface; prints what each call does.
#define _GNU_SOURCE
#include <unistd.h>

#include "sockets.h"

static char buffer[1 << 18];
static int on = 1;

static struct sockaddr_in6 at6(const char *ip, int port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &address.sin6_addr);
    return address;
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

// As libraries ask for the address that they would send from, whatever the family.
static void sources(void)
{
    puts("== sources");
    struct sockaddr none = {AF_UNSPEC, {0}};
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 peer = {AF_INET6, htons(80), 0, IN6ADDR_LOOPBACK_INIT};
    say("no port", port_of(six));
    say("to IPv6", connect(six, (struct sockaddr *)&peer, sizeof peer));
    say("disconnect", connect(six, &none, sizeof none));
    say("no port", port_of(six));
    struct sockaddr_in local = at4("127.0.0.1", 80);
    say("to IPv4", connect(six, (struct sockaddr *)&local, sizeof local));
    socklen_t size = sizeof peer;
    say("name", getsockname(six, (struct sockaddr *)&peer, &size));
    char text[INET6_ADDRSTRLEN];
    printf("%s %d\n", inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text), peer.sin6_port != 0);
    close(six);
}

int main(void)
{
    streams();
    messages();
    options();
    sources();
    return 0;
}
