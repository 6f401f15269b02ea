//! The command line at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::LocalModes;

use crate::support::{Cmd, Git, Outcome, PATIENCE, Tables, TestHome, framework};

/// A program at a terminal of its own.
pub struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<String>,
    seen: String,
    /// How much of what was seen has been waited for.
    passed: usize,
}

impl Terminal {
    /// Runs `command` at a terminal.
    pub fn run(command: Command) -> Terminal {
        Terminal::run_but(command, |_| ())
    }

    /// Runs `command` at a terminal of that size.
    pub fn run_sized(command: Command, rows: u16, columns: u16) -> Terminal {
        Terminal::run_at(command, Some((rows, columns)), |_| ())
    }

    /// Runs `command` at a terminal, but for what `but` arranges otherwise.
    pub fn run_but(command: Command, but: impl FnOnce(&mut Command)) -> Terminal {
        Terminal::run_at(command, None, but)
    }

    fn run_at(mut command: Command, size: Option<(u16, u16)>, but: impl FnOnce(&mut Command)) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let open = || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens");
        if let Some((ws_row, ws_col)) = size {
            let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&master, size).expect("it takes a size");
        }
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        command.stdin(open()).stdout(open()).stderr(open());
        but(&mut command);
        let child = command.spawn().expect("it starts");
        // Ours would keep the terminal open after the program has ended.
        drop(command);
        let keys = File::from(master);
        let mut screen = keys.try_clone().expect("it can be shared");
        let (send, receive) = channel();
        std::thread::spawn(move || {
            let (mut bytes, mut held) = ([0; 4096], Vec::new());
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                held.extend_from_slice(&bytes[..read]);
                // The rest of a character may be on its way.
                let whole = match std::str::from_utf8(&held) {
                    Err(error) if error.error_len().is_none() => error.valid_up_to(),
                    _ => held.len(),
                };
                let rest = held.split_off(whole);
                let _ = send.send(String::from_utf8_lossy(&held).into_owned());
                held = rest;
            }
        });
        Terminal { child, keys, screen: receive, seen: String::new(), passed: 0 }
    }

    /// Waits until there is more on the screen, and returns it; `None` once the program has closed its terminal.
    #[track_caller]
    pub fn more(&mut self) -> Option<String> {
        match self.screen.recv_timeout(PATIENCE) {
            Ok(more) => {
                self.seen.push_str(&more);
                Some(more)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more appears on the screen:\n{}", self.seen),
        }
    }

    /// The process that runs at it.
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether lines are edited and echoed, as at a shell.
    pub fn is_as_for_a_shell(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.keys).expect("it has modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Gives the window another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keys, size).expect("it takes a size");
    }

    /// Waits until `text` appears after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen[self.passed..].find(text) {
                self.passed += at + text.len();
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.push_str(&more),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{text:?} never appeared on the screen:\n{}", self.seen)
                }
            }
        }
    }

    /// Types `keys`.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Waits for the question `question`, and answers it.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.wait_for(question);
        self.press(&format!("{answer}\r"));
    }

    /// Waits until it ends with exit code `code`, and returns all that was on the screen.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        let (status, screen) = self.ends();
        assert_eq!(status.code(), Some(code), "{status}: {screen}");
        screen
    }

    /// Waits until it ends, and returns how, and all that was on the screen.
    pub fn ends(mut self) -> (ExitStatus, String) {
        loop {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.push_str(&more),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.seen),
            }
        }
        let status = self.child.wait().expect("it is our child");
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `cmd` to its end as a person does, at a terminal. Of the screen, the lines of JSON are its output.
#[track_caller]
pub fn by_person(cmd: Cmd) -> Outcome {
    typed(cmd, "")
}

/// As [`by_person`], and types `lines` at its stdin.
#[track_caller]
pub fn typed(cmd: Cmd, lines: &str) -> Outcome {
    let mut terminal = Terminal::run(cmd.into_command());
    for line in lines.lines() {
        terminal.press(&format!("{line}\n"));
    }
    if !lines.is_empty() {
        terminal.press("\u{4}");
    }
    let (status, screen) = terminal.ends();
    let screen = screen.replace('\r', "");
    let (json, rest): (Vec<&str>, Vec<&str>) = screen.lines().partition(|line| line.starts_with('{'));
    Outcome::of(status, json.join("\n"), rest.join("\n"))
}

