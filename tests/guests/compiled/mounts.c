// What the superuser mounts, in mounts of his own, and what becomes of files then.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char *here = "/tmp/mounts_test";

#define SAY(call) say(#call, (errno = 0, (long)(call)))

static void say(const char *call, long got) { printf("%s: %ld %d\n", call, got, errno); }

static int put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (fd < 0) return -1;
    int count = write(fd, text, strlen(text));
    close(fd);
    return count;
}

static const char *get(const char *path) {
    static char texts[4][100];
    static int last;
    char *text = texts[last++ % 4];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return "nothing";
    int count = read(fd, text, sizeof texts[0] - 1);
    close(fd);
    return text[count < 0 ? 0 : count] = 0, text;
}

static dev_t device(const char *path) {
    struct stat facts;
    return stat(path, &facts) ? 0 : facts.st_dev;
}

static long kind(const char *path) {
    struct statfs facts;
    return statfs(path, &facts) ? -errno : facts.f_type;
}

// The lines of a list of mounts that are about what is in `here`, without numbers.
static void list(const char *path, int first) {
    char line[1000];
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file)) {
        char *from = line;
        if (!strstr(line, here)) continue;
        for (int skipped = 0; skipped < first; from++) skipped += *from == ' ';
        char *inodes = strstr(from, ",inode64");
        if (inodes) memmove(inodes, inodes + 8, strlen(inodes + 8) + 1);
        printf("  %s", from);
    }
    fclose(file);
}

