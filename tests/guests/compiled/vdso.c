/* The time without system calls: the vDSO has its functions, under their versions, and they say
 * what the calls say. Of two readings, one by each way, the later is never behind. */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *base;
static const ElfW(Sym) *symbols;
static const char *strings;
static const unsigned *hash;
static const unsigned short *versions;
static const ElfW(Verdef) *definitions;

static int is_version(int index, const char *wanted) {
    const ElfW(Verdef) *def = definitions;
    for (;;) {
        if (def->vd_ndx == index) {
            const ElfW(Verdaux) *aux = (const void *)((const char *)def + def->vd_aux);
            return strcmp(strings + aux->vda_name, wanted) == 0;
        }
        if (def->vd_next == 0) return 0;
        def = (const void *)((const char *)def + def->vd_next);
    }
}

static void *find(const char *name) {
    for (unsigned i = 1; i < hash[1]; i++)
        if (strcmp(strings + symbols[i].st_name, name) == 0 && symbols[i].st_shndx != SHN_UNDEF)
            return is_version(versions[i] & 0x7fff, "LINUX_2.6")
                       ? (void *)(base + symbols[i].st_value)
                       : NULL;
    return NULL;
}

static int parse(void) {
    base = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (!base || memcmp(base, ELFMAG, SELFMAG) != 0) return 0;
    const ElfW(Ehdr) *header = (const void *)base;
    const ElfW(Phdr) *ph = (const void *)(base + header->e_phoff);
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < header->e_phnum; i++)
        if (ph[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + ph[i].p_vaddr);
    if (!dynamic) return 0;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *there = base + dynamic->d_un.d_ptr;
        switch (dynamic->d_tag) {
        case DT_STRTAB: strings = there; break;
        case DT_SYMTAB: symbols = there; break;
        case DT_HASH: hash = there; break;
        case DT_VERSYM: versions = there; break;
        case DT_VERDEF: definitions = there; break;
        }
    }
    return strings && symbols && versions && definitions;
}

static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

int main(void) {
    static const struct { clockid_t id; const char *name; int is_exact; } clocks[] = {
        {CLOCK_REALTIME, "realtime", 1},       {CLOCK_MONOTONIC, "monotonic", 1},
        {CLOCK_BOOTTIME, "boottime", 1},       {CLOCK_MONOTONIC_RAW, "raw", 1},
        {CLOCK_REALTIME_COARSE, "realtime coarse", 0},
        {CLOCK_MONOTONIC_COARSE, "monotonic coarse", 0},
    };
    printf("vdso %d\n", parse());
    int (*gettime)(clockid_t, struct timespec *) = NULL;
    if (hash) gettime = (int (*)(clockid_t, struct timespec *))find("__vdso_clock_gettime");
    if (hash)
        printf("functions %d %d %d %d %d\n", gettime != NULL, find("__vdso_gettimeofday") != NULL,
               find("__vdso_time") != NULL, find("__vdso_getcpu") != NULL,
               find("__vdso_clock_getres") != NULL);
    for (unsigned c = 0; c < sizeof clocks / sizeof *clocks; c++) {
        long long last = 0, back = 0, apart = 0;
        for (int i = 0; i < 60; i++) {
            struct timespec t;
            if (i % 2 || !gettime) syscall(SYS_clock_gettime, clocks[c].id, &t);
            else if (gettime(clocks[c].id, &t) != 0) back++;
            if (i && ns(t) < last) back++;
            if (i && ns(t) - last > 2000000000LL) apart++;
            last = ns(t);
        }
        printf("%s: %lld back, %lld apart\n", clocks[c].name, back, apart);
    }
    long long back = 0, last = 0;
    for (int i = 0; i < 2000; i++) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (ns(t) < last || t.tv_nsec < 0 || t.tv_nsec > 999999999) back++;
        last = ns(t);
    }
    printf("steadily: %lld back\n", back);
    struct timespec before, after;
    struct timeval now;
    struct timezone zone = {1, 1};
    clock_gettime(CLOCK_REALTIME, &before);
    int result = gettimeofday(&now, &zone);
    clock_gettime(CLOCK_REALTIME, &after);
    long long us = now.tv_sec * 1000000LL + now.tv_usec;
    printf("gettimeofday %d %d\n", result, us >= ns(before) / 1000 && us <= ns(after) / 1000);
    time_t place = 0, seconds = time(&place);
    printf("time %d %d\n", seconds == place, seconds >= now.tv_sec && seconds <= now.tv_sec + 5);
    unsigned cpu = 77, node = 77;
    result = getcpu(&cpu, &node);
    printf("getcpu %d %d\n", result, cpu != 77 && node != 77);
    struct timespec resolution = {7, 0};
    result = clock_getres(CLOCK_MONOTONIC, &resolution);
    printf("getres %d %ld %ld\n", result, (long)resolution.tv_sec, resolution.tv_nsec);
    struct timespec cpu_time = {7, 0};
    result = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_time);
    printf("cpu time %d %d\n", result, cpu_time.tv_sec < 7);
    printf("no clock %ld\n", syscall(SYS_clock_gettime, 99, &before));
    printf("no clock %d\n", clock_gettime(99, &before));
    struct timespec pause = {0, 30000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long slept = ns(after) - ns(before);
    printf("slept %d\n", slept >= 30000000);
    return 0;
}
