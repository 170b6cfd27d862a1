// Owners, modes and what they allow, for the superuser and for others: one line for each case.
// Only the superuser can run it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NOBODY 65534
#define SOMEBODY 1000
#define LONER 64321

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static int take_away(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st, (void)kind, (void)place;
	return remove(path);
}

static void show(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		printf("%s: %s\n", path, strerrorname_np(errno));
	else
		printf("%s: %o %d:%d\n", path, st.st_mode, st.st_uid, st.st_gid);
}

static void make(const char *path, int mode, int user, int group)
{
	close(open(path, O_CREAT | O_WRONLY, 0600));
	chown(path, user, group);
	chmod(path, mode);
}

static void who(const char *what)
{
	uid_t u[3];
	gid_t g[3];
	getresuid(&u[0], &u[1], &u[2]);
	getresgid(&g[0], &g[1], &g[2]);
	printf("%s: %d %d %d fs %d, %d %d %d fs %d, %d more\n", what, u[0], u[1], u[2],
	       setfsuid(-1), g[0], g[1], g[2], setfsgid(-1), getgroups(0, NULL));
}

static void as_superuser(void)
{
	make("f", 06755, SOMEBODY, 100);
	show("f");
	say("chown keeps", chown("f", -1, -1));
	show("f");
	chmod("f", 06745);
	say("chown", chown("f", 5, 6));
	show("f");
	symlink("f", "l");
	say("lchown", lchown("l", 7, 8));
	show("l");
	show("f");
	say("fchownat nofollow", fchownat(AT_FDCWD, "l", 9, -1, AT_SYMLINK_NOFOLLOW));
	show("l");
	int fd = open("f", O_RDONLY);
	say("fchown", fchown(fd, 1, 2));
	say("fchmod", fchmod(fd, 0640));
	show("f");
	say("fchmodat", fchmodat(AT_FDCWD, "l", 0604, 0));
	show("f");
	say("fchownat empty", fchownat(fd, "", 3, 4, AT_EMPTY_PATH));
	show("f");
	say("chmod nothing", chmod("none", 0));
	say("chown into file", chown("f/x", 0, 0));
	say("fchmod closed", fchmod(99, 0));
	mkdir("s", 0755);
	chown("s", -1, 77);
	chmod("s", 02775);
	make("s/f", 0644, -1, -1);
	mkdir("s/d", 0755);
	show("s/f");
	show("s/d");
	mkdir("sticky-by-mkdir", 07777);
	show("sticky-by-mkdir");
	say("run nothing", access("f", X_OK));
	say("read all", access("f", R_OK | W_OK));
	say("access mode", access("f", 8));
	struct statfs fs;
	say("statfs", statfs("f", &fs));
	printf("name length %ld\n", (long)fs.f_namelen);
	say("statfs nothing", statfs("none", &fs));
	say("fstatfs", fstatfs(fd, &fs));
	say("getxattr nothing", getxattr("none", "user.x", NULL, 0));
}

