//! `page`: one HTML file of what was learned, whatever is in the records.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::TestHome;
use crate::terminal::at_terminal;

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "br"];

fn made(home: &TestHome, args: &[&str]) -> String {
    let file = home.user().join("page.html");
    let said = home.cmd(["page", "--out", file.to_str().expect("it is text")]).args(args).ok().stdout;
    assert!(said.contains("page.html: "), "{said}");
    std::fs::read_to_string(file).expect("it was written")
}

/// Holds that the elements of `html` are nested, that ids are there once, and that links within the page lead somewhere.
#[track_caller]
fn assert_sound(html: &str) {
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">") && html.ends_with("</html>\n"), "{html}");
    let (mut open, mut ids, mut links) = (Vec::new(), BTreeSet::new(), Vec::new());
    let style = html.find("<style>").expect("it has a style")..html.find("</style>").expect("it ends");
    let rest = format!("{}{}", &html[..style.start], &html[style.end + "</style>".len()..]);
    for part in rest.split('<').skip(2) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("a tag has no end: {part}"));
        assert!(!text.contains('>'), "a sign is not escaped: {text}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name").to_owned();
        let is_ours = !["script", "img", "link", "iframe", "object", "a href=\"j"].iter().any(|it| tag.starts_with(it));
        assert!(is_ours && !tag.contains(" src=") && !tag.contains(" on"), "{tag}");
        for attribute in ["id", "href"] {
            if let Some(value) = tag.split_once(&format!(" {attribute}=\"")).and_then(|it| it.1.split('"').next()) {
                match attribute {
                    "id" => assert!(ids.insert(value.to_owned()), "{value} is there twice"),
                    _ => links.push(value.to_owned()),
                }
            }
        }
        match () {
            () if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "before {text:?}"),
            () if tag.ends_with('/') || VOID.contains(&name.as_str()) => {}
            () => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} are open at the end");
    for link in links {
        assert!(link.strip_prefix('#').is_some_and(|id| ids.contains(id)), "{link} leads nowhere");
    }
    let style = &html[style];
    assert!(!style.contains("url(") && !style.contains("@import"), "the style loads something: {style}");
}

fn batch(home: &TestHome, records: &[serde_json::Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let _ = home.cmd(["record", "batch", "--quiet"]).stdin(lines).ok();
}

#[test]
fn it_shows_rules_failures_and_what_followed() {
    let home = TestHome::new();
    assert_sound(&made(&home, &[]));
    let rule = home.record("heuristic", "Run clippy before you push");
    let failure = home.record("failure", "It broke");
    batch(
        &home,
        &[
            json!({ "kind": "success", "title": "It works again", "domain": "ci", "resolves": failure.id,
                    "summary": "after 3 steps" }),
            json!({ "kind": "heuristic", "rule": "Measure first", "domain": "ops", "confidence": 0.9,
                    "project": "github.com/me/shop", "agent": "Claude Code" }),
            json!({ "kind": "experiment", "name": "Smaller batches", "hypothesis": "It is faster" }),
        ],
    );
    let _ = home.cmd(["validate", rule.id.as_str()]).ok();
    // Before and after a worker has seen it.
    for _ in 0..2 {
        let html = made(&home, &[]);
        assert_sound(&html);
        for text in
            ["It works again", "after 3 steps", "Smaller batches", "1 × validated", "github.com/me/shop", "under way"]
        {
            assert!(html.contains(text), "{text} is missing: {html}");
        }
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}: {html}"));
        assert!(at("Measure first") < at("Run clippy"), "the surest rule comes first");
        assert!(html.contains("5 records"), "{html}");
        home.flush();
    }
    let html = made(&home, &["--domain", "ops"]);
    assert_sound(&html);
    assert!(html.contains("Measure first") && !html.contains("Run clippy") && !html.contains("It broke"), "{html}");
    assert!(html.contains("Only: <code>--domain ops</code>"), "{html}");
    let html = made(&home, &["failure"]);
    assert!(html.contains("It broke") && !html.contains("Measure first") && !html.contains("Smaller"), "{html}");
}

#[test]
fn nothing_recorded_acts_on_the_browser_and_secrets_are_replaced() {
    let home = TestHome::new();
    let hostile = "</pre></li><script>alert(1)</script><img src=x onerror=alert(1)> \" ' & \u{202e}\u{1b}[31m";
    let secret = "token ghp_0123456789abcdefghijklmnopqrstuvwxyzAB";
    let text = format!("{hostile} {secret}");
    batch(
        &home,
        &[
            json!({ "kind": "failure", "title": text, "domain": "x<y>", "tags": hostile, "summary": text,
                    "project": "<b>p</b>", "agent": "<i>a</i>" }),
            json!({ "kind": "heuristic", "rule": text, "domain": "x&y", "explanation": text }),
            json!({ "kind": "experiment", "name": text, "hypothesis": text }),
        ],
    );
    let html = made(&home, &[]);
    assert_sound(&html);
    assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    assert!(!html.contains("ghp_0123") && !html.contains('\u{202e}') && !html.contains('\u{1b}'), "{html}");
    let named = TestHome::named("<script>alert(2)</script>");
    assert_sound(&made(&named, &[]));
}

#[test]
fn a_large_home_makes_a_page_of_bounded_size() {
    let home = TestHome::new();
    let body = "what happened ".repeat(1_000);
    let of = |number: usize| match number % 3 {
        0 => json!({ "kind": "failure", "title": format!("failure {number}"), "domain": "d", "summary": body }),
        1 => json!({ "kind": "heuristic", "rule": format!("rule {number}"), "domain": "d", "explanation": body }),
        _ => json!({ "kind": "experiment", "name": format!("experiment {number}"), "hypothesis": body }),
    };
    batch(&home, &(0..2_100).map(of).collect::<Vec<_>>());
    home.flush();
    let html = made(&home, &[]);
    assert_sound(&html);
    assert!(html.contains("The surest 500 of 700 rules") && html.contains("The newest 300 of 700 failures"));
    assert!(html.contains("The newest 200 of 700 experiments") && html.len() < 4_000_000, "{}", html.len());
}

#[test]
fn a_terminal_gets_no_html_and_a_pipe_does() {
    let home = TestHome::new();
    let _ = home.record("failure", "It broke");
    assert_sound(&home.cmd(["page"]).ok().stdout);
    let refused = at_terminal(&home, &["page"]).exits(64);
    assert!(refused.contains("page --out page.html"), "{refused}");
    // A folder that is not there: no file, no rest.
    let missing = home.user().join("missing/page.html");
    let _ = home.cmd(["page", "--out", missing.to_str().expect("it is text")]).run().exits(74);
    let made =
        home.cmd(["page", "--json", "--out", home.user().join("p.html").to_str().expect("it is text")]).ok().json();
    assert_eq!(made["records"], 1, "{made}");
    for end in ["-wal", "-shm"] {
        std::fs::remove_file(home.join(&format!("memory/index.db{end}"))).expect("it is there");
    }
    std::fs::write(home.join("memory/index.db"), "nonsense").expect("it can be written");
    let _ = home.cmd(["page"]).run().exits(75);
}
