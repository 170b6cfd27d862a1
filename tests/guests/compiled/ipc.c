/* System V's shared memory, semaphores and messages: as Linux has them. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

union semun { int val; struct semid_ds *buf; unsigned short *array; };

static int is(long result) {
    return result == -1 ? errno : 0;
}

static int ended(void) {
    int status;
    wait(&status);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void memory(key_t key) {
    int id = shmget(key, 2 * PAGE + 1, IPC_CREAT | IPC_EXCL | 0640);
    printf("shm: %d", id >= 0);
    printf(" %d", shmget(key, 1, 0) == id);
    printf(" %d", is(shmget(key, PAGE, IPC_CREAT | IPC_EXCL)));
    printf(" %d", is(shmget(key, 4 * PAGE, 0)));
    printf(" %d", is(shmget(key + 1, PAGE, 0)));
    printf(" %d", is(shmget(IPC_PRIVATE, 0, 0600)));
    char *a = shmat(id, 0, 0), *b = shmat(id, 0, SHM_RDONLY);
    strcpy(a, "seen");
    printf(" %s", b);
    struct shmid_ds stat;
    shmctl(id, IPC_STAT, &stat);
    printf(" %ld %d %o %d", (long)stat.shm_segsz, (int)stat.shm_nattch, stat.shm_perm.mode, stat.shm_cpid == getpid());
    printf(" %d\n", stat.shm_atime >= time(0) - 5);
    if (fork() == 0) {
        shmctl(id, IPC_STAT, &stat);
        strcpy(a + PAGE, "by a child");
        _exit(stat.shm_nattch);
    }
    printf("  child %d %s", ended(), b + PAGE);
    shmctl(id, IPC_STAT, &stat);
    printf(" %d", (int)stat.shm_nattch);
    printf(" %d %d", is((long)shmat(id, a + 1, 0)), shmat(id, b + 7, SHM_RND) != b);
    printf(" %d", shmat(id, b, SHM_REMAP) == b);
    printf(" %d %d %d", shmdt(b), is(shmdt(b)), is(shmdt(a + PAGE)));
    printf(" %d", is((long)shmat(-1, 0, 0)));
    printf(" rdonly %d", is(mprotect(shmat(id, 0, SHM_RDONLY), PAGE, PROT_READ | PROT_WRITE)));
    stat.shm_perm.mode = 0600;
    printf(" set %d", shmctl(id, IPC_SET, &stat));
    printf(" lock %d", shmctl(id, SHM_UNLOCK, 0));
    printf(" %d", shmctl(id, SHM_LOCK, 0));
    printf(" rm %d", shmctl(id, IPC_RMID, 0));
    printf(" %d", is(shmget(key, 1, 0)));
    shmctl(id, IPC_STAT, &stat);
    printf(" %o %s", stat.shm_perm.mode, a);
    if (fork() == 0) _exit(is((long)shmat(id, 0, 0)));
    printf(" %d\n", ended());
}

static int operate(int id, int number, int change, int flags) {
    struct sembuf operation = {number, change, flags};
    return is(semop(id, &operation, 1));
}

static int get(int id, int number, int command) {
    return semctl(id, number, command, (union semun){0});
}

static void interrupt(int number) {
    (void)number;
}

static void semaphores(key_t key) {
    int id = semget(key, 3, IPC_CREAT | IPC_EXCL | 0600);
    printf("sem: %d %d %d", id >= 0, semget(key, 0, 0) == id, is(semget(key, 4, 0)));
    printf(" %d %d", is(semget(IPC_PRIVATE, 0, 0600)), is(semget(IPC_PRIVATE, -1, 0600)));
    unsigned short values[3] = {1, 2, 3}, got[3];
    printf(" %d", semctl(id, 0, SETALL, (union semun){.array = values}));
    semctl(id, 0, GETALL, (union semun){.array = got});
    printf(" %d%d%d", got[0], got[1], got[2]);
    printf(" %d", is(semctl(id, 1, SETVAL, (union semun){.val = 40000})));
    printf(" %d", is(semctl(id, 3, GETVAL, (union semun){0})));
    printf(" ops %d", operate(id, 0, -1, 0));
    printf(" %d", operate(id, 0, -1, IPC_NOWAIT));
    printf(" %d %d", operate(id, 5, 1, 0), operate(id, 0, 0, 0));
    printf(" %d", operate(id, 2, 32767, 0));
    struct sembuf both[2] = {{1, -2, 0}, {2, -4, IPC_NOWAIT}};
    printf(" all or none %d %d", is(semop(id, both, 2)), get(id, 1, GETVAL));
    printf(" %d %d\n", is(semop(id, both, 0)), is(semop(id, both, 501)));
    if (fork() == 0) _exit(operate(id, 0, -2, 0) ? 1 : get(id, 0, GETVAL) + 7);
    while (get(id, 0, GETNCNT) != 1) usleep(1000);
    operate(id, 0, 1, 0);
    usleep(2000);
    printf("  wait %d", get(id, 0, GETNCNT));
    operate(id, 0, 1, 0);
    printf(" %d", ended());
    if (fork() == 0) _exit(operate(id, 1, 0, 0));
    while (get(id, 1, GETZCNT) != 1) usleep(1000);
    semctl(id, 1, SETVAL, (union semun){.val = 0});
    printf(" zero %d", ended());
    struct timespec brief = {0, 20000000};
    struct sembuf one = {0, -1, 0};
    printf(" timed %d", is(semtimedop(id, &one, 1, &brief)));
    signal(SIGALRM, interrupt);
    // Again and again, for the first may come too early.
    ualarm(20000, 20000);
    printf(" signal %d", operate(id, 0, -1, 0));
    ualarm(0, 0);
    if (fork() == 0) {
        operate(id, 0, 5, SEM_UNDO);
        operate(id, 2, -3, SEM_UNDO);
        _exit(get(id, 0, GETVAL));
    }
    printf(" undo %d", ended());
    printf(" %d %d", get(id, 0, GETVAL), get(id, 2, GETVAL));
    printf(" %d", get(id, 0, GETPID) > 0);
    struct semid_ds stat;
    semctl(id, 0, IPC_STAT, (union semun){.buf = &stat});
    printf(" stat %ld %o %d", (long)stat.sem_nsems, stat.sem_perm.mode, stat.sem_otime >= time(0) - 5);
    if (fork() == 0) _exit(operate(id, 0, -9, 0));
    while (get(id, 0, GETNCNT) != 1) usleep(1000);
    printf(" rm %d", semctl(id, 0, IPC_RMID));
    printf(" %d %d\n", ended(), is(get(id, 0, GETVAL)) != 0);
}

struct text { long type; char text[8192]; };

static void messages(key_t key) {
    static struct text message = {0}, got;
    int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
    printf("msg: %d %d %d", id >= 0, msgget(key, 0) == id, is(msgget(key, IPC_CREAT | IPC_EXCL)));
    const long types[] = {3, 1, 2, 1};
    for (int each = 0; each < 4; each++) {
        message.type = types[each];
        sprintf(message.text, "%ld-%d", types[each], each);
        printf(" %d", msgsnd(id, &message, 4, 0));
    }
    struct msqid_ds stat;
    msgctl(id, IPC_STAT, &stat);
    printf(" stat %ld %ld %ld\n ", (long)stat.msg_qnum, (long)stat.msg_cbytes, (long)stat.msg_qbytes);
    const long wanted[] = {-2, 2, 9, 0};
    for (int each = 0; each < 4; each++) {
        long size = msgrcv(id, &got, 100, wanted[each], IPC_NOWAIT);
        printf(" %ld %s,", size, size < 0 ? strerror(errno) : got.text);
    }
    printf(" long %d", is(msgrcv(id, &got, 2, 0, 0)));
    printf(" %ld", (long)msgrcv(id, &got, 2, 0, MSG_NOERROR));
    printf(" none %d", is(msgrcv(id, &got, 2, 0, IPC_NOWAIT)));
    message.type = 0;
    printf(" type %d", is(msgsnd(id, &message, 1, 0)));
    message.type = 5;
    printf(" size %d %d\n", is(msgsnd(id, &message, 8193, 0)), is(msgsnd(id, &message, -1, 0)));
    memset(message.text, 'x', sizeof message.text);
    printf("  full %d", msgsnd(id, &message, 8192, 0));
    printf(" %d", msgsnd(id, &message, 8192, 0));
    printf(" %d", is(msgsnd(id, &message, 1, IPC_NOWAIT)));
    if (fork() == 0) {
        message.type = 6, message.text[0] = 'c';
        _exit(msgsnd(id, &message, 8000, 0));
    }
    usleep(10000);
    printf(" %ld", (long)msgrcv(id, &got, 8192, 5, 0));
    printf(" child %d", ended());
    printf(" except %ld %c", (long)msgrcv(id, &got, 8192, 5, MSG_EXCEPT), got.text[0]);
    printf(" %ld %c", (long)msgrcv(id, &got, 8192, 0, 0), got.text[8191]);
    if (fork() == 0) _exit(is(msgrcv(id, &got, 10, 0, 0)));
    usleep(20000);
    printf(" rm %d", msgctl(id, IPC_RMID, 0));
    printf(" %d %d\n", ended(), is(msgctl(id, IPC_STAT, &stat)) != 0);
}

/* The line about the object with this number. */
static char *row_of(const char *path, int id) {
    static char line[512];
    FILE *file = fopen(path, "r");
    int is_head = 1;
    while (file && fgets(line, sizeof line, file)) {
        int key, number;
        if (is_head)
            printf("%s", line);
        is_head = 0;
        if (sscanf(line, "%d %d", &key, &number) == 2 && number == id) {
            printf("key %d\n", key);
            fclose(file);
            /* From the mode on. */
            return line + 22;
        }
    }
    if (file)
        fclose(file);
    strcpy(line, "none");
    return line;
}