/// Runs the program at a terminal.
pub fn at_terminal(home: &TestHome, args: &[&str]) -> Terminal {
    Terminal::run(home.cmd(args).into_command())
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = TestHome::new();
    let seen = |variable: Option<(&str, &str)>| {
        let set = |command: &mut Command| {
            let _ = variable.map(|(name, value)| command.env(name, value));
        };
        let mut worker = Terminal::run_but(home.cmd(["worker", "--log", "stderr"]).into_command(), set);
        worker.wait_for("worker started");
        let _ = home.cmd(["worker", "--stop"]).ok();
        worker.exits(0)
    };
    assert!(seen(None).contains("\x1b["), "a terminal gets colours");
    assert!(seen(Some(("NO_COLOR", ""))).contains("\x1b["), "a variable that is empty says nothing");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let screen = seen(Some(variable));
        assert!(!screen.contains('\x1b'), "{variable:?}: {screen}");
        let help = |command: &mut Command| {
            let _ = command.env(variable.0, variable.1).env("CLICOLOR_FORCE", "");
        };
        let screen = Terminal::run_but(home.cmd(["--help"]).into_command(), help).exits(0);
        assert!(!screen.contains('\x1b'), "{variable:?}: {screen}");
        let flush = |command: &mut Command| {
            let _ = command.env(variable.0, variable.1);
        };
        let _ = home.record("failure", "t");
        let screen = Terminal::run_but(home.cmd(["flush"]).into_command(), flush).exits(0);
        assert!(variable.0 != "TERM" || !screen.contains('\x1b'), "{variable:?}: {screen}");
    }
}

#[test]
fn a_batch_ends_with_a_total_at_a_terminal() {
    let home = TestHome::new();
    let lines = home.user().join("lines");
    let line = "{\"kind\":\"failure\",\"title\":\"t\",\"domain\":\"d\"}\n";
    let keyed = "{\"kind\":\"failure\",\"title\":\"t\",\"domain\":\"d\",\"key\":\"k\"}\n";
    std::fs::write(&lines, format!("{}{}[]\n", line.repeat(999), keyed.repeat(3))).expect("it can be written");
    let input = || File::open(&lines).expect("it was written");
    let run = |args: &[&str]| {
        let but = |command: &mut Command| {
            let _ = command.stdin(input()).stdout(Stdio::null());
        };
        Terminal::run_but(home.cmd(["record", "batch"]).args(args).into_command(), but).exits(65)
    };
    assert_eq!(run(&[]).trim(), "1,000 records recorded, 2 recorded already, 1 line refused");
    assert_eq!(run(&["--quiet"]).trim(), "");
    assert_eq!(run(&["--json"]).trim(), "");
}

/// What runs a program in a session of its own at the terminal. A shell that starts the tests in the background may have them
/// ignore what Ctrl-C sends.
pub const IN_SESSION: [&str; 4] = ["env", "--default-signal=INT", "setsid", "--ctty"];

/// Runs the program in a session of its own, whose terminal it is: there, Ctrl-C is a signal.
pub fn in_session(home: &TestHome, args: &[&str]) -> Terminal {
    Terminal::run(home.under(&IN_SESSION, args).into_command())
}

/// Every way of not saying yes to `question`, of which each ends in peace, but the last in a signal.
fn everybody_says_no(home: &TestHome, args: &[&str], question: &str, unchanged: impl Fn() -> bool) {
    for keys in ["n\r", "\r", "no, not yet\r", "\x04", "\x03"] {
        let mut terminal = in_session(home, args);
        terminal.wait_for(question);
        terminal.press(keys);
        let (status, screen) = terminal.ends();
        match keys {
            "\x03" => assert_eq!(status.signal(), Some(2), "{screen}"),
            _ => assert!(status.success(), "{keys:?}: {status}: {screen}"),
        }
        assert!(unchanged(), "{keys:?} has changed something:\n{screen}");
    }
}

/// The names and bytes of the files in a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be listed").path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).expect("it is a file"))).collect();
    files.sort();
    files
}

