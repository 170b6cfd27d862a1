// Errors and results at the edges of calls: one line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char path[64];

static void say(const char *what, long result)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, result);
	fflush(stdout);
}

static int make(void) { return open(path, O_RDWR | O_CREAT | O_TRUNC, 0600); }

// What can be brought to a disk, in principle.
static void syncing(void)
{
	int ends[2], file = make(), folder = open("/tmp", O_RDONLY), null = open("/dev/null", O_WRONLY);
	pipe(ends);
	say("fsync of a file", fsync(file));
	say("fsync of a folder", fsync(folder));
	say("fsync of a pipe", fsync(ends[1]));
	say("fsync of a device", fsync(null));
	say("fdatasync of a device", fdatasync(null));
	say("fdatasync of a socket", fdatasync(socket(AF_UNIX, SOCK_STREAM, 0)));
	say("fsync of /proc", fsync(open("/proc/self/stat", O_RDONLY)));
	say("fsync of a path", fsync(open(path, O_PATH)));
	say("larger than any pipe", fcntl(ends[0], F_SETPIPE_SZ, (1U << 31) + 1));
	close(ends[0]), close(ends[1]), close(file), close(folder), close(null);
}

// Of several locks in the way, the lowest is told of.
static void locks(void)
{
	int file = make(), status;
	const struct { short type; int start, len; } set[] = {
		{F_RDLCK, 30, 5}, {F_WRLCK, 10, 5}, {F_RDLCK, 20, 5}, {F_WRLCK, 12, 20},
	};
	for (int i = 0; i < 4; i++) {
		struct flock lock = {set[i].type, SEEK_SET, set[i].start, set[i].len};
		fcntl(file, F_SETLK, &lock);
	}
	if (fork() == 0) {
		struct flock lock = {F_WRLCK, SEEK_SET, 0, 0};
		fcntl(file, F_GETLK, &lock);
		printf("in the way: %d from %ld, %ld bytes\n", lock.l_type, (long)lock.l_start, (long)lock.l_len);
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	close(file);
}

static void interrupt(int signal) { (void)signal; }

static void sleeping(void)
{
	struct timespec brief = {0, 1000}, second = {1, 0};
	const int clocks[] = {CLOCK_THREAD_CPUTIME_ID, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_RAW, 77};
	for (int i = 0; i < 4; i++)
		say("sleep by a clock", syscall(SYS_clock_nanosleep, clocks[i], 0, &brief, NULL));
	signal(SIGALRM, interrupt);
	ualarm(10000, 0);
	say("remaining nowhere", syscall(SYS_nanosleep, &second, (void *)8));
	ualarm(10000, 0);
	say("remaining", syscall(SYS_nanosleep, &second, &brief));
	printf("some %d\n", brief.tv_nsec > 0);
}

static void processes(void)
{
	static struct { uint64_t words[12]; } arguments = {{0, 0, 0, 0, SIGCHLD}};
	char *end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(end + 4096, 4096);
	char *at = memcpy(end + 4096 - 88, &arguments, 88);
	long child = syscall(SYS_clone3, at, 89);
	if (child == 0)
		_exit(0);
	say("clone3 beyond memory", child);
	arguments.words[11] = 1;
	say("clone3 of more", syscall(SYS_clone3, &arguments, 89));
	say("cpuid", syscall(SYS_arch_prctl, 0x1011, 0));
	struct rlimit limit = {8 << 20, RLIM_INFINITY};
	say("any stack", setrlimit(RLIMIT_STACK, &limit));
	getrlimit(RLIMIT_STACK, &limit);
	printf("most %d\n", limit.rlim_max == RLIM_INFINITY);
	say("tainted", access("/proc/sys/kernel/tainted", R_OK));
}

static void *look(void *unused)
{
	char text[256], state;
	for (int tries = 0; tries < 500; tries++) {
		FILE *stat = fopen("/proc/self/stat", "r");
		fgets(text, sizeof text, stat);
		fclose(stat);
		sscanf(strrchr(text, ')'), ") %c", &state);
		if (state == 'S')
			break;
		usleep(1000);
	}
	printf("the first thread: %c\n", state);
	fflush(stdout);
	return NULL;
}

// A process sleeps when its first thread does, whatever the others do.
static void states(void)
{
	pthread_t looker;
	if (fork() == 0) {
		pthread_create(&looker, NULL, look, NULL);
		pthread_join(looker, NULL);
		_exit(0);
	}
	wait(NULL);
}

static void others(void)
{
	char bytes[8];
	say("random", getrandom(bytes, 8, GRND_NONBLOCK | GRND_RANDOM));
	say("random of no kind", getrandom(bytes, 8, 0x80));
	say("random of two kinds", syscall(SYS_getrandom, bytes, 8, GRND_RANDOM | 4));
	int value, v4 = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof value;
	say("get of no level", getsockopt(v4, 500, 1, &value, &len));
	say("get of another level", getsockopt(v4, IPPROTO_UDP, 1, &value, &len));
	say("set of no level", setsockopt(v4, 500, 1, &value, len));
	FILE *file = fopen("/proc/sys/kernel/pid_max", "r");
	fscanf(file, "%d", &value);
	printf("numbers below the highest %d\n", getpid() < value);
}

static void *wait_for(void *tid)
{
	*(volatile int *)tid = syscall(SYS_gettid);
	for (;;)
		pause();
}

static void numbers(void)
{
	volatile int tid = 0;
	pthread_t thread;
	siginfo_t info = {.si_code = SI_QUEUE};
	signal(SIGUSR1, SIG_IGN);
	pthread_create(&thread, NULL, wait_for, (void *)&tid);
	while (tid == 0)
		usleep(1000);
	say("kill of a thread", kill(tid, SIGUSR1));
	say("queue to a thread", syscall(SYS_rt_sigqueueinfo, tid, SIGUSR1, &info));
	int ends[2];
	char byte;
	socklen_t len = -1;
	struct sockaddr_storage name;
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	write(ends[0], "x", 1);
	say("name of no length", recvfrom(ends[1], &byte, 1, 0, (void *)&name, &len));
	const char *const limits[] = {"msgmax", "msgmnb", "msgmni", "sem", "shmmax", "shmall", "shmmni"};
	for (int i = 0; i < 7; i++) {
		char file[64];
		snprintf(file, sizeof file, "/proc/sys/kernel/%s", limits[i]);
		say(limits[i], access(file, R_OK));
	}
}

static void memory(void)
{
	struct iovec pieces[1] = {{path, -1}};
	int file = make(), writing = open(path, O_WRONLY), zero = open("/dev/zero", O_RDONLY);
	say("a piece too long", readv(file, pieces, 1));
	say("a piece too long at", preadv(file, pieces, 1, 0));
	say("map nothing", (long)mmap(NULL, 0, PROT_READ, MAP_SHARED, writing, 0));
	say("map nothing of nothing", (long)mmap(NULL, 0, PROT_READ, MAP_SHARED, 99, 0));
	say("map to write", (long)mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, zero, 0));
	char *zeros = mmap(NULL, 4096, PROT_READ, MAP_SHARED, zero, 0);
	printf("zero %d\n", *zeros);
	say("write zeros", mprotect(zeros, 4096, PROT_READ | PROT_WRITE));
	zeros = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
	say("own zeros", (*zeros = 1));
	close(file), close(writing), close(zero);
	// A child's default is what its parent had.
	prctl(PR_SET_TIMERSLACK, 70000);
	if (fork() == 0) {
		prctl(PR_SET_TIMERSLACK, 1);
		prctl(PR_SET_TIMERSLACK, 0);
		say("slack of a child", prctl(PR_GET_TIMERSLACK));
		_exit(0);
	}
	wait(NULL);
	prctl(PR_SET_TIMERSLACK, 0);
	say("slack", prctl(PR_GET_TIMERSLACK));
}

