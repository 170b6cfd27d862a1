// The machine's name and mounts, for some processes only, and how others come to see them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(call) say(#call, (errno = 0, (long)(call)))

static void say(const char *call, long got) { printf("%s: %ld %d\n", call, got, errno); }

static const char *name(void) {
    static struct utsname names;
    return uname(&names) ? "none" : names.nodename;
}

static const char *link_of(const char *kind, int pid) {
    static char texts[4][64];
    static int last;
    char path[64], *text = texts[last++ % 4];
    sprintf(path, "/proc/%d/ns/%s", pid, kind);
    int count = readlink(path, text, 63);
    text[count < 0 ? 0 : count] = 0;
    return text;
}

static int open_ns(const char *kind, int pid) {
    char path[64];
    sprintf(path, "/proc/%d/ns/%s", pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void links(const char *kind) {
    struct stat facts = {0};
    unsigned long number = 0;
    char format[32];
    sprintf(format, "%s:[%%lu]", kind);
    int fd = open_ns(kind, getpid());
    printf("%s: %d numbers", kind, sscanf(link_of(kind, getpid()), format, &number));
    SAY(fstat(fd, &facts));
    printf("same number %d mode %o size %ld\n", facts.st_ino == number, facts.st_mode, (long)facts.st_size);
    char byte;
    SAY(read(fd, &byte, 1));
    SAY(write(fd, &byte, 1));
    printf("writing %d\n", open("/proc/self/ns/uts", O_RDWR) < 0);
    close(fd);
}

static void names(void) {
    int first = open_ns("uts", getpid());
    SAY(unshare(CLONE_NEWUTS));
    SAY(sethostname("outer", 5));
    fflush(stdout);
    int outer = open_ns("uts", getpid()), kept;
    if (!fork()) {
        printf("same as parent's %d\n", !strcmp(link_of("uts", getpid()), link_of("uts", getppid())));
        SAY(unshare(CLONE_NEWUTS | CLONE_FILES));
        printf("same as parent's %d\n", !strcmp(link_of("uts", getpid()), link_of("uts", getppid())));
        SAY(sethostname("inner", 5));
        printf("%s\n", name());
        SAY(setns(outer, CLONE_NEWNS));
        SAY(setns(0, CLONE_NEWUTS));
        SAY(setns(99, 0));
        SAY(setns(outer, CLONE_NEWUTS));
        printf("%s, same as parent's %d\n", name(), !strcmp(link_of("uts", getpid()), link_of("uts", getppid())));
        setuid(1000);
        SAY(setns(outer, 0));
        SAY(sethostname("x", 1));
        exit(0);
    }
    wait(0);
    printf("%s\n", name());
    if (!syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0)) {
        SAY(sethostname("cloned", 6));
        printf("%s\n", name());
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    printf("%s\n", name());
    SAY(setns(first, 0));
    printf("another name %d\n", strcmp(name(), "outer") != 0);
}

static void mounts(void) {
    int ready[2], go[2];
    char byte, path[100];
    struct stat facts;
    pipe(ready), pipe(go);
    SAY(unshare(CLONE_NEWNS));
    SAY(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
    mkdir("/tmp/namespaces_test", 0700);
    SAY(chdir("/tmp/namespaces_test"));
    int outer = open_ns("mnt", getpid());
    fflush(stdout);
    int child = syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (!child) {
        SAY(mount("inner", "/tmp/namespaces_test", "tmpfs", 0, 0));
        close(open("/tmp/namespaces_test/seen", O_CREAT, 0600));
        fflush(stdout);
        write(ready[1], "", 1);
        read(go[0], &byte, 1);
        _exit(0);
    }
    read(ready[0], &byte, 1);
    printf("other %d\n", strcmp(link_of("mnt", getpid()), link_of("mnt", child)) != 0);
    SAY(stat("/tmp/namespaces_test/seen", &facts));
    sprintf(path, "/proc/%d/root/tmp/namespaces_test/seen", child);
    printf("through its root %d\n", stat(path, &facts));
    int inner = open_ns("mnt", child);
    if (!syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0)) {
        SAY(setns(inner, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    SAY(setns(inner, CLONE_NEWNS));
    printf("%s\n", getcwd(path, sizeof path));
    SAY(stat("/tmp/namespaces_test/seen", &facts));
    write(go[1], "", 1);
    wait(0);
    SAY(stat("/tmp/namespaces_test/seen", &facts));
    SAY(setns(outer, 0));
    SAY(stat("/tmp/namespaces_test/seen", &facts));
    close(inner);
    SAY(rmdir("/tmp/namespaces_test"));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    links("mnt");
    links("uts");
    names();
    mounts();
    return 0;
}
