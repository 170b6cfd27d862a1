// What processes share by clone, and what unshare gives each for itself.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// What a child does that the parent sees: directory, umask, descriptor.
static void child_acts(const char *name, int flags, int own) {
    char here[4096];
    int status;
    chdir("/"), umask(022), close(50);
    fflush(stdout);
    if (!syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0)) {
        if (own) status = unshare(own);
        chdir("/tmp"), umask(077), dup2(1, 50);
        _exit(0);
    }
    wait(&status);
    printf("%s: %s %o %d\n", name, getcwd(here, sizeof here), umask(022), is_open(50));
}

static int unshared(int flags) { return unshare(flags) ? errno : 0; }

static void *as_thread(void *unused) {
    printf("with threads: %d %d\n", unshared(0), unshared(CLONE_VM));
    return unused;
}

int main(void) {
    pthread_t thread;
    setvbuf(stdout, 0, _IOLBF, 0);
    child_acts("nothing", 0, 0);
    child_acts("directory", CLONE_FS, 0);
    child_acts("files", CLONE_FILES, 0);
    child_acts("both", CLONE_FS | CLONE_FILES, 0);
    child_acts("both, then own files", CLONE_FS | CLONE_FILES, CLONE_FILES);
    child_acts("both, then own directory", CLONE_FS | CLONE_FILES, CLONE_FS);
    child_acts("both, then own", CLONE_FS | CLONE_FILES, CLONE_FS | CLONE_FILES | CLONE_SYSVSEM);
    printf("flags: %d %d %d %d\n", unshared(0), unshared(1), unshared(CLONE_VFORK),
           unshared(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD));
    pthread_create(&thread, 0, as_thread, 0);
    pthread_join(thread, 0);
    if (!fork()) {
        setuid(1000);
        printf("nobody: %d %d %d %d %d\n", unshared(CLONE_NEWNS), unshared(CLONE_NEWUTS),
               unshared(CLONE_NEWPID | CLONE_FS), unshared(CLONE_NEWNET | 1), unshared(CLONE_FS));
        exit(0);
    }
    wait(0);
    return 0;
}
