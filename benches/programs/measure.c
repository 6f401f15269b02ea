/* Runs a program and says what it took. usage: measure REPORT PROGRAM [ARGUMENT...]
 * Writes one line to REPORT: nanoseconds of wall time from before the start to after the end, peak memory in kB,
 * bytes written to disks, bytes passed to writing calls, exit status, nanoseconds of CPU time. It is small itself because the system counts whoever starts a program into that
 * program's peak memory. What the program's own children wrote is counted in, as soon as they ended. */
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The process has ended and not been waited for, so its accounts can still be read. */
static void written_by(pid_t process, long long *disk, long long *passed) {
    char path[64], line[128];
    *disk = *passed = -1;
    snprintf(path, sizeof path, "/proc/%d/io", (int)process);
    FILE *io = fopen(path, "r");
    while (io && fgets(line, sizeof line, io)) {
        sscanf(line, "write_bytes: %lld", disk);
        sscanf(line, "wchar: %lld", passed);
    }
    if (io) fclose(io);
}

int main(int argc, char **argv) {
    pid_t process;
    siginfo_t ended;
    struct rusage usage;
    int status;
    if (argc < 3) return 64;
    long long start = nanoseconds();
    if (posix_spawnp(&process, argv[2], NULL, NULL, argv + 2, environ) != 0) return 69;
    if (waitid(P_PID, process, &ended, WEXITED | WNOWAIT) != 0) return 71;
    long long wall = nanoseconds() - start, disk, passed;
    written_by(process, &disk, &passed);
    if (wait4(process, &status, 0, &usage) < 0) return 71;
    FILE *report = fopen(argv[1], "w");
    if (!report) return 73;
    long long cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
                    (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
    fprintf(report, "%lld %ld %lld %lld %d %lld\n", wall, usage.ru_maxrss, disk, passed,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), cpu);
    return fclose(report) == 0 ? 0 : 74;
}
