//! What text for people has to fit: width, colours, local time.

use std::io::IsTerminal as _;

use console::{Style, Term, measure_text_width, truncate_str};
use indelible::fs::os::Stream;
use indelible::model::text::visible_line_on_screen;
use indelible::model::{Kind, Severity};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::zone;
use crate::output;

/// The narrowest screen that text is fitted to.
const COLUMNS_MIN: usize = 40;
/// The columns of a terminal that does not say how many it has.
const COLUMNS_UNKNOWN: usize = 80;

/// Where text for people is shown.
pub struct Screen {
    /// The columns of the terminal, [`COLUMNS_UNKNOWN`] if it does not say; `None` if stdout is not a
    /// terminal. Nothing is shortened there.
    pub columns: Option<usize>,
    /// The lines of the terminal.
    pub rows: Option<usize>,
    /// Whether there are colours.
    pub colours: bool,
    zone: TimeZone,
}

impl Screen {
    /// The screen that stdout is shown on.
    pub fn of_stdout() -> Screen {
        // A terminal is one even if it does not know its size: what is written to it must not steer it.
        let is_terminal = std::io::stdout().is_terminal();
        let size = is_terminal.then(|| Term::stdout().size_checked()).flatten();
        let columns = size.map_or(COLUMNS_UNKNOWN, |(_, columns)| usize::from(columns).max(COLUMNS_MIN));
        Screen {
            columns: is_terminal.then_some(columns),
            rows: size.map(|(rows, _)| usize::from(rows)),
            colours: output::has_colours(Stream::Output),
            zone: zone::local(),
        }
    }

    /// Whether stdout is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.columns.is_some()
    }

    /// `at` in local time, to the minute.
    pub fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `at` in local time, to the second, with the zone.
    pub fn whole_time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z").to_string()
    }

    /// `text`, which is safe to show, in `style` if there are colours.
    pub fn styled(&self, style: Style, text: &str) -> String {
        match self.colours {
            true => style.force_styling(true).apply_to(text).to_string(),
            false => text.to_owned(),
        }
    }

    /// `text` in bold.
    pub fn bold(&self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    /// `text`, less bright.
    pub fn dim(&self, text: &str) -> String {
        self.styled(Style::new().dim(), text)
    }

    /// The name of `kind`, in its colour.
    pub fn kind(&self, kind: Kind) -> String {
        let style = Style::new();
        let style = match kind {
            Kind::Failure => style.red(),
            Kind::Success => style.green(),
            Kind::Observation => style.cyan(),
            Kind::Heuristic => style.yellow(),
            Kind::Experiment => style.magenta(),
            Kind::Verdict => style.blue(),
        };
        self.styled(style, kind.name())
    }

    /// The word for `severity`, bold from high on; blank without one.
    pub fn severity(&self, severity: Option<Severity>) -> String {
        let Some(severity) = severity else { return String::new() };
        let word = word_of(severity);
        if severity.get() >= 4 { self.bold(&word) } else { word }
    }

    /// How many lines `text` takes.
    pub fn lines_of(&self, text: &str) -> usize {
        let columns = self.columns.unwrap_or(usize::MAX);
        text.lines().map(|line| measure_text_width(line).div_ceil(columns).max(1)).sum()
    }

    /// `text`, shortened on a terminal if it does not fit behind `indent` columns.
    pub fn fitted(&self, text: &str, indent: usize) -> String {
        match self.columns {
            Some(columns) => truncate_str(text, columns.saturating_sub(indent), "…").into_owned(),
            None => text.to_owned(),
        }
    }

    /// Lines of cells in columns, two blanks between them. On a terminal cells are shortened where lines are too wide for the
    /// screen: for each of `shorter`, in order, those of a column, to no fewer than so many columns of the screen.
    pub fn table(&self, lines: &[Vec<String>], shorter: &[(usize, usize)]) -> String {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|it| measure_text_width(it)).max();
        let mut widths: Vec<usize> = (0..columns).map(|at| widest(at).unwrap_or(0)).collect();
        let room = self.columns.unwrap_or(usize::MAX);
        let mut above = (widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)).saturating_sub(room);
        for (at, least) in shorter.iter().copied().filter(|it| it.0 < columns) {
            let less = above.min(widths[at].saturating_sub(least));
            widths[at] -= less;
            above -= less;
        }
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (at, cell) in line.iter().enumerate() {
                let cell = if measure_text_width(cell) > widths[at] {
                    truncate_str(cell, widths[at], "…")
                } else {
                    cell.into()
                };
                let blanks = widths[at].saturating_sub(measure_text_width(&cell)) + 2;
                row.push_str(&cell);
                row.extend(std::iter::repeat_n(' ', blanks));
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The word for a severity.
pub fn word_of(severity: Severity) -> String {
    let word = Severity::WORDS.iter().find(|(_, it)| *it == severity).map(|(word, _)| *word);
    word.map_or_else(|| severity.to_string(), str::to_owned)
}

/// How many columns `text` takes.
pub fn width_of(text: &str) -> usize {
    measure_text_width(text)
}

/// `text` on one line, safe to show, without blanks around it.
pub fn line_of(text: &str) -> String {
    visible_line_on_screen(text.trim()).into_owned()
}
