/* The full floor: journal, file and row, with nothing around them.
 * Spawned, appends 512 bytes to a journal and syncs it, places one file, inserts one row, exits.
 * usage: full FOLDER, which has journal.log, tmp/, files/ and index.db with a table r (id TEXT PRIMARY KEY, body TEXT) */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char entry[512], temp[256], place[256], name[64];
    struct timespec now;
    if (argc != 2 || chdir(argv[1]) != 0) return 64;
    memset(entry, 'x', sizeof entry);
    entry[0] = entry[511] = '\n';
    int journal = open("journal.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal < 0 || write(journal, entry, sizeof entry) != sizeof entry || fdatasync(journal) != 0) return 74;

    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name, sizeof name, "%d-%lld-%ld", getpid(), (long long)now.tv_sec, now.tv_nsec);
    snprintf(temp, sizeof temp, "tmp/%s", name);
    snprintf(place, sizeof place, "files/%s.md", name);
    int file = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || write(file, entry, 300) != 300 || close(file) != 0 || rename(temp, place) != 0) return 74;

    sqlite3 *index;
    sqlite3_stmt *insert;
    if (sqlite3_open_v2("index.db", &index, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) return 75;
    sqlite3_busy_timeout(index, 1000);
    sqlite3_db_config(index, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
    if (sqlite3_exec(index, "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0", 0, 0, 0) != SQLITE_OK) return 75;
    if (sqlite3_prepare_v2(index, "INSERT INTO r VALUES (?1, ?2)", -1, &insert, NULL) != SQLITE_OK) return 75;
    sqlite3_bind_text(insert, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, entry + 1, 200, SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) return 75;
    sqlite3_finalize(insert);
    sqlite3_close(index);
    return 0;
}
