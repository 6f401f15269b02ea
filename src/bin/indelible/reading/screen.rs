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

    /// `text` in lines that fit behind `indent` columns, if this is a terminal; in one line otherwise.
    pub fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        match self.columns {
            Some(columns) => wrapped(text, columns.saturating_sub(indent)),
            None => vec![text.to_owned()],
        }
    }

    /// Lines of cells in columns, two blanks between them. On a terminal cells are shortened where lines are too wide for the
    /// screen: for each of `shorter`, in order, those of a column, to no fewer than so many columns of the screen. At none,
    /// the column is left out.
    pub fn table(&self, lines: &[Vec<String>], shorter: &[(usize, usize)]) -> String {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|it| measure_text_width(it)).max();
        let mut widths: Vec<usize> = (0..columns).map(|at| widest(at).unwrap_or(0)).collect();
        let room = self.columns.unwrap_or(usize::MAX);
        let mut above = (widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)).saturating_sub(room);
        for (at, least) in shorter.iter().copied().filter(|it| it.0 < columns) {
            // One that may be left out is, with the blanks behind it.
            let less = match least {
                0 if above > 0 => widths[at] + 2,
                _ => above.min(widths[at].saturating_sub(least)),
            };
            widths[at] = widths[at].saturating_sub(less);
            above = above.saturating_sub(less);
        }
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (at, cell) in line.iter().enumerate().filter(|(at, _)| widths[*at] > 0) {
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

/// `text` in lines of at most `width` columns, broken between words where that is possible.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let wide = measure_text_width(word.trim_end());
        if used > 0 && used + wide > width {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        for c in word.chars() {
            let wide = measure_text_width(c.encode_utf8(&mut [0; 4]));
            if used + wide > width {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0;
                if c == ' ' {
                    continue;
                }
            }
            line.push(c);
            used += wide;
        }
    }
    if !line.trim_end().is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// `text` on one line, safe to show, without blanks around it.
pub fn line_of(text: &str) -> String {
    visible_line_on_screen(text.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_within_long_ones() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
        // Wide letters take two columns.
        assert_eq!(wrapped("漢字漢字", 4), ["漢字", "漢字"]);
        for width in 1..20 {
            let lines = wrapped("the quick 漢字 brown fox jumps", width);
            assert!(lines.iter().all(|line| measure_text_width(line) <= width.max(2)), "{width}: {lines:?}");
        }
    }

    #[test]
    fn a_narrow_screen_shortens_a_table_and_leaves_columns_out() {
        let at = |columns| Screen { columns: Some(columns), rows: None, colours: false, zone: TimeZone::UTC };
        let lines = [["2026-12-01", "failure", "high", "a title that is long", "76663680"].map(str::to_owned).to_vec()];
        let shorter = [(3, 10), (2, 0), (1, 0)];
        let shown = |columns| at(columns).table(&lines, &shorter);
        assert_eq!(shown(80), "2026-12-01  failure  high  a title that is long  76663680\n");
        assert_eq!(shown(50), "2026-12-01  failure  high  a title that…  76663680\n");
        assert_eq!(shown(44), "2026-12-01  failure  a title t…  76663680\n");
        assert_eq!(shown(32), "2026-12-01  a title t…  76663680\n");
        for columns in 32..60 {
            assert!(measure_text_width(shown(columns).trim_end()) <= columns, "{columns}: {}", shown(columns));
        }
    }
}
