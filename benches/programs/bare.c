/* The bare floor: what one durable record costs a process that does nothing else.
 * Spawned, appends 512 bytes to a journal, syncs it, exits. usage: bare JOURNAL */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char entry[512];
    if (argc != 2) return 64;
    memset(entry, 'x', sizeof entry);
    entry[0] = entry[511] = '\n';
    int journal = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal < 0 || write(journal, entry, sizeof entry) != sizeof entry) return 74;
    return fdatasync(journal) == 0 ? 0 : 74;
}
