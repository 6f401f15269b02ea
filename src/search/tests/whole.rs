//! Put, found, taken out.

use super::*;

#[test]
fn a_record_is_found_by_its_words_until_it_is_taken_out() {
    let mut connection = empty();
    assert!(check(&connection).expect("it is read"));
    let records = [
        failure(1, "the cache is stale after an upgrade", "delete the folder"),
        failure(2, "flaky test", "parseConfigFile times out in src/fs/mod.rs with E0502"),
        failure(3, "编译器 crashed", "数据库 locked 🔥"),
    ];
    put(&mut connection, &records);
    assert_eq!(found(&connection, "stale caches"), [1]);
    assert_eq!(found(&connection, "parse_config_file"), [2]);
    assert_eq!(found(&connection, "mod.rs"), [2]);
    assert_eq!(found(&connection, "数据"), [3]);
    assert_eq!(found(&connection, "🔥"), [3]);
    assert_eq!(found(&connection, "the -stale"), Vec::<u128>::new());
    assert_eq!(found(&connection, "kind:failure -flaky").len(), 2);
    let transaction = connection.transaction().expect("a transaction");
    let mut writer = Writer::open(&transaction).expect("a writer");
    assert!(writer.remove(records[1].id).expect("it is removed"));
    assert!(!writer.remove(records[1].id).expect("it is gone"));
    writer.finish().expect("it is finished");
    transaction.commit().expect("it is committed");
    assert_eq!(found(&connection, "mod.rs"), Vec::<u128>::new());
    // Put again with other words: found by these alone.
    put(&mut connection, &[failure(1, "another thing", "")]);
    assert_eq!(found(&connection, "stale"), Vec::<u128>::new());
    assert_eq!(found(&connection, "another"), [1]);
    let counts: (i64, i64) = connection
        .query_row("SELECT (SELECT count(*) FROM docs), (SELECT value FROM meta WHERE name = 'docs')", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("counts");
    assert_eq!(counts, (2, 2));
}

#[test]
fn options_of_a_command_are_looked_for_and_longer_words_are_left_out() {
    let mut connection = empty();
    let records = [failure(1, "rm -rf build", "it was the wrong folder"), failure(2, "build of windows", "in the db")];
    put(&mut connection, &records);
    assert_eq!(found(&connection, "rm -rf build"), [1, 2]);
    assert_eq!(found(&connection, "build -windows"), [1]);
    assert_eq!(found(&connection, "build -\"db\""), [1]);
    assert_eq!(found(&connection, "build -db").len(), 2);
    assert_eq!(found(&connection, "build -2024 -x").len(), 2);
    put(&mut connection, &[failure(3, "build 数据", "")]);
    assert_eq!(found(&connection, "build -数据").len(), 2);
}
