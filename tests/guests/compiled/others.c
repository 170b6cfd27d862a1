// What users may do to processes that are not theirs, and parents to their children: one line
// for each case. Only the superuser can run it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define SOMEBODY 54321
#define LONER 64322

static int secret = 42;

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

static void become(int user)
{
	if (setgid(user) || setuid(user))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1);
}

// A process of another user, which waits to be killed.
static pid_t sleeper(int user)
{
	int ends[2];
	char byte;
	pipe(ends);
	pid_t pid = fork();
	if (!pid) {
		become(user);
		write(ends[1], "", 1);
		for (;;)
			pause();
	}
	read(ends[0], &byte, 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void try(const char *who, pid_t pid)
{
	struct sched_param none = {0};
	siginfo_t info = {.si_code = SI_QUEUE};
	int copy = 0, fd = syscall(SYS_pidfd_open, pid, 0);
	struct iovec here = {&copy, sizeof copy}, there = {&secret, sizeof secret};
	cpu_set_t first;
	void *head;
	size_t size;
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	printf("%s:\n", who);
	say(" setpriority", setpriority(PRIO_PROCESS, pid, 5));
	say(" setpriority of the user", setpriority(PRIO_USER, SOMEBODY, 6));
	say(" setpriority to more", setpriority(PRIO_PROCESS, pid, 1));
	say(" ioprio_set", syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 4));
	say(" sched_setscheduler", sched_setscheduler(pid, SCHED_BATCH, &none));
	say(" sched_setparam", sched_setparam(pid, &none));
	say(" sched_setaffinity", sched_setaffinity(pid, sizeof first, &first));
	say(" process_vm_readv", process_vm_readv(pid, &here, 1, &there, 1, 0));
	say(" process_vm_writev", process_vm_writev(pid, &here, 1, &there, 1, 0));
	say(" get_robust_list", syscall(SYS_get_robust_list, pid, &head, &size));
	say(" pidfd_send_signal", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	say(" rt_sigqueueinfo", syscall(SYS_rt_sigqueueinfo, pid, 0, &info));
	say(" rt_tgsigqueueinfo", syscall(SYS_rt_tgsigqueueinfo, pid, pid, 0, &info));
	say(" pidfd_getfd", syscall(SYS_pidfd_getfd, fd, 0, 0));
	say(" process_madvise", syscall(SYS_process_madvise, fd, &here, 1, MADV_COLD, 1));
	say(" process_madvise", syscall(SYS_process_madvise, fd, &none, 0, MADV_COLD, 0));
	say(" clone", syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
	printf(" nice value %d\n", getpriority(PRIO_PROCESS, pid));
	fflush(stdout);
}

static void processes(void)
{
	static const struct { const char *name; int user; } users[] = {
		{"a stranger", NOBODY}, {"the same user", SOMEBODY}, {"the superuser", 0}};
	for (int i = 0; i < 3; i++) {
		pid_t pid = sleeper(SOMEBODY), child = fork();
		if (!child) {
			if (users[i].user)
				become(users[i].user);
			try(users[i].name, pid);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		end(pid);
	}
	say("setpriority of a user without processes", setpriority(PRIO_USER, LONER, 0));
}

// Child processes are moved to other groups until they run another program.
static void groups(void)
{
	int ends[2];
	char byte;
	pid_t pid = sleeper(0);
	say("setpgid to -1", setpgid(pid, -1));
	say("setpgid of a child", setpgid(pid, pid));
	end(pid);
	pipe2(ends, O_CLOEXEC);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "others", "sleep", NULL);
		_exit(1);
	}
	close(ends[1]);
	read(ends[0], &byte, 1);
	say("setpgid of another program", setpgid(pid, pid));
	end(pid);
	close(ends[0]);
}

// The lines of a file that begin with one of these words.
static void lines_of(const char *path, const char *words[])
{
	char line[256];
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		for (const char **word = words; *word; word++)
			if (!strncmp(line, *word, strlen(*word)))
				printf("%s", line);
	if (file)
		fclose(file);
	fflush(stdout);
}

static void descriptor(void)
{
	pid_t pid = sleeper(0);
	int fd = syscall(SYS_pidfd_open, pid, O_NONBLOCK);
	struct pollfd ready = {fd, POLLIN};
	siginfo_t info = {0};
	say("waitid without waiting", waitid(P_PIDFD, fd, &info, WEXITED));
	kill(pid, SIGKILL);
	poll(&ready, 1, -1);
	say("waitid of one that has ended", waitid(P_PIDFD, fd, &info, WEXITED));
	printf("it was %s, status %d\n", info.si_pid == pid ? "the child" : "another", info.si_status);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	lines_of(path, (const char *[]){"Pid:", NULL});
	close(fd);
}

static void capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{1 << CAP_CHOWN, 1 << CAP_CHOWN, 0}};
	say("capset of one", syscall(SYS_capset, &header, data));
	data[0].inheritable = 1 << CAP_CHOWN;
	say("inheriting it", syscall(SYS_capset, &header, data));
	data[0].inheritable = 1 << CAP_KILL;
	say("inheriting another", syscall(SYS_capset, &header, data));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	lines_of("/proc/self/status", (const char *[]){"CapInh", "CapPrm", "CapEff", "CapAmb", "NoNew", NULL});
}

// What is for Unix sockets means nothing to others.
static void rights(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), to = socket(AF_INET, SOCK_STREAM, 0);
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	bind(listener, (void *)&address, sizeof address);
	listen(listener, 1);
	getsockname(listener, (void *)&address, &len);
	connect(to, (void *)&address, len);
	header->cmsg_len = CMSG_LEN(sizeof(int));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	*(int *)CMSG_DATA(header) = to;
	say("rights over TCP", sendmsg(to, &message, 0));
	header->cmsg_type = 99;
	say("what nobody knows", sendmsg(to, &message, 0));
	close(to);
	close(listener);
}

// Hosts may give low ports to everybody.
static void low_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(797),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int first = 1024, fd = socket(AF_INET, SOCK_STREAM, 0);
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
	if (file)
		fscanf(file, "%d", &first), fclose(file);
	if (!fork()) {
		become(NOBODY);
		int result = bind(fd, (void *)&address, sizeof address);
		printf("low port: %s\n", result == 0 ? first > 797 ? "ok" : "EACCES" : strerrorname_np(errno));
		exit(0);
	}
	wait(NULL);
	say("low port of the superuser", bind(fd, (void *)&address, sizeof address));
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		for (;;)
			pause();
	// Whatever the tests themselves run with.
	if (setpriority(PRIO_PROCESS, 0, 0))
		return 1;
	processes();
	groups();
	descriptor();
	rights();
	low_port();
	capabilities();
	return 0;
}