#[test]
fn a_change_of_settings_is_agreed_to() {
    let home = TestHome::new();
    let folder = home.user().join(".claude");
    std::fs::create_dir(&folder).expect("it can be made");
    std::fs::write(folder.join("settings.json"), "{\n  \"model\": \"x\"\n}\n").expect("it can be written");
    let before = files(&folder);
    let question = "settings.json? [y/N]";
    everybody_says_no(&home, &["hooks", "install", "claude"], question, || files(&folder) == before);

    let mut terminal = in_session(&home, &["hooks", "install", "claude"]);
    terminal.wait_for("+  \"hooks\"");
    terminal.answer(question, "y");
    let screen = terminal.exits(0);
    let installed = files(&folder);
    assert!(installed.len() == 2 && installed != before, "{screen}");
    let again = in_session(&home, &["hooks", "install", "claude"]).exits(0);
    assert!(again.contains("nothing to change") && !again.contains("[y/N]"), "{again}");

    everybody_says_no(&home, &["hooks", "uninstall", "claude"], question, || files(&folder) == installed);
    let mut terminal = in_session(&home, &["hooks", "uninstall", "claude"]);
    terminal.wait_for("-  \"hooks\"");
    terminal.answer(question, "YES");
    let screen = terminal.exits(0);
    assert!(files(&folder) == before, "the settings are not as they were: {screen}");
}

#[test]
fn an_adoption_and_a_release_are_agreed_to() {
    let home = framework(Tables::Usual, Git::Dirty, 20);
    let is_home = || home.join(".indelible").exists();
    let database = || std::fs::read(home.join("memory/index.db")).expect("it is there");
    let before = database();
    let unchanged = || !is_home() && database() == before;
    everybody_says_no(&home, &["adopt", "--scripts"], "Adopt it? [y/N]", unchanged);
    let mut terminal = in_session(&home, &["adopt", "--scripts"]);
    terminal.answer("Adopt it? [y/N]", "y");
    let screen = terminal.exits(0);
    assert!(is_home(), "{screen}");

    everybody_says_no(&home, &["release"], "Release it? [y/N]", is_home);
    let mut terminal = in_session(&home, &["release"]);
    terminal.answer("Release it? [y/N]", "y");
    let screen = terminal.exits(0);
    assert!(!is_home(), "{screen}");
}

#[test]
fn scripts_ask_for_each_field() {
    let home = framework(Tables::Usual, Git::Clean, 10);
    let _ = home.cmd(["adopt", "--yes", "--scripts"]).ok();
    let script = |name: &str| {
        let command = Cmd::new(IN_SESSION[0], home.user()).args(&IN_SESSION[1..]);
        Terminal::run(command.args([home.join(&format!("scripts/{name}"))]).into_command())
    };
    let found = |sql: &str| home.index().query_row(sql, [], |row| row.get::<_, String>(0)).expect("the row is there");

    let mut terminal = script("record-failure.sh");
    terminal.answer("Title: ", "It \\broke: \"all\" $HOME");
    terminal.answer("Domain: ", "asked for");
    terminal.answer("critical): ", "high");
    terminal.answer("Tags (comma-separated): ", "a,b");
    terminal.answer("Summary: ", "  As it said  ");
    assert!(terminal.exits(0).contains("Failure recorded successfully!"));
    let row = found(
        "SELECT title || '|' || severity || '|' || tags || '|' || summary FROM learnings WHERE domain = 'asked for'",
    );
    assert_eq!(row, "It \\broke: \"all\" $HOME|4|a,b|  As it said  ");

    // What is given is not asked for, and no answer is the default.
    let mut terminal = script("record-heuristic.sh");
    terminal.answer("Domain: ", "ci");
    terminal.answer("Rule: ", "Never on Fridays");
    for question in ["Explanation: ", "observation): ", "high): "] {
        terminal.answer(question, "");
    }
    let _ = terminal.exits(0);
    let row = found("SELECT source_type || '|' || confidence FROM heuristics WHERE rule = 'Never on Fridays'");
    assert_eq!(row, "observation|0.5");

    let before = home.journal();
    for keys in ["\r\r\r\r\r", "\x04\x04\x04\x04\x04", "It br\x03"] {
        let mut terminal = script("record-success.sh");
        terminal.wait_for("Title: ");
        terminal.press(keys);
        let (status, screen) = terminal.ends();
        assert!(status.code() == Some(1) || status.signal() == Some(2), "{keys:?}: {status}: {screen}");
        assert_eq!(home.journal(), before, "{keys:?} has recorded something");
    }
}
