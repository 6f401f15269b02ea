//! `record` as a person meets it who gives it no fields: its questions, the keys, the window, and every way of ending.

use std::num::NonZeroU16;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use crate::support::{Cmd, TestHome};
use crate::terminal::{IN_SESSION, Terminal, at_terminal, in_session};

/// What stands before an answer; the line editor has the terminal then.
const MARK: &str = "> ";
const ENDS: &str = "nothing was recorded";
const QUESTION: &str = "Record it?";
/// What a terminal sends around what is pasted.
const PASTE: [&str; 2] = ["\x1b[200~", "\x1b[201~"];

/// Waits for `question`, and types `answer` and Enter once the line editor has the terminal.
#[track_caller]
fn answer(terminal: &mut Terminal, question: &str, answer: &str) {
    terminal.wait_for(question);
    terminal.wait_for(MARK);
    terminal.press(&format!("{answer}\r"));
}

/// The front matter and body of the one record of `screen`.
fn page(home: &TestHome, screen: &str) -> String {
    let path = screen.split("recorded: ").nth(1).and_then(|it| it.split_once(" in ")).expect("it says where").1;
    let path = path.lines().next().expect("a line").trim();
    let page = if path.starts_with("experiments") { format!("{path}/hypothesis.md") } else { path.to_owned() };
    std::fs::read_to_string(home.join(&page)).expect("it was placed")
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a window has some")
}

/// A window: the terminal, and what a person sees of it.
pub struct Window {
    pub terminal: Terminal,
    pub screen: vt100::Parser,
}

impl Window {
    pub fn of(home: &TestHome, args: &[&str], rows: u16, columns: u16) -> Window {
        let command = home.under(&IN_SESSION, args).into_command();
        Window {
            terminal: Terminal::run_sized(command, rows, columns),
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
        }
    }

    /// The lines that are seen, the last one with text as the last.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.screen.screen().size().1.get();
        let mut lines: Vec<String> =
            self.screen.screen().rows(0, columns).map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            let _ = lines.pop();
        }
        lines
    }

    /// Waits until the lines at the bottom are `wanted`.
    #[track_caller]
    fn ends_with(&mut self, wanted: &[&str]) {
        let wanted: Vec<String> = wanted.iter().map(|line| (*line).to_owned()).collect();
        self.wait_until(|lines| lines.ends_with(&wanted));
    }

    /// Waits until the lines are `wanted`, and no others.
    #[track_caller]
    fn is(&mut self, wanted: &[&str]) {
        self.wait_until(|lines| lines == wanted);
    }

    #[track_caller]
    pub fn wait_until(&mut self, is_so: impl Fn(&[String]) -> bool) {
        while !is_so(&self.lines()) {
            let more = self.terminal.more();
            let more = more.unwrap_or_else(|| panic!("it ended; seen:\n{}", self.lines().join("\n")));
            self.screen.process(more.as_bytes());
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.terminal.press(keys);
    }

    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
        self.terminal.resize(rows, columns);
    }
}