static void memory(void) {
    struct stat facts;
    struct statvfs all;
    SAY(mkdir("a", 0700));
    SAY(put("a/below", "below"));
    SAY(mount("what for", "a", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0750,uid=5,gid=6"));
    SAY(stat("a", &facts));
    printf("root %o %d %d %ld\n", facts.st_mode, facts.st_uid, facts.st_gid, (long)facts.st_nlink);
    printf("same device %d kind %lx\n", device("a") == device("."), kind("a"));
    printf("below: %s\n", get("a/below"));
    SAY(put("a/on", "on it"));
    SAY(statvfs("a", &all));
    printf("%ld of %ld blocks, flags %lx\n", (long)all.f_bfree, (long)all.f_blocks, all.f_flag & 0xffff);
    int fd = open("a/large", O_RDWR | O_CREAT, 0600), full = 0;
    char page[4096] = {1};
    while (write(fd, page, sizeof page) == sizeof page) full++;
    printf("full after %d: %d\n", full, errno);
    SAY(ftruncate(fd, 8192));
    SAY(pwrite(fd, page, sizeof page, 1 << 20) == sizeof page);
    SAY(close(fd));
    SAY(unlink("a/large"));
    SAY(statvfs("a", &all));
    printf("%ld of %ld blocks\n", (long)all.f_bfree, (long)all.f_blocks);
    static char many[256 << 10];
    fd = open("a/long", O_RDWR | O_CREAT, 0600);
    SAY(write(fd, many, sizeof many));
    SAY(write(fd, many, sizeof many));
    SAY(statvfs("a", &all));
    printf("%ld of %ld blocks\n", (long)all.f_bfree, (long)all.f_blocks);
    SAY(close(fd));
    SAY(unlink("a/long"));
    SAY(rename("a/on", "elsewhere"));
    SAY(link("a/on", "elsewhere"));
    SAY(rmdir("a"));
    SAY(rename("a", "b"));
    list("/proc/self/mounts", 0);
    list("/proc/self/mountinfo", 3);
    SAY(umount("a"));
    printf("below: %s on: %s\n", get("a/below"), get("a/on"));
    SAY(umount("a"));
}

// Lists that are longer than a read has.
static void many(void) {
    static const char *lists[] = {"/proc/self/mounts", "/proc/self/mountinfo"};
    static char whole[1 << 18];
    char name[200], path[20];
    SAY(mount("many", "a", "tmpfs", 0, 0));
    for (int n = 0; n < 25; n++) {
        memset(name, 'x', sizeof name);
        sprintf(name + 190, "%d", n);
        sprintf(path, "a/%d", n);
        mkdir(path, 0700);
        if (mount(name, path, "tmpfs", 0, 0)) say("one of many", n);
    }
    for (int n = 0; n < 2; n++) {
        int fd = open(lists[n], O_RDONLY), size = 0, got, at = 0, found = 0;
        while ((got = read(fd, whole + size, n ? 3000 : 100000)) > 0) size += got;
        close(fd);
        whole[size] = 0;
        for (char *line = strtok(whole, "\n"); line; line = strtok(0, "\n")) {
            sprintf(name, "xx%d %s/a/%d tmpfs", at, here, at);
            if (n) sprintf(name, "%s/a/%d rw", here, at);
            if (strstr(line, name)) at++;
            found += strstr(line, here) && strlen(line) > 200;
        }
        printf("%s: %d of them, %d lines\n", lists[n], at, found);
    }
    SAY(umount2("a", MNT_DETACH));
}

static void refusals(void) {
    put("file", "text");
    SAY(mount("none", "missing", "tmpfs", 0, 0));
    SAY(mount("none", "file", "tmpfs", 0, 0));
    SAY(mount("none", "a", "no such kind", 0, 0));
    SAY(mount("none", "a", 0, 0, 0));
    SAY(mount("none", "a", "tmpfs", 0, "size=x"));
    SAY(mount("none", "a", "tmpfs", 0, "nothing=1"));
    SAY(mount(0, "a", 0, MS_BIND, 0));
    SAY(mount("", "a", 0, MS_BIND, 0));
    SAY(mount("missing", "a", 0, MS_BIND, 0));
    SAY(mount("file", "a", 0, MS_BIND, 0));
    SAY(mount("a", "file", 0, MS_BIND, 0));
    SAY(mount("none", "a", 0, MS_REMOUNT, 0));
    SAY(mount("none", "a", 0, MS_REMOUNT | MS_BIND, 0));
    SAY(mount("none", "a", 0, MS_PRIVATE, 0));
    SAY(mount("none", ".", 0, MS_PRIVATE | MS_SHARED, 0));
    SAY(mount("a", "b", 0, MS_MOVE, 0));
    SAY(mount((void *)1, "a", "tmpfs", 0, 0));
    SAY(umount("a"));
    SAY(umount("missing"));
    SAY(umount2("a", 128));
    SAY(syscall(SYS_pivot_root, "a", "a"));
    SAY(syscall(SYS_pivot_root, "missing", "a"));
    if (!fork()) {
        setuid(1000);
        SAY(mount("none", "a", "tmpfs", 0, 0));
        SAY(mount("none", "missing", "tmpfs", 0, 0));
        SAY(umount("a"));
        SAY(syscall(SYS_pivot_root, "missing", "a"));
        SAY(unshare(CLONE_NEWNS));
        SAY(syscall(SYS_clone, CLONE_NEWNS, 0, 0, 0, 0));
        exit(0);
    }
    wait(0);
    SAY(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS, 0, 0, 0, 0));
}

static void binds(void) {
    mkdir("tree", 0755), mkdir("tree/in", 0755), mkdir("tree/in/deep", 0755), mkdir("seen", 0755);
    put("tree/in/file", "in the tree");
    SAY(mount("deep one", "tree/in/deep", "tmpfs", 0, "mode=700"));
    put("tree/in/deep/file", "deep");
    SAY(mount("tree/in", "seen", 0, MS_BIND, 0));
    printf("%s, %s\n", get("seen/file"), get("seen/deep/file"));
    printf("same device %d\n", device("seen") == device("tree"));
    SAY(put("seen/new", "new"));
    printf("%s\n", get("tree/in/new"));
    SAY(rename("seen/new", "tree/in/newer"));
    SAY(link("seen/new", "tree/in/newer"));
    SAY(umount("seen"));
    SAY(mount("tree", "seen", 0, MS_BIND | MS_REC, 0));
    printf("%s, %s\n", get("seen/in/file"), get("seen/in/deep/file"));
    list("/proc/self/mountinfo", 3);
    SAY(umount("seen"));
    SAY(umount2("seen", MNT_DETACH));
    printf("%s\n", get("seen/in/file"));
    SAY(umount("tree/in/deep"));
    put("one", "one"), put("two", "two");
    SAY(mount("one", "two", 0, MS_BIND, 0));
    printf("%s %s\n", get("one"), get("two"));
    list("/proc/self/mountinfo", 4);
    SAY(unlink("two"));
    SAY(rename("one", "two"));
    SAY(mount("file", "two", 0, MS_BIND, 0));
    printf("%s\n", get("two"));
    SAY(umount("two"));
    SAY(umount("two"));
    printf("%s\n", get("two"));
    SAY(mount("tree", "tree/in", 0, MS_BIND | MS_REC, 0));
    printf("%s %s\n", get("tree/in/in/file"), get("tree/in/in/in/file"));
    SAY(chdir("tree/in/in/.."));
    char path[4096];
    printf("%s\n", strstr(getcwd(path, sizeof path), here) + strlen(here));
    SAY(chdir("../.."));
    SAY(umount("tree/in"));
}

static void stacks(void) {
    SAY(mount("first", "seen", "tmpfs", 0, 0));
    put("seen/file", "first");
    int fd = open("seen/file", O_RDONLY);
    SAY(umount("seen"));
    SAY(mount("second", "seen", "tmpfs", 0, "mode=755"));
    put("seen/file", "second");
    printf("%s\n", get("seen/file"));
    SAY(umount("seen"));
    printf("%s\n", get("seen/file"));
    SAY(umount2("seen", MNT_DETACH));
    printf("%s %ld\n", get("seen/file"), (long)read(fd, (char[9]){}, 9));
    close(fd);
    SAY(mount("moved", "seen", "tmpfs", 0, 0));
    put("seen/file", "moved");
    mkdir("seen/inner", 0755);
    SAY(mount("seen", "a", 0, MS_MOVE, 0));
    printf("%s %s\n", get("a/file"), get("seen/file"));
    SAY(mount("a", "a/inner", 0, MS_MOVE, 0));
    SAY(mount("a/inner", "seen", 0, MS_MOVE, 0));
    SAY(mount("a", "file", 0, MS_MOVE, 0));
    SAY(chdir("a"));
    SAY(umount("../a"));
    SAY(umount2("../a", MNT_DETACH));
    char path[4096];
    SAY(syscall(SYS_getcwd, path, sizeof path) > 0);
    printf("%s %s\n", path, get("file"));
    SAY(chdir(".."));
    SAY(syscall(SYS_getcwd, path, sizeof path) > 0);
    printf("%s\n", path);
    SAY(chdir(here));
}

// Nothing is on itself, and `..` leads out of a mount at its top only.
static void loops(void) {
    char path[4096];
    struct stat facts;
    put("one", "one"), put("two", "two");
    SAY(mount("one", "two", 0, MS_BIND, 0));
    SAY(mount("two", "two", 0, MS_MOVE, 0));
    SAY(mount("two", "one", 0, MS_MOVE, 0));
    printf("%s %s\n", get("one"), get("two"));
    SAY(umount("one"));
    SAY(mount("loop", "a", "tmpfs", 0, 0));
    SAY(mkdir("a/inner", 0700));
    SAY(mount("a", "a/inner", 0, MS_BIND, 0));
    SAY(mount("a", "a/inner", 0, MS_MOVE, 0));
    SAY(mount("a", "a/inner/inner", 0, MS_MOVE, 0));
    SAY(umount2("a", MNT_DETACH));
    mkdir("tree/in/away", 0755), mkdir("tree/in/away/below", 0755);
    SAY(mount("tree/in", "seen", 0, MS_BIND, 0));
    SAY(chdir("seen/away/below"));
    SAY(rename("../../../tree/in/away", "../../../tree/away"));
    SAY(stat("..", &facts));
    SAY(stat("../..", &facts));
    SAY(stat("../../..", &facts));
    SAY(open("../new", O_CREAT | O_WRONLY, 0600));
    SAY(stat(".", &facts));
    SAY(syscall(SYS_getcwd, path, sizeof path) > 0);
    printf("%s\n", path);
    char seen[100];
    sprintf(seen, "%s/seen", here);
    SAY(mount(seen, ".", 0, MS_MOVE, 0));
    SAY(chdir(here));
    SAY(umount("seen"));
    SAY(rmdir("tree/away/below"));
    SAY(rmdir("tree/away"));
}

static void restrictions(void) {
    struct stat before, after;
    SAY(mount("strict", "a", "tmpfs", MS_NOEXEC | MS_NODEV | MS_NOATIME, "mode=755"));
    put("a/script", "#!/bin/true\n");
    SAY(mknod("a/null", S_IFCHR | 0666, makedev(1, 3)));
    SAY(mkfifo("a/fifo", 0600));
    SAY(open("a/null", O_RDONLY));
    SAY(execl("a/script", "script", NULL));
    SAY(access("a/script", X_OK));
    int fd = open("a/script", O_RDONLY);
    SAY(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    close(fd);
    stat("a/script", &before), usleep(20000), get("a/script"), stat("a/script", &after);
    printf("read noted %d\n", memcmp(&before.st_atim, &after.st_atim, sizeof before.st_atim) != 0);
    fd = open("a/script", O_WRONLY);
    SAY(mount(0, "a", 0, MS_REMOUNT | MS_RDONLY, 0));
    SAY(mount(0, "a", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0));
    close(fd);
    SAY(mount(0, "a", 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, 0));
    list("/proc/self/mounts", 0);
    fd = open("a/script", O_RDONLY);
    SAY(open("a/script", O_WRONLY));
    SAY(open("a/script", O_RDONLY | O_TRUNC));
    SAY(open("a/new", O_WRONLY | O_CREAT, 0600));
    SAY(open("a", O_RDWR | O_TMPFILE, 0600));
    SAY(mkdir("a/new", 0700));
    SAY(mknod("a/new", S_IFREG | 0600, 0));
    SAY(symlink("x", "a/new"));
    SAY(link("a/script", "a/new"));
    SAY(unlink("a/script"));
    SAY(rmdir("a/new"));
    SAY(rename("a/script", "a/new"));
    SAY(truncate("a/script", 0));
    SAY(chmod("a/script", 0600));
    SAY(fchmod(fd, 0600));
    SAY(chown("a/script", 1, 1));
    SAY(utimensat(AT_FDCWD, "a/script", 0, 0));
    SAY(setxattr("a/script", "user.name", "value", 5, 0));
    SAY(removexattr("a/script", "user.name"));
    SAY(access("a/script", W_OK));
    SAY(access("a/fifo", W_OK));
    SAY(close(open("a/fifo", O_RDWR)));
    close(fd);
    SAY(mount(0, "a", 0, MS_REMOUNT, "size=1m"));
    list("/proc/self/mounts", 0);
    SAY(put("a/script", "again"));
    SAY(mount(0, "a", 0, MS_REMOUNT | MS_RDONLY | MS_STRICTATIME, 0));
    SAY(mount("a", "seen", 0, MS_BIND, 0));
    SAY(put("seen/script", "again"));
    SAY(mount(0, "seen", 0, MS_REMOUNT | MS_BIND, 0));
    SAY(put("seen/script", "again"));
    list("/proc/self/mountinfo", 4);
    SAY(umount("seen"));
    SAY(umount("a"));
}

// What is mapped, as the list of what is in memory names it.
static void name_of(const char *what, void *mapped, dev_t device) {
    char line[1000];
    unsigned long start, major, minor;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "%lx-%*x %*s %*s %lx:%lx", &start, &major, &minor);
        if (start != (unsigned long)mapped) continue;
        char *path = strchr(line, '/');
        if (!strncmp(path, here, strlen(here))) path += strlen(here);
        printf("%s: device %d %s", what, makedev(major, minor) == device, path);
    }
    fclose(file);
}

