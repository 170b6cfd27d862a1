// Times of files, and who may change them: one line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static struct stat at(const char *path)
{
	struct stat st = {0};
	if (lstat(path, &st) < 0)
		printf("lstat %s: %s\n", path, strerrorname_np(errno));
	return st;
}

static void show(const char *path)
{
	struct stat st = at(path);
	printf("%s: %lld.%09ld %lld.%09ld\n", path, (long long)st.st_atim.tv_sec,
	       st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int after(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void changes(const char *what, const char *path, struct stat before)
{
	struct stat st = at(path);
	printf("%s: atime %d mtime %d ctime %d\n", what, after(st.st_atim, before.st_atim),
	       after(st.st_mtim, before.st_mtim), after(st.st_ctim, before.st_ctim));
}

// Longer than the steps of any clock.
static void wait_a_step(void)
{
	usleep(20000);
}

#define CHANGES(what, path, act)                   \
	do {                                       \
		struct stat before = at(path);     \
		wait_a_step();                     \
		act;                               \
		changes(what, path, before);       \
	} while (0)

static void setting(void)
{
	struct timespec both[2] = {{1, 2}, {1000000000, 999999999}};
	close(open("f", O_CREAT | O_WRONLY, 0644));
	symlink("f", "l");
	int fd = open("f", O_RDWR);
	say("utimensat", utimensat(AT_FDCWD, "f", both, 0));
	show("f");
	both[0].tv_nsec = UTIME_OMIT;
	both[1].tv_sec = 77;
	say("omit", utimensat(AT_FDCWD, "f", both, 0));
	show("f");
	both[1].tv_nsec = UTIME_OMIT;
	say("omit both", utimensat(AT_FDCWD, "none", both, 0));
	both[1].tv_nsec = 1000000000;
	say("invalid", utimensat(AT_FDCWD, "f", both, 0));
	both[0] = (struct timespec){5, 6};
	both[1] = (struct timespec){-7, 8};
	say("of link", utimensat(AT_FDCWD, "l", both, AT_SYMLINK_NOFOLLOW));
	show("l");
	show("f");
	say("futimens", futimens(fd, both));
	show("f");
	say("utimensat without path", syscall(SYS_utimensat, fd, NULL, both, 0));
	say("utimensat nowhere", syscall(SYS_utimensat, AT_FDCWD, NULL, both, 0));
	say("bad fd", futimens(99, both));
	say("nothing there", utimensat(AT_FDCWD, "none", both, 0));
	say("flags", utimensat(AT_FDCWD, "f", both, 0x10000));
	both[0].tv_sec = 4102444800LL;
	both[1].tv_sec = 32503680000LL;
	say("far", utimensat(AT_FDCWD, "f", both, 0));
	struct timeval micro[2] = {{10, 11}, {12, 999999}};
	say("utimes", utimes("f", micro));
	show("f");
	micro[1].tv_usec = 1000000;
	say("utimes invalid", utimes("f", micro));
	micro[1].tv_usec = 1;
	say("futimesat", futimesat(AT_FDCWD, "f", micro));
	say("lutimes", lutimes("l", micro));
	show("l");
	struct utimbuf seconds = {123, 456};
	say("utime", utime("f", &seconds));
	show("f");
	CHANGES("utime now", "f", utime("f", NULL));
	both[0].tv_nsec = UTIME_NOW;
	both[1].tv_nsec = UTIME_OMIT;
	CHANGES("atime now", "f", utimensat(AT_FDCWD, "f", both, 0));
	close(fd);
}

static void happening(void)
{
	char byte;
	int fd = open("f", O_RDWR);
	write(fd, "x", 1);
	CHANGES("write", "f", write(fd, "x", 1));
	CHANGES("chmod", "f", fchmod(fd, 0600));
	CHANGES("link", "f", link("f", "g"));
	CHANGES("unlink", "f", unlink("g"));
	CHANGES("rename", "f", rename("f", "h"));
	rename("h", "f");
	CHANGES("truncate", "f", ftruncate(fd, 100));
	CHANGES("truncate by open", "f", close(open("f", O_WRONLY | O_TRUNC)));
	CHANGES("nothing", "f", close(open("f", O_RDONLY)));
	CHANGES("chown", "f", chown("f", -1, -1));
	write(fd, "abc", 3);
	wait_a_step();
	CHANGES("read", "f", pread(fd, &byte, 1, 0));
	close(fd);
	mkdir("d", 0755);
	CHANGES("make in", "d", close(open("d/x", O_CREAT | O_WRONLY, 0644)));
	CHANGES("change in", "d", chmod("d/x", 0600));
	CHANGES("link in", "d", link("d/x", "d/y"));
	CHANGES("rename in", "d", rename("d/y", "d/z"));
	CHANGES("remove in", "d", unlink("d/z"));
	CHANGES("rename out of", "d", rename("d/x", "x"));
	CHANGES("mkdir in", "d", mkdir("d/e", 0755));
	CHANGES("rename itself", "d", (rename("d", "dd"), rename("dd", "d")));
}

static void looking(void)
{
	struct stat st = at("f");
	struct statx more = {0};
	say("statx", statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &more));
	printf("agree %d\n", more.stx_ino == st.st_ino && more.stx_size == (unsigned)st.st_size &&
				     more.stx_mode == st.st_mode && more.stx_uid == st.st_uid &&
				     more.stx_nlink == st.st_nlink &&
				     more.stx_mtime.tv_sec == st.st_mtim.tv_sec &&
				     more.stx_mtime.tv_nsec == (unsigned)st.st_mtim.tv_nsec &&
				     more.stx_ctime.tv_nsec == (unsigned)st.st_ctim.tv_nsec);
	printf("mask %d\n", (more.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	say("statx of fd", statx(open("f", O_RDONLY), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &more));
	say("statx of nothing", statx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, &more));
	say("statx flags", statx(AT_FDCWD, "f", 0x6000, STATX_BASIC_STATS, &more));
	say("statx mask", statx(AT_FDCWD, "f", 0, 0x80000000, &more));
	say("statx of empty", statx(AT_FDCWD, "", 0, STATX_BASIC_STATS, &more));
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	close(open("new", O_CREAT | O_WRONLY, 0644));
	st = at("new");
	printf("near now %d\n", llabs((long long)st.st_mtim.tv_sec - now.tv_sec) < 5);
}

int main(void)
{
	char folder[] = "/tmp/ringfence-times-XXXXXX";
	umask(022);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	setting();
	happening();
	looking();
	for (const char *const *path = (const char *const[]){"f", "l", "x", "new", NULL}; *path; path++)
		unlink(*path);
	say("rmdir", rmdir("d/e"));
	say("rmdir", rmdir("d"));
	say("rmdir", rmdir(folder));
	return 0;
}
