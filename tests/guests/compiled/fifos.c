// FIFOs: opening one end waits for the other. One line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void waiting(void)
{
	char text[100];
	if (fork() == 0) {
		usleep(50000);
		int fd = open("f", O_WRONLY);
		write(fd, "hello", 5);
		usleep(50000);
		write(fd, " again", 6);
		_exit(0);
	}
	int fd = open("f", O_RDONLY);
	say("open to read", fd);
	ssize_t len, total = 0;
	while ((len = read(fd, text + total, sizeof text - total)) > 0)
		total += len;
	printf("read %.*s, then %zd\n", (int)total, text, len);
	wait(NULL);
	printf("still %zd\n", read(fd, text, sizeof text));
	close(fd);
	if (fork() == 0) {
		usleep(50000);
		fd = open("f", O_RDONLY);
		len = read(fd, text, sizeof text);
		_exit((int)len);
	}
	fd = open("f", O_WRONLY);
	say("open to write", fd);
	write(fd, "1234567", 7);
	close(fd);
	int status;
	wait(&status);
	printf("child read %d\n", WEXITSTATUS(status));
}

static void without_waiting(void)
{
	char text[100];
	say("write to nobody", open("f", O_WRONLY | O_NONBLOCK));
	int in = open("f", O_RDONLY | O_NONBLOCK);
	say("read from nobody", in);
	printf("read %zd\n", read(in, text, sizeof text));
	int out = open("f", O_WRONLY | O_NONBLOCK);
	say("write to reader", out);
	errno = 0;
	say("read nothing", read(in, text, sizeof text));
	say("write", write(out, "abc", 3));
	struct pollfd polled = {in, POLLIN, 0};
	poll(&polled, 1, 0);
	printf("poll %x\n", polled.revents);
	int other = open("f", O_RDONLY | O_NONBLOCK);
	printf("another reads %zd\n", read(other, text, 2));
	printf("first reads %zd\n", read(in, text, 2));
	close(in);
	say("one reader is left", write(out, "x", 1));
	close(other);
	say("nobody reads", write(out, "x", 1));
	close(out);
	int both = open("f", O_RDWR);
	say("both", both);
	write(both, "self", 4);
	printf("read itself %zd\n", read(both, text, sizeof text));
	out = open("f", O_WRONLY | O_NONBLOCK);
	say("write to both", out);
	write(out, "left", 4);
	close(out);
	close(both);
	both = open("f", O_RDWR | O_NONBLOCK);
	say("nothing is kept", read(both, text, sizeof text));
	close(both);
}

static void interrupted(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	sigaction(SIGALRM, &action, NULL);
	ualarm(50000, 0);
	say("interrupted reader", open("f", O_RDONLY));
	ualarm(50000, 0);
	say("interrupted writer", open("f", O_WRONLY));
	say("nobody is left", open("f", O_WRONLY | O_NONBLOCK));
}

static void around(void)
{
	struct stat st;
	stat("f", &st);
	printf("mode %o links %ld size %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
	say("again", mkfifo("f", 0600));
	say("in nothing", mkfifo("none/f", 0600));
	say("with slash", mkfifo("new/", 0600));
	say("mknod file", mknod("file", S_IFREG | 0640, 0));
	stat("file", &st);
	printf("mode %o\n", st.st_mode);
	say("mknod plain", mknod("plain", 0600, 0));
	say("mknod directory", mknod("dir", S_IFDIR | 0700, 0));
	say("mknod nonsense", mknod("odd", 0170000 | 0700, 0));
	say("mknod socket", mknod("socket", S_IFSOCK | 0700, 0));
	say("open socket", open("socket", O_RDONLY));
	say("link", link("f", "g"));
	int in = open("f", O_RDONLY | O_NONBLOCK), out = open("g", O_WRONLY | O_NONBLOCK);
	printf("by either name %zd\n", write(out, "x", 1));
	say("seek", lseek(in, 0, SEEK_SET));
	say("truncate", truncate("f", 0));
	say("truncate descriptor", ftruncate(out, 0));
	say("read from writer", read(out, &st, 1));
	fstat(in, &st);
	printf("fstat %o links %ld\n", st.st_mode, (long)st.st_nlink);
	unlink("f");
	unlink("g");
	char byte;
	printf("without name %zd\n", read(in, &byte, 1));
	say("fchmod", fchmod(in, 0600));
	for (const char *const *path = (const char *const[]){"file", "plain", "socket", NULL}; *path;
	     path++)
		say("unlink", unlink(*path));
}

int main(void)
{
	char folder[] = "/tmp/ringfence-fifos-XXXXXX";
	umask(022);
	setvbuf(stdout, NULL, _IONBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	say("mkfifo", mkfifo("f", 0666));
	waiting();
	without_waiting();
	interrupted();
	around();
	say("rmdir", rmdir(folder));
	return 0;
}
