//! `watch` in a real terminal: what it shows, its keys, and the terminal after every way out.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;

use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;
use rustix::process::{Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::prompts::Window;
use crate::support::{TestHome, Worker, wait_for};
use crate::terminal::IN_SESSION;

const KEYS: &str = "q quit";

fn watch(home: &TestHome, rows: u16, columns: u16) -> Window {
    let mut window = Window::of(home, &["watch"], rows, columns);
    window.wait_until(|lines| lines.last().is_some_and(|line| line.contains(KEYS)));
    window
}

/// Whether some line of what is seen has all of `texts`.
fn has(lines: &[String], texts: &[&str]) -> bool {
    lines.iter().any(|line| texts.iter().all(|text| line.contains(text)))
}

/// Reads what is left on the screen, until the program ends. Returns how it ended.
fn ended(mut window: Window) -> (std::process::ExitStatus, vt100::Parser, bool) {
    while let Some(more) = window.terminal.more() {
        window.screen.process(more.as_bytes());
    }
    let is_as_for_a_shell = window.terminal.is_as_for_a_shell();
    let Window { terminal, screen } = window;
    (terminal.ends().0, screen, is_as_for_a_shell)
}

/// Holds that the terminal is as it was.
#[track_caller]
fn assert_given_back(screen: &vt100::Screen, is_as_for_a_shell: bool, how: &str) {
    assert!(!screen.alternate_screen(), "{how}: the alternate screen is left");
    assert!(!screen.hide_cursor(), "{how}: the cursor is hidden");
    assert!(is_as_for_a_shell, "{how}: keys are neither edited nor echoed");
}

#[test]
fn what_is_recorded_appears_with_where_it_is() {
    let home = TestHome::new();
    for (rows, columns) in [(24, 80), (60, 200)] {
        let mut window = watch(&home, rows, columns);
        assert!(window.screen.screen().alternate_screen() && window.screen.screen().hide_cursor());
        let title = format!("at {columns} columns");
        let _ = home.record("failure", &title);
        // It is neither in git nor, as no worker runs, in search.
        window.wait_until(|lines| has(lines, &["failure", "JFR··", &title]));
        window.wait_until(|lines| has(lines, &["git lacks 1 since"]) && has(lines, &["no worker runs"]));
        home.flush();
        window.wait_until(|lines| has(lines, &["failure", "JFRCS", &title]) && has(lines, &["git has all"]));
        // A wide screen shows the selected record beside the list.
        assert_eq!(has(&window.lines(), &["✓ journal  ✓ file  ✓ row"]), columns == 200, "{:#?}", window.lines());
        assert!(window.lines().iter().all(|line| line.chars().count() <= usize::from(columns)));
        window.press("q");
        let (status, screen, is_as_for_a_shell) = ended(window);
        assert_eq!(status.code(), Some(0));
        assert_given_back(screen.screen(), is_as_for_a_shell, "q");
    }
}

/// A record that is left to a worker, which hangs, has no row yet.
#[test]
fn a_row_that_is_left_to_a_worker_counts_as_missing() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    worker.signal(Signal::STOP);
    let mut window = watch(&home, 24, 120);
    let lag = || {
        let metrics = home.cmd(["status", "--metrics"]).ok().stdout;
        let of_rows = |line: &&str| line.starts_with("indelible_lag_operations{") && line.contains("target=\"rows\"");
        metrics.lines().find(of_rows).and_then(|line| line.rsplit(' ').next()).expect("it is there").to_owned()
    };
    let _ = home.record("failure", "it broke");
    window.wait_until(|lines| has(lines, &["JF···", "it broke"]) && has(lines, &["rows lack 1 since"]));
    assert_eq!(lag(), "1");
    worker.signal(Signal::CONT);
    window.wait_until(|lines| has(lines, &["rows up to date"]));
    assert_eq!(lag(), "0");
}

#[test]
fn what_the_remote_has_is_shown() {
    let home = TestHome::new();
    let remote = home.user().join("remote.git");
    let _ = home.git_in(home.user(), ["init", "-q", "--bare", "remote.git"]).ok();
    let url = remote.to_str().expect("it is text").to_owned();
    let _ = home.cmd(["remote", "add", url.as_str(), "--yes"]).ok();
    let mut window = watch(&home, 24, 150);
    let _ = home.record("failure", "it broke");
    home.flush();
    window.wait_until(|lines| has(lines, &["JFRCS·", "it broke"]) && has(lines, &["the remote lacks 1"]));
    let _ = home.cmd(["sync"]).ok();
    window.wait_until(|lines| has(lines, &["JFRCSP", "it broke"]) && has(lines, &["the remote has all"]));
    window.press("q");
    assert_eq!(ended(window).0.code(), Some(0));
}

