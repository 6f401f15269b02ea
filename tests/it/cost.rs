//! `cost`: what hooks count of themselves.

use serde_json::{Value, json};

use crate::support::TestHome;

fn event(home: &TestHome, event: &Value) {
    let _ = home.cmd(["hook", "--host", "claude"]).stdin(event.to_string()).ok();
}

fn cost(home: &TestHome, args: &[&str]) -> Value {
    home.cmd(["cost", "--json"]).args(args).ok().json()
}

#[test]
fn calls_are_counted_by_host_and_session() {
    let home = TestHome::new();
    assert_eq!(home.cmd(["cost"]).ok().stdout, "no hook has run\n");
    let _ = home.cmd(["record", "heuristic", "--domain", "general", "--rule", "Never on Fridays"]).ok();
    for session in ["one", "one", "two"] {
        event(&home, &json!({ "hook_event_name": "Stop", "session_id": session, "last_assistant_message": "x" }));
    }
    let _ = home.cmd(["hook"]).stdin("no event").ok();
    let all = cost(&home, &[]);
    let host = &all["hosts"][0];
    assert_eq!((&host["host"], &host["calls"]), (&json!("claude"), &json!(3)), "{all}");
    assert!(host["p50_ms"].as_f64() <= host["p99_ms"].as_f64() && host["total_ms"].as_f64() > Some(0.0), "{all}");
    let sessions = all["sessions"].as_array().expect("it is a list");
    let mut calls: Vec<_> = sessions.iter().map(|it| it["calls"].as_u64()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [Some(1), Some(2)], "{all}");
    // The ids of sessions are not in the file.
    let tally = std::fs::read_to_string(home.join(".indelible/hooks.tally")).expect("it is there");
    assert!(!tally.contains(":one:") && tally.contains("note:cost:"), "{tally}");
    let counts = home.status();
    assert_eq!((&counts["hooks"]["seen"], &counts["hooks"]["by_host"]["claude"]), (&json!(4), &json!(3)), "{counts}");
    assert_eq!(cost(&home, &["--since", "2100-01-01"])["hosts"], json!([]));
    assert_eq!(cost(&home, &["--since", "1d"])["hosts"], all["hosts"]);
    let text = home.cmd(["cost"]).ok().stdout;
    assert!(text.starts_with("host") && text.contains("claude  3") && text.contains("session"), "{text}");
    let _ = home.cmd(["cost", "--since", "nonsense"]).run().exits(65);
}

#[test]
fn what_is_told_is_counted_in_tokens() {
    let home = TestHome::new();
    std::fs::create_dir_all(home.join(".indelible")).expect("it is there");
    // A home that needs attention: each session is told so at its start.
    std::fs::write(home.join(".indelible/quarantine/damaged-1"), "x").expect("it can be written");
    event(&home, &json!({ "hook_event_name": "SessionStart", "session_id": "one", "source": "startup" }));
    let all = cost(&home, &[]);
    let host = &all["hosts"][0];
    assert!(host["tokens"].as_u64().is_some_and(|tokens| tokens > 10), "{all}");
    assert_eq!(host["calls"], 1, "what is told later is no call of its own: {all}");
}
