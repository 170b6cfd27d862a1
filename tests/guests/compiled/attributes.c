/* Extended attributes: kinds, flags, sizes, who may. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *error(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static int by_name(const void *one, const void *other) {
    return strcmp(*(char **)one, *(char **)other);
}

static void list(const char *path) {
    char names[4096], *sorted[300];
    long size = llistxattr(path, names, sizeof names), count = 0;
    if (size < 0) {
        printf("list %s\n", error(size));
        return;
    }
    for (char *name = names; name < names + size; name += strlen(name) + 1)
        sorted[count++] = name;
    qsort(sorted, count, sizeof *sorted, by_name);
    printf("%s: %ld bytes,", path, size);
    for (int n = 0; n < count; n++)
        printf(" %s", sorted[n]);
    printf("\n");
}

static void get(const char *path, const char *name) {
    char value[64] = "";
    long size = lgetxattr(path, name, value, sizeof value - 1);
    printf("get %s: %s %ld %s\n", name, error(size), size, size < 0 ? "" : value);
}

static void set(const char *path, const char *name, const char *value, int flags) {
    printf("set %.40s: %s\n", name, error(lsetxattr(path, name, value, strlen(value), flags)));
}

static void plain(void) {
    list("file");
    get("file", "user.none");
    set("file", "user.one", "1", 0);
    set("file", "user.two", "22", XATTR_CREATE);
    set("file", "user.two", "again", XATTR_CREATE);
    set("file", "user.three", "3", XATTR_REPLACE);
    set("file", "user.one", "first", XATTR_REPLACE);
    set("file", "user.one", "first", 4);
    set("file", "user.empty", "", 0);
    list("file");
    get("file", "user.one");
    get("file", "user.two");
    get("file", "user.empty");
    char byte;
    printf("short %s\n", error(getxattr("file", "user.one", &byte, 1)));
    printf("size %ld\n", getxattr("file", "user.one", 0, 0));
    printf("short list %s\n", error(listxattr("file", &byte, 1)));
    printf("size %ld\n", listxattr("file", 0, 0));
    printf("bad value %s\n", error(setxattr("file", "user.bad", (void *)8, 4, 0)));
    printf("bad name %s\n", error(setxattr("file", (void *)8, "", 0, 0)));
    printf("bad place %s\n", error(getxattr("file", "user.one", (void *)8, 100)));
    printf("remove %s\n", error(removexattr("file", "user.two")));
    printf("remove %s\n", error(removexattr("file", "user.two")));
    list("file");
    struct stat before, after;
    stat("file", &before);
    usleep(20000);
    set("file", "user.two", "2", 0);
    stat("file", &after);
    printf("changed %d, modified %d\n",
           memcmp(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim) != 0,
           memcmp(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim) != 0);
}

static void names(void) {
    set("file", "user.", "1", 0);
    set("file", "user", "1", 0);
    set("file", "", "1", 0);
    set("file", "other.name", "1", 0);
    set("file", "system.name", "1", 0);
    get("file", "other.name");
    get("file", "user.");
    char name[300] = "user.";
    memset(name + 5, 'n', 251);
    set("file", name, "1", 0);
    name[255] = 0;
    set("file", name, "1", 0);
    printf("remove %s\n", error(removexattr("file", name)));
    static char value[70000];
    printf("70000 %s\n", error(setxattr("file", "user.large", value, 70000, 0)));
    printf("65536 %s\n", error(setxattr("file", "user.large", value, 65536, 0)));
    printf("5000 %s\n", error(setxattr("file", "user.large", value, 5000, 0)));
    printf("3000 %s\n", error(setxattr("file", "user.large", value, 3000, 0)));
    printf("3000 more %s\n", error(setxattr("file", "user.larger", value, 3000, 0)));
    printf("size %ld\n", getxattr("file", "user.large", value, sizeof value));
    printf("remove %s\n", error(removexattr("file", "user.large")));
}

static void kinds(void) {
    mkdir("folder", 0755);
    mkfifo("fifo", 0644);
    symlink("file", "link");
    for (int n = 0; n < 3; n++) {
        const char *path = (const char *[]){"folder", "fifo", "link"}[n];
        set(path, "user.a", "1", 0);
        get(path, "user.a");
        set(path, "trusted.a", "1", 0);
        set(path, "security.a", "1", 0);
        list(path);
    }
    printf("followed %s\n", error(setxattr("link", "user.by_link", "1", 1, 0)));
    link("file", "second");
    get("second", "user.by_link");
    rename("second", "third");
    get("third", "user.by_link");
    int fd = open("file", O_RDONLY);
    printf("by descriptor %s\n", error(fsetxattr(fd, "user.fd", "1", 1, 0)));
    printf("size %ld\n", fgetxattr(fd, "user.fd", 0, 0));
    printf("remove %s\n", error(fremovexattr(fd, "user.fd")));
    close(fd);
    fd = open("file", O_PATH);
    printf("path only %s\n", error(fgetxattr(fd, "user.by_link", 0, 0)));
    close(fd);
    printf("closed %s, none %s\n", error(flistxattr(fd, 0, 0)), error(listxattr("none", 0, 0)));
}

static void others(void) {
    chmod("file", 0644);
    chmod("folder", 01777);
    printf("trusted %s\n", error(setxattr("file", "trusted.b", "1", 1, 0)));
    printf("security %s\n", error(setxattr("file", "security.b", "1", 1, 0)));
    fflush(stdout);
    if (fork() == 0) {
        setgid(65534);
        if (setuid(65534))
            _exit(1);
        set("file", "user.mine", "1", 0);
        set("file", "trusted.mine", "1", 0);
        set("file", "security.mine", "1", 0);
        set("folder", "user.mine", "1", 0);
        get("file", "user.one");
        get("file", "trusted.b");
        get("file", "security.b");
        list("file");
        fflush(stdout);
        chmod("file", 0600);
        _exit(0);
    }
    wait(0);
    chmod("file", 0600);
    if (fork() == 0) {
        if (setuid(65534))
            _exit(1);
        get("file", "user.one");
        get("file", "security.b");
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    list("file");
}

static void watched(void) {
    int watch = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(watch, "file", IN_ATTRIB);
    setxattr("file", "user.watched", "1", 1, 0);
    removexattr("file", "user.watched");
    struct inotify_event events[4];
    long size = read(watch, events, sizeof events);
    printf("events %d\n", size > 0 && events[0].mask == IN_ATTRIB);
    close(watch);
}

/* What is generated has none. */
static void generated(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master), unlockpt(master);
    const char *paths[] = {"/proc", "/proc/self", "/proc/self/status", "/proc/sys/kernel/hostname",
                           "/dev/pts", ptsname(master)};
    const char *names[] = {"user.x", "trusted.x", "security.x", "other.x", "user."};
    for (int n = 0; n < sizeof paths / sizeof *paths; n++) {
        printf("generated %d:", n);
        printf(" list %ld\n", (long)llistxattr(paths[n], 0, 0));
        for (int m = 0; m < sizeof names / sizeof *names; m++) {
            printf(" %s: set %s", names[m], error(lsetxattr(paths[n], names[m], "v", 1, 0)));
            printf(", get %s", error(lgetxattr(paths[n], names[m], 0, 0)));
            printf(", remove %s\n", error(lremovexattr(paths[n], names[m])));
        }
        printf(" list %ld\n", (long)llistxattr(paths[n], 0, 0));
    }
    close(master);
}

int main(void) {
    char folder[] = "/var/tmp/attributes.XXXXXX";
    mkdir("/var", 0755);
    mkdir("/var/tmp", 01777);
    if (!mkdtemp(folder) || chdir(folder))
        return 1;
    chmod(folder, 0755);
    close(open("file", O_CREAT | O_WRONLY, 0644));
    plain();
    names();
    kinds();
    others();
    watched();
    generated();
    const char *made[] = {"file", "third", "link", "fifo"};
    for (int n = 0; n < 4; n++)
        unlink(made[n]);
    rmdir("folder");
    chdir("/");
    printf("gone %s\n", error(rmdir(folder)));
    return 0;
}