#[test]
fn what_needs_attention_is_shown_with_what_to_do() {
    let home = TestHome::new();
    std::fs::write(home.join(".indelible/quarantine/damaged-1"), "x").expect("it can be written");
    let mut window = watch(&home, 24, 80);
    window.wait_until(|lines| has(lines, &["! 1 damaged stretch of the journal"]));
    let _ = home.cmd(["repair", "--dismiss"]).ok();
    window.wait_until(|lines| !has(lines, &["damaged stretch"]));
}

#[test]
fn keys_move_open_search_and_show_help() {
    let home = TestHome::new();
    let _ = home.record("failure", "the first \u{1b}[31mred");
    let _ = home.record("success", "the second");
    home.flush();
    let mut window = watch(&home, 24, 80);
    window.wait_until(|lines| has(lines, &["the first \u{241b}[31mred"]) && has(lines, &["the second"]));
    window.press("j\r");
    window.wait_until(|lines| has(lines, &["domain", "ci"]) && has(lines, &["What happened."]));
    window.press("\u{1b}");
    window.wait_until(|lines| has(lines, &["the second"]));
    window.press("/secnd\u{7f}\u{7f}ond");
    window.wait_until(|lines| has(lines, &["search: second"]));
    window.press("\r");
    window.wait_until(|lines| has(lines, &["1 record found"]) && !has(lines, &["the first"]));
    window.press("\u{1b}");
    window.wait_until(|lines| has(lines, &["the first"]));
    // Nothing that is typed is a mistake.
    window.press("/kind:nonsense\r");
    window.wait_until(|lines| has(lines, &["error: ", "nonsense"]));
    window.press("?");
    window.wait_until(|lines| has(lines, &["Any key goes back."]));
    window.press("x");
    window.resize(30, 100);
    window.wait_until(|lines| lines.len() == 30 && has(lines, &["the second"]) && has(lines, &[KEYS]));
    window.press("q");
    assert_eq!(ended(window).0.code(), Some(0));
}

#[test]
fn a_rule_is_validated_and_a_record_retracted_after_a_yes() {
    let home = TestHome::new();
    let rule = home.record("heuristic", "Never on Fridays");
    let mut window = watch(&home, 24, 80);
    window.wait_until(|lines| has(lines, &["Never on Fridays"]));
    window.press("v");
    window.wait_until(|lines| has(lines, &["validate \"Never on Fridays\"? y does it"]));
    window.press("n");
    window.wait_until(|lines| has(lines, &["nothing was changed"]));
    window.press("v");
    window.wait_until(|lines| has(lines, &["validate \"Never"]));
    window.press("y");
    window.wait_until(|lines| has(lines, &["validated: "]));
    let shown = home.cmd(["show", rule.id.as_str(), "--json"]).ok().json();
    let verdicts = shown["records"][0]["verdicts"].as_array().expect("it is a list").clone();
    assert_eq!(verdicts.len(), 1, "{shown}");
    assert_eq!(verdicts[0]["origin"], "person", "who watches at a terminal is a person: {shown}");
    // It is among what a search found, and goes from there as well.
    window.press("/fridays\r");
    window.wait_until(|lines| has(lines, &["1 record found"]));
    window.press("r");
    window.wait_until(|lines| has(lines, &["retract \"Never"]));
    window.press("y");
    window.wait_until(|lines| has(lines, &["retracted: "]) && !has(lines, &["Never on"]));
    window.press("\u{1b}");
    window.wait_until(|lines| has(lines, &["nothing was recorded yet"]));
    let _ = home.cmd(["show", rule.id.as_str()]).run().exits(1);
    window.press("q");
    let (status, screen, is_as_for_a_shell) = ended(window);
    assert_eq!(status.code(), Some(0));
    assert_given_back(screen.screen(), is_as_for_a_shell, "q");
}

/// Text that is pasted is no key, also where the terminal does not say that it is pasted.
#[test]
fn pasted_text_retracts_nothing() {
    let home = TestHome::new();
    let rule = home.record("heuristic", "Never on Fridays");
    let mut window = watch(&home, 24, 80);
    window.wait_until(|lines| has(lines, &["Never on Fridays"]));
    window.press("\u{1b}[200~the retry loop\r\u{1b}[201~");
    window.wait_until(|lines| has(lines, &["pasted text is taken in a search alone"]));
    window.press("/");
    window.wait_until(|lines| has(lines, &["search:"]));
    window.press("\u{1b}[200~never\rfridays\r\u{1b}[201~");
    window.wait_until(|lines| has(lines, &["search: never fridays"]));
    window.press("\u{17}on\r");
    window.wait_until(|lines| has(lines, &["1 record found"]));
    // Keys that come with the question are no answer to it.
    window.press("ry");
    window.wait_until(|lines| has(lines, &["retract \"Never on Fridays\"? y does it"]));
    window.press("n");
    window.wait_until(|lines| has(lines, &["nothing was changed"]));
    let _ = home.cmd(["show", rule.id.as_str()]).ok();
    // An open record stays open behind the question, and after it.
    window.press("\r");
    window.wait_until(|lines| has(lines, &["Esc back"]));
    window.press("v");
    window.wait_until(|lines| has(lines, &["validate \"Never"]) && has(lines, &["recorded  "]));
    window.press("y");
    window.wait_until(|lines| has(lines, &["validated: "]) && has(lines, &["recorded  "]));
    window.press("q");
    assert_eq!(ended(window).0.code(), Some(0));
}

