// The timers of a process: of real time and of CPU time.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long result(long got) { return got < 0 ? -errno : got; }

static volatile int count, code;
static void note(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    code = info->si_code;
    count++;
}

static long ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void of_cpu_time(int which, int signal) {
    struct sigaction action = {0};
    action.sa_sigaction = note;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal, &action, 0);
    struct itimerval timer = {{0, 10000}, {0, 30000}}, now;
    count = 0;
    printf("set %ld", result(setitimer(which, &timer, 0)));
    usleep(60000);
    printf(" asleep %d", count);
    getitimer(which, &now);
    printf(" rest %d interval %ld", now.it_value.tv_usec > 0, (long)now.it_interval.tv_usec);
    long start = ms(CLOCK_PROCESS_CPUTIME_ID);
    while (count < 4 && ms(CLOCK_PROCESS_CPUTIME_ID) < start + 5000) {}
    int came = count;
    long used = ms(CLOCK_PROCESS_CPUTIME_ID) - start;
    // One comes no sooner than an interval after the one before.
    printf(" busy %d code %#x after enough %d", came >= 4 && 10 * (came - 1) <= used, code,
           used >= 30);
    memset(&timer, 0, sizeof timer);
    setitimer(which, &timer, &now);
    printf(" was set %d", now.it_value.tv_usec > 0 || now.it_value.tv_sec > 0);
    getitimer(which, &now);
    printf(" now %d\n", now.it_value.tv_usec > 0);
}

// One that is due and has not come is not told as none.
static void due(int which, int signal) {
    struct sigaction action = {0};
    action.sa_sigaction = note;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal, &action, 0);
    struct itimerval timer = {{0, 0}, {0, 1}}, now;
    int seen = 0;
    for (int try = 0; try < 1000 && !seen; try++) {
        count = 0;
        setitimer(which, &timer, 0);
        for (volatile int step = 0; step < 2000; step++) {}
        getitimer(which, &now);
        seen = count == 0;
    }
    printf("due: seen %d rest %d\n", seen, now.it_value.tv_sec > 0 || now.it_value.tv_usec > 0);
    memset(&timer, 0, sizeof timer);
    setitimer(which, &timer, 0);
}

static void in_children(void) {
    struct itimerval timer = {{0, 0}, {100, 0}}, now;
    setitimer(ITIMER_PROF, &timer, 0);
    setitimer(ITIMER_REAL, &timer, 0);
    fflush(stdout);
    int status, child = fork();
    if (!child) {
        getitimer(ITIMER_PROF, &now);
        int some = now.it_value.tv_sec > 0;
        getitimer(ITIMER_REAL, &now);
        _exit(2 * (now.it_value.tv_sec > 0) + some);
    }
    waitpid(child, &status, 0);
    printf("in a child %d\n", WEXITSTATUS(status));
    printf("kind 3: %ld\n", result(setitimer(3, &timer, 0)));
    timer.it_value.tv_usec = 1000000;
    printf("microseconds: %ld\n", result(setitimer(ITIMER_PROF, &timer, 0)));
    fflush(stdout);
    child = fork();
    if (!child) {
        signal(SIGPROF, SIG_DFL);
        timer.it_value.tv_sec = 0;
        timer.it_value.tv_usec = 20000;
        setitimer(ITIMER_PROF, &timer, 0);
        for (;;) {}
    }
    waitpid(child, &status, 0);
    printf("without a handler: signal %d\n", WTERMSIG(status));
}

static volatile long signals[64];
static int overruns;
static void of_timer(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code == SI_TIMER) signals[signal]++, overruns = info->si_overrun;
    code = info->si_value.sival_int;
}

