// Signals that wait in a queue, what their handlers learn, and frames that find no room.
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static volatile int seen[100], count;
static siginfo_t last[100];

static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (count < 100) {
        last[count] = *info;
        seen[count++] = signal;
    }
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(signal, &action, 0);
}

static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b) sigaddset(&set, b);
    return set;
}

static void show(const char *what) {
    printf("%s:", what);
    for (int i = 0; i < count; i++) {
        printf(" %d(code %d", seen[i], last[i].si_code);
        if (last[i].si_code == SI_QUEUE) printf(" value %d", last[i].si_value.sival_int);
        printf(last[i].si_pid == getpid() ? " self)" : ")");
    }
    printf("\n");
    count = 0;
}

static void queue_order(void) {
    int first = SIGRTMIN + 2, second = SIGRTMIN + 1;
    sigset_t set = set_of(first, second), old;
    sigaddset(&set, SIGUSR1);
    handle(first, note, 0);
    handle(second, note, 0);
    handle(SIGUSR1, note, 0);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 3; i++) {
        sigqueue(getpid(), first, (union sigval){.sival_int = i});
        sigqueue(getpid(), second, (union sigval){.sival_int = 10 + i});
        sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 20 + i});
    }
    kill(getpid(), first);
    raise(second);
    sigprocmask(SIG_SETMASK, &old, 0);
    show("queue");
}

static void waiting(void) {
    sigset_t set = set_of(SIGRTMIN, SIGUSR1), old;
    siginfo_t info;
    struct timespec none = {0}, some = {0, 20000000};
    sigprocmask(SIG_BLOCK, &set, &old);
    int got = sigtimedwait(&set, &info, &none);
    printf("nothing: %d errno %d\n", got, errno);
    got = sigtimedwait(&set, &info, &some);
    printf("nothing for a while: %d errno %d\n", got, errno);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7});
    got = sigwaitinfo(&set, &info);
    printf("queued: %d code %d value %d\n", got - SIGRTMIN, info.si_code, info.si_value.sival_int);
    pid_t parent = getpid(), child = fork();
    if (!child) {
        usleep(20000);
        kill(parent, SIGUSR1);
        _exit(3);
    }
    got = sigwaitinfo(&set, &info);
    printf("from a child: %d code %d sender %d\n", got, info.si_code, info.si_pid == child);
    waitpid(child, 0, 0);
    // A handler of another signal interrupts it.
    handle(SIGUSR2, note, SA_RESTART);
    child = fork();
    if (!child) {
        // Again and again: the first may come before the wait.
        for (;;) {
            usleep(20000);
            kill(parent, SIGUSR2);
        }
    }
    got = sigwaitinfo(&set, &info);
    printf("interrupted: %d errno %d, handled %d\n", got, errno, count > 0);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    count = 0;
    // What is ignored by default and blocked is kept.
    sigset_t child_set = set_of(SIGCHLD, 0);
    sigprocmask(SIG_BLOCK, &child_set, 0);
    child = fork();
    if (!child) _exit(5);
    got = sigwaitinfo(&child_set, &info);
    printf("child: %d code %d status %d pid %d\n", got, info.si_code, info.si_status,
           info.si_pid == child);
    waitpid(child, 0, 0);
    sigprocmask(SIG_SETMASK, &old, 0);
    got = syscall(SYS_rt_sigtimedwait, &set, 0, 0, 4);
    printf("wrong size: %d errno %d\n", got, errno);
    some.tv_nsec = -1;
    got = syscall(SYS_rt_sigtimedwait, &set, 0, &some, 8);
    printf("wrong time: %d errno %d\n", got, errno);
}

static void allowed(void) {
    siginfo_t info = {0};
    info.si_code = SI_USER;
    int got = syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info);
    printf("as by kill, to another: %d errno %d\n", got, errno);
    info.si_code = SI_QUEUE;
    printf("signal 0: %ld\n", syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
    got = syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info);
    printf("signal 65: %d errno %d\n", got, errno);
    got = syscall(SYS_rt_tgsigqueueinfo, getpid(), -1, SIGUSR1, &info);
    printf("thread -1: %d errno %d\n", got, errno);
    info.si_code = -100;
    handle(SIGUSR1, note, 0);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &info);
    show("to a thread");
}

static void limit(void) {
    struct rlimit limit, old;
    sigset_t set = set_of(SIGRTMIN, SIGUSR1), before;
    getrlimit(RLIMIT_SIGPENDING, &old);
    limit = old;
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_SIGPENDING, &limit);
    sigprocmask(SIG_BLOCK, &set, &before);
    int got = sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1});
    printf("no room for a value: %d errno %d\n", got, errno);
    printf("no room by kill: %d\n", kill(getpid(), SIGRTMIN));
    siginfo_t info;
    got = sigwaitinfo(&set, &info);
    printf("came: %d code %d\n", got - SIGRTMIN, info.si_code);
    setrlimit(RLIMIT_SIGPENDING, &old);
    sigprocmask(SIG_SETMASK, &before, 0);
}

