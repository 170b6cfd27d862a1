/* What /proc says, read as programs read it: facts that are the same in all systems are printed,
 * others are compared with what system calls say. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char text[65536];

static int slurp(const char *path) {
    int fd = open(path, O_RDONLY), len = 0, count;
    if (fd < 0) return -errno;
    while ((count = read(fd, text + len, sizeof text - 1 - len)) > 0) len += count;
    close(fd);
    text[len] = 0;
    return len;
}

static const char *link_of(const char *path) {
    static char target[4096];
    ssize_t len = readlink(path, target, sizeof target - 1);
    if (len < 0) return strerror(errno);
    target[len] = 0;
    return target;
}

/* The number after a name in a text of lines. */
static long number_after(const char *name) {
    char *found = strstr(text, name);
    return found ? strtol(found + strlen(name), NULL, 0) : -1;
}

static void links(const char *self) {
    char path[64], target[64];
    sprintf(path, "/proc/%d/exe", getpid());
    const char *base = strrchr(self, '/');
    const char *program = strrchr(link_of("/proc/self/exe"), '/');
    printf("exe %d\n", program && strcmp(base ? base + 1 : self, program + 1) == 0);
    printf("exe by number %d\n", strcmp(link_of(path), "?") != 0);
    struct stat a, b;
    int result = stat("/proc/self/exe", &a);
    printf("exe is the file %d %d\n", result, S_ISREG(a.st_mode));
    result = lstat("/proc/self/exe", &b);
    printf("exe is a link %d %d\n", result, S_ISLNK(b.st_mode));
    sprintf(target, "%d", getpid());
    printf("self %d\n", strcmp(link_of("/proc/self"), target) == 0);
    sprintf(target, "%d/task/%d", getpid(), (int)syscall(SYS_gettid));
    printf("thread-self %d\n", strcmp(link_of("/proc/thread-self"), target) == 0);
    printf("mounts %s\n", link_of("/proc/mounts"));
    chdir("/proc");
    printf("cwd %s\n", link_of("/proc/self/cwd"));
    printf("root %s\n", link_of("/proc/self/root"));
    printf("through cwd %d\n", access("/proc/self/cwd/self/stat", R_OK));
    chdir("/");
    printf("not a link %s\n", link_of("/proc/self/stat"));
    int fd = open("/proc/self/exe", O_RDONLY);
    char magic[4] = {0};
    read(fd, magic, 4);
    printf("exe opens %d %d\n", fd >= 0, memcmp(magic, "\177ELF", 4));
    close(fd);
    fd = open("/proc/self/exe", O_RDONLY | O_NOFOLLOW);
    printf("nofollow %d %d\n", fd, errno == ELOOP);
}

static void descriptors(void) {
    char path[64], name[64];
    int fd = open("/dev/null", O_RDWR | O_APPEND);
    sprintf(path, "/proc/self/fd/%d", fd);
    printf("fd %s\n", link_of(path));
    sprintf(path, "/proc/self/fdinfo/%d", fd);
    int len = slurp(path);
    printf("fdinfo %d %lo\n", len > 0, number_after("flags:\t") & O_ACCMODE);
    close(fd);
    printf("closed fd %d %d\n", slurp(path) == -ENOENT, access(path, F_OK));
    int ends[2];
    pipe(ends);
    sprintf(path, "/proc/self/fd/%d", ends[0]);
    printf("pipe %d\n", strncmp(link_of(path), "pipe:[", 6));
    int again = open(path, O_RDONLY);
    write(ends[1], "through", 7);
    memset(name, 0, sizeof name);
    int count = read(again, name, sizeof name);
    printf("reopened %d %s\n", count, name);
    close(again);
    close(ends[0]);
    close(ends[1]);
    fd = open("/tmp/removed", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) fd = open("/removed", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(fd, "kept", 4);
    if (unlink("/tmp/removed") != 0) unlink("/removed");
    sprintf(path, "/proc/self/fd/%d", fd);
    printf("deleted %d\n", strstr(link_of(path), "removed (deleted)") != NULL);
    again = open(path, O_RDONLY);
    memset(name, 0, sizeof name);
    count = read(again, name, sizeof name);
    printf("still there %d %s\n", count, name);
    close(again);
    close(fd);
    int seen = 0, numbers = 1;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            seen++;
            numbers &= entry->d_type == DT_LNK && entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        }
    closedir(dir);
    printf("descriptors %d %d\n", seen >= 4, numbers);
}

