//! What is shown, and what a key does. Pure: keys come in, [`Action`]s come out.

use indelible::model::text::{counted, visible_line_on_screen};
use indelible::model::{Kind, RecordId};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::look::{Row, Seen};

/// The longest query, in characters.
const QUERY_CHARS_MAX: usize = 200;

/// What is in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The list.
    List,
    /// Words are typed.
    Typing,
    /// The selected record, from a line on.
    Open(usize),
    /// A question about the selected record, which is open from a line on, or not.
    Asking(Change, RecordId, Option<usize>),
    /// The keys.
    Help,
}

/// A change of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Validate,
    Retract,
}

impl Change {
    pub const fn word(self) -> &'static str {
        match self {
            Change::Validate => "validate",
            Change::Retract => "retract",
        }
    }
}

/// What the loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    End,
    Suspend,
    Search(String),
    Change(Change, RecordId),
}

/// Everything that is shown.
pub struct App {
    pub seen: Seen,
    /// What a search found, and the words.
    pub found: Option<(String, Vec<Row>)>,
    pub mode: Mode,
    pub typed: String,
    /// The place of the selected record.
    pub selected: usize,
    /// What came of the last key, until the next one.
    pub message: Option<String>,
    /// The lines of a page, as drawn last.
    pub page: usize,
}

impl App {
    pub fn new(seen: Seen) -> App {
        App { seen, found: None, mode: Mode::List, typed: String::new(), selected: 0, message: None, page: 10 }
    }

    pub fn rows(&self) -> &[Row] {
        match (&self.found, &self.seen.rows) {
            (Some((_, rows)), _) | (None, Ok(rows)) => rows,
            (None, Err(_)) => &[],
        }
    }

    pub fn selected_row(&self) -> Option<&Row> {
        self.rows().get(self.selected)
    }

