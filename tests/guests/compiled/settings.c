// What the superuser changes in /proc/sys, and what comes of it: one line for each case. On a
// host, whose settings are not to be touched, it says what a guest must.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_guest;

// The error, or 0.
static int failed(long result)
{
	return result < 0 ? errno : 0;
}

static void is(const char *what, int error, int expected)
{
	int shown = is_guest ? error : expected;
	printf("%s: %s\n", what, shown ? strerrorname_np(shown) : "ok");
}

static int set(const char *path, const char *value)
{
	if (!is_guest)
		return 0;
	int fd = open(path, O_WRONLY), error = failed(fd);
	if (!error)
		error = failed(write(fd, value, strlen(value)));
	close(fd);
	return error;
}

static void holds(const char *path, const char *expected)
{
	char text[64] = {0};
	int fd = open(path, O_RDONLY);
	read(fd, text, sizeof text - 1);
	close(fd);
	printf("%s: %s", path, is_guest ? text : expected);
}

static void queues(void)
{
	static const char path[] = "/proc/sys/kernel/msgmni";
	is("no number", set(path, "many"), EINVAL);
	is("nothing", set(path, "\n"), EINVAL);
	is("negative", set(path, "-1"), EINVAL);
	is("too many", set(path, "1000000"), EINVAL);
	is("two queues", set(path, "2\n"), 0);
	holds(path, "2\n");
	for (int i = 0; i < 3; i++)
		is("msgget", is_guest ? failed(msgget(IPC_PRIVATE, 0600)) : 0, i < 2 ? 0 : ENOSPC);
}

static void segments(void)
{
	is("size", set("/proc/sys/kernel/shmmax", "8192"), 0);
	holds("/proc/sys/kernel/shmmax", "8192\n");
	is("shmget of more", is_guest ? failed(shmget(IPC_PRIVATE, 8193, 0600)) : 0, EINVAL);
	is("shmget", is_guest ? failed(shmget(IPC_PRIVATE, 8192, 0600)) : 0, 0);
	is("one segment", set("/proc/sys/kernel/shmmni", "1"), 0);
	is("shmget of another", is_guest ? failed(shmget(IPC_PRIVATE, 1, 0600)) : 0, ENOSPC);
}

static void pipes(void)
{
	static const char path[] = "/proc/sys/fs/pipe-max-size";
	int ends[2];
	is("size", set(path, "5000"), 0);
	holds(path, "8192\n");
	is("less than a page", set(path, "4095"), EINVAL);
	pipe(ends);
	is("larger", failed(fcntl(ends[0], F_SETPIPE_SZ, 16384)), 0);
	fflush(stdout);
	if (!fork()) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		is("as large, of a user", failed(fcntl(ends[0], F_SETPIPE_SZ, 12288)), 0);
		is("larger, of a user", failed(fcntl(ends[0], F_SETPIPE_SZ, 32768)), EPERM);
		is("smaller, of a user", failed(fcntl(ends[0], F_SETPIPE_SZ, 8192)), 0);
		is("settings of a user", set(path, "65536"), EACCES);
		exit(0);
	}
	wait(NULL);
}

static void instances(void)
{
	static const char path[] = "/proc/sys/fs/inotify/max_user_instances";
	is("one instance", set(path, "1"), 0);
	holds(path, "1\n");
	for (int i = 0; i < 2; i++)
		is("inotify_init", is_guest ? failed(inotify_init()) : 0, i ? EMFILE : 0);
	is("more than there can be", set(path, "129"), EINVAL);
}

static void message_queues(void)
{
	static const char path[] = "/proc/sys/fs/mqueue/queues_max";
	is("two queues", set(path, "2"), 0);
	holds(path, "2\n");
	for (int i = 0; i < 3; i++) {
		char name[] = "/0";
		name[1] += i;
		is("mq_open", is_guest ? failed(mq_open(name, O_CREAT | O_RDWR, 0600, NULL)) : 0,
		   i < 2 ? 0 : ENOSPC);
	}
	is("mq_unlink", is_guest ? failed(mq_unlink("/0")) : 0, 0);
	holds("/proc/sys/fs/pipe-user-pages-soft", "0\n");
	holds("/proc/sys/kernel/core_pattern", "core\n");
}

static void names(void)
{
	struct utsname name;
	is("name", set("/proc/sys/kernel/hostname", "elsewhere\n"), 0);
	is("domain", set("/proc/sys/kernel/domainname", "example.org"), 0);
	uname(&name);
	printf("%s %s\n", is_guest ? name.nodename : "elsewhere", is_guest ? name.domainname : "example.org");
	is("what is so", set("/proc/sys/kernel/osrelease", "7"), EACCES);
}

int main(void)
{
	struct utsname name;
	uname(&name);
	is_guest = strstr(name.release, "ringfence") != NULL;
	queues();
	segments();
	pipes();
	instances();
	message_queues();
	names();
	return 0;
}
