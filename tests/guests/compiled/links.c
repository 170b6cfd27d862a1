// Links, hard and symbolic, renaming and removing: one line for each case.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static void make(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("make %s: %s\n", path, strerrorname_np(errno));
	close(fd);
}

static int take_away(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st, (void)kind, (void)place;
	return remove(path);
}

static void show(const char *path)
{
	struct stat st, followed;
	char target[5000], text[100];
	if (lstat(path, &st) < 0) {
		printf("%s: %s\n", path, strerrorname_np(errno));
		return;
	}
	printf("%s: mode %o links %ld", path, st.st_mode, (long)st.st_nlink);
	if (!S_ISDIR(st.st_mode))
		printf(" size %ld", (long)st.st_size);
	ssize_t len = readlink(path, target, sizeof target);
	if (len >= 0)
		printf(" -> %.*s", (int)len, target);
	if (stat(path, &followed) < 0)
		printf(" stat %s", strerrorname_np(errno));
	else if (S_ISREG(followed.st_mode)) {
		int fd = open(path, O_RDONLY);
		len = read(fd, text, sizeof text);
		printf(" text %.*s", (int)(len < 0 ? 0 : len), text);
		close(fd);
	}
	putchar('\n');
}

static int same(const char *a, const char *b)
{
	struct stat one, other;
	return !lstat(a, &one) && !lstat(b, &other) && one.st_ino == other.st_ino &&
	       one.st_dev == other.st_dev;
}