#[test]
fn what_a_record_lacks_is_asked_for_and_shown_before_it_is_recorded() {
    let home = TestHome::new();
    for (kind, answers, shown) in [
        (
            "failure",
            &[
                ("Title", "It broke: \"all\" of it"),
                ("Domain", "ci"),
                ("Severity", "high"),
                ("Tags", ""),
                ("Summary", ""),
            ][..],
            "A failure:\n  title: It broke: \"all\" of it\n  domain: ci\n  severity: high\n",
        ),
        (
            "success",
            &[("Title", "It works"), ("Domain", "ci"), ("Severity", ""), ("Tags", "a,b"), ("Summary", "So it is")],
            "A success:\n  title: It works\n  domain: ci\n  severity: 3\n  tags: a,b\n  summary: So it is\n",
        ),
        (
            "observation",
            &[("Title", "It is slow"), ("Domain", "ci"), ("Severity", ""), ("Tags", ""), ("Summary", "")],
            "An observation:\n  title: It is slow\n",
        ),
        (
            "heuristic",
            &[
                ("Rule", "Never on Fridays"),
                ("Domain", "ops"),
                ("Source", ""),
                ("Confidence", "low"),
                ("Explanation", ""),
            ],
            "A heuristic:\n  rule: Never on Fridays\n  domain: ops\n  source: observation\n  confidence: low\n",
        ),
        (
            "experiment",
            &[
                ("Name", "Smaller"),
                ("Hypothesis", "It is faster"),
                ("Success criteria", "p50"),
                ("Failure criteria", ""),
            ],
            "An experiment:\n  name: Smaller\n  hypothesis: It is faster\n  success criteria: p50\n",
        ),
    ] {
        let mut terminal = at_terminal(&home, &["record", kind]);
        for (question, text) in answers {
            answer(&mut terminal, question, text);
        }
        terminal.wait_for(&shown.replace('\n', "\r\n"));
        answer(&mut terminal, QUESTION, "y");
        let screen = terminal.exits(0);
        assert!(screen.contains(&format!("recorded: {kind}")), "{screen}");
        let page = page(&home, &screen).replace("\\\"", "\"");
        for (_, text) in answers.iter().filter(|(question, _)| !["Severity", "Confidence", "Tags"].contains(question)) {
            assert!(page.contains(text), "{text:?} is not in the record:\n{page}");
        }
        assert!(kind != "failure" || page.contains("severity: 4"), "{page}");
        // The last line says how to take it back, and that works.
        let (before, end) = screen.trim_end().rsplit_once("`indelible ").map(|it| (it.0, it.1)).expect("a command");
        assert!(before.ends_with("\r\n") && end.ends_with("` takes it back"), "{screen}");
        let words = end.split('`').next().expect("it ends").split_once("retract ").expect("it retracts").1;
        let _ = home.cmd(["retract", words.trim()]).ok();
    }
    home.recover_fully();
}

#[test]
fn only_what_is_missing_is_asked_for_and_nothing_if_all_is_there() {
    let home = TestHome::new();
    let command = home.cmd(["record", "failure", "--domain", "ci"]).env("FAILURE_TITLE", "From the environment");
    let screen = Terminal::run(command.into_command()).exits(0);
    assert!(!screen.contains(MARK) && screen.contains("takes it back"), "{screen}");
    let again = home.cmd(["record", "failure", "--domain", "ci", "--title", "t", "--key", "k"]);
    let _ = Terminal::run(again.into_command()).exits(0);
    let again = home.cmd(["record", "failure", "--domain", "ci", "--title", "t", "--key", "k"]);
    let screen = Terminal::run(again.into_command()).exits(0);
    assert!(screen.contains("already recorded") && !screen.contains("takes it back"), "{screen}");

    let mut terminal = at_terminal(&home, &["record", "failure", "--domain", "ci", "--tags", "", "--key", "it"]);
    answer(&mut terminal, "Title", "Asked for");
    answer(&mut terminal, "Severity", "");
    answer(&mut terminal, "Summary", "");
    terminal.wait_for("  domain: ci\r\n  severity: 3\r\n  key: it\r\n");
    answer(&mut terminal, QUESTION, "yes");
    let screen = terminal.exits(0);
    assert!(!screen.contains("Domain") && !screen.contains("Tags:"), "it asks for what was given: {screen}");
    // What was given and cannot be is refused before anything is asked.
    let screen = at_terminal(&home, &["record", "failure", "--severity", "9"]).exits(65);
    assert!(!screen.contains(MARK), "{screen}");
}