static void as_other(void)
{
	gid_t groups[] = {100, 50};
	mkdir("closed", 0700);
	make("closed/f", 0666, 0, 0);
	mkdir("open", 0777);
	mkdir("sticky", 0777);
	chmod("sticky", 01777);
	chmod("open", 0777);
	make("open/roots", 0644, 0, 0);
	make("sticky/roots", 0666, 0, 0);
	make("sticky/own", 0600, SOMEBODY, 0);
	make("secret", 0600, 0, 0);
	make("groups", 0640, 0, 50);
	make("own", 0200, SOMEBODY, 1000);
	make("others", 0604, SOMEBODY, 0);
	make("mine", 0644, SOMEBODY, SOMEBODY);
	say("setgroups", setgroups(2, groups));
	say("setgid", setgid(SOMEBODY));
	say("setuid", setuid(SOMEBODY));
	who("somebody");
	say("search", access("closed/f", F_OK));
	say("open in closed", open("closed/f", O_RDONLY));
	say("read secret", open("secret", O_RDONLY));
	say("path of secret", open("secret", O_PATH));
	say("read groups", open("groups", O_RDONLY));
	say("write groups", open("groups", O_WRONLY));
	say("read own", open("own", O_RDONLY));
	say("write own", open("own", O_WRONLY));
	say("truncate roots", truncate("open/roots", 0));
	say("open to truncate", open("open/roots", O_RDONLY | O_TRUNC));
	say("list closed", open("closed", O_RDONLY | O_DIRECTORY));
	say("chdir closed", chdir("closed"));
	say("make in parent", open("new", O_CREAT | O_WRONLY, 0644));
	say("make in open", open("open/new", O_CREAT | O_WRONLY, 0444));
	show("open/new");
	say("write it again", open("open/new", O_WRONLY));
	say("mkdir", mkdir("open/dir", 0777));
	show("open/dir");
	say("symlink", symlink("x", "closed/l"));
	say("remove roots", unlink("open/roots"));
	say("remove sticky", unlink("sticky/roots"));
	say("rename sticky", rename("sticky/roots", "sticky/x"));
	say("over sticky", rename("open/new", "sticky/roots"));
	say("remove own", unlink("sticky/own"));
	say("chmod roots", chmod("secret", 0666));
	say("chmod mine", chmod("mine", 0755));
	say("chown mine", chown("mine", 0, -1));
	say("chgrp to own group", chown("mine", -1, 50));
	show("mine");
	say("chgrp to other group", chown("mine", -1, 51));
	say("chown to self", chown("mine", SOMEBODY, -1));
	say("set-group-ID", chmod("mine", 02755));
	show("mine");
	int fd = open("mine", O_WRONLY);
	write(fd, "x", 1);
	show("mine");
	chown("mine", -1, SOMEBODY);
	chmod("mine", 06755);
	show("mine");
	write(fd, "x", 1);
	show("mine");
	struct timespec both[2] = {{1, 0}, {2, 0}};
	say("times of others", utimensat(AT_FDCWD, "groups", both, 0));
	say("present of others", utimensat(AT_FDCWD, "groups", NULL, 0));
	say("times of mine", utimensat(AT_FDCWD, "mine", both, 0));
	say("without access time", open("groups", O_RDONLY | O_NOATIME));
	say("without access time of mine", open("mine", O_RDONLY | O_NOATIME));
	say("setuid back", setuid(0));
	say("setgroups", setgroups(0, NULL));
	say("setresuid", setresuid(0, -1, -1));
	say("chroot", chroot("open"));
	say("mknod", mknod("open/null", S_IFCHR | 0666, 0x103));
}

static void changing(void)
{
	who("at first");
	say("setresuid", setresuid(1, 2, 3));
	who("then");
	say("seteuid to saved", seteuid(3));
	who("then");
	say("setreuid", setreuid(3, 1));
	who("then");
	say("setuid to other", setuid(5));
	say("setgid", setgid(5));
	say("setfsuid", setfsuid(9) == 1 && setfsuid(-1) == 1 ? 0 : -1);
	gid_t groups[4];
	printf("groups %d\n", getgroups(4, groups));
	errno = 0;
	say("getgroups too few", syscall(SYS_getgroups, -1, groups));
}

static void by_effective(void)
{
	make("roots", 0600, 0, 0);
	make("theirs", 0600, SOMEBODY, SOMEBODY);
	say("seteuid", seteuid(SOMEBODY));
	say("open roots", open("roots", O_RDONLY));
	say("access roots", access("roots", R_OK));
	say("eaccess roots", faccessat(AT_FDCWD, "roots", R_OK, AT_EACCESS));
	say("open theirs", open("theirs", O_RDONLY));
	say("seteuid back", seteuid(0));
	setfsuid(NOBODY);
	say("as nobody", open("roots", O_RDONLY));
	setfsuid(0);
	say("as root", open("roots", O_RDONLY));
}

static void fork_once(const char *what)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		exit(0);
	say(what, pid);
	wait(NULL);
}

// A user's processes, of whom there are no others.
static void limited(void)
{
	struct rlimit limit = {1, 2};
	say("one process", setrlimit(RLIMIT_NPROC, &limit));
	fork_once("fork of superuser");
	say("setresuid", setresuid(LONER, LONER, LONER));
	fork_once("fork of one of one");
	limit.rlim_cur = 2;
	say("two processes", setrlimit(RLIMIT_NPROC, &limit));
	fork_once("fork of one of two");
	fflush(stdout);
	if (fork() == 0) {
		fork_once("fork of two of two");
		exit(0);
	}
	wait(NULL);
	fork_once("fork after that");
}

