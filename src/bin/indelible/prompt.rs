//! Prompts: lines that a person types at a terminal, with the keys of every shell.
//!
//! 1. A question is a line of its own on stderr, and the line for the answer begins with [`MARK`] alone: a narrow window
//!    has to wrap little.
//! 2. A window that gets another width while an answer takes several lines of it is cleared, and shows question and answer. Some
//!    terminals wrap again what they show, others do not, so nothing else is sure to be clean.
//! 3. Ctrl-D behind the text ends, and so does Ctrl-C. Nothing that was typed is an answer then.
//! 4. What was typed before a question could be read is no answer to [`Prompter::fresh_line`].

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use console::Term;
use indelible::fs::os;
use indelible::model::text::visible_on_screen;
use rustyline::completion::Completer;
use rustyline::config::{BellStyle, ColorMode, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper, KeyCode, KeyEvent,
    Modifiers, RepeatCount,
};

use crate::output;

/// What stands before an answer.
const MARK: &str = "> ";

/// Whether a person can be asked: there is a terminal, and the output is not JSON.
pub fn is_possible(as_json: bool) -> bool {
    !as_json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && behavior().is_some()
}

/// Where the line editor reads and writes; `None` if it can write to no terminal. Its own choice would be stdout, which may be a
/// file.
fn behavior() -> Option<Behavior> {
    if std::io::stdout().is_terminal() {
        return Some(Behavior::Stdio);
    }
    let is_terminal_there =
        cfg!(windows) || std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").is_ok();
    (is_terminal_there && !output::is_dumb()).then_some(Behavior::PreferTerm)
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ctrl-D, or the terminal was closed.
    Closed,
    /// Ctrl-C.
    Interrupted,
}

/// Ctrl-D: behind the text it ends, elsewhere it deletes the next character.
struct EndBehindText {
    has_ended: Arc<AtomicBool>,
}

impl ConditionalEventHandler for EndBehindText {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let is_behind = context.pos() == context.line().len();
        is_behind.then(|| {
            self.has_ended.store(true, Ordering::Relaxed);
            Cmd::Interrupt
        })
    }
}

/// The width of the window that the mark was drawn in last; 0 if there is nothing to rely on.
#[derive(Clone, Debug, Default)]
struct Drawn(Arc<AtomicU16>);

impl Drawn {
    /// Notes the window as it is, and returns whether it has the width that was noted before.
    fn note(&self) -> bool {
        let columns = Term::stderr().size_checked().map_or(u16::MAX, |(_, columns)| columns);
        self.0.swap(columns, Ordering::Relaxed) == columns
    }
}

/// Ctrl-L: everything is drawn again.
struct DrawAgain(Drawn);

impl ConditionalEventHandler for DrawAgain {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.0.store(0, Ordering::Relaxed);
        Some(Cmd::Repaint)
    }
}

/// Draws the mark before an answer; on an empty screen also the question above it.
struct Drawer {
    question: String,
    drawn: Drawn,
}

impl Highlighter for Drawer {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, mark: &'p str, _: bool) -> Cow<'b, str> {
        match self.drawn.note() {
            true => mark.into(),
            // From the top: the old rows may be anywhere.
            false => format!("\x1b[H\x1b[J{}\r\n{mark}", self.question).into(),
        }
    }
}

impl Completer for Drawer {
    type Candidate = String;
}

impl Hinter for Drawer {
    type Hint = String;
}

impl Validator for Drawer {}
impl Helper for Drawer {}

/// Reads lines that a person types.
pub struct Prompter {
    editor: Editor<Drawer, MemHistory>,
    has_ended: Arc<AtomicBool>,
    drawn: Drawn,
}

impl Prompter {
    /// A line editor at this process's terminal.
    ///
    /// # Errors
    /// [`End::Closed`] if there is no terminal any more.
    pub fn new() -> Result<Prompter, End> {
        let behavior = behavior().ok_or(End::Closed)?;
        // Forced: without colours the editor does not ask how the mark is drawn. Nothing is coloured.
        let config = Config::builder().behavior(behavior).bell_style(BellStyle::None).color_mode(ColorMode::Forced);
        let config = config.build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(|_| End::Closed)?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let end = EndBehindText { has_ended: Arc::clone(&has_ended) };
        editor.bind_sequence(KeyEvent::ctrl('d'), EventHandler::Conditional(Box::new(end)));
        let drawn = Drawn::default();
        let again = DrawAgain(drawn.clone());
        editor.bind_sequence(KeyEvent::ctrl('l'), EventHandler::Conditional(Box::new(again)));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), EventHandler::Simple(Cmd::Newline));
        Ok(Prompter { editor, has_ended, drawn })
    }

    /// Shows `question`, and returns the line that is typed next. It begins as `begun`, which can be edited.
    ///
    /// # Errors
    /// The person ends.
    pub fn line(&mut self, question: &str, begun: &str) -> Result<String, End> {
        self.has_ended.store(false, Ordering::Relaxed);
        output::say(question);
        let _ = self.drawn.note();
        let question = visible_on_screen(question).replace('\n', "\r\n");
        self.editor.set_helper(Some(Drawer { question, drawn: self.drawn.clone() }));
        self.editor.readline_with_initial(MARK, (begun, "")).map_err(|error| match error {
            ReadlineError::Interrupted if !self.has_ended.load(Ordering::Relaxed) => End::Interrupted,
            _ => End::Closed,
        })
    }

    /// As [`Prompter::line`]; what was typed before is dropped.
    ///
    /// # Errors
    /// The person ends.
    pub fn fresh_line(&mut self, question: &str) -> Result<String, End> {
        // The editor keeps what it has read beyond a line; another one has nothing.
        *self = Prompter::new()?;
        os::drop_typed();
        self.line(question, "")
    }
}

/// What a person answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Yes,
    /// Do not.
    No,
    /// Go back to the editor.
    Again,
}

/// Asks `question` on stderr. If there is something to be done, the editor can be chosen instead of it. Ctrl-D and Ctrl-C are a no.
pub fn decide(question: &str, can_be_done: bool) -> Answer {
    let choices = if can_be_done { "[Y/n/e to edit it again]" } else { "[Y/n]" };
    let Ok(mut prompter) = Prompter::new() else { return Answer::No };
    loop {
        let answer = prompter.fresh_line(&format!("{question} {choices}"));
        match answer.map(|text| text.trim().to_lowercase()).as_deref() {
            Ok("" | "y" | "yes") => return Answer::Yes,
            Ok("e" | "edit") => return Answer::Again,
            Ok("n" | "no") | Err(_) => return Answer::No,
            Ok(_) if can_be_done => output::say("y, n or e"),
            Ok(_) => output::say("y or n"),
        }
    }
}