static void *map(const char *path) {
    int fd = open(path, O_RDONLY);
    void *mapped = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    name_of(path, mapped, device(path));
    return mapped;
}

static void mapped_files(void) {
    SAY(mount("mapped", "a", "tmpfs", 0, 0));
    put("a/file", "mapped"), mkdir("a/in", 0700), put("tree/mapped", "one");
    dev_t on = device("a");
    void *first = map("a/file");
    SAY(rename("a/file", "a/in/other"));
    name_of("renamed", first, on);
    SAY(mount("a", "seen", 0, MS_MOVE, 0));
    name_of("moved", first, on);
    SAY(unlink("seen/in/other"));
    name_of("removed", first, on);
    SAY(umount("seen"));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) pause();
    munmap(first, 4096);
    SAY(umount("seen"));
    kill(child, SIGKILL), waitpid(child, 0, 0);
    SAY(umount("seen"));
    SAY(mount("tree/mapped", "two", 0, MS_BIND, 0));
    void *alone = map("two");
    munmap(alone, 4096);
    SAY(umount("two"));
}

// What has been moved out of what its mount shows has no path there.
static void moved_out(void) {
    char link[40], path[100] = "";
    mkdir("tree/in/away", 0755), put("tree/in/away/file", "text");
    SAY(mount("tree/in", "seen", 0, MS_BIND, 0));
    void *mapped = map("seen/away/file");
    int fd = open("seen/away/file", O_RDONLY);
    sprintf(link, "/proc/self/fd/%d", fd);
    SAY(rename("tree/in/away", "tree/away"));
    SAY(readlink(link, path, sizeof path - 1));
    printf("%s\n", path);
    name_of("moved out", mapped, device("tree/away/file"));
    munmap(mapped, 4096);
    close(fd);
    SAY(umount("seen"));
    SAY(unlink("tree/away/file"));
    SAY(rmdir("tree/away"));
}

