//! What differs between two runs of one failure does not change its signature.

use indelible::signature::{Signature, signature};

use crate::{Row, all_rows};

/// Lines of a build that went on for long before it failed.
fn filler(count: usize) -> String {
    (0..count).map(|number| format!("step {number} of the long build went well\n")).collect()
}

#[track_caller]
fn stays(change: impl Fn(&Row) -> (Row, bool), may_lose: impl Fn(&Signature) -> bool) {
    stays_for(all_rows(), change, may_lose);
}

/// Holds `change` against those of `rows` that have a signature: it stays, but for those that `may_lose` says can lose it. It never
/// becomes another one.
#[track_caller]
fn stays_for(rows: Vec<Row>, change: impl Fn(&Row) -> (Row, bool), may_lose: impl Fn(&Signature) -> bool) {
    let (mut count, mut lost, mut wrong) = (0, Vec::new(), Vec::new());
    for row in rows {
        let Some(expected) = row.signature() else { continue };
        let (changed, was_cut) = change(&row);
        let got = signature(&changed.command, &changed.cwd, Some(changed.exit), changed.output.as_bytes(), was_cut);
        count += 1;
        match got {
            Some(got) if got == expected => {}
            None if may_lose(&expected) => {}
            None => lost.push(format!("{}: {expected:?}\n", row.group)),
            Some(got) => wrong.push(format!("{}: {expected:?}\n    {got:?}\n", row.group)),
        }
    }
    println!("lost:\n{}\nwrong:\n{}", lost.concat(), wrong.concat());
    assert!(count > 40, "hardly any output has a signature");
    let share = (lost.len() + wrong.len()) as f64 / count as f64;
    assert!(share <= 0.01, "{} of {count} are lost, {} are another one", lost.len(), wrong.len());
}

fn never(_: &Signature) -> bool {
    false
}

fn is_weak(signature: &Signature) -> bool {
    ["generic", "last"].contains(&signature.class)
}

fn with_output(row: &Row, output: String) -> (Row, bool) {
    (Row { output, ..row.clone() }, false)
}

#[test]
fn colours() {
    let coloured = |line: &str| match line.split_once(' ') {
        Some((first, rest)) => format!("\u{1b}[0m\u{1b}[1;31m{first}\u{1b}[0m {rest}\u{1b}[K\n"),
        None => format!("\u{1b}[38;5;9m{line}\u{1b}[m\u{1b}]0;title\u{7}\n"),
    };
    stays(|row| with_output(row, row.output.lines().map(coloured).collect()), never);
}

#[test]
fn line_ends_of_windows() {
    stays(|row| with_output(row, row.output.replace('\n', "\r\n")), never);
}

#[test]
fn another_folder() {
    let to = "/srv/Some Other/build_77";
    let change = |row: &Row| {
        let output = row.output.replace(&row.cwd, to);
        (Row { output, cwd: to.to_owned(), ..row.clone() }, false)
    };
    stays(change, never);
}

/// `text` with 1,000 more for each line and column that is told.
fn moved(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, behind) = rest.split_at(at);
        let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        out.push_str(before);
        let is_place = [".c:", ".cpp:", ".py:", ".js:", ".rs:", ".java:", ".sh:", " line ", "Makefile:"];
        let is_column = || {
            let digits = out.trim_end_matches(':').trim_end_matches(|c: char| c.is_ascii_digit());
            out.ends_with(':') && is_place.iter().any(|it| digits.ends_with(it))
        };
        if end < 5 && (is_place.iter().any(|it| out.ends_with(it)) || is_column()) {
            out.push_str(&(1000 + behind[..end].parse::<u32>().unwrap_or(0)).to_string());
        } else {
            out.push_str(&behind[..end]);
        }
        rest = &behind[end..];
    }
    out + rest
}

#[test]
fn other_line_numbers() {
    assert_eq!(moved("a.c:3:5: x line 7, port 80"), "a.c:1003:1005: x line 1007, port 80");
    stays(|row| with_output(row, moved(&row.output)), never);
}

