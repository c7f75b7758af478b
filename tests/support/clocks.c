/* Preloaded into one process: its wall clock and its boot-time clock are what a file says, in nanoseconds.
   All others stay the machine's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

struct clocks {
    _Atomic int64_t wall_ahead;
    _Atomic int64_t boot_ahead;
    _Atomic int64_t boot_stands_at; /* 0: it goes on */
    _Atomic int64_t wall_reads;
    _Atomic int64_t boot_reads;
};

static int read_machine(clockid_t id, struct timespec *time);
static int (*machine)(clockid_t, struct timespec *) = read_machine;
static struct clocks *clocks;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCKS_OF_THIS_PROCESS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof(struct clocks), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) clocks = at;
}

static int read_machine(clockid_t id, struct timespec *time) {
    int (*found)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (!found) abort();
    machine = found;
    return found(id, time);
}

static void set(struct timespec *time, int64_t nanos) {
    int64_t seconds = nanos / SECOND;
    *time = (struct timespec){.tv_sec = seconds, .tv_nsec = nanos - seconds * SECOND};
}

/* Counted before it is looked at: who sees a later count than when the file was changed knows that it counts. */
int clock_gettime(clockid_t id, struct timespec *time) {
    int result = machine(id, time);
    if (result || !clocks) return result;
    int64_t now = time->tv_sec * SECOND + time->tv_nsec;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        clocks->wall_reads++;
        set(time, now + clocks->wall_ahead);
    } else if (id == CLOCK_BOOTTIME) {
        clocks->boot_reads++;
        int64_t stands_at = clocks->boot_stands_at;
        set(time, stands_at ? stands_at : now + clocks->boot_ahead);
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return result;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