static void own_mounts(void) {
    int ready[2], go[2];
    char byte;
    pipe(ready), pipe(go);
    SAY(mount("shared", "a", "tmpfs", 0, 0));
    put("a/file", "shared");
    fflush(stdout);
    if (!fork()) {
        SAY(unshare(CLONE_NEWNS));
        SAY(umount("a"));
        SAY(mount("own", "seen", "tmpfs", 0, 0));
        put("seen/file", "own");
        printf("child: %s %s\n", get("a/file"), get("seen/file"));
        write(ready[1], "", 1);
        read(go[0], &byte, 1);
        exit(0);
    }
    read(ready[0], &byte, 1);
    printf("parent: %s %s\n", get("a/file"), get("seen/file"));
    SAY(umount("a"));
    write(go[1], "", 1);
    wait(0);
    printf("parent: %s\n", get("seen/file"));
}

static void new_root(void) {
    char path[4096];
    if (!fork()) {
        SAY(unshare(CLONE_NEWNS));
        SAY(mount("root", "a", "tmpfs", 0, "mode=755"));
        mkdir("a/proc", 0755), mkdir("a/old", 0755), put("a/file", "in the new root");
        SAY(mount("proc", "a/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0));
        SAY(syscall(SYS_pivot_root, "seen", "seen"));
        SAY(syscall(SYS_pivot_root, "a/old", "a/old"));
        SAY(syscall(SYS_pivot_root, "a", "seen"));
        SAY(chdir("a"));
        SAY(syscall(SYS_pivot_root, ".", "."));
        SAY(umount2(".", MNT_DETACH));
        SAY(chdir("/"));
        printf("%s %s %s\n", get("/file"), getcwd(path, sizeof path), get("/../file"));
        printf("%d\n", (int)readlink("/proc/self/root", path, sizeof path));
        here = "/";
        list("/proc/self/mounts", 0);
        map("/file");
        exit(0);
    }
    wait(0);
    if (!fork()) {
        SAY(unshare(CLONE_NEWNS));
        mkdir("jail", 0755), mkdir("jail/in", 0755), put("jail/file", "jailed");
        symlink("/file", "jail/link");
        SAY(mount("inside", "jail/in", "tmpfs", 0, 0));
        int out = open(".", O_RDONLY);
        SAY(chroot("jail"));
        SAY(syscall(SYS_getcwd, path, sizeof path) > 0);
        printf("%.13s\n", path);
        SAY(chdir("/in"));
        printf("%s %s\n", get("../../link"), getcwd(path, sizeof path));
        SAY(umount("/"));
        SAY(syscall(SYS_pivot_root, "/in", "/in"));
        SAY(fchdir(out));
        printf("%s\n", get("jail/file"));
        SAY(umount("/in"));
        exit(0);
    }
    wait(0);
}

/* The calls from before /proc/filesystems and statfs. */
static void obsolete(void) {
    struct { int free; long nodes; char names[12]; } facts;
    struct stat here;
    char kind[300] = "", long_name[5000];
    int count = syscall(SYS_sysfs, 3), number = syscall(SYS_sysfs, 1, "tmpfs");
    printf("number %d", number >= 0 && number < count);
    printf(" name %ld %s\n", syscall(SYS_sysfs, 2, number, kind), kind);
    SAY(syscall(SYS_sysfs, 1, "nothing"));
    SAY(syscall(SYS_sysfs, 1, 8));
    SAY(syscall(SYS_sysfs, 2, count, kind));
    SAY(syscall(SYS_sysfs, 2, -1, kind));
    SAY(syscall(SYS_sysfs, 2, number, 8));
    SAY(syscall(SYS_sysfs, 4));
    memset(long_name, 'a', sizeof long_name);
    SAY(syscall(SYS_sysfs, 1, long_name));
    stat(".", &here);
    memset(&facts, 1, sizeof facts);
    SAY(syscall(SYS_ustat, here.st_dev, &facts));
    printf("free %d %d %d\n", facts.free > 0, facts.nodes > 0, facts.names[0]);
    SAY(syscall(SYS_ustat, here.st_dev, 8));
    SAY(syscall(SYS_ustat, 0xfffff, &facts));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    umask(0);
    SAY(unshare(CLONE_NEWNS));
    SAY(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
    mkdir(here, 0755);
    if (mount("test", here, "tmpfs", 0, "mode=755")) return 1;
    SAY(chdir(here));
    obsolete();
    memory();
    many();
    refusals();
    binds();
    stacks();
    loops();
    restrictions();
    mapped_files();
    moved_out();
    own_mounts();
    new_root();
    return 0;
}
