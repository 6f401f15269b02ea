//! Draws what is watched. Everything that was recorded is made visible and cut to its room; colours only add to what words say.

use std::borrow::Cow;

use console::{measure_text_width, truncate_str};
use indelible::model::text::{counted, number, visible_line_on_screen, visible_on_screen};
use indelible::model::{Field, Kind, RecordPath};
use indelible::query::Stage;
use indelible::status::Status;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::app::{App, Mode};
use super::look::Row;
use crate::cmd::status::{bytes, size_of, state_of_worker};
use crate::reading::screen::wrapped;

/// From so many columns on, the selected record is shown beside the list.
const COLUMNS_WIDE: u16 = 120;
/// The most lines of what needs attention; on a small screen fewer.
const ATTENTION_MAX: usize = 6;
/// The most lines that say what lags.
const LAG_LINES_MAX: usize = 2;
const KEYS: &str = "↑↓ move  Enter open  / search  v validate  r retract  ? help  q quit";
/// The columns of the keys in the help.
const HELP_KEYS_WIDTH: usize = 18;
const HELP: [(&str, &str); 11] = [
    ("↑ ↓, j k", "move; in an open record, scroll"),
    ("PgUp PgDn, Space", "move by a page"),
    ("g, G", "to the newest, to the oldest that is shown"),
    ("Enter, o", "open the selected record; Esc closes it"),
    ("/", "search: words, \"a phrase\", -word, kind: domain: since:"),
    ("Esc", "back from a search or a record"),
    ("v", "say that the selected rule held (validate)"),
    ("r", "take the selected record back (retract); restore brings it back"),
    ("Ctrl-Z", "suspend; fg goes on"),
    ("q, Ctrl-C", "quit"),
    ("JFRCSP", "where a record is: journal, file, row, commit, search, pushed; · not yet"),
];

/// How it is drawn.
pub struct Look {
    pub colours: bool,
    pub zone: TimeZone,
    pub home: String,
}

