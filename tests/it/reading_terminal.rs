//! Reading at a terminal: width, colours, the pager.

use std::path::Path;

use crate::support::{TestHome, write_program};
use crate::terminal::Terminal;

/// A home with `count` records, whose titles are long.
fn home_of(count: usize) -> TestHome {
    let home = TestHome::new();
    let line = |n: usize| {
        let title = format!("number {n} {}", "and so on ".repeat(20));
        serde_json::json!({ "kind": "failure", "title": title, "domain": "ci" }).to_string()
    };
    let lines: Vec<String> = (0..count).map(line).collect();
    let _ = home.cmd(["record", "batch", "--quiet"]).stdin(lines.join("\n")).ok();
    home
}

/// Runs the product at a terminal of 24 lines and 80 columns.
fn at(home: &TestHome, args: &[&str], environment: &[(&str, &str)]) -> Terminal {
    let mut command = home.cmd(args).into_command();
    command.envs(environment.iter().copied());
    Terminal::run_sized(command, 24, 80)
}

/// A pager that copies what it is given to `to`, and says so.
fn pager(home: &TestHome, to: &Path) -> String {
    let program = home.user().join("pager");
    write_program(&program, format!("#!/bin/sh\ncat > '{}'; echo paged\n", to.display()).as_bytes());
    program.to_str().expect("text").to_owned()
}

#[test]
fn what_is_longer_than_the_screen_goes_through_the_users_pager() {
    let home = home_of(60);
    let seen = home.user().join("seen");
    let pager = pager(&home, &seen);
    let screen = at(&home, &["list", "--limit", "60"], &[("PAGER", &pager)]).exits(0);
    assert!(screen.contains("paged") && !screen.contains("number 1 "), "{screen}");
    let text = std::fs::read_to_string(&seen).expect("the pager was run");
    assert_eq!(text.lines().count(), 61);
    let screen = at(&home, &["list", "--limit", "5"], &[("PAGER", &pager)]).exits(0);
    assert!(!screen.contains("paged") && screen.contains("number 59"), "{screen}");
    for quiet in ["", "cat"] {
        let screen = at(&home, &["list", "--limit", "60"], &[("PAGER", quiet)]).exits(0);
        assert!(screen.contains("number 1 "), "{screen}");
    }
    // A pager that is closed at once, or is not there.
    let closed = at(&home, &["list", "--limit", "60"], &[("PAGER", "exec true")]).exits(0);
    assert!(!closed.contains("error"), "{closed}");
    let absent = at(&home, &["list", "--limit", "60"], &[("PAGER", "/no/such/pager")]).exits(0);
    assert!(absent.contains("number 1 "), "what no pager shows is shown all the same: {absent}");
    // Data, and what is no terminal, is never paged.
    let json = at(&home, &["list", "--limit", "60", "--json"], &[("PAGER", &pager)]).exits(0);
    assert!(!json.contains("paged"), "{json}");
    let piped = home.cmd(["list", "--limit", "60"]).env("PAGER", &pager).ok();
    assert!(!piped.stdout.contains("paged") && piped.stdout.contains(&"and so on ".repeat(19)), "{piped}");
}

#[test]
fn lines_fit_the_screen_and_colours_are_where_they_are_wanted() {
    let home = home_of(3);
    let screen = at(&home, &["list"], &[("NO_COLOR", "1")]).exits(0);
    for line in screen.lines() {
        assert!(line.trim_end().chars().count() <= 80, "{line:?}");
    }
    assert!(screen.contains('…') && !screen.contains('\u{1b}'), "{screen:?}");
    for dumb in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let screen = at(&home, &["search", "number", "-2"], &[dumb]).exits(0);
        assert!(screen.contains("[number] 1 and"), "what matched is marked without colours too: {screen:?}");
        assert!(!screen.contains('\u{1b}'), "{screen:?}");
    }
    let screen = at(&home, &["list"], &[]).exits(0);
    assert!(screen.contains("\u{1b}[31mfailure"), "{screen:?}");
    let screen = at(&home, &["search", "number"], &[]).exits(0);
    assert!(screen.contains('\u{1b}') && !screen.contains("[number]"), "{screen:?}");
    assert!(!home.cmd(["list"]).ok().stdout.contains('\u{1b}'), "a pipe has no colours");
}

#[test]
fn wide_letters_and_long_domains_fit_the_screen_in_columns() {
    let home = TestHome::new();
    let domain = "infrastructure-and-deployment-of-things";
    let records = [("数据库", "数据库连接超时".repeat(20)), (domain, "a rule ".repeat(20)), ("d", "ファイル".into())];
    for (domain, title) in &records {
        let _ = home.cmd(["record", "failure", "--domain", domain, "--title", title, "--session", "one"]).ok();
    }
    let width = |line: &str| line.chars().map(|c| if c >= '\u{3000}' { 2 } else { 1 }).sum::<usize>();
    let lines = |args: &[&str]| -> Vec<String> {
        let screen = at(&home, args, &[("NO_COLOR", "1")]).exits(0);
        let lines: Vec<_> = screen.lines().map(|line| line.trim_end().to_owned()).collect();
        for line in &lines {
            assert!(width(line) <= 80, "{line}");
        }
        lines
    };
    let listed = lines(&["list"]);
    let ids = |line: &&String| line.starts_with("20");
    let widths: Vec<usize> = listed.iter().filter(ids).map(|line| width(line)).collect();
    assert_eq!(widths, [widths[0]; 3], "the last column is not below itself: {listed:?}");
    assert!(listed.iter().any(|line| line.contains("  infrastru…  a rule a")), "{listed:?}");
    let recalled = lines(&["recall", "--command", "a rule"]);
    assert!(recalled.iter().any(|line| line.ends_with("…  one")), "{recalled:?}");
    let found = lines(&["search", "things"]);
    assert!(!found.is_empty());
    let whole = home.cmd(["list"]).ok().stdout;
    assert!(whole.contains(domain) && whole.contains(&records[0].1), "nothing is shortened in a pipe: {whole}");
}

#[test]
fn recorded_text_steers_no_terminal() {
    let home = TestHome::new();
    let title = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}title";
    let _ = home.cmd(["record", "failure", "--domain", title, "--title", title, "--summary", title]).ok();
    for args in [&["list"][..], &["list", "--csv"], &["search", "title"], &["show", "memory"], &["list", "--json"]] {
        let id = home.cmd(["list", "--json"]).ok().json()["records"][0]["id"].as_str().expect("text").to_owned();
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "memory" { id.as_str() } else { arg }).collect();
        let screen = at(&home, &args, &[("PAGER", "cat")]).exits(0);
        // A terminal that does not say how large it is, is one.
        let mut command = home.cmd(&args).into_command();
        command.env("PAGER", "cat");
        let unsized_screen = Terminal::run_sized(command, 0, 0).exits(0);
        for sign in ["\u{1b}]", "\u{7}", "\u{202e}"] {
            assert!(!unsized_screen.contains(sign), "{args:?}: {unsized_screen:?}");
        }
        assert!(
            !screen.contains("\u{1b}]") && !screen.contains("\u{1b}[2J") && !screen.contains('\u{202e}'),
            "{screen:?}"
        );
        assert!(!screen.contains('\u{7}'), "{screen:?}");
    }
    let raw = at(&home, &["show", "--raw", &home.record("failure", "x").id], &[]).exits(0);
    assert!(raw.contains("title: \"x\""), "{raw:?}");
}
