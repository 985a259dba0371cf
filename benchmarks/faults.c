/* Stands between a process and the system (LD_PRELOAD): lets a number of writes below a folder succeed and answers that
   the disk is full from there on (full_disk.py), or kills the process there (kills.py), and makes the clock of the day
   jump (clock_jumps.py). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char folder[4096];
static long allowed = -1; /* -1: not counting, nothing fails */
static long seen;
static int kills; /* the process ends where the disk would be full; removals count too */
static int listed = -1; /* where each step is written down */

void disk_watch(const char *path, long writes, int kill) {
    strncpy(folder, path, sizeof folder - 1);
    allowed = writes;
    kills = kill;
    listed = -1;
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
}

void disk_list(const char *path) { listed = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600); }

/* A step of which it is known that it is below the folder: whether it fails. */
static int full(const char *call, const char *path) {
    long number = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
    if (listed >= 0) {
        char line[4200];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        syscall(SYS_write, listed, line, length < (int)sizeof line ? length : (int)sizeof line - 1);
    }
    if (allowed < 0 || number < allowed) return 0;
    if (kills) raise(SIGKILL);
    errno = ENOSPC;
    return 1;
}

static int below(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int file_full(const char *call, int fd) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path) && full(call, path);
}

static int name_full(const char *call, int folder_fd, const char *path) {
    if (!folder[0]) return 0;
    if (path[0] == '/') return below(path) && full(call, path);
    if (folder_fd != AT_FDCWD) return file_full(call, folder_fd);
    char whole[4096];
    if (!getcwd(whole, sizeof whole)) return 0;
    size_t length = strlen(whole);
    if (length + strlen(path) + 2 > sizeof whole) return 0;
    whole[length] = '/';
    strcpy(whole + length + 1, path);
    return below(whole) && full(call, whole);
}

#define REAL(name) (real ? real : (real = dlsym(RTLD_NEXT, name)))

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (file_full("write", fd)) return -1;
    return REAL("write")(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (file_full("write", fd)) return -1;
    return REAL("pwrite")(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (file_full("write", fd)) return -1;
    return REAL("pwrite64")(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (file_full("write", fd)) return -1;
    return REAL("writev")(fd, parts, count);
}

int fsync(int fd) {
    static int (*real)(int);
    if (file_full("sync", fd)) return -1;
    return REAL("fsync")(fd);
}

int ftruncate(int fd, off_t size) {
    static int (*real)(int, off_t);
    if (size > 0 && file_full("truncate", fd)) return -1;
    return REAL("ftruncate")(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    static int (*real)(int, off64_t);
    if (size > 0 && file_full("truncate", fd)) return -1;
    return REAL("ftruncate64")(fd, size);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (file_full("allocate", fd)) return ENOSPC;
    return REAL("posix_fallocate")(fd, at, size);
}

int mkdir(const char *path, mode_t mode) {
    static int (*real)(const char *, mode_t);
    if (name_full("mkdir", AT_FDCWD, path)) return -1;
    return REAL("mkdir")(path, mode);
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (name_full("rename", AT_FDCWD, to)) return -1;
    return REAL("rename")(from, to);
}

int unlink(const char *path) {
    static int (*real)(const char *);
    if (kills && name_full("unlink", AT_FDCWD, path)) return -1;
    return REAL("unlink")(path);
}

int unlinkat(int folder_fd, const char *path, int flags) {
    static int (*real)(int, const char *, int);
    if (kills && name_full("unlink", folder_fd, path)) return -1;
    return REAL("unlinkat")(folder_fd, path, flags);
}

int rmdir(const char *path) {
    static int (*real)(const char *);
    if (kills && name_full("rmdir", AT_FDCWD, path)) return -1;
    return REAL("rmdir")(path);
}

static long jump_after = -1, jump_seconds, looks;

void clock_jump(long after, long seconds) {
    jump_after = after;
    jump_seconds = seconds;
    __atomic_store_n(&looks, 0, __ATOMIC_SEQ_CST);
}

long clock_looks(void) { return __atomic_load_n(&looks, __ATOMIC_SEQ_CST); }

static long jumped(void) {
    long number = __atomic_fetch_add(&looks, 1, __ATOMIC_SEQ_CST);
    return jump_after >= 0 && number >= jump_after ? jump_seconds : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    int answer = REAL("clock_gettime")(clock, now);
    if (clock == CLOCK_REALTIME && answer == 0) now->tv_sec += jumped();
    return answer;
}

int gettimeofday(struct timeval *now, void *zone) {
    static int (*real)(struct timeval *, void *);
    int answer = REAL("gettimeofday")(now, zone);
    if (answer == 0) now->tv_sec += jumped();
    return answer;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
