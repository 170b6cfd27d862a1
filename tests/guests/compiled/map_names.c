/* What /proc/PID/maps says of mappings: names, numbers, offsets, whatever becomes of the file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

/* Prints what is said of the mapping at an address, without addresses and numbers. */
static void show_of(const char *what, const char *file, void *address, unsigned long number) {
    FILE *maps = fopen(file, "r");
    char line[4500];
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end, offset, inode;
        unsigned major, minor;
        char rights[5], *name = line;
        int used;
        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%n", &start, &end, rights, &offset, &major,
                   &minor, &inode, &used) != 7)
            continue;
        if ((unsigned long)address < start || (unsigned long)address >= end)
            continue;
        int column = used;
        name += used;
        while (*name == ' ')
            name++, column++;
        name[strcspn(name, "\n")] = 0;
        char *found = strstr(name, folder);
        int prefix = found == name ? strlen(folder) : 0;
        printf("%s: %s %lx %s, column %d, inode %s\n", what, rights, offset, name + prefix,
               *name ? column : 0, !number ? "-" : inode == number ? "its" : "another");
    }
    fclose(maps);
}

static void show(const char *what, void *address, unsigned long number) {
    show_of(what, "/proc/self/maps", address, number);
}

static int make(const char *name) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    ftruncate(fd, 16384);
    return fd;
}

static unsigned long number(int fd) {
    struct stat facts;
    fstat(fd, &facts);
    return facts.st_ino;
}

static void *map(int fd, int flags, long offset) {
    return mmap(0, 8192, PROT_READ | PROT_WRITE, flags, fd, offset);
}

static void files(void) {
    int fd = make("one");
    unsigned long inode = number(fd);
    void *private = map(fd, MAP_PRIVATE, 4096), *shared = map(fd, MAP_SHARED, 8192);
    show("private", private, inode);
    show("shared", shared, inode);
    close(fd);
    rename("one", "two");
    show("renamed", private, inode);
    fd = open("two", O_RDWR);
    rename("two", "twice");
    char link[32], path[4096];
    sprintf(link, "/proc/self/fd/%d", fd);
    long length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    printf("descriptor %s\n", path + strlen(folder));
    rename("twice", "two");
    close(fd);
    mkdir("inner", 0755);
    rename("two", "inner/three");
    show("moved", shared, inode);
    rename("inner", "outer");
    show("folder renamed", shared, inode);
    int other = make("other");
    renameat2(AT_FDCWD, "other", AT_FDCWD, "outer/three", RENAME_EXCHANGE);
    show("exchanged", shared, inode);
    rename("outer/three", "new\nline");
    void *second = map(other, MAP_PRIVATE, 0);
    show("with a new line", second, number(other));
    close(other);
    show_of("in detail", "/proc/self/smaps", second, 0);
    rename("new\nline", "other");
    show("replaced", private, inode);
    unlink("other");
    show("removed", second, 0);
    fd = make("one");
    unlink("one");
    void *gone = map(fd, MAP_SHARED, 0);
    close(fd);
    show("removed before", gone, 0);
    if (fork() == 0) {
        show("child", gone, 0);
        fflush(stdout);
        _exit(0);
    }
    wait(0);
    munmap(private, 8192);
    munmap(shared, 8192);
    munmap(second, 8192);
    munmap(gone, 8192);
    rmdir("outer");
}

static void nameless(void) {
    int fd = memfd_create("a memory", 0);
    ftruncate(fd, 8192);
    show("memfd", map(fd, MAP_SHARED, 0), number(fd));
    show("anonymous", map(-1, MAP_PRIVATE | MAP_ANONYMOUS, 0), 0);
    show("anonymous, shared", map(-1, MAP_SHARED | MAP_ANONYMOUS, 0), 0);
    int zero = open("/dev/zero", O_RDWR);
    show("zeros, shared", map(zero, MAP_SHARED, 0), 0);
    int first = shmget(IPC_PRIVATE, 4096, 0600);
    int id = shmget(0x1234abcd, 8192, IPC_CREAT | 0600);
    void *segment = shmat(id, 0, 0);
    show("segment", segment, id);
    shmctl(id, IPC_RMID, 0);
    show("segment removed", segment, id);
    shmdt(segment);
    shmctl(first, IPC_RMID, 0);
    int local;
    sbrk(4096);
    show("heap", (char *)sbrk(0) - 1, 0);
    show("stack", &local, 0);
}

int main(int count, char **arguments) {
    setvbuf(stdout, 0, _IONBF, 0);
    strcpy(folder, "/tmp/map_names.XXXXXX");
    if (!mkdtemp(folder) || chdir(folder))
        return 1;
    /* The program's own. */
    struct stat facts;
    stat("/proc/self/exe", &facts);
    char path[4096];
    long len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len] = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    int own = 0;
    char line[4500], *name;
    while (fgets(line, sizeof line, maps))
        if ((name = strchr(line, '/')) && !strncmp(name, path, len) && name[len] == '\n')
            own++;
    fclose(maps);
    printf("own %d\n", own);
    files();
    nameless();
    chdir("/");
    rmdir(folder);
    return 0;
}
