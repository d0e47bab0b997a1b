/*
 * parse prints the settings that the installed liblxc takes from config files.
 *
 *   parse FILE...   one answer per file, as text
 *   parse           reads configs from standard input and answers on standard
 *                   output, each with its length before it (uint32, little
 *                   endian); ends at the end of input
 *
 * An answer is lines of fields with tabs between them:
 *
 *   liblxc VERSION
 *   verdict ok | verdict refused | verdict died SIGNAL
 *   item KEY TEXT   a value that differs from an empty config's, one line for
 *                   each element of a list. KEY with the empty TEXT: a value
 *                   that an empty config has is gone.
 *   line TEXT       a line as liblxc split the text, in order; without lines of
 *                   included files and of lxc.idmap. If liblxc refused the
 *                   config, the last line is the one that it refused, or the one
 *                   that includes the refused file. LF stands for an empty line.
 *
 * TEXT has \\, \n, \t, and \xHH for bytes below 0x20 and from 0x7f.
 *
 * The exit status is 1 if liblxc refused a file (FILE... only) and 2 if the program
 * itself failed. A separate process reads each config. Nothing is started and no file
 * is made: liblxc calls the functions below instead of libc's. Without them, reading
 * a config would make the file that lxc.log.file names.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lxc/lxccontainer.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIG "/dev/null/config" /* no file system has these names: */
#define LINES "/dev/null/lines"   /* open64 gives the files below */
#define MAX_CONFIG (16u << 20)

static int config_fd = -1, lines_fd = -1;

static void die(const char *what)
{
	fprintf(stderr, "parse: %s: %s\n", what, strerror(errno));
	_exit(2);
}

/* Opens a file for liblxc: to read, any file and the two above; to write, /dev/null. */
static int open_for_liblxc(int dir, const char *path, int flags)
{
	if (strcmp(path, CONFIG) == 0 || strcmp(path, LINES) == 0) {
		int fd = dup(path[sizeof(LINES) - 6] == 'l' ? lines_fd : config_fd);
		if (fd >= 0)
			lseek(fd, 0, SEEK_SET);
		return fd;
	}
	if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)) {
		struct stat st;
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return -1;
		}
		dir = AT_FDCWD, path = "/dev/null", flags = O_WRONLY | O_CLOEXEC;
	}
	return syscall(SYS_openat, dir, path, flags | O_LARGEFILE, 0);
}

int open64(const char *path, int flags, ...) { return open_for_liblxc(AT_FDCWD, path, flags); }
int open(const char *path, int flags, ...) { return open_for_liblxc(AT_FDCWD, path, flags); }
int openat64(int dir, const char *path, int flags, ...) { return open_for_liblxc(dir, path, flags); }
int openat(int dir, const char *path, int flags, ...) { return open_for_liblxc(dir, path, flags); }
int creat64(const char *path, mode_t mode) { return open_for_liblxc(AT_FDCWD, path, O_WRONLY | O_CREAT); }
int mkdir(const char *path, mode_t mode) { return 0; }
int mkdirat(int dir, const char *path, mode_t mode) { return 0; }

/* Functions that reading a config must not need: they do nothing. */
#define FORBID(declaration)                                       \
	declaration                                               \
	{                                                         \
		fprintf(stderr, "parse: liblxc called %s\n", __func__); \
		abort();                                          \
	}
FORBID(int execl(const char *path, const char *arg, ...))
FORBID(int execlp(const char *path, const char *arg, ...))
FORBID(int execv(const char *path, char *const argv[]))
FORBID(int execve(const char *path, char *const argv[], char *const envp[]))
FORBID(int execvp(const char *path, char *const argv[]))
FORBID(int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...))
FORBID(int unlink(const char *path))
FORBID(int unlinkat(int dir, const char *path, int flags))
FORBID(int rmdir(const char *path))
FORBID(int rename(const char *from, const char *to))
FORBID(int symlinkat(const char *to, int dir, const char *path))
FORBID(int mknod(const char *path, mode_t mode, dev_t dev))
FORBID(int mknodat(int dir, const char *path, mode_t mode, dev_t dev))
FORBID(int mkstemp64(char *name))
FORBID(int chmod(const char *path, mode_t mode))
FORBID(int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data))
FORBID(int umount2(const char *path, int flags))
FORBID(int connect(int fd, const struct sockaddr *to, socklen_t size))

static void print_text(FILE *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = text[i];
		if (c == '\\')
			fputs("\\\\", out);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < ' ' || c >= 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
}

/* get returns the text from get_config_item or get_keys, or NULL if there is no such key. */
static char *get(int (*f)(struct lxc_container *, const char *, char *, int), struct lxc_container *c, const char *key)
{
	int size = f(c, key, NULL, 0);
	if (size < 0)
		return NULL;
	char *text = calloc(1, size + 1);
	if (!text)
		die("memory");
	if (size > 0 && f(c, key, text, size + 1) != size) {
		free(text);
		return NULL;
	}
	return text;
}

static void print_item(FILE *out, struct lxc_container *c, struct lxc_container *empty, const char *key)
{
	char *value = get(c->get_config_item, c, key), *was = get(empty->get_config_item, empty, key);
	if (value && strcmp(value, was ? was : "") != 0) {
		char *part = value;
		do {
			size_t size = strcspn(part, "\n");
			fprintf(out, "item\t%s\t", key);
			print_text(out, part, size);
			fputc('\n', out);
			part += size + (part[size] == '\n');
		} while (*part);
	}
	free(value);
	free(was);
}