#[test]
fn an_answer_that_cannot_be_says_what_is_needed_and_is_asked_for_again() {
    let home = TestHome::new();
    let mut terminal = at_terminal(&home, &["record", "failure", "--domain", "ci"]);
    answer(&mut terminal, "Title", "");
    answer(&mut terminal, "Title is needed: one line that names it. Ctrl-D ends", "   ");
    answer(&mut terminal, "Title is needed", &"x".repeat(501));
    // What was typed is there, to be made shorter.
    answer(&mut terminal, "at most 500 characters", "\x7f");
    answer(&mut terminal, "Severity", "9");
    answer(&mut terminal, "Severity: 1 to 5", "low");
    answer(&mut terminal, "Tags", "");
    answer(&mut terminal, "Summary", "");
    for nothing in ["", "what?", "e", "yess"] {
        answer(&mut terminal, QUESTION, nothing);
        terminal.wait_for("or one of: title, domain, severity, tags, summary");
    }
    answer(&mut terminal, QUESTION, "TIT");
    terminal.wait_for("Title");
    terminal.wait_for(&"x".repeat(20));
    terminal.press("\x15A good one\r");
    terminal.wait_for("title: A good one");
    answer(&mut terminal, QUESTION, "severity");
    answer(&mut terminal, "Severity", "\x15");
    terminal.wait_for("severity: 3");
    answer(&mut terminal, QUESTION, "y");
    let screen = terminal.exits(0);
    assert!(page(&home, &screen).contains("title: \"A good one\""), "{screen}");
    assert_eq!(home.status()["pending"]["records"], 1);
}

#[test]
fn ctrl_d_ends_at_every_prompt_and_nothing_is_recorded() {
    let home = TestHome::new();
    let before = home.journal();
    let answers = [("Title", "t"), ("Domain", "d"), ("Severity", ""), ("Tags", ""), ("Summary", "s"), (QUESTION, "")];
    for end in 0..answers.len() {
        // Before a key, behind a text, and behind a text that cannot be.
        for typed in ["\x04", "typed\x04", "\x1b[200~two\nlines\x1b[201~\x04", "n\r"] {
            if typed == "n\r" && end + 1 < answers.len() {
                continue;
            }
            let mut terminal = at_terminal(&home, &["record", "failure"]);
            for (question, text) in &answers[..end] {
                answer(&mut terminal, question, text);
            }
            terminal.wait_for(answers[end].0);
            terminal.wait_for(MARK);
            terminal.press(typed);
            let screen = terminal.exits(64);
            assert!(screen.trim_end().ends_with(ENDS) && !screen.contains("error"), "{end} {typed:?}: {screen}");
            assert_eq!(home.journal(), before, "{end} {typed:?}");
        }
    }
    // Within the text it deletes.
    let mut terminal = at_terminal(&home, &["record", "failure"]);
    answer(&mut terminal, "Title", "abc\x01\x04");
    answer(&mut terminal, "Domain", "d");
    ["Severity", "Tags", "Summary"].iter().for_each(|question| answer(&mut terminal, question, ""));
    terminal.wait_for("title: bc");
    answer(&mut terminal, QUESTION, "n");
    let _ = terminal.exits(64);
    assert_eq!(home.journal(), before);
}

#[test]
fn ctrl_c_ends_by_its_signal() {
    let home = TestHome::new();
    let before = home.journal();
    for keys in ["\x03", "It br\x03"] {
        let mut terminal = in_session(&home, &["record", "failure"]);
        terminal.wait_for("Title");
        terminal.wait_for(MARK);
        terminal.press(keys);
        let (status, screen) = terminal.ends();
        assert_eq!(status.signal(), Some(2), "{status}: {screen}");
        assert!(screen.trim_end().ends_with(ENDS), "{screen}");
    }
    assert_eq!(home.journal(), before);
}

#[test]
fn the_keys_of_a_shell_edit_a_line_and_odd_ones_do_no_harm() {
    let home = TestHome::new();
    let (left, right, up, end) = ("\x1b[D", "\x1b[C", "\x1b[A", "\x1b[F");
    let odd = format!("\t\x1bOP\x1b[15~{up}\x1b[B\x1b[5~\x1b[6~\x0c\x13\x1b[2~\x1b[1;5P\x00");
    for (keys, wanted) in [
        ("wrong\x15right".to_owned(), "right"),
        ("two words\x17three".to_owned(), "two three"),
        ("end\x01be\x05s".to_owned(), "beends"),
        (format!("ac{left}b{right}d"), "abcd"),
        (format!("xb\x1b[H\x1b[3~a{end}c"), "abc"),
        ("keep drop\x1bb\x0b!".to_owned(), "keep !"),
        ("日本語x\x7f\x7f".to_owned(), "日本"),
        (format!("{odd}plain"), "plain"),
    ] {
        let mut terminal = at_terminal(&home, &["record", "failure", "--domain", "d", "--tags", "", "--summary", ""]);
        answer(&mut terminal, "Title", &keys);
        answer(&mut terminal, "Severity", "");
        terminal.wait_for(&format!("title: {wanted}\r\n"));
        answer(&mut terminal, QUESTION, "y");
        let screen = terminal.exits(0);
        assert!(page(&home, &screen).contains(&format!("title: \"{wanted}\"\n")), "{keys:?}: {screen}");
    }
}

