// Restartable sequences: what the C library has registered, sections that handlers and other
// threads interrupt, and what the call refuses.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

// What it is at, whatever its version.
struct area {
    uint32_t cpu_at_start, cpu;
    uint64_t section;
    uint32_t flags, node, concurrency, rest;
} __attribute__((aligned(32)));

struct section {
    uint32_t version, flags;
    uint64_t start, length, other;
} __attribute__((aligned(32)));

#define SIGNATURE 0x53053053
#define UNREGISTER 1

extern const ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;

static struct area *area(void) {
    return (struct area *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static long call(void *area, unsigned len, int flags, unsigned signature) {
    long got = syscall(SYS_rseq, area, len, flags, signature);
    return got < 0 ? -errno : got;
}

static struct section section;

// Counts in a section until it is left by force or `left` is 0; whether it was.
static int count(uint64_t left, uint64_t *counted) {
    int forced;
    asm volatile(
        "movl $0, %[forced]\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "movq %%rax, 8+section(%%rip)\n\t"
        "movq $(2f - 1f), 16+section(%%rip)\n\t"
        "leaq 4f(%%rip), %%rax\n\t"
        "movq %%rax, 24+section(%%rip)\n\t"
        "leaq section(%%rip), %%rax\n\t"
        "movq %%rax, %[pointer]\n\t"
        "1:\n\t"
        "incq %[counted]\n\t"
        "decq %[left]\n\t"
        "jnz 1b\n\t"
        "2:\n\t"
        "jmp 5f\n\t"
        ".long 0x53053053\n\t"
        "4:\n\t"
        "movl $1, %[forced]\n\t"
        "5:\n\t"
        : [forced] "=&r"(forced), [counted] "+r"(*counted), [left] "+r"(left),
          [pointer] "=m"(area()->section)
        :
        : "rax", "memory", "cc");
    return forced;
}

static volatile uint64_t in_handler;
static void handle(int signal) { in_handler = area()->section; }

static void handlers(void) {
    signal(SIGALRM, handle);
    // Again and again, as the first may come before the section.
    struct itimerval often = {{.tv_usec = 20000}, {.tv_usec = 20000}}, never = {0};
    setitimer(ITIMER_REAL, &often, 0);
    uint64_t counted = 0;
    int forced = 0;
    // Other processes may come first.
    do {
        in_handler = 1;
        forced = count(1ull << 40, &counted);
    } while (in_handler == 1);
    setitimer(ITIMER_REAL, &never, 0);
    printf("a handler: left %d, had counted %d, in the handler %d, after it %d\n", forced,
           counted > 0, (int)in_handler, (int)area()->section);
    // The section is named still, but the thread is not in it.
    int named;
    do {
        counted = 0;
        forced = count(1000, &counted);
        named = area()->section == (uint64_t)&section;
    } while (!named);
    printf("to the end: left %d, counted %d\n", forced, (int)counted);
    raise(SIGALRM);
    printf("outside: named %d, then %d\n", named, (int)area()->section);
}

static void others(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ;
    }
    uint64_t counted = 0;
    int forced = 0;
    for (int i = 0; i < 3; i++) forced += count(1ull << 40, &counted);
    printf("another process: left %d times\n", forced);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
}

static void *of_thread(void *argument) {
    struct area *own = area();
    *(struct area **)argument = own;
    printf("a thread: cpu %d, ", own->cpu == sched_getcpu());
    uint64_t counted = 0;
    while (count(10, &counted)) counted = 0;
    printf("counted %d\n", (int)counted);
    return 0;
}

// What a child does with what it has, by its exit status or signal.
static void child(const char *what, int (*act)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) _exit(act());
    int status;
    waitpid(pid, &status, 0);
    printf("%s: status %d, signal %d\n", what, WEXITSTATUS(status), WTERMSIG(status));
}

static int has_it(void) { return -call(area(), 32, 0, SIGNATURE); }

static int goes_on(void) {
    uint64_t counted = 0;
    handlers();
    fflush(stdout);
    return 0;
}

static int misnamed(struct section bad) {
    static struct section other;
    other = bad;
    area()->section = (uint64_t)&other;
    raise(SIGALRM);
    return 0;
}

static int no_signature(void) {
    return misnamed((struct section){.start = 0x1000, .length = 16, .other = (uint64_t)&section + 16});
}
static int bad_version(void) {
    return misnamed((struct section){.version = 1, .start = 0x1000, .length = 16});
}
static int inside_itself(void) {
    return misnamed((struct section){.start = 0x1000, .length = 16, .other = 0x1008});
}
static int far_away(void) {
    area()->section = 1ull << 50;
    raise(SIGALRM);
    return 0;
}

static void *bare(void *argument) {
    static struct area own;
    struct area *libc = area();
    printf("unregister: %ld", call(libc, 32, UNREGISTER, SIGNATURE));
    printf(", cpu %d, again %ld\n", (int)libc->cpu, call(libc, 32, UNREGISTER, SIGNATURE));
    printf("short %ld, unaligned %ld", call(&own, 16, 0, 1), call((char *)&own + 4, 32, 0, 1));
    printf(", flags %ld, far %ld", call(&own, 32, 2, 1), call((void *)(1ull << 62), 32, 0, 1));
    printf(", unmapped %ld\n", call((void *)0x1000, 32, 0, 1));
    own.cpu = 77;
    printf("own: %ld", call(&own, 32, 0, 1));
    printf(", cpu %d", own.cpu == sched_getcpu());
    printf(", again %ld, other length %ld, other signature %ld\n", call(&own, 32, 0, 1),
           call(&own, 64, 0, 1), call(&own, 32, 0, 2));
    printf("unregister: other signature %ld, other area %ld, %ld\n", call(&own, 32, UNREGISTER, 2),
           call(libc, 32, UNREGISTER, 1), call(&own, 32, UNREGISTER, 1));
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("after exec: registered %d, cpu %d\n", __rseq_size != 0,
               area()->cpu == sched_getcpu());
        return 0;
    }
    printf("registered %d, cpu %d %d, section %d\n", __rseq_size != 0, area()->cpu == sched_getcpu(),
           area()->cpu_at_start == area()->cpu, (int)area()->section);
    printf("again: %ld, other length %ld, other signature %ld\n", call(area(), 32, 0, SIGNATURE),
           call(area(), 64, 0, SIGNATURE), call(area(), 32, 0, 1));
    // AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN
    printf("features %d, alignment %d\n", getauxval(27) >= 28, getauxval(28) >= 32);
    handlers();
    others();
    pthread_t thread;
    struct area *theirs = 0;
    pthread_create(&thread, 0, of_thread, &theirs);
    pthread_join(thread, 0);
    printf("an area of its own: %d\n", theirs != area());
    child("a child has it", has_it);
    child("a child is interrupted", goes_on);
    child("no signature", no_signature);
    child("bad version", bad_version);
    child("inside itself", inside_itself);
    child("far away", far_away);
    pthread_create(&thread, 0, bare, 0);
    pthread_join(thread, 0);
    fflush(stdout);
    execl("/proc/self/exe", argv[0], "again", (char *)0);
    return 1;
}
