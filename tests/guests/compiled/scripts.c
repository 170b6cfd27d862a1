/* What execve makes of scripts, of files that are no programs, and of too much. The program itself
 * is the interpreter of its scripts: then it prints its arguments. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char folder[64], path[128];

static const char *file(const char *name, const char *contents, int mode) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, contents, strlen(contents));
    close(fd);
    chmod(path, mode);
    return path;
}

/* Runs a file, and prints how that ends. */
static void run(const char *what, const char *name, char *const argv[], char *const envp[]) {
    printf("%s: ", what);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve(name, argv, envp);
        printf("%s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(100);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("killed by %d\n", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 100 && WEXITSTATUS(status) != 5)
        printf("status %d\n", WEXITSTATUS(status));
}

static char *one[] = {"first", "a b", "", NULL};

static void script(const char *what, const char *line) {
    run(what, file("script", line, 0700), one, environ);
}

static char *of_length(int length) {
    char *string = malloc(length + 1);
    memset(string, 'x', length);
    string[length] = 0;
    return string;
}

int main(int argc, char **argv) {
    if (getenv("INTERPRETER") || argc == 0 || strcmp(argv[0], "show") == 0) {
        printf("%d", argc);
        for (int i = 0; i < argc && argc < 20; i++) {
            const char *last = strrchr(argv[i], '/');
            if (strlen(argv[i]) > 60) printf(" (%zu)", strlen(argv[i]));
            else printf(" [%s]", last ? last + 1 : argv[i]);
        }
        const char *name = strrchr((char *)getauxval(AT_EXECFN), '/');
        printf(" of %s\n", name ? name + 1 : "?");
        return 5;
    }
    mkdir("/tmp", 0777);
    snprintf(folder, sizeof folder, "/tmp/scripts.%d", getpid());
    mkdir(folder, 0700);
    setenv("INTERPRETER", "1", 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
#define SELF "/proc/self/exe"
    script("plain", "#!" SELF "\nrest");
    script("argument", "#! " SELF " -x  y \t\n");
    script("no newline", "#!" SELF);
    script("blank", "#!   \n");
    script("nothing", "#!\n");
    script("only the mark", "#!");
    script("a zero", "#! \t");
    script("missing", "#!/no/such/program\n");
    script("folder", "#!/\n");
    script("not a script", "# " SELF "\n");
    script("empty", "");
    script("text", "hello\n");
    char *long_line = of_length(400);
    char line[1000];
    snprintf(line, sizeof line, "#!%s %s\n", SELF, long_line);
    script("long argument", line);
    snprintf(line, sizeof line, "#!/%s\n", long_line);
    script("long path", line);
    snprintf(line, sizeof line, "#!%*s\n", 300, "");
    script("long blanks", line);
    for (int depth = 1; depth <= 8; depth++) {
        char name[32], contents[200];
        if (depth == 1) snprintf(contents, sizeof contents, "#!%s -1\n", SELF);
        else snprintf(contents, sizeof contents, "#!%s/level%d -%d\n", folder, depth - 1, depth);
        sprintf(name, "level%d", depth);
        run(name, file(name, contents, 0700), one, environ);
    }
    snprintf(line, sizeof line, "#!%s/itself\n", folder);
    run("itself", file("itself", line, 0700), one, environ);
    run("not to be run", file("plain", "#!" SELF "\n", 0600), one, environ);
    run("folder", folder, one, environ);
    run("nowhere", "/no/such/file", one, environ);
    run("through a file", "/proc/self/exe/x", one, environ);
    run("damaged", file("damaged", "\177ELF\2\1\1", 0700), one, environ);

    char *none[] = {NULL};
    file("script", "#!" SELF "\n", 0700);
    run("script without arguments", path, none, environ);
    run("no arguments", SELF, none, environ);
    run("null arguments", SELF, NULL, environ);
    run("bad arguments", SELF, (char **)8, environ);
    char *bad[] = {"show", (char *)8, NULL};
    run("bad argument", SELF, bad, environ);
    char *show[] = {"show", NULL, NULL};
    run("no environment", SELF, show, NULL);
    show[1] = of_length((128 << 10) - 1);
    run("longest argument", SELF, show, environ);
    show[1] = of_length(128 << 10);
    run("too long an argument", SELF, show, environ);
    static char *many[40000];
    for (int i = 0; i < 39999; i++) many[i] = "show";
    char **few = many + 40000 - 1001;
    run("many arguments", SELF, few, environ);
    char *big = of_length(100000);
    for (int i = 1; i < 39999; i++) many[i] = big;
    struct rlimit before, small;
    getrlimit(RLIMIT_STACK, &before);
    small = before;
    small.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_STACK, &small);
    run("too much", SELF, many, environ);
    setrlimit(RLIMIT_STACK, &before);

    file("script", "#!" SELF "\n", 0700);
    int writer = open(path, O_WRONLY);
    run("being written", path, one, environ);
    close(writer);
    run("written", path, one, environ);
    int result = open(SELF, O_WRONLY);
    printf("writing a program: %d %s\n", result, strerrorname_np(errno));
    result = truncate(SELF, 10);
    printf("truncating it: %d %s\n", result, strerrorname_np(errno));

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    result = syscall(SYS_execveat, fd, "", one, environ, AT_EMPTY_PATH);
    printf("script by descriptor: %d %s\n", result, strerrorname_np(errno));
    result = syscall(SYS_execveat, fd, "", one, environ, 0);
    printf("empty path: %d %s\n", result, strerrorname_np(errno));
    result = syscall(SYS_execveat, -1, "x", one, environ, 0);
    printf("bad descriptor: %d %s\n", result, strerrorname_np(errno));
    result = syscall(SYS_execveat, AT_FDCWD, "x", one, environ, 1);
    printf("bad flags: %d %s\n", result, strerrorname_np(errno));
    symlink("script", strcat(strcpy(line, folder), "/link"));
    result = syscall(SYS_execveat, AT_FDCWD, line, one, environ, AT_SYMLINK_NOFOLLOW);
    printf("a link: %d %s\n", result, strerrorname_np(errno));
    run("through a link", line, one, environ);
    static const char *names[] = {"script", "plain", "damaged", "itself", "link"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    for (int depth = 1; depth <= 8; depth++) {
        snprintf(path, sizeof path, "%s/level%d", folder, depth);
        unlink(path);
    }
    printf("clean %d\n", rmdir(folder));
    return 0;
}
