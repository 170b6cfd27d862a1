/* What each of the superuser's capabilities is for: what fails without it, and what it allows
 * another user alone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const struct {
    int number;
    const char *name;
} all[] = {
    {CAP_CHOWN, "CHOWN"},       {CAP_DAC_OVERRIDE, "DAC_OVERRIDE"},
    {CAP_FOWNER, "FOWNER"},     {CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH"},
    {CAP_FSETID, "FSETID"},     {CAP_NET_BIND_SERVICE, "NET_BIND_SERVICE"},
    {CAP_KILL, "KILL"},         {CAP_SETGID, "SETGID"},
    {CAP_SETUID, "SETUID"},     {CAP_SETPCAP, "SETPCAP"},
    {CAP_IPC_OWNER, "IPC_OWNER"}, {CAP_SYS_CHROOT, "SYS_CHROOT"},
    {CAP_SYS_ADMIN, "SYS_ADMIN"}, {CAP_SYS_PTRACE, "SYS_PTRACE"},
    {CAP_SYS_NICE, "SYS_NICE"}, {CAP_SYS_TIME, "SYS_TIME"},
    {CAP_MKNOD, "MKNOD"},       {CAP_IPC_LOCK, "IPC_LOCK"},
};

static unsigned long effective(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    return data[0].effective | (unsigned long)data[1].effective << 32;
}

/* Many a container's superuser has no right to exceed limits. */
static void give_up_resources(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1 << CAP_SYS_RESOURCE);
    data[0].permitted &= ~(1 << CAP_SYS_RESOURCE);
    syscall(SYS_capset, &header, data);
}

static void set_effective(unsigned long wanted) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    data[0].effective = wanted, data[1].effective = wanted >> 32;
    if (syscall(SYS_capset, &header, data)) printf("capset %s\n", strerrorname_np(errno));
}

static pid_t other;
static volatile int *segment_of_other;
static int secret = 42;

static void make(const char *name, int mode, int user) {
    unlink(name);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    fchown(fd, user, user);
    fchmod(fd, mode);
    close(fd);
}

static void prepare(void) {
    make("own", 0644, 0);
    make("program", 06755, 0);
    make("closed", 0, NOBODY);
    make("group", 0644, NOBODY);
    mkdir("folder", 0700);
    chown("folder", NOBODY, NOBODY);
    chmod("folder", 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){5, 5});
}

static int mode_of(const char *name) {
    struct stat facts;
    stat(name, &facts);
    return facts.st_mode & 07777;
}

static void says(const char *what, long result) {
    if (result < 0) printf(" %s=%s", what, strerrorname_np(errno));
}

/* struct sched_attr, which not every host's headers have. */
static long set_policy(int policy, int nice) {
    struct {
        unsigned size, policy;
        unsigned long flags;
        int nice;
        unsigned priority;
        unsigned long times[3];
    } wanted = {48, policy, 0, nice};
    return syscall(SYS_sched_setattr, 0, &wanted, 0);
}