static void print_keys(FILE *out, struct lxc_container *c, struct lxc_container *empty, const char *prefix)
{
	char *keys = get(c->get_keys, c, prefix), *rest = keys;
	for (char *key; rest && (key = strsep(&rest, "\n"));) {
		char full[256];
		if (!*key || strcmp(key, "lxc.net") == 0)
			continue;
		snprintf(full, sizeof(full), "%s%s%s", prefix ? prefix : "", prefix ? "." : "", key);
		print_item(out, c, empty, full);
	}
	free(keys);
}

static void print_items(FILE *out, struct lxc_container *c, struct lxc_container *empty)
{
	static const char *const namespaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
	char key[64];
	print_keys(out, c, empty, NULL);
	for (size_t i = 0; i < sizeof(namespaces) / sizeof(*namespaces); i++) {
		snprintf(key, sizeof(key), "lxc.namespace.share.%s", namespaces[i]);
		print_item(out, c, empty, key);
	}
	print_item(out, c, empty, "lxc.net");
	for (int i = 0; i < 1000; i++) { /* no function lists the numbers in use */
		snprintf(key, sizeof(key), "lxc.net.%d.type", i);
		if (c->get_config_item(c, key, NULL, 0) < 0)
			continue;
		*strrchr(key, '.') = 0;
		print_keys(out, c, empty, key);
	}
}

static void print_lines(FILE *out, struct lxc_container *c)
{
	struct stat st;
	if (!c->save_config(c, LINES))
		die("save_config");
	if (fstat(lines_fd, &st) < 0)
		die("fstat");
	char *text = calloc(1, st.st_size + 1), *at = text;
	if (!text || pread(lines_fd, text, st.st_size, 0) != st.st_size)
		die("pread");
	while (*at) {
		size_t size = strcspn(at, "\n");
		fputs("line\t", out);
		print_text(out, at, size ? size : 1);
		fputc('\n', out);
		at += size + (at[size] == '\n');
	}
	free(text);
}

/* answer runs in the child. */
static int answer(FILE *out)
{
	struct lxc_log log = {.name = "parse", .level = "FATAL", .quiet = true};
	lxc_log_init(&log);
	/* A container needs an existing directory that liblxc can't take for a real
	 * container: neither /dev nor /proc has a file "config" or "partial". */
	struct lxc_container *c = lxc_container_new("dev", "/");
	struct lxc_container *empty = lxc_container_new("proc", "/");
	if (!c || !empty)
		die("lxc_container_new");
	if (!empty->load_config(empty, "/dev/null"))
		die("an empty config is refused");
	bool ok = c->load_config(c, CONFIG);
	fprintf(out, "verdict\t%s\n", ok ? "ok" : "refused");
	if (ok)
		print_items(out, c, empty);
	/* save_config would change the directory's owner to the map's root. */
	if (c->get_config_item(c, "lxc.idmap", NULL, 0) != 0 && !c->clear_config_item(c, "lxc.idmap"))
		die("clearing lxc.idmap");
	print_lines(out, c);
	return ok ? 0 : 1;
}

/* parse leaves an answer in *text, to be freed, and returns its exit status. */
static int parse(const char *config, size_t size, char **text, size_t *text_size)
{
	int status, out_fd = memfd_create("answer", 0);
	config_fd = memfd_create("config", 0);
	lines_fd = memfd_create("lines", 0);
	if (out_fd < 0 || config_fd < 0 || lines_fd < 0 || write(config_fd, config, size) != (ssize_t)size)
		die("memfd");
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		FILE *out = fdopen(out_fd, "w");
		if (!out)
			die("fdopen");
		status = answer(out);
		if (fclose(out) != 0)
			die("fclose");
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) > 1)
		_exit(2);
	FILE *out = open_memstream(text, text_size);
	fprintf(out, "liblxc\t%s\n", lxc_get_version());
	if (WIFSIGNALED(status)) {
		fprintf(out, "verdict\tdied\t%d\n", WTERMSIG(status));
	} else {
		char piece[65536];
		ssize_t n;
		lseek(out_fd, 0, SEEK_SET);
		while ((n = read(out_fd, piece, sizeof(piece))) > 0)
			fwrite(piece, 1, n, out);
	}
	if (fclose(out) != 0)
		die("memory");
	close(out_fd);
	close(config_fd);
	close(lines_fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static char *read_all(FILE *in, size_t *size)
{
	char *data = malloc(MAX_CONFIG);
	if (!data)
		die("memory");
	*size = fread(data, 1, MAX_CONFIG, in);
	if (ferror(in) || *size == MAX_CONFIG)
		die("reading a config (the limit is 16 MiB)");
	return data;
}

int main(int argc, char **argv)
{
	char *text;
	size_t size, text_size;
	int status = 0;
	for (int i = 1; i < argc; i++) {
		int fd = syscall(SYS_openat, AT_FDCWD, argv[i], O_RDONLY);
		FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
		if (!in)
			die(argv[i]);
		char *config = read_all(in, &size);
		fclose(in);
		status |= parse(config, size, &text, &text_size);
		fwrite(text, 1, text_size, stdout);
		free(text);
		free(config);
	}
	for (uint32_t n; argc == 1 && fread(&n, 4, 1, stdin) == 1;) {
		if (n > MAX_CONFIG)
			die("a config of more than 16 MiB");
		char *config = malloc(n + 1);
		if (!config || fread(config, 1, n, stdin) != n)
			die("reading a config");
		parse(config, n, &text, &text_size);
		n = text_size;
		if (fwrite(&n, 4, 1, stdout) != 1 || fwrite(text, 1, text_size, stdout) != text_size || fflush(stdout) != 0)
			die("writing");
		free(text);
		free(config);
	}
	return status;
}
