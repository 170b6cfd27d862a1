/* F_SETSIG: signals that say which descriptor can be used, and how. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t wanted;

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void came(const char *what) {
    siginfo_t info = {0};
    int got, count = 0;
    while ((got = sigtimedwait(&wanted, &info, &(struct timespec){0})) > 0) {
        count++;
        if (got == SIGIO)
            printf("%s: SIGIO %d\n", what, info.si_code);
        else
            printf("%s: %d, code %d, band %lx, descriptor %d\n", what, got - SIGRTMIN,
                   info.si_code, info.si_band, info.si_fd);
    }
    if (!count)
        printf("%s: none\n", what);
}

static void listen_to(int fd) {
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
}

int main(void) {
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGIO);
    for (int n = SIGRTMIN; n <= SIGRTMAX; n++)
        sigaddset(&wanted, n);
    sigprocmask(SIG_BLOCK, &wanted, 0);
    int pipes[2], pair[2];
    pipe(pipes);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    printf("signal %d\n", fcntl(pipes[0], F_GETSIG));
    printf("set %s\n", error(fcntl(pipes[0], F_SETSIG, SIGRTMIN + 1)));
    printf("is %d\n", fcntl(pipes[0], F_GETSIG) - SIGRTMIN);
    printf("invalid %s %s\n", error(fcntl(pipes[0], F_SETSIG, 65)),
           error(fcntl(pipes[0], F_SETSIG, -1)));
    printf("closed %s\n", error(fcntl(99, F_GETSIG)));
    came("silent");
    listen_to(pipes[0]);
    write(pipes[1], "x", 1);
    came("pipe");
    char bytes[70000] = "";
    read(pipes[0], bytes, 8);
    came("read");
    /* A copy is the same open file. */
    int copy = dup(pipes[0]);
    printf("copy %d\n", fcntl(copy, F_GETSIG) - SIGRTMIN);
    close(pipes[0]);
    write(pipes[1], "x", 1);
    came("copy");
    fcntl(copy, F_SETSIG, 0);
    write(pipes[1], "x", 1);
    came("plain");
    fcntl(copy, F_SETSIG, SIGIO);
    write(pipes[1], "x", 1);
    came("chosen");
    fcntl(copy, F_SETFL, O_NONBLOCK);
    write(pipes[1], "x", 1);
    came("off");
    read(copy, bytes, 8);
    /* The end that is written to. */
    fcntl(pipes[1], F_SETSIG, SIGRTMIN + 2);
    listen_to(pipes[1]);
    while (write(pipes[1], bytes, sizeof bytes) > 0)
        ;
    came("filling");
    while (read(copy, bytes, sizeof bytes) > 0)
        ;
    siginfo_t info = {0};
    int got = sigtimedwait(&wanted, &info, &(struct timespec){0});
    printf("emptied: %d, code %d, band %lx, descriptor %d\n", got - SIGRTMIN, info.si_code,
           info.si_band, info.si_fd == pipes[1]);
    while (sigtimedwait(&wanted, &info, &(struct timespec){0}) > 0)
        ;
    fcntl(pair[0], F_SETSIG, SIGRTMIN + 3);
    listen_to(pair[0]);
    write(pair[1], "abc", 3);
    came("socket");
    return 0;
}