    /// Shows `seen`. The selected record stays selected, unless it is the newest: then the newest one is.
    pub fn update(&mut self, seen: Seen, found: Option<Vec<Row>>) {
        let kept = self.selected_row().map(|row| row.recorded.id);
        let follows = self.selected == 0 && self.mode == Mode::List && self.found.is_none();
        self.seen = seen;
        if let Some((_, rows)) = &mut self.found
            && let Some(now) = found
        {
            *rows = now;
        }
        let at = kept.filter(|_| !follows).and_then(|id| self.rows().iter().position(|row| row.recorded.id == id));
        if let Some(at) = at {
            self.selected = at;
        } else if kept.is_some() && !follows && matches!(self.mode, Mode::Open(_) | Mode::Asking(..)) {
            self.mode = Mode::List;
        }
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    /// Shows what a search for `words` found.
    pub fn show_found(&mut self, words: String, found: Result<Vec<Row>, String>) {
        match found {
            Ok(rows) => {
                self.message =
                    Some(format!("{} found; Esc goes back", counted(rows.len() as u64, "record", "records")));
                self.found = Some((words, rows));
                self.selected = 0;
            }
            Err(error) => self.message = Some(format!("error: {error}")),
        }
    }

    /// What `key` means.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Some(Action::End),
                KeyCode::Char('z') => return Some(Action::Suspend),
                _ => {}
            }
        }
        match self.mode.clone() {
            Mode::List => self.key_in_list(key.code),
            Mode::Typing => self.key_while_typing(key),
            Mode::Open(from) => self.key_in_record(key.code, from),
            Mode::Asking(change, id, open) => {
                self.mode = open.map_or(Mode::List, Mode::Open);
                match key.code {
                    KeyCode::Char('y' | 'Y') => Some(Action::Change(change, id)),
                    _ => {
                        self.message = Some("nothing was changed".to_owned());
                        None
                    }
                }
            }
            Mode::Help => {
                self.mode = Mode::List;
                None
            }
        }
    }

    /// Takes `text` that was pasted: words to search for. No part of it is a key.
    pub fn paste(&mut self, text: &str) {
        match self.mode {
            Mode::Typing => {
                let chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
                let room = QUERY_CHARS_MAX.saturating_sub(self.typed.chars().count());
                self.typed.extend(chars.take(room));
            }
            _ => self.message = Some("pasted text is taken in a search alone: press / first".to_owned()),
        }
    }

    fn key_in_list(&mut self, code: KeyCode) -> Option<Action> {
        let last = self.rows().len().saturating_sub(1);
        match code {
            KeyCode::Char('q') => return Some(Action::End),
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.selected = (self.selected + self.page).min(last),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(self.page),
            KeyCode::Home | KeyCode::Char('g') => self.selected = 0,
            KeyCode::End | KeyCode::Char('G') => self.selected = last,
            KeyCode::Enter | KeyCode::Char('o') if self.selected_row().is_some() => self.mode = Mode::Open(0),
            KeyCode::Char('/') => {
                self.typed.clear();
                self.mode = Mode::Typing;
            }
            KeyCode::Esc if self.found.is_some() => {
                self.found = None;
                self.selected = 0;
            }
            KeyCode::Char('v') => self.ask(Change::Validate),
            KeyCode::Char('r') => self.ask(Change::Retract),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            _ => {}
        }
        None
    }

    /// Asks whether the selected record is to be changed.
    fn ask(&mut self, change: Change) {
        let Some(row) = self.selected_row() else { return };
        if change == Change::Validate && row.recorded.kind() != Kind::Heuristic {
            self.message = Some("only a rule (heuristic) can be validated".to_owned());
            return;
        }
        let open = if let Mode::Open(from) = self.mode { Some(from) } else { None };
        self.mode = Mode::Asking(change, row.recorded.id, open);
    }

    /// The question that is asked.
    pub fn question(&self) -> Option<String> {
        let Mode::Asking(change, id, _) = self.mode else { return None };
        let row = self.rows().iter().find(|row| row.recorded.id == id)?;
        let title = visible_line_on_screen(row.recorded.title()).into_owned();
        Some(format!("{} \"{title}\"? y does it, any other key does not", change.word()))
    }

    fn key_while_typing(&mut self, key: KeyEvent) -> Option<Action> {
        match key.code {
            KeyCode::Esc => self.mode = Mode::List,
            KeyCode::Enter => {
                self.mode = Mode::List;
                let words = self.typed.trim().to_owned();
                match words.is_empty() {
                    true => self.found = None,
                    false => return Some(Action::Search(words)),
                }
            }
            KeyCode::Backspace => drop(self.typed.pop()),
            KeyCode::Char(c) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                self.control_while_typing(c);
            }
            KeyCode::Char(c) if self.typed.chars().count() < QUERY_CHARS_MAX => self.typed.push(c),
            _ => {}
        }
        None
    }

    /// The keys of a shell's line: Ctrl-U clears it, Ctrl-W takes the last word, Ctrl-H the last character.
    fn control_while_typing(&mut self, c: char) {
        match c {
            'u' => self.typed.clear(),
            'h' => drop(self.typed.pop()),
            'w' => {
                let words = self.typed.trim_end();
                let end = words.rfind(char::is_whitespace).map_or(0, |at| at + 1);
                self.typed.truncate(end);
            }
            _ => {}
        }
    }

    fn key_in_record(&mut self, code: KeyCode, from: usize) -> Option<Action> {
        let page = self.page;
        match code {
            KeyCode::Char('q') => return Some(Action::End),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Left | KeyCode::Backspace => self.mode = Mode::List,
            KeyCode::Down | KeyCode::Char('j') => self.mode = Mode::Open(from + 1),
            KeyCode::Up | KeyCode::Char('k') => self.mode = Mode::Open(from.saturating_sub(1)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.mode = Mode::Open(from + page),
            KeyCode::PageUp => self.mode = Mode::Open(from.saturating_sub(page)),
            KeyCode::Home | KeyCode::Char('g') => self.mode = Mode::Open(0),
            KeyCode::Char('v') => self.ask(Change::Validate),
            KeyCode::Char('r') => self.ask(Change::Retract),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            _ => {}
        }
        None
    }
}