static long exchange(const char *a, const char *b, unsigned flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void hard(void)
{
	make("file", "one");
	say("link", link("file", "other"));
	show("other");
	printf("same %d\n", same("file", "other"));
	make("other", "changed");
	show("file");
	say("link exists", link("file", "other"));
	say("link of directory", link(".", "again"));
	say("link of nothing", link("none", "again"));
	say("link into file", link("file", "other/x"));
	say("link with slash", link("file", "new/"));
	say("rename to itself", rename("file", "other"));
	show("file");
	say("unlink", unlink("file"));
	show("other");
	int fd = open("other", O_RDONLY);
	unlink("other");
	struct stat st;
	fstat(fd, &st);
	printf("open without name: links %ld size %ld\n", (long)st.st_nlink, (long)st.st_size);
	say("linkat by fd of removed", linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
	close(fd);
}

static void symbolic(void)
{
	make("target", "there");
	mkdir("dir", 0755);
	make("dir/inside", "within");
	say("symlink", symlink("target", "to-target"));
	symlink("dir", "to-dir");
	symlink("../target", "dir/up");
	symlink("loop-b", "loop-a");
	symlink("loop-a", "loop-b");
	symlink("made-by-link", "dangling");
	symlink("dir/", "slash");
	symlink("", "empty") < 0 ? say("empty target", -1) : say("empty target", 0);
	say("symlink exists", symlink("x", "to-target"));
	say("symlink at dangling", symlink("x", "dangling"));
	say("symlink with slash", symlink("x", "nothing/"));
	for (const char *const *path =
		 (const char *const[]){"to-target", "to-dir", "to-dir/", "to-dir/inside", "to-dir/up",
				       "slash/up", "loop-a", "loop-a/x", "dangling", "dangling/",
				       "to-target/", "to-target/x", "slash", "to-dir/../target",
				       "to-dir/.", NULL};
	     *path; path++)
		show(*path);
	char small[4];
	printf("short readlink %zd\n", readlink("to-target", small, sizeof small));
	say("readlink of file", readlink("target", small, sizeof small));
	say("readlink into nothing", readlink("to-target", small, 0));
	say("open nofollow", open("to-target", O_RDONLY | O_NOFOLLOW));
	say("open nofollow directory", open("to-dir", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	say("open nofollow on the way", open("to-dir/inside", O_RDONLY | O_NOFOLLOW));
	say("create exclusively at link", open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0644));
	say("create through link", open("dangling", O_CREAT | O_WRONLY, 0644));
	show("made-by-link");
	say("create in loop", open("loop-a", O_CREAT | O_WRONLY, 0644));
	say("create with slash", open("new/", O_CREAT | O_WRONLY, 0644));
	say("mkdir at dangling", mkdir("loop-a", 0755));
	say("mkdir at link/", mkdir("to-dir/", 0755));
	say("rmdir link", rmdir("to-dir"));
	say("rmdir link/", rmdir("to-dir/"));
	say("unlink link/", unlink("to-dir/"));
	say("link of link", link("to-target", "hard-to-target"));
	printf("same link %d\n", same("to-target", "hard-to-target"));
	say("link followed", linkat(AT_FDCWD, "to-target", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
	printf("same file %d\n", same("target", "hard"));
	say("rename link", rename("to-target", "renamed"));
	show("renamed");
	say("rename over link", rename("hard", "renamed"));
	show("renamed");
	say("unlink link", unlink("to-dir"));
	show("dir");
	char name[32], before[32] = "target";
	for (int n = 0; n <= 41; n++) {
		sprintf(name, "chain%d", n);
		symlink(before, name);
		strcpy(before, name);
	}
	show("chain39");
	show("chain40");
	char path[4097];
	memset(path, 'x', sizeof path);
	path[255] = 0;
	say("name of 255", open(path, O_CREAT | O_WRONLY, 0644));
	say("symlink to 255", symlink(path, "long"));
	printf("long %zd\n", readlink("long", path, sizeof path));
	memset(path, 'x', sizeof path);
	path[256] = 0;
	say("name of 256", open(path, O_CREAT | O_WRONLY, 0644));
	memset(path, '/', sizeof path);
	path[4095] = 0;
	say("path of 4095", access(path, F_OK));
	path[4095] = '/';
	path[4096] = 0;
	say("path of 4096", access(path, F_OK));
}

static void renaming(void)
{
	make("a", "A");
	make("b", "B");
	mkdir("d", 0755);
	mkdir("d/e", 0755);
	mkdir("f", 0755);
	show("d");
	say("noreplace", exchange("a", "b", RENAME_NOREPLACE));
	say("exchange files", exchange("a", "b", RENAME_EXCHANGE));
	show("a");
	say("exchange file and directory", exchange("a", "d/e", RENAME_EXCHANGE));
	show("d");
	show("d/e");
	say("exchange with inside", exchange("d", "d/e", RENAME_EXCHANGE));
	say("exchange with nothing", exchange("d", "none", RENAME_EXCHANGE));
	say("both flags", exchange("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
	say("into itself", rename("d", "d/x"));
	say("over parent", rename("d/e", "d"));
	say("file over directory", rename("b", "f"));
	say("directory over file", rename("f", "b"));
	say("directory over full", rename("f", "d"));
	say("directory with slash", rename("f/", "g/"));
	say("file with slash", rename("b/", "h"));
	say("file to slash", rename("b", "h/"));
	say("dot", rename(".", "h"));
	say("dot dot", rename("d", ".."));
	say("nothing", rename("none", "h"));
	say("unlink directory", unlink("g"));
	say("unlink dot", unlink("."));
	say("rmdir dot", rmdir("."));
	say("rmdir dot dot", rmdir("d/.."));
	say("rmdir file", rmdir("b"));
	say("rmdir full", rmdir("d"));
	say("rmdir with slash", rmdir("g/"));
	say("rmdir root", rmdir("/"));
	say("mkdir root", mkdir("/", 0755));
	say("mkdir dot", mkdir("d/.", 0755));
}

static void removed(void)
{
	char buffer[100];
	mkdir("gone", 0755);
	int here = open(".", O_RDONLY | O_DIRECTORY);
	chdir("gone");
	rmdir("../gone");
	printf("getcwd %s\n", getcwd(buffer, sizeof buffer) ? "there" : strerrorname_np(errno));
	say("make in removed", open("x", O_CREAT | O_WRONLY, 0644));
	say("stat of removed", access(".", F_OK));
	fchdir(here);
	close(here);
}

static void many(void)
{
	char name[300];
	mkdir("many", 0755);
	for (int n = 0; n < 400; n++) {
		sprintf(name, "many/%0*d", 1 + n % 50 * (n % 40 == 0 ? 5 : 1), n);
		make(name, "");
	}
	int count = 0, removed = 0;
	DIR *dir = opendir("many");
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (count % 3 == 0) {
			snprintf(name, sizeof name, "many/%s", entry->d_name);
			removed += unlink(name) == 0;
		}
	}
	closedir(dir);
	printf("listed %d removed %d\n", count, removed);
	dir = opendir("many");
	count = removed = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		snprintf(name, sizeof name, "many/%s", entry->d_name);
		removed += unlink(name) == 0;
	}
	closedir(dir);
	printf("listed %d removed %d\n", count, removed);
	say("rmdir", rmdir("many"));
}

int main(void)
{
	char folder[] = "/tmp/ringfence-links-XXXXXX";
	umask(022);
	if (!mkdtemp(folder) || chdir(folder))
		return 1;
	void (*const parts[])(void) = {hard, symbolic, renaming, removed, many};
	for (int n = 0; n < 5; n++) {
		char name[2] = {'0' + n, 0};
		mkdir(name, 0755);
		chdir(name);
		parts[n]();
		chdir("..");
	}
	return nftw(folder, take_away, 8, FTW_DEPTH | FTW_PHYS);
}
