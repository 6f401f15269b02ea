//! Folders of a day that grow are spread over hours, minutes and ids; nothing else changes for anybody.

use std::path::{Path, PathBuf};

use crate::support::{TestHome, assert_exactly_once};

const LINES: usize = 3500;

/// How many names each folder beneath `folder` has.
fn sizes(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let entries: Vec<_> =
            std::fs::read_dir(&folder).expect("it can be listed").map(|it| it.expect("readable")).collect();
        left.extend(entries.iter().map(std::fs::DirEntry::path).filter(|path| path.is_dir()));
        found.push((folder, entries.len()));
    }
    found
}

#[test]
fn many_records_at_once_go_to_many_folders() {
    let home = TestHome::new();
    let line = |number| format!("{{\"kind\":\"failure\",\"title\":\"many {number}\",\"domain\":\"d\"}}\n");
    let lines: String = (0..LINES).map(line).collect();
    let answered = home.cmd(["record", "batch"]).stdin(lines).ok();
    assert_eq!(answered.stdout.lines().count(), LINES);
    // A group of lines is decided together, so a folder can get one more of them than it should.
    for (folder, names) in sizes(&home.join("memory/failures")) {
        assert!(names < 1000 + 1024 + 60, "{names} in {}", folder.display());
    }
    let last = answered.stdout.lines().last().expect("there are some");
    let last: serde_json::Value = serde_json::from_str(last).expect("an answer is JSON");
    let path = last["path"].as_str().expect("it is text");
    assert!(path.split('/').count() > 6, "{path} lies in the folder of its day");
    home.flush();
    home.recover_fully();
    std::fs::remove_file(home.join("memory/index.db")).expect("it was there");
    home.recover_fully();
    let rows: i64 = home.index().query_row("SELECT count(*) FROM records", [], |row| row.get(0)).expect("counted");
    assert_eq!(usize::try_from(rows), Ok(LINES));
}

#[test]
fn so_do_many_records_with_keys_whose_files_the_worker_places() {
    let home = TestHome::new();
    let line = |number| {
        format!("{{\"kind\":\"failure\",\"title\":\"many {number}\",\"domain\":\"d\",\"key\":\"{number}\"}}\n")
    };
    let lines: String = (0..LINES).map(line).collect();
    let _ = home.cmd(["record", "batch"]).stdin(lines).ok();
    home.flush();
    for (folder, names) in sizes(&home.join("memory/failures")) {
        assert!(names < 1000 + 1024 + 60, "{names} in {}", folder.display());
    }
    let _ = home.verify().exits(0);
    assert_eq!(home.cmd(["list", "--limit", "1"]).ok().stdout.lines().next(), Some("3,500 records, the newest:"));
}

#[test]
fn the_worker_spreads_a_folder_that_single_records_have_filled() {
    let home = TestHome::new();
    let first = home.record("heuristic", "the first");
    let day = home.join(&first.path).parent().expect("it is in a folder").to_owned();
    for number in 0..999 {
        std::fs::write(day.join(format!("{number}.txt")), "").expect("written");
    }
    home.flush();
    let second = home.record("heuristic", "the second");
    assert_eq!(second.path.split('/').count(), first.path.split('/').count() + 1, "{}", second.path);
    home.flush();
    let page = std::fs::read_to_string(home.join("memory/heuristics/rules-of-thumb/README.md"))
        .expect("the domain has a page");
    let link = second.path.trim_start_matches("memory/heuristics/rules-of-thumb/");
    assert!(page.contains(&format!("[The record]({link})")), "{link} is not in\n{page}");
    let _ = assert_exactly_once(&home, &[first, second]);
    // Folders that hold nothing may go: they are made again when they are needed.
    let _ = std::process::Command::new("find").arg(&day).args(["-type", "d", "-empty", "-delete"]).status();
    let _ = home.record("heuristic", "the third");
    home.flush();
    home.recover_fully();
}