static int variable = 1;

static void areas(void) {
    int len = slurp("/proc/self/maps"), lines = 0, ordered = 1, wx = 0;
    unsigned long last = 0, code = (unsigned long)areas, data = (unsigned long)&variable;
    unsigned long stack = (unsigned long)&lines, heap = (unsigned long)malloc(100);
    const char *of_code = "", *of_data = "", *of_stack = "", *of_heap = "", *of_vdso = "";
    char *name[4] = {"", "", "", ""};
    unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
    static char flags[5][8];
    for (char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        unsigned long start, end, offset, inode;
        unsigned major, minor;
        char access[8], rest[4096] = "";
        int fields = sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %4095[^\n]", &start, &end, access,
                            &offset, &major, &minor, &inode, rest);
        ordered &= fields >= 7 && start >= last && end > start;
        wx |= access[1] == 'w' && access[2] == 'x';
        last = end;
        if (code >= start && code < end) of_code = strcpy(flags[0], access);
        if (data >= start && data < end) of_data = strcpy(flags[1], access);
        if (stack >= start && stack < end) of_stack = strcpy(flags[2], access), name[2] = strdup(rest);
        if (heap >= start && heap < end) of_heap = strcpy(flags[3], access), name[3] = strdup(rest);
        if (vdso >= start && vdso < end) of_vdso = strcpy(flags[4], access), name[1] = strdup(rest);
    }
    printf("maps %d %d %d %d\n", len > 0, lines > 4, ordered, wx);
    printf("code %s data %s\n", of_code, of_data);
    printf("stack %s %s\n", of_stack, name[2]);
    printf("heap %s %s\n", of_heap, name[3]);
    printf("vdso %s %s\n", of_vdso, name[1]);
    len = slurp("/proc/self/smaps");
    printf("smaps %d %d\n", len > 0, number_after("Rss:") >= 0);
}

static void self(char **argv) {
    int len = slurp("/proc/self/cmdline");
    printf("cmdline %d %d\n", strcmp(text, argv[0]) == 0, len == (int)strlen(argv[0]) + 1);
    slurp("/proc/self/environ");
    printf("environ %d\n", environ[0] ? strcmp(text, environ[0]) == 0 : text[0] == 0);
    len = slurp("/proc/self/auxv");
    unsigned long *pair = (unsigned long *)text, entry = 0;
    for (; pair[0]; pair += 2)
        if (pair[0] == AT_ENTRY) entry = pair[1];
    printf("auxv %d %d\n", len % 16, entry == getauxval(AT_ENTRY));
    slurp("/proc/self/comm");
    printf("comm %d\n", text[0] != 0 && strchr(text, '\n')[1] == 0);
    slurp("/proc/self/stat");
    char *after = strrchr(text, ')') + 2, state = *after;
    int fields = 2;
    for (char *field = strtok(after, " \n"); field; field = strtok(NULL, " \n")) fields++;
    printf("stat %d %c %d\n", atoi(text) == getpid(), state, fields);
    slurp("/proc/self/statm");
    long size = 0, resident = 0;
    int count = sscanf(text, "%ld %ld", &size, &resident);
    printf("statm %d %d\n", count, size > 0 && resident > 0);
    slurp("/proc/self/status");
    printf("status %d %d %ld %ld\n", number_after("\nPid:") == getpid(),
           number_after("\nPPid:") == getppid(), number_after("\nThreads:"), number_after("\nTracerPid:"));
    printf("VmRSS %d %d\n", number_after("\nVmRSS:") > 0, number_after("\nVmSize:") >= number_after("\nVmRSS:"));
    slurp("/proc/self/limits");
    printf("limits %d\n", strstr(text, "Max open files ") != NULL);
    printf("others %d %d %d %d %d\n", slurp("/proc/self/mounts") > 0, slurp("/proc/self/mountinfo") > 0,
           slurp("/proc/self/cgroup") > 0, slurp("/proc/self/io") > 0,
           slurp("/proc/self/oom_score_adj") > 0);
    printf("no such %d\n", slurp("/proc/self/nothing") == -ENOENT);
    printf("no such process %d\n", slurp("/proc/4194305/stat") == -ENOENT);
}

