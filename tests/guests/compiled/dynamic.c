/* A program that the host's dynamic linker loads, with libraries and one more while it runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static __thread int own = 40;
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed = 1; }
__attribute__((destructor)) static void destruct(void) { write(1, "destructed\n", 11); }

static int count_objects(struct dl_phdr_info *info, size_t size, void *count) {
    (void)size;
    *(int *)count += info->dlpi_phnum > 0;
    return 0;
}

static void *thread(void *unused) {
    own += 2;
    return unused;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1) {
        printf("again: %s %d\n", argv[1], getauxval(AT_BASE) != 0);
        return 0;
    }
    printf("constructed %d\n", constructed);
    printf("linker %d, headers %d, entry %d\n", getauxval(AT_BASE) != 0, getauxval(AT_PHDR) != 0,
           getauxval(AT_ENTRY) != getauxval(AT_BASE));
    printf("platform %s, page %lu, secure %lu, ticks %lu\n", (char *)getauxval(AT_PLATFORM),
           getauxval(AT_PAGESZ), getauxval(AT_SECURE), getauxval(AT_CLKTCK));
    const char *name = strrchr((char *)getauxval(AT_EXECFN), '/');
    printf("file %s\n", name ? name + 1 : "?");
    int objects = 0;
    dl_iterate_phdr(count_objects, &objects);
    printf("objects %d\n", objects);
    void *mathematics = dlopen("libm.so.6", RTLD_NOW);
    if (!mathematics) printf("%s\n", dlerror());
    else {
        double (*cosine)(double) = (double (*)(double))dlsym(mathematics, "cos");
        printf("cos(1) = %.12f\n", cosine(1.0));
        int more = 0;
        dl_iterate_phdr(count_objects, &more);
        printf("objects %d more\n", more - objects);
        printf("closed %d\n", dlclose(mathematics));
    }
    printf("no library %d\n", dlopen("libnothing.so", RTLD_NOW) != NULL);
    Dl_info info;
    printf("printf is in %s\n", dladdr((void *)printf, &info) ? strrchr(info.dli_fname, '/') : "?");
    pthread_t other;
    pthread_create(&other, NULL, thread, NULL);
    pthread_join(other, NULL);
    printf("own %d\n", own);
    struct timespec now = {0, 0};
    int result = clock_gettime(CLOCK_REALTIME, &now);
    printf("time %d %d\n", result, now.tv_sec > 0);
    int status;
    if (fork() == 0) {
        execl("/proc/self/exe", "dynamic", "once more", NULL);
        _exit(1);
    }
    wait(&status);
    printf("status %d\n", WEXITSTATUS(status));
    return 3;
}