#[test]
fn every_way_out_gives_the_terminal_back() {
    let home = TestHome::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let window = watch(&home, 24, 80);
        kill_process(window.terminal.process(), signal).expect("it is our child");
        let (status, screen, is_as_for_a_shell) = ended(window);
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal:?}");
        assert_given_back(screen.screen(), is_as_for_a_shell, &format!("{signal:?}"));
    }
    // SIGQUIT ends it as it ends any program.
    let window = watch(&home, 24, 80);
    kill_process(window.terminal.process(), Signal::QUIT).expect("it is our child");
    let (status, screen, is_as_for_a_shell) = ended(window);
    assert_eq!((status.code(), status.signal()), (None, Some(Signal::QUIT.as_raw())));
    assert_given_back(screen.screen(), is_as_for_a_shell, "SIGQUIT");
    // What Ctrl-C sends, and the key that panics.
    for (key, code) in [("\u{3}", 0), ("\u{1b}[24~", 74)] {
        let mut window = watch(&home, 24, 80);
        window.press(key);
        let (status, screen, is_as_for_a_shell) = ended(window);
        assert_eq!(status.code(), Some(code), "{key:?}: {}", screen.screen().contents());
        assert_given_back(screen.screen(), is_as_for_a_shell, key);
        // The message of the panic is on the screen that stays.
        assert_eq!(screen.screen().contents().contains("F12 was pressed"), code == 74);
    }
}

#[test]
fn it_is_suspended_and_goes_on() {
    let home = TestHome::new();
    let _ = home.record("failure", "it broke");
    let state = |window: &Window| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", window.terminal.process().as_raw_nonzero()));
        stat.expect("it is there").rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    for by_key in [true, false] {
        let mut window = watch(&home, 24, 80);
        match by_key {
            true => window.press("\u{1a}"),
            false => kill_process(window.terminal.process(), Signal::TSTP).expect("it is our child"),
        }
        wait_for("it to stop", || (state(&window) == Some('T')).then_some(()));
        while window.screen.screen().alternate_screen() {
            let more = window.terminal.more().expect("it runs");
            window.screen.process(more.as_bytes());
        }
        assert_given_back(window.screen.screen(), window.terminal.is_as_for_a_shell(), "suspended");
        kill_process(window.terminal.process(), Signal::CONT).expect("it is our child");
        window.wait_until(|lines| has(lines, &["it broke"]) && has(lines, &[KEYS]));
        assert!(window.screen.screen().alternate_screen() && !window.terminal.is_as_for_a_shell());
        window.press("q");
        assert_eq!(ended(window).0.code(), Some(0));
    }
}

/// Runs `watch` under `wrapper` in a window that is closed once it has drawn. Holds that it ends, and in peace.
#[track_caller]
fn closed(home: &TestHome, wrapper: &[&str]) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    // The program must not hold its own window open.
    rustix::io::fcntl_setfd(&master, FdFlags::CLOEXEC).expect("it takes it");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("it takes a size");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let open = || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens");
    let mut command = home.under(wrapper, &["watch"]).into_command();
    command.env("TERM", "xterm").stdin(open()).stdout(open()).stderr(open());
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut screen = std::fs::File::from(master);
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    while !seen.contains(KEYS) {
        let read = screen.read(&mut bytes).expect("it draws");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    drop(screen);
    let status = wait_for("it to end", || child.try_wait().expect("it is our child"));
    assert_eq!(status.code(), Some(0), "{wrapper:?}: {status}");
}

#[test]
fn a_window_that_is_closed_ends_it() {
    let home = TestHome::new();
    closed(&home, &IN_SESSION);
    // SIGHUP was ignored before it started; and no SIGHUP comes at all: it is not the program's own terminal.
    closed(&home, &["env", "--ignore-signal=HUP", "setsid", "--ctty"]);
    closed(&home, &["setsid"]);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let home = TestHome::new();
    let refused = home.cmd(["watch"]).run().exits(64);
    assert!(refused.stderr.contains("indelible") && refused.stderr.contains("status` and"), "{refused}");
}