static void made(void) {
    struct sigaction action = {0};
    struct sigevent event = {0};
    struct itimerspec spec = {{0, 0}, {0, 20000000}}, now;
    timer_t timer;
    action.sa_sigaction = of_timer;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &action, 0);
    sigaction(SIGUSR1, &action, 0);
    printf("by default %ld", result(timer_create(CLOCK_REALTIME, 0, &timer)));
    printf(" set %ld", result(timer_settime(timer, 0, &spec, 0)));
    while (!signals[SIGALRM]) usleep(1000);
    printf(" came %ld", signals[SIGALRM]);
    timer_gettime(timer, &now);
    printf(" rest %ld", (long)now.it_value.tv_nsec);
    printf(" delete %ld\n", result(timer_delete(timer)));
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    event.sigev_value.sival_int = 77;
    spec.it_interval.tv_nsec = 5000000;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &spec, 0);
    while (signals[SIGUSR1] < 5) usleep(1000);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    usleep(100000);
    siginfo_t info;
    printf("waited for %d", sigwaitinfo(&set, &info));
    printf(" code %d value %d overrun %d", info.si_code, info.si_value.sival_int,
           info.si_overrun >= 5);
    printf(" told %d", timer_getoverrun(timer) == info.si_overrun);
    timer_gettime(timer, &now);
    printf(" goes on %d interval %ld\n", now.it_value.tv_nsec > 0, (long)now.it_interval.tv_nsec);
    memset(&spec, 0, sizeof spec);
    timer_settime(timer, 0, &spec, &now);
    printf("was set %d", now.it_value.tv_nsec > 0);
    timer_gettime(timer, &now);
    printf(" stopped %d\n", now.it_value.tv_nsec == 0);
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    spec.it_value = at;
    timer_settime(timer, TIMER_ABSTIME, &spec, 0);
    printf("in the past: %d code %d\n", sigwaitinfo(&set, &info), info.si_code);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    event.sigev_notify = SIGEV_NONE;
    timer_create(CLOCK_BOOTTIME, &event, &timer);
    spec.it_value.tv_sec = 100;
    spec.it_value.tv_nsec = 0;
    timer_settime(timer, 0, &spec, 0);
    timer_gettime(timer, &now);
    printf("no signal: rest %d\n", now.it_value.tv_sec >= 98);
    event.sigev_signo = 70;
    event.sigev_notify = SIGEV_SIGNAL;
    printf("signal 70: %ld", result(timer_create(CLOCK_REALTIME, &event, &timer)));
    event.sigev_notify = 9;
    printf(" kind 9: %ld", result(timer_create(CLOCK_REALTIME, &event, &timer)));
    printf(" clock 99: %ld", result(syscall(SYS_timer_create, 99, 0, &timer)));
    printf(" no such: %ld", result(syscall(SYS_timer_delete, 12345)));
    printf(" %ld", result(syscall(SYS_timer_settime, 12345, 0, &spec, 0)));
    printf(" %ld\n", result(syscall(SYS_timer_getoverrun, 12345)));
}

static void *wait_for(void *barrier) {
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return 0;
}

// Each process and thread has a clock of what it uses, which has a number.
static void numbered(void) {
    clockid_t own, of_thread, of_other, of_child;
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&thread, 0, wait_for, &barrier);
    pthread_barrier_wait(&barrier);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    clock_getcpuclockid(getpid(), &own);
    clock_getcpuclockid(child, &of_child);
    pthread_getcpuclockid(pthread_self(), &of_thread);
    pthread_getcpuclockid(thread, &of_other);
    long start = ms(CLOCK_PROCESS_CPUTIME_ID);
    while (ms(CLOCK_PROCESS_CPUTIME_ID) < start + 50) {}
    long used = ms(CLOCK_THREAD_CPUTIME_ID);
    printf("thread %d ", ms(of_thread) >= used);
    used = ms(of_thread);
    printf("process %d ", ms(own) >= used);
    printf("ring 3 %d ", ms(own & ~3 | 1) <= ms(own) && ms(own & ~3 | 1) > 0);
    printf("idle %d %d\n", ms(of_other) < ms(of_thread), ms(of_child) < ms(own));
    struct timespec time;
    clockid_t none[] = {own | 3, ~4194304 * 8 | 2, of_child | 4};
    for (int i = 0; i < 3; i++) {
        long result = syscall(SYS_clock_gettime, none[i], &time);
        printf("none: %ld %s\n", result, strerrorname_np(errno));
    }
    printf("resolution %d", clock_getres(of_other, &time));
    printf(" %ld\n", time.tv_nsec);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    printf("gone %d", clock_gettime(of_child, &time));
    printf(" %s\n", strerrorname_np(errno));
    pthread_barrier_wait(&barrier);
    pthread_join(thread, 0);
}