// Of sets that watch a file exclusively, one that somebody waits for is woken for each event.
static void exclusive(void)
{
	enum { MANY = 4 };
	int event = eventfd(0, EFD_SEMAPHORE), done[2], pids[MANY];
	pipe(done);
	for (int i = 0; i < MANY; i++) {
		if ((pids[i] = fork()) == 0) {
			int set = epoll_create1(0);
			struct epoll_event watch = {EPOLLIN | EPOLLEXCLUSIVE}, found;
			epoll_ctl(set, EPOLL_CTL_ADD, event, &watch);
			write(done[1], "r", 1);
			int count = epoll_wait(set, &found, 1, -1);
			write(done[1], "w", 1);
			_exit(count);
		}
	}
	char got;
	for (int i = 0; i < MANY; i++)
		read(done[0], &got, 1);
	usleep(20000);
	for (int round = 0; round < MANY; round++) {
		uint64_t one = 1;
		write(event, &one, 8);
		read(done[0], &got, 1);
		struct pollfd more = {done[0], POLLIN};
		printf("woken %c, more %d\n", got, poll(&more, 1, 20));
		read(event, &one, 8);
	}
	int sum = 0, status;
	while (wait(&status) > 0)
		sum += WEXITSTATUS(status);
	printf("all %d\n", sum);
}

int main(void)
{
	mkdir("/tmp", 0777);
	snprintf(path, sizeof path, "/tmp/edges.%d", getpid());
	syncing();
	locks();
	sleeping();
	processes();
	states();
	others();
	numbers();
	memory();
	exclusive();
	unlink(path);
	return 0;
}