static int is_now(unsigned long seconds) {
    return llabs((long long)seconds - time(0)) < 5;
}

static void tables(void) {
    struct { long type; char text[100]; } message = {1, "x"};
    struct sembuf up = {1, 3, 0};
    unsigned mode, own[2], owner[4];
    unsigned long n[8];
    int id = shmget(IPC_PRIVATE, 2 * PAGE + 1, 0640);
    char *at = shmat(id, 0, 0);
    at[0] = 1;
    sscanf(row_of("/proc/sysvipc/shm", id), "%o %lu %u %u %lu %u %u %u %u %lu %lu %lu %lu %lu", &mode,
           &n[0], &own[0], &own[1], &n[1], &owner[0], &owner[1], &owner[2], &owner[3], &n[2], &n[3],
           &n[4], &n[5], &n[6]);
    printf("segment %o size %lu attached %lu resident %lu swapped %lu\n", mode, n[0], n[1], n[5], n[6]);
    printf(" by me %d %d, owner %d %d\n", own[0] == getpid(), own[1] == getpid(),
           owner[0] == getuid() && owner[1] == getgid(), owner[2] == getuid() && owner[3] == getgid());
    printf(" times %d %lu %d\n", is_now(n[2]), n[3], is_now(n[4]));
    shmctl(id, IPC_RMID, 0);
    sscanf(row_of("/proc/sysvipc/shm", id), "%o", &mode);
    printf("going %o\n", mode);
    shmdt(at);
    printf("gone %s\n", row_of("/proc/sysvipc/shm", id));
    id = msgget(IPC_PRIVATE, 0600);
    msgsnd(id, &message, 100, 0);
    msgsnd(id, &message, 20, 0);
    sscanf(row_of("/proc/sysvipc/msg", id), "%o %lu %lu %u %u %u %u %u %u %lu %lu %lu", &mode, &n[0], &n[1],
           &own[0], &own[1], &owner[0], &owner[1], &owner[2], &owner[3], &n[2], &n[3], &n[4]);
    printf("queue %o bytes %lu messages %lu by me %d %d\n", mode, n[0], n[1], own[0] == getpid(), own[1]);
    printf(" times %d %lu %d\n", is_now(n[2]), n[3], is_now(n[4]));
    msgctl(id, IPC_RMID, 0);
    id = semget(IPC_PRIVATE, 7, 0604);
    semop(id, &up, 1);
    sscanf(row_of("/proc/sysvipc/sem", id), "%o %lu %u %u %u %u %lu %lu", &mode, &n[0], &owner[0], &owner[1],
           &owner[2], &owner[3], &n[1], &n[2]);
    printf("set %o of %lu times %d %d\n", mode, n[0], is_now(n[1]), is_now(n[2]));
    semctl(id, 0, IPC_RMID);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    key_t key = 0x52460000 + getpid() % 30000;
    memory(key);
    semaphores(key);
    messages(key);
    tables();
    return 0;
}