#[test]
fn lines_that_were_meant_for_a_shell_are_no_record() {
    let home = TestHome::new();
    let before = home.journal();
    let mut terminal = at_terminal(&home, &["record", "failure"]);
    // Typed ahead, and with an answer to a question that was not there yet.
    terminal.wait_for("Title");
    terminal.wait_for(MARK);
    terminal.press("echo rc=$?\rcd ..\r\r\r\ry\ry\r");
    terminal.wait_for("title: echo rc=$?");
    answer(&mut terminal, QUESTION, "n");
    let screen = terminal.exits(64);
    assert!(screen.contains("domain: cd ..") && screen.trim_end().ends_with(ENDS), "{screen}");
    // Pasted by a terminal that says so, they stay one answer.
    let mut terminal = at_terminal(&home, &["record", "failure"]);
    answer(&mut terminal, "Title", &format!("{}echo rc=$?\ny\ny\ny\ny\ny\n{}", PASTE[0], PASTE[1]));
    terminal.wait_for("Title is one line, and these are 6");
    terminal.wait_for(MARK);
    terminal.press("\x04");
    let _ = terminal.exits(64);
    assert_eq!(home.journal(), before);
}

#[test]
fn pasted_lines_are_one_text_and_a_line_can_be_begun() {
    let home = TestHome::new();
    let lines = |count: usize| (1..=count).map(|line| format!("行 {line} of it\n")).collect::<String>();
    let mut terminal = at_terminal(&home, &["record", "failure", "--title", "t", "--tags", ""]);
    answer(&mut terminal, "Domain", &format!("{}two\nlines\n{}", PASTE[0], PASTE[1]));
    answer(&mut terminal, "Here they are as one:", "");
    answer(&mut terminal, "Severity", "");
    answer(&mut terminal, "Summary", &format!("{}  {}{}the end\x1b\rof it", PASTE[0], lines(300), PASTE[1]));
    terminal.wait_for("domain: two lines\r\n");
    terminal.wait_for("行 1 of it\r\n");
    terminal.wait_for("(and 296 more lines)");
    answer(&mut terminal, QUESTION, "y");
    let screen = terminal.exits(0);
    let page = page(&home, &screen);
    assert!(page.contains(&format!("  {}the end\nof it\n", lines(300))), "{page}");
}

#[test]
fn narrow_windows_stay_clean_even_if_they_are_resized() {
    let home = TestHome::new();
    for columns in [20, 40] {
        let mut window = Window::of(&home, &["record", "failure"], 24, columns);
        let question = ["Title: one line that", " names it"];
        let question = if columns == 20 { &question[..] } else { &["Title: one line that names it"] };
        window.ends_with(&[question, &[">"]].concat());
        let text = "日本語の wide words, and more than fit";
        window.press(text);
        let wrapped = if columns == 20 {
            &["> 日本語の wide word", "s, and more than fit"][..]
        } else {
            &["> 日本語の wide words, and more than fit"]
        };
        window.ends_with(&[question, wrapped].concat());
        // Text in the middle, and taken away again.
        window.press("\x01wide \x0b");
        window.ends_with(&[question, &["> wide"]].concat());
        window.press("\x19\x01\x1bd\x0b\x15\x0c");
        // Ctrl-L clears the rest.
        window.is(&[question, &[">"]].concat());
        window.press(text);
        window.ends_with(&[question, wrapped].concat());
        window.resize(24, 30);
        let resized = ["Title: one line that names it", "> 日本語の wide words, and mor", "e than fit"];
        if columns == 20 {
            // Whatever the terminal made of the old rows, there is nothing but question and answer.
            window.ends_with(&resized);
            assert_eq!(window.lines(), resized);
            window.press("!");
            window.ends_with(&[&resized[..2], &["e than fit!"]].concat());
        }
        window.press("\r");
        window.ends_with(&["Domain: what it is about", ">"]);
        window.press("\x04");
        window.ends_with(&["Domain: what it is about", ">", ENDS]);
    }
}

