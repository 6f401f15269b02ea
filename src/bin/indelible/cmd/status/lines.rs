//! Lines of `status` for people: what was recorded, how large it is, what was committed last, and what waits since when.

use indelible::model::Kind;
use indelible::model::text::{counted, number, visible_line};
use indelible::status::{HistoryStatus, Pending, Publisher, RecordCounts, Size, Status};
use jiff::Timestamp;

use crate::reading::screen::Screen;

/// So many records, by kind: `3: 2 failures, 1 heuristic`. Kinds without a record are left out.
pub fn by_kind(records: &RecordCounts, is_today: bool) -> String {
    let of = |all: u64, today: u64| if is_today { today } else { all };
    let kinds = records.by_kind.iter().map(|(kind, count)| (kind, of(count.all, count.today)));
    let kinds: Vec<String> =
        kinds.filter(|(_, count)| *count > 0).map(|(kind, count)| one_kind(*kind, count)).collect();
    match of(records.all, records.today) {
        0 => "nothing".to_owned(),
        all => format!("{}: {}", number(all), kinds.join(", ")),
    }
}

fn one_kind(kind: Kind, count: u64) -> String {
    counted(count, kind.name(), kind.plural())
}

/// How large the stores are.
pub fn size(size: &Size) -> String {
    let history = size.history_bytes.map(|it| format!(", history {}", bytes(it))).unwrap_or_default();
    let (index, search, journal) = (bytes(size.index_bytes), bytes(size.search_bytes), bytes(size.journal_bytes));
    format!(
        "{}: index {index}, search {search}{history}, journal {journal}; records' files not counted",
        bytes(size.all_bytes)
    )
}

/// The branch, and its newest commit.
pub fn history(screen: &Screen, history: &HistoryStatus) -> String {
    let branch = history.branch.trim_start_matches("refs/heads/");
    let Some(commit) = &history.commit else { return format!("{branch} at no commit yet") };
    let mut line = format!("{branch} at {}", &commit[..commit.len().min(12)]);
    if let Some(at) = history.committed_at {
        line.push_str(&format!(", {}", screen.time(at)));
    }
    if let Some(author) = history.author.as_deref().filter(|author| !author.is_empty()) {
        line.push_str(&format!(", by {}", visible_line(author)));
    }
    if let Some(subject) = history.subject.as_deref().filter(|subject| !subject.is_empty()) {
        line.push_str(&format!(": {}", visible_line(subject)));
    }
    line
}

/// What waits, and since when.
pub fn waits(screen: &Screen, pending: &Pending) -> String {
    if pending.records == 0 {
        return "nothing".to_owned();
    }
    let records = counted(pending.records, "record", "records");
    match (pending.oldest_age_s, pending.oldest_at) {
        (Some(age), Some(at)) => {
            format!("{records}, the oldest {} old (since {})", age_of(age), screen.time(at))
        }
        _ => records,
    }
}

/// An age for people: seconds, then minutes, hours and days.
pub fn age_of(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => counted(seconds / 86_400, "day", "days"),
    }
}

/// A number of bytes, rounded for people.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{} B", number(bytes)),
        10_000..10_000_000 => format!("{} kB", number(bytes / 1000)),
        10_000_000..10_000_000_000 => format!("{} MB", number(bytes / 1_000_000)),
        _ => format!("{} GB", number(bytes / 1_000_000_000)),
    }
}

/// What stands behind a line that a worker has published: nothing if that worker runs, else who it was.
pub fn publisher(status: &Status) -> String {
    match (&status.published, status.publisher) {
        (Some(published), Some(Publisher::Ended)) => format!("; by process {}, which has ended", published.process),
        (Some(published), Some(Publisher::Gone)) => format!("; by process {}, which is gone", published.process),
        _ => String::new(),
    }
}

/// When the day of `now` began, in the local time zone.
pub fn beginning_of_today() -> Timestamp {
    let now = crate::reading::zone::now();
    now.start_of_day().map_or_else(|_| now.timestamp(), |day| day.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_units_that_people_read() {
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800, 86_400 * 1_500];
        let said = ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days", "1,500 days"];
        assert_eq!(ages.map(age_of), said.map(str::to_owned));
        let sizes = [0, 9_999, 10_000, 9_999_999, 10_000_000, 25_000_000_000];
        let said = ["0 B", "9,999 B", "10 kB", "9,999 kB", "10 MB", "25 GB"];
        assert_eq!(sizes.map(bytes), said.map(str::to_owned));
    }
}