static void flags(void) {
    struct sigaction action;
    handle(SIGUSR1, note, SA_RESETHAND | SA_NODEFER | SA_RESTART);
    raise(SIGUSR1);
    sigaction(SIGUSR1, 0, &action);
    printf("after one call: default %d, flags %#x\n", action.sa_handler == SIG_DFL,
           action.sa_flags & ~0x04000000);
    count = 0;
    action.sa_handler = SIG_IGN;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    action.sa_mask = set_of(SIGUSR2, 0);
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGUSR1, 0, &action);
    printf("ignored: %d, flags %#x, mask %d\n", action.sa_handler == SIG_IGN,
           action.sa_flags & ~0x04000000, sigismember(&action.sa_mask, SIGUSR2));
    signal(SIGUSR1, SIG_DFL);
    // Children that end are gone at once.
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, 0);
    pid_t child = fork();
    if (!child) _exit(0);
    int got = waitpid(child, 0, 0);
    printf("nobody to wait for: %d errno %d\n", got, errno);
    handle(SIGCHLD, note, SA_NOCLDSTOP);
    child = fork();
    if (!child) {
        raise(SIGSTOP);
        _exit(9);
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    printf("stopped %d, signals %d\n", WIFSTOPPED(status), count);
    kill(child, SIGCONT);
    while (waitpid(child, &status, 0) < 0) {}
    printf("ended %d, signals %d code %d status %d\n", WIFEXITED(status), count, last[0].si_code,
           last[0].si_status);
    count = 0;
    signal(SIGCHLD, SIG_DFL);
}

static sigjmp_buf back;
static char *stack;

static void fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    int on_stack = (char *)&signal >= stack && (char *)&signal < stack + 65536;
    printf("signal %d code %d address %p, on its stack %d\n", signal, info->si_code,
           info->si_code == SI_KERNEL ? 0 : info->si_addr, on_stack);
    siglongjmp(back, 1);
}

static void with_bad_stack(int signal) {
    // The program's own stack is nowhere as the signal comes.
    long pid = getpid();
    __asm__ volatile("mov %%rsp, %%r12\n\tmov $0x1000, %%rsp\n\tsyscall\n\tmov %%r12, %%rsp"
                     :
                     : "a"((long)SYS_kill), "D"(pid), "S"((long)signal)
                     : "rcx", "r11", "r12", "memory");
}

static void lost_frames(void) {
    stack = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t alternate = {.ss_sp = stack, .ss_size = 65536};
    sigaltstack(&alternate, 0);
    handle(SIGSEGV, fault, SA_ONSTACK);
    handle(SIGUSR1, note, 0);
    if (!sigsetjmp(back, 1)) with_bad_stack(SIGUSR1);
    printf("handled %d\n", count);
    volatile int *nowhere = (int *)16;
    if (!sigsetjmp(back, 1)) *nowhere = 1;
    handle(SIGFPE, fault, SA_ONSTACK);
    for (int which = 0; which < 2; which++) {
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            if (which) handle(SIGSEGV, note, 0);
            else signal(SIGSEGV, SIG_DFL);
            with_bad_stack(SIGUSR1);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("without such a handler: signal %d\n", WTERMSIG(status));
    }
}

static volatile int depth;
static void disarmed(int signal) {
    stack_t now;
    sigaltstack(0, &now);
    printf("in handler %d: flags %#x size %d\n", signal, now.ss_flags, (int)now.ss_size);
    if (!depth++) raise(SIGUSR2);
}

static void disarm(void) {
    stack_t alternate = {.ss_sp = stack, .ss_size = 65536, .ss_flags = SS_AUTODISARM}, now;
    printf("set: %d\n", sigaltstack(&alternate, 0));
    struct sigaction action = {.sa_handler = disarmed, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGUSR2, &action, 0);
    raise(SIGUSR1);
    sigaltstack(0, &now);
    printf("after: flags %#x size %d\n", now.ss_flags, (int)now.ss_size);
    alternate.ss_flags = 8;
    int got = sigaltstack(&alternate, 0);
    printf("flags 8: %d errno %d\n", got, errno);
    alternate.ss_flags = 0;
    alternate.ss_size = 100;
    got = sigaltstack(&alternate, 0);
    printf("too small: %d errno %d\n", got, errno);
    alternate.ss_flags = SS_DISABLE;
    printf("none: %d\n", sigaltstack(&alternate, &now));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    queue_order();
    waiting();
    allowed();
    limit();
    flags();
    lost_frames();
    disarm();
    return 0;
}
