// Who owns System V's objects, and what their modes allow: one line for each case. Only the
// superuser can run it.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWNER = 1000, OTHER = 1001, GROUP = 2000 };

union semun { int val; struct semid_ds *buf; unsigned short *array; };

static int key, memory, set, queue;

static void say(const char *what, long result)
{
	printf("  %s: %s\n", what, result == -1 ? strerrorname_np(errno) : "ok");
}

// What a process of this user and group may do.
static void as(const char *who, int user, int group, void (*act)(void))
{
	printf("%s\n", who);
	fflush(stdout);
	if (fork() == 0) {
		setgid(group);
		setuid(user);
		act();
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
}

static void show(const char *what, const struct ipc_perm *p)
{
	printf("  %s: %d:%d by %d:%d %o\n", what, p->uid, p->gid, p->cuid, p->cgid, p->mode);
}

static void make(void)
{
	memory = shmget(key, 4096, IPC_CREAT | 0640);
	set = semget(key, 2, IPC_CREAT | 0620);
	queue = msgget(key, IPC_CREAT | 0604);
	struct shmid_ds m;
	struct semid_ds s;
	struct msqid_ds q;
	shmctl(memory, IPC_STAT, &m);
	semctl(set, 0, IPC_STAT, (union semun){.buf = &s});
	msgctl(queue, IPC_STAT, &q);
	show("memory", &m.shm_perm);
	show("set", &s.sem_perm);
	show("queue", &q.msg_perm);
}

static void use(void)
{
	struct shmid_ds m;
	struct semid_ds s;
	struct msqid_ds q;
	struct sembuf up = {0, 1, 0}, zero = {1, 0, IPC_NOWAIT};
	struct { long type; char text[8]; } message = {1, "text"};
	say("find memory", shmget(key, 1, 0));
	say("find memory to read", shmget(key, 1, 0400));
	say("find memory to write", shmget(key, 1, 0600));
	say("attach", (long)shmat(memory, NULL, 0));
	say("attach to read", (long)shmat(memory, NULL, SHM_RDONLY));
	say("attach to run", (long)shmat(memory, NULL, SHM_RDONLY | SHM_EXEC));
	say("stat memory", shmctl(memory, IPC_STAT, &m));
	say("lock", shmctl(memory, SHM_LOCK, NULL));
	say("find set", semget(key, 1, 0));
	say("find set to read", semget(key, 1, 0444));
	say("up", semop(set, &up, 1));
	say("zero", semop(set, &zero, 1));
	say("get", semctl(set, 0, GETVAL));
	say("set", semctl(set, 0, SETVAL, (union semun){.val = 3}));
	say("stat set", semctl(set, 0, IPC_STAT, (union semun){.buf = &s}));
	say("send", msgsnd(queue, &message, 4, IPC_NOWAIT));
	say("receive", msgrcv(queue, &message, 4, 0, IPC_NOWAIT));
	say("stat queue", msgctl(queue, IPC_STAT, &q));
}

static void limit_locks(long bytes)
{
	struct rlimit limit;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = bytes;
	setrlimit(RLIMIT_MEMLOCK, &limit);
}

static void lock(void)
{
	int first = shmget(IPC_PRIVATE, 4096, 0600), second = shmget(IPC_PRIVATE, 1, 0600);
	limit_locks(4096);
	say("lock", shmctl(first, SHM_LOCK, NULL));
	say("lock more", shmctl(second, SHM_LOCK, NULL));
	say("lock again", shmctl(first, SHM_LOCK, NULL));
	say("unlock", shmctl(first, SHM_UNLOCK, NULL));
	say("lock another", shmctl(second, SHM_LOCK, NULL));
	limit_locks(0);
	say("unlock by none", shmctl(second, SHM_UNLOCK, NULL));
	say("lock by none", shmctl(second, SHM_LOCK, NULL));
	shmctl(first, IPC_RMID, NULL);
	shmctl(second, IPC_RMID, NULL);
}

static void change(void)
{
	struct shmid_ds m = {.shm_perm = {.uid = OTHER, .gid = GROUP, .mode = 0600}};
	struct semid_ds s = {.sem_perm = {.uid = OTHER, .gid = GROUP, .mode = 0600}};
	struct msqid_ds q = {.msg_perm = {.uid = OTHER, .gid = GROUP, .mode = 0600}};
	q.msg_qbytes = 1 << 20;
	// The superuser of some hosts may do this.
	if (getuid() != 0)
		say("more room", msgctl(queue, IPC_SET, &q));
	q.msg_qbytes = 100;
	say("set queue", msgctl(queue, IPC_SET, &q));
	say("set memory", shmctl(memory, IPC_SET, &m));
	say("set set", semctl(set, 0, IPC_SET, (union semun){.buf = &s}));
	m.shm_perm.uid = -1;
	say("set nobody", shmctl(memory, IPC_SET, &m));
}

static void take_away(void)
{
	say("remove memory", shmctl(memory, IPC_RMID, NULL));
	say("remove set", semctl(set, 0, IPC_RMID));
	say("remove queue", msgctl(queue, IPC_RMID, NULL));
}

int main(void)
{
	key = 0x52470000 + getpid() % 30000;
	as("made", OWNER, GROUP, make);
	memory = shmget(key, 0, 0), set = semget(key, 0, 0), queue = msgget(key, 0);
	as("used by the owner", OWNER, OTHER, use);
	as("used by the group", OTHER, GROUP, use);
	as("used by others", OTHER, OTHER, use);
	as("used by the superuser", 0, 0, use);
	as("locked by the owner", OWNER, GROUP, lock);
	as("changed by others", OTHER, GROUP, change);
	as("removed by others", OTHER, GROUP, take_away);
	as("changed by the owner", OWNER, GROUP, change);
	as("used by its new owner", OTHER, OTHER, use);
	as("changed by the superuser", 0, 0, change);
	as("removed by its maker", OWNER, OTHER, take_away);
	return 0;
}