static void *threads(void *unused) {
    int seen = 0;
    char path[64];
    DIR *dir = opendir("/proc/self/task");
    while (readdir(dir)) seen++;
    closedir(dir);
    printf("tasks %d\n", seen - 2);
    sprintf(path, "/proc/self/task/%d/stat", (int)syscall(SYS_gettid));
    slurp(path);
    printf("task stat %d\n", atoi(text) == syscall(SYS_gettid));
    return unused;
}

static void system_files(void) {
    struct utsname name;
    uname(&name);
    slurp("/proc/sys/kernel/osrelease");
    printf("osrelease %d\n", strncmp(text, name.release, strlen(name.release)));
    slurp("/proc/sys/kernel/ostype");
    printf("ostype %s", text);
    slurp("/proc/version");
    printf("version %d %d\n", strncmp(text, "Linux version ", 14), strstr(text, name.release) != NULL);
    slurp("/proc/meminfo");
    printf("meminfo %d %d %d\n", number_after("MemTotal:") > 0,
           number_after("MemFree:") < number_after("MemTotal:"), number_after("MemAvailable:") > 0);
    slurp("/proc/stat");
    printf("stat %d %d %d\n", strncmp(text, "cpu ", 4), number_after("btime ") > 0,
           number_after("processes ") > 0);
    slurp("/proc/cpuinfo");
    printf("cpuinfo %d %d\n", strstr(text, "processor\t: 0\n") == text, strstr(text, " sse2 ") != NULL);
    slurp("/proc/loadavg");
    float load[3];
    int running, all, last;
    printf("loadavg %d\n", sscanf(text, "%f %f %f %d/%d %d", load, load + 1, load + 2, &running, &all, &last));
    slurp("/proc/uptime");
    float up, idle;
    printf("uptime %d\n", sscanf(text, "%f %f", &up, &idle));
    slurp("/proc/sys/kernel/random/uuid");
    char first[64];
    strcpy(first, text);
    slurp("/proc/sys/kernel/random/uuid");
    printf("uuid %d %c %d\n", (int)strlen(first), first[14], strcmp(first, text) != 0);
    slurp("/proc/sys/kernel/random/boot_id");
    strcpy(first, text);
    slurp("/proc/sys/kernel/random/boot_id");
    printf("boot_id %d\n", strcmp(first, text));
    static const char *numbers[] = {
        "/proc/sys/kernel/pid_max",     "/proc/sys/kernel/threads-max", "/proc/sys/kernel/cap_last_cap",
        "/proc/sys/kernel/ngroups_max", "/proc/sys/vm/max_map_count",   "/proc/sys/vm/mmap_min_addr",
        "/proc/sys/fs/file-max",        "/proc/sys/fs/nr_open",         "/proc/sys/fs/pipe-max-size",
        "/proc/sys/net/core/somaxconn",
    };
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        printf("%s %d\n", numbers[i], slurp(numbers[i]) > 0 && atol(text) > 0);
    printf("filesystems %d\n", slurp("/proc/filesystems") > 0 && strstr(text, "proc\n") != NULL);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("run by its link\n");
        return 7;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    links(argv[0]);
    descriptors();
    areas();
    self(argv);
    pthread_t thread;
    pthread_create(&thread, NULL, threads, NULL);
    pthread_join(thread, NULL);
    system_files();
    int status;
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "again", "once", NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    child = fork();
    if (child == 0) {
        int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
        char *arguments[] = {"again", "once", NULL};
        syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
        _exit(1);
    }
    waitpid(child, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    child = fork();
    if (child == 0) _exit(3);
    siginfo_t ended;
    waitid(P_PID, child, &ended, WEXITED | WNOWAIT);
    char path[64];
    sprintf(path, "/proc/%d/stat", child);
    slurp(path);
    char *after = strrchr(text, ')');
    printf("zombie %c\n", after ? after[2] : '?');
    sprintf(path, "/proc/%d/cmdline", child);
    printf("zombie's cmdline %d\n", slurp(path));
    sprintf(path, "/proc/%d/exe", child);
    printf("zombie's exe %s\n", link_of(path));
    waitpid(child, &status, 0);
    printf("gone %d\n", access(path, F_OK));
    return 0;
}