/* Prints what fails. */
static void probe(void) {
    struct utsname names;
    struct timezone none = {100000};
    int copy;
    struct iovec here = {&copy, sizeof copy}, there = {&secret, sizeof secret};
    char path[64];
    says("chown", chown("own", 1, 1));
    says("read", open("closed", O_RDONLY));
    says("write", open("closed", O_WRONLY));
    says("access", access("closed", R_OK));
    says("list", open("folder", O_RDONLY));
    says("search", access("folder/missing", F_OK) && errno == ENOENT ? 0 : -1);
    says("make", mkdir("folder/made", 0700));
    says("chmod", chmod("group", 02755));
    printf(" %o", mode_of("group"));
    int fd = open("program", O_WRONLY);
    says("write", write(fd, "x", 1));
    printf(" %o", mode_of("program"));
    close(fd);
    says("kill", kill(other, 0));
    says("shmat", (long)shmat(*segment_of_other, 0, SHM_RDONLY));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in low = {AF_INET, htons(7), {htonl(INADDR_LOOPBACK)}};
    says("lock", shmctl(*segment_of_other, SHM_LOCK, 0));
    says("unlock", shmctl(*segment_of_other, SHM_UNLOCK, 0));
    says("bind", bind(fd, (void *)&low, sizeof low));
    close(fd);
    says("chroot", chroot("/"));
    says("look", process_vm_readv(other, &here, 1, &there, 1, 0));
    sprintf(path, "/proc/%d/cwd", other);
    says("follow", open(path, O_PATH));
    uname(&names);
    says("sethostname", sethostname(names.nodename, strlen(names.nodename)));
    says("unshare", unshare(CLONE_NEWUTS));
    says("own nice", setpriority(PRIO_PROCESS, 0, -5));
    says("other's nice", setpriority(PRIO_PROCESS, other, 0));
    says("less nice", set_policy(SCHED_OTHER, -6));
    says("as nice", set_policy(SCHED_BATCH, getpriority(PRIO_PROCESS, 0)));
    says("idle", set_policy(SCHED_IDLE, 0));
    says("not idle", set_policy(SCHED_OTHER, getpriority(PRIO_PROCESS, 0)));
    says("first at disks", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
    says("at disks", syscall(SYS_ioprio_set, 1, 0, 2 << 13));
    says("limit", setrlimit(RLIMIT_CORE, &(struct rlimit){5, 6}));
    says("limit of other", prlimit(other, RLIMIT_CORE, 0, &(struct rlimit){}));
    says("clock", syscall(SYS_settimeofday, 0l, &none) && errno == EINVAL ? 0 : -1);
    says("mknod", mknod("device", S_IFCHR | 0600, makedev(1, 3)));
    unlink("device");
    says("bounding", prctl(PR_CAPBSET_DROP, CAP_MAC_ADMIN));
    says("setgroups", setgroups(1, (gid_t[]){7}));
    says("setresgid", setresgid(-1, 7, -1));
    says("setresuid", setresuid(-1, 7, -1));
    printf("\n");
    fflush(stdout);
}

/* Calls `change` in a process of its own, and looks what is possible then. */
static void after(const char *what, const char *which, void (*change)(unsigned long), int number) {
    prepare();
    printf("%s%s:", what, which);
    fflush(stdout);
    if (fork() == 0) {
        change(1ul << number);
        probe();
        _exit(0);
    }
    wait(0);
    chmod("folder", 0700);
    rmdir("folder/made");
    rmdir("folder");
}

static void nothing(unsigned long bit) {}
static void without(unsigned long bit) { set_effective(effective() & ~bit); }

static void only(unsigned long bit) {
    prctl(PR_SET_KEEPCAPS, 1);
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    set_effective(bit);
}

/* What another program has of users of which one is the superuser. */
static void executes(uid_t real, uid_t effective, uid_t saved) {
    printf("another program of %d %d %d:", real, effective, saved);
    fflush(stdout);
    if (fork() == 0) {
        setresuid(real, effective, saved);
        execl("/proc/self/exe", "program", NULL);
        _exit(1);
    }
    wait(0);
}

static void has_executed(void) {
    const int in_question = CAP_SYS_CHROOT;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    printf(" %d %d", data[0].permitted >> in_question & 1, data[0].effective >> in_question & 1);
    says("chroot", chroot("/"));
    says("seteuid", seteuid(0));
    says("chroot", chroot("/"));
    printf("\n");
}

/* A program inherits what it is not to get otherwise. */
static void inherits(unsigned long bit) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    printf("inherited:");
    fflush(stdout);
    if (fork() == 0) {
        syscall(SYS_capget, &header, data);
        data[0].inheritable |= bit;
        says("capset", syscall(SYS_capset, &header, data));
        says("drop", prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT));
        fflush(stdout);
        execl("/proc/self/exe", "program", NULL);
        _exit(1);
    }
    wait(0);
}

static void for_files(unsigned long bit) { setfsuid(1000); }

static void and_back(unsigned long bit) {
    setfsuid(1000);
    setfsuid(0);
}

int main(int count, char **words) {
    if (!strcmp(words[0], "program")) {
        has_executed();
        return 0;
    }
    char folder[] = "/var/tmp/capabilities.XXXXXX";
    int ready[2];
    mkdir("/var", 0755), mkdir("/var/tmp", 01777);
    if (!mkdtemp(folder) || chdir(folder)) return 1;
    chmod(folder, 0777);
    umask(0);
    segment_of_other = (int *)shmat(shmget(IPC_PRIVATE, 4096, 0600), 0, 0);
    pipe(ready);
    other = fork();
    if (other == 0) {
        setresgid(NOBODY, NOBODY, NOBODY);
        setresuid(NOBODY, NOBODY, NOBODY);
        *segment_of_other = shmget(IPC_PRIVATE, 4096, 0);
        write(ready[1], "", 1);
        for (;;) pause();
    }
    read(ready[0], &(char){0}, 1);
    give_up_resources();
    after("with all", "", nothing, 0);
    for (int n = 0; n < sizeof all / sizeof *all; n++)
        after("without ", all[n].name, without, all[n].number);
    for (int n = 0; n < sizeof all / sizeof *all; n++)
        after("only ", all[n].name, only, all[n].number);
    after("as another for files", "", for_files, 0);
    after("and back", "", and_back, 0);
    executes(0, 1000, 1000);
    executes(1000, 0, 1000);
    executes(1000, 1000, 0);
    inherits(1 << CAP_SYS_CHROOT);
    shmctl(*segment_of_other, IPC_RMID, 0);
    kill(other, SIGKILL);
    wait(0);
    const char *made[] = {"own", "program", "closed", "group"};
    for (int n = 0; n < 4; n++) unlink(made[n]);
    chdir("/");
    printf("gone %d\n", rmdir(folder));
    return 0;
}
