// Options of sockets, names of machines, and the loopback interface; prints what they say.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void get(int fd, int level, int option, const char *name)
{
    int value = -1;
    socklen_t len = sizeof value;
    if (getsockopt(fd, level, option, &value, &len) < 0)
        printf("  %s: %s\n", name, strerrorname_np(errno));
    else
        printf("  %s: %d, %u bytes\n", name, value, len);
}

static void set(int fd, int level, int option, int value, const char *name)
{
    if (setsockopt(fd, level, option, &value, sizeof value) < 0)
        printf("  set %s to %d: %s\n", name, value, strerrorname_np(errno));
    else
        get(fd, level, option, name);
}

#define GET(level, option) get(fd, level, option, #option)
#define SET(level, option, value) set(fd, level, option, value, #option)

static void all(int family, int type, const char *name)
{
    int fd = socket(family, type, 0);
    printf("== %s\n", name);
    GET(SOL_SOCKET, SO_TYPE);
    GET(SOL_SOCKET, SO_DOMAIN);
    GET(SOL_SOCKET, SO_PROTOCOL);
    GET(SOL_SOCKET, SO_ERROR);
    GET(SOL_SOCKET, SO_ACCEPTCONN);
    GET(SOL_SOCKET, SO_RCVLOWAT);
    GET(SOL_SOCKET, SO_SNDLOWAT);
    SET(SOL_SOCKET, SO_REUSEADDR, 7);
    SET(SOL_SOCKET, SO_BROADCAST, 1);
    SET(SOL_SOCKET, SO_KEEPALIVE, 1);
    SET(SOL_SOCKET, SO_OOBINLINE, 1);
    SET(SOL_SOCKET, SO_PRIORITY, 3);
    SET(SOL_SOCKET, SO_RCVLOWAT, 0);
    SET(SOL_SOCKET, SO_RCVLOWAT, 9);
    SET(SOL_SOCKET, SO_RCVBUF, 1);
    SET(SOL_SOCKET, SO_RCVBUF, 10000);
    SET(SOL_SOCKET, SO_SNDBUF, 1);
    SET(SOL_SOCKET, SO_SNDBUF, 50000);
    SET(SOL_SOCKET, SO_TYPE, 1);
    SET(SOL_SOCKET, 9999, 1);
    SET(12345, 1, 1);
    struct linger linger = {1, 5};
    socklen_t len = sizeof linger;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    memset(&linger, 0, sizeof linger);
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len);
    printf("  linger %d %d, %u bytes\n", linger.l_onoff, linger.l_linger, len);
    struct timeval time = {2, 500000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    memset(&time, 0, sizeof time);
    len = sizeof time;
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len);
    printf("  timeout %ld.%06ld, %u bytes\n", time.tv_sec, time.tv_usec, len);
    time.tv_usec = 1000000;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) < 0)
        printf("  bad timeout: %s\n", strerrorname_np(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &time, 2) < 0)
        printf("  short: %s\n", strerrorname_np(errno));
    char byte = 99;
    len = 1;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &byte, &len);
    printf("  one byte: %d, %u\n", byte, len);
    close(fd);
}

static void tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    puts("== of TCP");
    SET(IPPROTO_TCP, TCP_NODELAY, 5);
    SET(IPPROTO_TCP, TCP_CORK, 1);
    SET(IPPROTO_TCP, TCP_KEEPIDLE, 60);
    SET(IPPROTO_TCP, TCP_KEEPIDLE, 0);
    SET(IPPROTO_TCP, TCP_KEEPINTVL, 10);
    SET(IPPROTO_TCP, TCP_KEEPCNT, 3);
    SET(IPPROTO_TCP, TCP_KEEPCNT, 200);
    SET(IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
    GET(IPPROTO_TCP, TCP_DEFER_ACCEPT);
    SET(IPPROTO_IP, IP_TOS, 16);
    SET(IPPROTO_IP, IP_TTL, 33);
    SET(IPPROTO_IP, IP_TTL, 0);
    SET(IPPROTO_IP, IP_TTL, -1);
    SET(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    struct tcp_info info;
    socklen_t len = 8;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    printf("  state %d, %u bytes\n", info.tcpi_state, len);
    listen(fd, 1);
    GET(SOL_SOCKET, SO_ACCEPTCONN);
    len = 8;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    printf("  state %d\n", info.tcpi_state);
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    SET(IPPROTO_TCP, TCP_NODELAY, 1);
    SET(IPPROTO_IP, IP_RECVERR, 1);
    SET(IPPROTO_IP, IP_MTU_DISCOVER, 2);
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    SET(SOL_SOCKET, SO_PASSCRED, 1);
    struct ucred peer;
    len = sizeof peer;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    printf("  nobody: %d %d %d\n", peer.pid, peer.uid, peer.gid);
    close(fd);
}

static void interfaces(void)
{
    struct ifaddrs *list, *one;
    puts("== interfaces");
    if (getifaddrs(&list) < 0)
        printf("getifaddrs: %s\n", strerrorname_np(errno));
    for (one = list; one; one = one->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (strcmp(one->ifa_name, "lo") != 0 || !one->ifa_addr)
            continue;
        int family = one->ifa_addr->sa_family;
        if (family == AF_INET6)
            continue;
        if (family == AF_INET)
            inet_ntop(family, &((struct sockaddr_in *)one->ifa_addr)->sin_addr, text, sizeof text);
        printf("%s, family %d, flags %x, %s\n", one->ifa_name, family, one->ifa_flags, text);
    }
    freeifaddrs(list);
    printf("index %u\n", if_nametoindex("lo"));
    char name[IF_NAMESIZE] = "";
    printf("name %s\n", if_indextoname(1, name));
    printf("unknown %u %s\n", if_nametoindex("nothing0"), strerrorname_np(errno));
    struct if_nameindex *names = if_nameindex();
    printf("first %u %s\n", names ? names->if_index : 0, names ? names->if_name : "none");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "lo"};
    ioctl(fd, SIOCGIFADDR, &request);
    puts(inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
    ioctl(fd, SIOCGIFMTU, &request);
    printf("MTU %d\n", request.ifr_mtu);
    ioctl(fd, SIOCGIFFLAGS, &request);
    printf("same flags: %d", ioctl(fd, SIOCSIFFLAGS, &request) == 0 || errno == EPERM);
    printf(", no flags: %d %s\n", ioctl(fd, SIOCSIFFLAGS, NULL), strerrorname_np(errno));
    int mark = 1, stream = socket(AF_INET, SOCK_STREAM, 0);
    printf("mark: %d %s", ioctl(fd, SIOCATMARK, &mark), strerrorname_np(errno));
    printf(", of a stream %d\n", ioctl(stream, SIOCATMARK, &mark));
    close(stream);
    printf("terminal: %d %s\n", isatty(fd), strerrorname_np(errno));
    close(fd);
}

int main(void)
{
    all(AF_UNIX, SOCK_STREAM, "Unix stream");
    all(AF_UNIX, SOCK_DGRAM, "Unix datagram");
    all(AF_UNIX, SOCK_SEQPACKET, "Unix sequence");
    all(AF_INET, SOCK_STREAM, "TCP");
    all(AF_INET, SOCK_DGRAM, "UDP");
    tcp();
    interfaces();
    return 0;
}
