// Flags of open, and what can be done with what they open: one line for each case.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static void path_only(void)
{
	char buffer[100];
	struct stat st;
	int fd = open("f", O_PATH), dir = open("d", O_PATH | O_DIRECTORY);
	printf("flags %x\n", fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	say("read", read(fd, buffer, 1));
	say("write", write(fd, buffer, 1));
	say("lseek", lseek(fd, 0, SEEK_SET));
	say("ftruncate", ftruncate(fd, 0));
	say("fchmod", fchmod(fd, 0600));
	say("fchown", fchown(fd, -1, -1));
	say("ioctl", syscall(SYS_ioctl, fd, 0x5401, buffer));
	say("mmap", (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == -1 ? -1 : 0);
	say("fsync", fsync(fd));
	say("fstat", fstat(fd, &st));
	printf("size %ld\n", (long)st.st_size);
	int copy = dup(fd);
	say("dup", copy);
	say("close", close(copy));
	say("setfl", fcntl(fd, F_SETFL, O_NONBLOCK));
	say("setfd", fcntl(fd, F_SETFD, FD_CLOEXEC));
	say("getdents", syscall(SYS_getdents64, dir, buffer, sizeof buffer));
	say("openat", openat(dir, "inside", O_RDONLY));
	say("openat of file", openat(fd, "inside", O_RDONLY));
	say("fstatat", fstatat(dir, "inside", &st, 0));
	say("fchdir", fchdir(dir));
	say("back", chdir(".."));
	say("fchdir to file", fchdir(fd));
	int link = open("l", O_PATH | O_NOFOLLOW);
	say("of link", link);
	printf("link %d\n", fstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	printf("target %zd\n", readlinkat(link, "", buffer, sizeof buffer));
	say("target of file", readlinkat(fd, "", buffer, sizeof buffer));
	say("of directory only", open("f", O_PATH | O_DIRECTORY));
	say("with creation", open("none", O_PATH | O_CREAT, 0644));
	say("utimensat", utimensat(fd, "", NULL, AT_EMPTY_PATH));
}

static void kinds(void)
{
	struct stat st;
	say("directory to write", open("d", O_WRONLY));
	say("directory to make", open("d", O_CREAT, 0644));
	say("directory to make exclusively", open("d", O_CREAT | O_EXCL, 0644));
	say("directory", open("d", O_RDONLY));
	say("as directory", open("f", O_DIRECTORY));
	say("dot to make", open(".", O_CREAT | O_RDWR, 0644));
	say("root to make", open("/", O_CREAT | O_RDWR, 0644));
	say("exclusive", open("f", O_CREAT | O_EXCL | O_RDWR, 0644));
	say("nothing", open("none", O_RDWR));
	say("empty", open("", O_RDONLY));
	say("below file", open("f/x", O_CREAT | O_RDWR, 0644));
	int fd = open("modes", O_CREAT | O_RDWR, 07777);
	fstat(fd, &st);
	printf("modes %o\n", st.st_mode);
	fd = open("read-only", O_CREAT | O_RDWR, 0);
	say("write to what nobody may", write(fd, "x", 1));
	fd = open("f", O_RDONLY);
	say("write to read", write(fd, "x", 1));
	say("truncate read", ftruncate(fd, 0));
	fd = open("f", O_WRONLY | O_APPEND);
	char byte;
	say("read from write", read(fd, &byte, 1));
	say("append", write(fd, "+", 1));
	printf("at %ld\n", (long)lseek(fd, 0, SEEK_CUR));
	printf("append flags %x\n", fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND));
	say("relative to closed", openat(99, "f", O_RDONLY));
	say("absolute to closed", openat(99, "/", O_RDONLY));
	say("relative to file", openat(fd, "f", O_RDONLY));
}

static void without_name(void)
{
	struct stat st;
	say("to read", open(".", O_TMPFILE | O_RDONLY, 0600));
	say("in file", open("f", O_TMPFILE | O_RDWR, 0600));
	int fd = open("d", O_TMPFILE | O_RDWR, 0640);
	say("made", fd);
	fstat(fd, &st);
	printf("mode %o links %ld\n", st.st_mode, (long)st.st_nlink);
	say("write", write(fd, "text", 4));
	char text[5] = {0};
	pread(fd, text, 4, 0);
	printf("text %s\n", text);
	if (geteuid() == 0)
		say("name", linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	else
		close(open("named", O_CREAT | O_WRONLY, 0640));
	stat("named", &st);
	printf("links %ld\n", (long)st.st_nlink);
}

static int openat2(int dir, const char *path, int flags, int mode, int resolve, int size)
{
	struct {
		struct open_how how;
		long more;
	} asked = {{flags, mode, resolve}, size & 1};
	int fd = syscall(SYS_openat2, dir, path, &asked, size & ~1);
	if (fd >= 0)
		close(fd);
	return fd;
}

static void where_paths_lead(void)
{
	static const struct { const char *name; int resolve; } rules[] = {
		{"anywhere", 0}, {"one mount", RESOLVE_NO_XDEV}, {"no jumps", RESOLVE_NO_MAGICLINKS},
		{"no links", RESOLVE_NO_SYMLINKS}, {"beneath", RESOLVE_BENEATH},
		{"in it", RESOLVE_IN_ROOT}};
	static const char *const paths[] = {"inside", "../f", "../l", "../../..", "up/f", "root/inside",
		"root/proc/version", "/inside", "/proc/version", "/proc/self/exe", "exe", "exe/x", "root", "..", "."};
	const int size = sizeof(struct open_how);
	symlink("..", "d/up");
	symlink("/", "d/root");
	symlink("/proc/self/exe", "d/exe");
	int dir = open("d", O_PATH);
	for (int i = 0; i < sizeof rules / sizeof *rules; i++) {
		printf("%s:", rules[i].name);
		for (int j = 0; j < sizeof paths / sizeof *paths; j++)
			// Whether the root is on the same mount is the host's affair.
			if (i != 1 || strncmp(paths[j], "root", 4))
				printf(" %s", openat2(dir, paths[j], O_RDONLY, 0, rules[i].resolve, size) < 0
					? strerrorname_np(errno) : "ok");
		printf("\n");
	}
	say("not followed", openat2(dir, "up", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS, size));
	say("made beneath", openat2(dir, "new", O_CREAT | O_RDWR, 0600, RESOLVE_BENEATH, size));
	say("made in it", openat2(dir, "/../newer", O_CREAT | O_RDWR, 0600, RESOLVE_IN_ROOT, size));
	say("unlinked", unlink("d/new") | unlink("d/newer"));
	say("from a file", openat2(openat(dir, "inside", O_RDONLY), "x", 0, 0, RESOLVE_IN_ROOT, size));
	say("from nowhere", openat2(99, "/", 0, 0, RESOLVE_BENEATH, size));
	say("both", openat2(dir, ".", 0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT, size));
	say("unknown rule", openat2(dir, ".", 0, 0, 64, size));
	say("unknown flag", openat2(dir, ".", 1 << 30, 0, 0, size));
	say("flags of a path", openat2(dir, ".", O_PATH | O_RDWR, 0, 0, size));
	say("mode of nothing new", openat2(dir, ".", 0, 0600, 0, size));
	say("mode", openat2(dir, "new", O_CREAT | O_RDWR, 010000, 0, size));
	say("to make, cached", openat2(dir, "new", O_CREAT | O_RDWR, 0600, RESOLVE_CACHED, size));
	say("without a name", openat2(dir, ".", O_TMPFILE | O_RDWR, 0600, 0, size));
	say("less", openat2(dir, ".", 0, 0, 0, size - 8));
	say("more", openat2(dir, ".", 0, 0, 0, size + 8));
	say("more that says something", openat2(dir, ".", 0, 0, 0, size + 9));
	say("far more", openat2(dir, ".", 0, 0, 0, 8192));
	close(dir);
	unlink("d/up");
	unlink("d/root");
	unlink("d/exe");
}

static void devices(void)
{
	char buffer[16] = "x";
	struct stat st;
	int fd = open("/dev/full", O_RDWR);
	say("write full", write(fd, "x", 1));
	printf("read full %zd %d\n", read(fd, buffer, 16), buffer[0]);
	fd = open("/dev/zero", O_RDWR);
	printf("read zero %zd, write %zd\n", read(fd, buffer, 16), write(fd, buffer, 16));
	fd = open("/dev/null", O_RDWR);
	printf("read null %zd, write %zd\n", read(fd, buffer, 16), write(fd, buffer, 16));
	fd = open("/dev/urandom", O_RDONLY);
	printf("read random %zd\n", read(fd, buffer, 16));
	int entropy = -1, listed = -2;
	say("entropy", ioctl(fd, RNDGETENTCNT, &entropy));
	FILE *file = fopen("/proc/sys/kernel/random/entropy_avail", "r");
	fscanf(file, "%d", &listed);
	fclose(file);
	printf("as listed %d\n", entropy == listed);
	for (const char *const *path = (const char *const[]){"null", "zero", "full", "random", "urandom",
							     "tty", NULL};
	     *path; path++) {
		char name[32];
		sprintf(name, "/dev/%s", *path);
		stat(name, &st);
		printf("%s %o %lx\n", name, st.st_mode, (long)st.st_rdev);
	}
	say("create device", open("/dev/null", O_CREAT | O_WRONLY | O_TRUNC, 0644));
	say("null as directory", open("/dev/null/x", O_RDONLY));
	printf("shm %d\n", stat("/dev/shm", &st) == 0 && st.st_mode == (S_IFDIR | 01777));
	printf("tmp %d\n", stat("/tmp", &st) == 0 && st.st_mode == (S_IFDIR | 01777));
	printf("passwd %d\n", access("/etc/passwd", R_OK) == 0);
}

int main(void)
{
	char folder[] = "/tmp/ringfence-flags-XXXXXX";
	umask(022);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	int fd = open("f", O_CREAT | O_WRONLY, 0644);
	write(fd, "text", 4);
	mkdir("d", 0755);
	close(open("d/inside", O_CREAT | O_WRONLY, 0644));
	symlink("f", "l");
	path_only();
	kinds();
	without_name();
	where_paths_lead();
	devices();
	for (const char *const *path = (const char *const[]){"f", "l", "d/inside", "modes", "read-only",
							     "named", NULL};
	     *path; path++)
		unlink(*path);
	say("rmdir", rmdir("d"));
	say("rmdir", rmdir(folder));
	return 0;
}