static void by_file(const char *self)
{
	char buffer[1 << 16];
	ssize_t len;
	int from = open(self, O_RDONLY), to = open("copy", O_CREAT | O_WRONLY, 0755);
	while ((len = read(from, buffer, sizeof buffer)) > 0)
		write(to, buffer, len);
	close(from);
	close(to);
	chown("copy", SOMEBODY, 50);
	chmod("copy", 06755);
	fflush(stdout);
	if (fork() == 0) {
		setgid(7);
		setuid(8);
		execl("copy", "copy", "who", NULL);
		say("execl", -1);
		exit(1);
	}
	wait(NULL);
	chmod("copy", 0644);
	execl("copy", "copy", "who", NULL);
	say("run what nobody may", -1);
}

static void show_capabilities(const char *what)
{
	struct { unsigned version; int pid; } head = {0x20080522, 0};
	unsigned sets[2][3] = {0};
	syscall(SYS_capget, &head, sets);
	printf("%s: effective %d, permitted %d\n", what, sets[0][0] != 0, sets[0][1] != 0);
}

static void capabilities(void)
{
	show_capabilities("superuser");
	setresuid(-1, SOMEBODY, -1);
	show_capabilities("acting as somebody");
	setresuid(-1, 0, -1);
	show_capabilities("acting as superuser");
	fflush(stdout);
	if (fork() == 0) {
		prctl(PR_SET_KEEPCAPS, 1);
		setresuid(NOBODY, NOBODY, NOBODY);
		show_capabilities("nobody who keeps them");
		exit(0);
	}
	wait(NULL);
	setresuid(NOBODY, NOBODY, NOBODY);
	show_capabilities("nobody");
	say("drop one for good", prctl(PR_CAPBSET_DROP, 0));
	struct sched_param priority = {-1};
	say("priority of none", sched_setscheduler(0, SCHED_FIFO, &priority));
	priority.sched_priority = 1;
	say("priority", sched_setscheduler(0, SCHED_FIFO, &priority));
	say("change rules", prctl(PR_SET_SECUREBITS, 0));
}

static void in_group(const char *path)
{
	close(creat(path, 02777));
	show(path);
	unlink(path);
	mknod(path, S_IFREG | 02755, 0);
	show(path);
	unlink(path);
	close(creat(path, 02745));
	show(path);
	unlink(path);
}

// The bit by which programs act as their group is for those who are in it.
static void set_group_id(void)
{
	const int modes[] = {0777, 02777};
	umask(0);
	mkdir("theirs", 0777);
	chown("theirs", NOBODY, LONER);
	for (int i = 0; i < 2; i++) {
		chmod("theirs", modes[i]);
		fflush(stdout);
		if (!fork()) {
			setgid(NOBODY), setuid(NOBODY);
			in_group("theirs/somebody's");
			say("chmod of a folder", chmod("theirs", 02777));
			show("theirs");
			exit(0);
		}
		wait(NULL);
		chmod("theirs", modes[i]);
		in_group("theirs/superuser's");
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	if (argc > 1 && argv[1]) {
		who("by file");
		printf("secure %lu, %lu %lu %lu %lu\n", getauxval(AT_SECURE), getauxval(AT_UID),
		       getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
		return 0;
	}
	char folder[] = "/tmp/ringfence-owners-XXXXXX";
	if (!mkdtemp(folder) || chdir(folder) || setgroups(0, NULL) || setresgid(0, 0, 0))
		return 1;
	chmod(".", 0755);
	umask(022);
	void (*const parts[])(void) = {as_superuser, as_other,     changing,
	                               by_effective, limited, capabilities, set_group_id};
	for (int n = 0; n < 7; n++) {
		char name[2] = {'0' + n, 0};
		mkdir(name, 0755);
		fflush(stdout);
		if (fork() == 0) {
			if (chdir(name) == 0)
				parts[n]();
			exit(0);
		}
		wait(NULL);
	}
	by_file((const char *)getauxval(AT_EXECFN));
	return nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS);
}