impl Look {
    fn dim(&self) -> Style {
        if self.colours { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    fn coloured(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn kind(&self, kind: Kind) -> Style {
        self.coloured(match kind {
            Kind::Failure => Color::Red,
            Kind::Success => Color::Green,
            Kind::Observation => Color::Cyan,
            Kind::Heuristic => Color::Yellow,
            Kind::Experiment => Color::Magenta,
            Kind::Verdict => Color::Blue,
        })
    }

    fn at(&self, at: jiff::Timestamp, format: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws `app`.
pub fn draw(frame: &mut Frame<'_>, app: &mut App, look: &Look) {
    let area = frame.area();
    let head = head(app, look, area.width);
    let attention = attention(app, area);
    let [top, faults, middle, bottom] = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Length(attention.len() as u16),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), top);
    let attention: Vec<Line<'_>> =
        attention.into_iter().map(|line| Line::styled(line, look.coloured(Color::Red).patch(BOLD))).collect();
    frame.render_widget(Paragraph::new(attention), faults);
    app.page = usize::from(middle.height.saturating_sub(2)).max(1);
    match app.mode {
        Mode::Open(from) | Mode::Asking(_, _, Some(from)) => record(frame, middle, app, look, from),
        Mode::Help => help(frame, middle),
        _ if middle.width >= COLUMNS_WIDE => {
            let [left, right] =
                Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).spacing(2).areas(middle);
            list(frame, left, app, look);
            if let Some(row) = app.selected_row() {
                frame.render_widget(Paragraph::new(lines_of(row, look, usize::from(right.width))), right);
            }
        }
        _ => list(frame, middle, app, look),
    }
    frame.render_widget(Paragraph::new(foot(app, look, area.width)), bottom);
}

/// The lines at the top: the home and the worker, what was recorded, and what lags.
fn head<'l>(app: &App, look: &Look, width: u16) -> Vec<Line<'l>> {
    let width = usize::from(width);
    let first = |right: &str| {
        let room = width.saturating_sub(measure_text_width(right) + 2);
        let home = cut(&look.home, room).into_owned();
        let blanks = width.saturating_sub(measure_text_width(&home) + measure_text_width(right));
        Line::from(vec![Span::styled(home, BOLD), Span::raw(" ".repeat(blanks)), Span::raw(right.to_owned())])
    };
    match &app.seen.status {
        Err(error) => vec![first("cannot be read"), Line::raw(cut(&format!("error: {error}"), width).into_owned())],
        Ok(status) => {
            let worker = cut(&state_of_worker(status), width / 2).into_owned();
            let lag = wrapped(&(lag(status, look) + &remote(app)), width);
            let lines = [recorded(status)].into_iter().chain(lag.into_iter().take(LAG_LINES_MAX));
            let lines = lines.map(|line| Line::raw(cut(&line, width).into_owned()));
            [first(&worker)].into_iter().chain(lines).collect()
        }
    }
}

fn recorded(status: &Status) -> String {
    let size = size_of(status);
    match &status.records {
        Some(records) => {
            let all = counted(records.all, "record", "records");
            format!("{all}, {} today, {size}", number(records.today))
        }
        None => format!("the index cannot be read, {size}"),
    }
}

/// Where the journal's records are held up.
fn lag(status: &Status, look: &Look) -> String {
    let since =
        |at: Option<jiff::Timestamp>| at.map_or_else(String::new, |at| format!(" since {}", look.at(at, "%H:%M:%S")));
    let waits = match status.pending.records {
        0 => "git has all".to_owned(),
        records => format!("git lacks {}{}", number(records), since(status.pending.oldest_at)),
    };
    let rows = match status.rows_missing.records {
        0 => "rows up to date".to_owned(),
        records => format!("rows lack {}{}", number(records), since(status.rows_missing.oldest_at)),
    };
    format!("journal {}; {waits}; {rows}; search {}", bytes(status.journal.bytes), status.search.line())
}

/// What the remote lacks, if there is one.
fn remote(app: &App) -> String {
    match app.seen.remote.as_ref().map(|remote| remote.unpushed) {
        None => String::new(),
        Some(0) => "; the remote has all".to_owned(),
        Some(unpushed) => format!("; the remote lacks {}", number(unpushed)),
    }
}

/// What needs attention, in as many lines as there is room for.
fn attention(app: &App, area: Rect) -> Vec<String> {
    let needs: Vec<&String> = match &app.seen.status {
        Ok(status) => status.needs_attention.iter().chain(&app.seen.notes).collect(),
        Err(_) => app.seen.notes.iter().collect(),
    };
    let room = ATTENTION_MAX.min(usize::from(area.height) / 6);
    let mut lines = Vec::new();
    for need in needs {
        for line in wrapped(&format!("! {}", crate::output::hint(need)), usize::from(area.width)) {
            lines.push(line);
        }
    }
    if lines.len() > room {
        lines.truncate(room.saturating_sub(1));
        lines.push("! there is more: `indelible status` shows all".to_owned());
    }
    lines
}

fn list(frame: &mut Frame<'_>, area: Rect, app: &App, look: &Look) {
    let rows = app.rows();
    let width = usize::from(area.width);
    let columns = Columns::of(width);
    let heading = match (&app.found, &app.seen.rows) {
        (Some((words, rows)), _) => format!("{} for {words}", counted(rows.len() as u64, "record", "records")),
        (None, Err(error)) => format!("error: {error}"),
        (None, Ok(rows)) if rows.is_empty() => "nothing was recorded yet".to_owned(),
        (None, Ok(_)) => columns.heading(),
    };
    let mut lines = vec![Line::styled(cut(&visible_line_on_screen(&heading), width).into_owned(), look.dim())];
    let height = usize::from(area.height).saturating_sub(1);
    let from = app.selected.saturating_sub(height.saturating_sub(1));
    for (at, row) in rows.iter().enumerate().skip(from).take(height) {
        let style = if at == app.selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        lines.push(columns.line(row, look, width).style(style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The widths of a row's cells.
struct Columns {
    agent: usize,
    project: usize,
}

impl Columns {
    fn of(width: usize) -> Columns {
        match width {
            0..70 => Columns { agent: 0, project: 0 },
            70..100 => Columns { agent: 8, project: 10 },
            _ => Columns { agent: 12, project: 20 },
        }
    }

    /// The cells before the title, each with a blank behind it.
    fn cells(&self, cells: [&str; 5]) -> String {
        let widths = [8, 11, 6, self.agent, self.project];
        let cells = cells.iter().zip(widths).filter(|(_, width)| *width > 0);
        cells.map(|(cell, width)| padded(cell, width) + " ").collect()
    }

    fn heading(&self) -> String {
        self.cells(["time", "kind", "where", "agent", "project"]) + "what"
    }

    fn line<'l>(&self, row: &Row, look: &Look, width: usize) -> Line<'l> {
        let recorded = &row.recorded;
        let provenance = recorded.provenance();
        let origin = provenance.origin.map(|origin| origin.name()).unwrap_or_default();
        let agent = visible_line_on_screen(provenance.agent.as_deref().unwrap_or(origin)).into_owned();
        let project = provenance.project.as_deref().unwrap_or_default();
        // The end of a project's name says most.
        let project = visible_line_on_screen(project.rsplit('/').next().unwrap_or(project)).into_owned();
        let time = look.at(recorded.created_at, "%H:%M:%S");
        let place = letters(row);
        let title = visible_line_on_screen(recorded.title().trim()).into_owned();
        let rest = self.cells([&time, "", "", &agent, &project]);
        let room = width.saturating_sub(measure_text_width(&rest));
        let others: String = [(&agent, self.agent), (&project, self.project)]
            .iter()
            .filter(|(_, width)| *width > 0)
            .map(|(cell, width)| padded(cell, *width) + " ")
            .collect();
        Line::from(vec![
            Span::styled(padded(&time, 8) + " ", look.dim()),
            Span::styled(padded(recorded.kind().name(), 11) + " ", look.kind(recorded.kind())),
            Span::raw(padded(&place, 6) + " "),
            Span::styled(others, look.dim()),
            Span::raw(cut(&title, room).into_owned()),
        ])
    }
}

/// Where a record is: a letter for each place that it has reached.
fn letters(row: &Row) -> String {
    let letter = |stage: Stage| match stage {
        Stage::Journal => 'J',
        Stage::File => 'F',
        Stage::Row => 'R',
        Stage::Commit => 'C',
        Stage::Search => 'S',
    };
    let pushed = row.is_pushed.map(|is_pushed| if is_pushed { 'P' } else { '·' });
    let stages = Stage::ALL.into_iter().map(|stage| if row.stages.contains(&stage) { letter(stage) } else { '·' });
    stages.chain(pushed).collect()
}

/// The record of `row`, for people, in lines of at most `width` columns.
fn lines_of<'l>(row: &Row, look: &Look, width: usize) -> Vec<Line<'l>> {
    let recorded = &row.recorded;
    let mut lines: Vec<Line<'l>> = Vec::new();
    let title = visible_line_on_screen(recorded.title().trim()).into_owned();
    lines.extend(wrapped(&title, width).into_iter().map(|line| Line::styled(line, BOLD)));
    let provenance = recorded.provenance();
    let text = |text: Option<&str>| text.map(str::to_owned).unwrap_or_default();
    let reached = |stage: Stage, name: &str| format!("{} {name}", if row.stages.contains(&stage) { "✓" } else { "·" });
    for (name, value) in [
        ("kind", recorded.kind().name().to_owned()),
        ("domain", recorded.domain().unwrap_or_default().into_owned()),
        ("recorded", look.at(recorded.created_at, "%Y-%m-%d %H:%M:%S %z")),
        ("by", [text(provenance.origin.map(|it| it.name())), text(provenance.agent.as_deref())].join(" ")),
        ("project", text(provenance.project.as_deref())),
        ("session", text(provenance.session.as_deref())),
        ("tags", recorded.tags().join(", ")),
        ("id", recorded.id.to_string()),
        ("file", RecordPath(&recorded.path).page().into_owned()),
        (
            "where",
            [
                reached(Stage::Journal, "journal"),
                reached(Stage::File, "file"),
                reached(Stage::Row, "row"),
                reached(Stage::Commit, "commit"),
                reached(Stage::Search, "search"),
                row.is_pushed.map(|it| format!("{} remote", if it { "✓" } else { "·" })).unwrap_or_default(),
            ]
            .join("  "),
        ),
    ] {
        if !value.trim().is_empty() {
            let line = format!("{name:<9} {}", visible_line_on_screen(value.trim()));
            lines.extend(wrapped(&line, width).into_iter().map(Line::raw));
        }
    }
    for field in [Field::Summary, Field::Explanation, Field::Hypothesis, Field::Outcome, Field::Because] {
        let body = recorded.field(field).unwrap_or_default();
        if body.trim().is_empty() {
            continue;
        }
        lines.push(Line::raw(""));
        for line in visible_on_screen(body.trim()).lines() {
            lines.extend(wrapped(&line.replace('\t', "    "), width).into_iter().map(Line::raw));
        }
    }
    lines
}

fn record(frame: &mut Frame<'_>, area: Rect, app: &mut App, look: &Look, from: usize) {
    let Some(row) = app.selected_row() else { return };
    let lines = lines_of(row, look, usize::from(area.width));
    // The last line can be scrolled to the bottom, and not further.
    let from = from.min(lines.len().saturating_sub(usize::from(area.height)));
    match &mut app.mode {
        Mode::Asking(_, _, open) => *open = Some(from),
        mode => *mode = Mode::Open(from),
    }
    let shown: Vec<Line<'_>> = lines.into_iter().skip(from).take(usize::from(area.height)).collect();
    frame.render_widget(Paragraph::new(shown), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let room = usize::from(area.width).saturating_sub(HELP_KEYS_WIDTH).max(1);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (keys, what) in HELP {
        let parts = wrapped(what, room).into_iter().zip([keys].into_iter().chain(std::iter::repeat("")));
        lines.extend(
            parts.map(|(part, keys)| {
                Line::from(vec![Span::styled(padded(keys, HELP_KEYS_WIDTH), BOLD), Span::raw(part)])
            }),
        );
    }
    lines.extend([Line::raw(""), Line::raw("Any key goes back.")]);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines), area);
}

fn foot<'l>(app: &App, look: &Look, width: u16) -> Line<'l> {
    let width = usize::from(width);
    if let Some(question) = app.question() {
        // The answer's keys must be seen.
        let (title, keys) = question.rsplit_once("? ").unwrap_or((&question, ""));
        let title = cut(title, width.saturating_sub(measure_text_width(keys) + 2));
        return Line::styled(format!("{title}? {keys}"), BOLD);
    }
    match (&app.mode, &app.message) {
        (Mode::Typing, _) => Line::from(vec![
            Span::styled("search: ", BOLD),
            Span::raw(end_of(&app.typed, width.saturating_sub(9))),
            Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)),
        ]),
        (_, Some(message)) => Line::raw(cut(&visible_line_on_screen(message), width).into_owned()),
        (Mode::Open(_), None) => Line::styled("↑↓ scroll  Esc back  v validate  r retract  q quit", look.dim()),
        _ => Line::styled(cut(KEYS, width).into_owned(), look.dim()),
    }
}

/// `text` cut to `width` columns.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    truncate_str(text, width, "…")
}

/// `text` in exactly `width` columns.
fn padded(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let blanks = width.saturating_sub(measure_text_width(&text));
    format!("{text}{}", " ".repeat(blanks))
}

/// The end of `text`, as far as it fits into `width` columns.
fn end_of(text: &str, width: usize) -> String {
    let mut end = text;
    while measure_text_width(end) > width {
        let mut chars = end.chars();
        chars.next();
        end = chars.as_str();
    }
    visible_line_on_screen(end).into_owned()
}