#[test]
fn only_the_answer_goes_into_a_file() {
    let home = TestHome::new();
    let file = home.user().join("out");
    let into_file = |command: &mut Command| {
        let _ = command.stdout(std::fs::File::create(&file).expect("it can be made"));
    };
    let command = home.under(&IN_SESSION, &["record", "failure", "--domain", "d", "--tags", "", "--summary", ""]);
    let mut terminal = Terminal::run_but(command.into_command(), into_file);
    answer(&mut terminal, "Title", "It broke");
    answer(&mut terminal, "Severity", "");
    answer(&mut terminal, QUESTION, "y");
    let screen = terminal.exits(0);
    assert!(!screen.contains("takes it back") && !screen.contains("recorded: "), "{screen}");
    let out = std::fs::read_to_string(&file).expect("it is there");
    assert!(out.starts_with("recorded: failure ") && out.lines().count() == 1 && !out.contains('\x1b'), "{out}");
}

#[test]
fn a_terminal_that_only_shows_text_is_enough() {
    let home = TestHome::new();
    let command = home.cmd(["record", "failure", "--domain", "d", "--tags", "", "--summary", ""]);
    let mut terminal = Terminal::run(command.env("TERM", "dumb").into_command());
    answer(&mut terminal, "Title", "It broke");
    answer(&mut terminal, "Severity", "");
    answer(&mut terminal, QUESTION, "y");
    let screen = terminal.exits(0);
    assert!(screen.contains("recorded: failure") && !screen.contains('\x1b'), "{screen}");
}

#[test]
fn what_is_shown_is_what_is_recorded() {
    let home = TestHome::new();
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let mut terminal = at_terminal(&home, &["record", "--redact", "failure", "--domain", "d", "--tags", ""]);
    answer(&mut terminal, "Title", &format!("{secret} in a log \x16\x1b[31m"));
    answer(&mut terminal, "Severity", "");
    answer(&mut terminal, "Summary", "");
    terminal.wait_for("title: [redacted:github-token] in a log ␛[31m\r\n");
    answer(&mut terminal, QUESTION, "y");
    let screen = terminal.exits(0);
    assert!(page(&home, &screen).contains("[redacted:github-token] in a log"), "{screen}");
}

#[test]
fn a_home_that_cannot_be_is_named_before_anything_is_asked() {
    let home = TestHome::new();
    let missing = home.user().join("nowhere");
    let cmd = Cmd::new(env!("CARGO_BIN_EXE_indelible"), home.user()).args(["--home", "nowhere", "record", "failure"]);
    let screen = Terminal::run(cmd.folder(home.user()).into_command()).exits(78);
    assert!(screen.contains("there is no home") && !screen.contains(MARK), "{screen}");
    assert!(!missing.exists());
}

#[test]
fn no_prompt_without_a_terminal() {
    let home = TestHome::new();
    let before = home.journal();
    // JSON is for programs, even at a terminal.
    let screen = at_terminal(&home, &["record", "failure", "--json"]).exits(64);
    assert!(screen.contains("is required"), "{screen}");
    // Nor behind a pipe on either side.
    for is_input in [true, false] {
        let pipe = |command: &mut Command| {
            let _ = if is_input { command.stdin(Stdio::null()) } else { command.stderr(Stdio::null()) };
        };
        let screen = Terminal::run_but(home.cmd(["record", "failure"]).into_command(), pipe).exits(64);
        assert!(!screen.contains("Title"), "{screen}");
    }
    assert_eq!(home.journal(), before);
}