#[test]
fn times_before_each_line() {
    let stamped = |row: &Row| {
        let line = |(number, line): (usize, &str)| format!("2026-11-29T10:19:{:02}.123Z {line}\n", number % 60);
        with_output(row, row.output.lines().enumerate().map(line).collect())
    };
    stays(stamped, never);
}

#[test]
fn other_times_sums_and_amounts() {
    for (one, other) in [
        ("took 0.25s at 10:19:29: the lock is held", "took 12ms at 23:00:01.5: the lock is held"),
        ("2026-11-29T10:19:29Z: the lock is held", "2027-01-02T00:00:00.123Z: the lock is held"),
        ("object 9f3c2a1b is unreachable from here", "object 0a1b2c3d4e5f is unreachable from here"),
        (
            "id 00000000-0000-4000-8000-00000000000a is unreachable from here",
            "id 01234567-89ab-4cde-8f01-23456789abcd is unreachable from here",
        ),
        (
            "at 0x7ffe: 3 of 7 blocks, 1.5 MB, are unreachable from here",
            "at 0x55d0: 4 of 9 blocks, 12 KiB, are unreachable from here",
        ),
        ("/tmp/tmpab12cd34/x is unreachable from here", "/tmp/tmpzz_9yy8x/x is unreachable from here"),
        ("process 4711 could not lock a.db", "process 99 could not lock a.db"),
    ] {
        let of = |output: &str| signature("./run", "/srv/a", Some(1), format!("error: {output}\n").as_bytes(), false);
        assert!(of(one).is_some(), "{one}");
        assert_eq!(of(one), of(other), "{one}");
    }
}

#[test]
fn progress_strewn_in() {
    const PROGRESS: [&str; 7] = [
        "   Compiling serde v1.0.219\n",
        " 12% [=>        ]\r 50% [=====>    ]\r\n",
        "[12/300] Building CXX object a/b.o\n",
        "Downloading package 45%\n",
        "\u{1b}[2K\r\n",
        "Receiving objects:  45% (45/100)\n",
        "  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\n",
    ];
    let strewn = |row: &Row| {
        let line = |(number, line): (usize, &str)| format!("{line}\n{}", PROGRESS[number % PROGRESS.len()]);
        with_output(row, row.output.lines().enumerate().map(line).collect())
    };
    stays(strewn, never);
}

#[test]
fn only_the_last_40_lines() {
    let last = |row: &Row| {
        let output = filler(400) + &row.output;
        let lines: Vec<&str> = output.lines().collect();
        with_output(row, lines[lines.len() - 40..].join("\n"))
    };
    // What is in more than 40 lines can be gone, or be another of its errors.
    let is_long = |row: &Row| row.output.lines().count() > 40;
    stays(|row| if is_long(row) { with_output(row, row.output.clone()) } else { last(row) }, is_weak);
}

#[test]
fn the_middle_cut_out() {
    let mark = "... [12345 characters truncated] ...\n";
    stays(|row| (Row { output: filler(20) + mark + &row.output, ..row.clone() }, true), is_weak);
    stays(|row| (Row { output: format!("{}\n{mark}{}", row.output, filler(20)), ..row.clone() }, true), is_weak);
    let (some, long) = (all_rows().into_iter().step_by(20).collect(), filler(10_000));
    stays_for(some, |row| with_output(row, format!("{}\n{long}", row.output)), is_weak);
}

#[test]
fn more_around_the_command() {
    let around = |row: &Row| {
        let command = row.command.replace('\'', "'\\''");
        let command =
            format!("set -e\ncd /srv && sudo timeout -k 5 300 bash -lc '{command}' 2>&1 | tee log | tail -100");
        (Row { command, ..row.clone() }, false)
    };
    // Whether text is only shown is told by the exit code of a command that hides none.
    stays(around, never);
}