static void made_of_cpu_time(clockid_t clock) {
    struct sigaction action = {0};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2,
                             .sigev_value.sival_int = 55};
    struct itimerspec spec = {{0, 10000000}, {0, 30000000}}, now;
    timer_t timer;
    siginfo_t info;
    sigset_t set;
    action.sa_sigaction = of_timer;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR2, &action, 0);
    signals[SIGUSR2] = 0;
    printf("CPU time %ld", result(timer_create(clock, &event, &timer)));
    printf(" set %ld", result(timer_settime(timer, 0, &spec, 0)));
    long start = ms(clock);
    usleep(60000);
    timer_gettime(timer, &now);
    printf(" asleep %ld rest %d interval %ld", signals[SIGUSR2], now.it_value.tv_nsec > 0,
           (long)now.it_interval.tv_nsec);
    while (signals[SIGUSR2] < 3 && ms(clock) < start + 5000) {}
    // In the whole milliseconds of both ends one is lost.
    printf(" busy %d value %d after enough %d\n", signals[SIGUSR2] >= 3, code, ms(clock) - start >= 49);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    memset(&spec, 0, sizeof spec);
    timer_settime(timer, 0, &spec, &now);
    printf("was set %d", now.it_value.tv_nsec > 0);
    timer_gettime(timer, &now);
    printf(" stopped %d", now.it_value.tv_nsec == 0);
    while (sigtimedwait(&set, &info, &(struct timespec){0, 0}) > 0) {}
    spec.it_value.tv_nsec = 1;
    timer_settime(timer, TIMER_ABSTIME, &spec, 0);
    printf(" in the past: %d", sigwaitinfo(&set, &info) == SIGUSR2);
    printf(" delete %ld\n", result(timer_delete(timer)));
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

// Also what another process uses can be waited for.
static void made_of_others(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec spec = {{0, 10000000}, {0, 20000000}}, now;
    timer_t timer;
    clockid_t clock;
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    pid_t child = fork();
    if (child == 0)
        for (;;) {}
    clock_getcpuclockid(child, &clock);
    printf("another's %ld", result(timer_create(clock, &event, &timer)));
    printf(" set %ld", result(timer_settime(timer, 0, &spec, 0)));
    for (int i = 0; i < 2; i++) printf(" came %d", sigwaitinfo(&set, &info) == SIGUSR2);
    printf(" after enough %d", ms(clock) >= 29);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    printf(" gone %ld", result(timer_settime(timer, 0, &spec, 0)));
    timer_gettime(timer, &now);
    printf(" rest %ld delete %ld\n", (long)now.it_value.tv_nsec, result(timer_delete(timer)));
    printf("none: %ld", result(timer_create(clock, &event, &timer)));
    printf(" to be read only: %ld", result(timer_create(CLOCK_MONOTONIC_RAW, &event, &timer)));
    struct timespec brief = {0, 1000};
    printf(" asleep by the atoms' %d\n", clock_nanosleep(CLOCK_TAI, 0, &brief, 0));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    of_cpu_time(ITIMER_VIRTUAL, SIGVTALRM);
    of_cpu_time(ITIMER_PROF, SIGPROF);
    due(ITIMER_VIRTUAL, SIGVTALRM);
    due(ITIMER_PROF, SIGPROF);
    in_children();
    made();
    numbered();
    made_of_cpu_time(CLOCK_PROCESS_CPUTIME_ID);
    made_of_cpu_time(CLOCK_THREAD_CPUTIME_ID);
    made_of_others();
    return 0;
}
