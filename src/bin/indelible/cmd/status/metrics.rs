//! `status --metrics`: the status as OpenMetrics text, for a collector of text files.
//!
//! Every sample has the label `home`, so that the files of several homes can lie in one folder. What is not known has no
//! sample. Names and labels are stable: they are in `docs/status.md`.

use std::fmt::{Display, Write as _};

use indelible::hook::cost::Costs;
use indelible::pipeline;
use indelible::status::{Publisher, Status};
use indelible::sync::Standing;

/// OpenMetrics text, family by family.
struct Text {
    out: String,
    home: String,
}

#[derive(Clone, Copy)]
enum Type {
    Gauge,
    Counter,
    Summary,
}

impl Text {
    /// Begins the family `name`, whose unit is its last word if that is one.
    fn family(&mut self, name: &str, kind: Type, help: &str) -> Family<'_> {
        let word = match kind {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
            Type::Summary => "summary",
        };
        let name = format!("indelible_{name}");
        let _ = writeln!(self.out, "# TYPE {name} {word}");
        if let Some(unit) = ["bytes", "seconds"].into_iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {help}");
        Family { text: self, name, kind }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Type::Gauge, help).sample(&[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Type::Counter, help).sample(&[], value);
    }
}

struct Family<'t> {
    text: &'t mut Text,
    name: String,
    kind: Type,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of(if matches!(self.kind, Type::Counter) { "_total" } else { "" }, labels, value);
    }

    fn sample_of(&mut self, end: &str, labels: &[(&str, &str)], value: impl Display) {
        let mut all = format!("home=\"{}\"", escaped(&self.text.home));
        for (name, label) in labels {
            let _ = write!(all, ",{name}=\"{}\"", escaped(label));
        }
        let _ = writeln!(self.text.out, "{}{end}{{{all}}} {value}", self.name);
    }
}

/// `text` within the quotes of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `status` as OpenMetrics text, with what hooks cost, and how the home stands with its remote.
pub fn of(status: &Status, costs: &Costs, standing: Option<&Standing>) -> String {
    let mut text = Text { out: String::new(), home: status.home.clone() };
    records(status, &mut text);
    sizes(status, &mut text);
    lag(status, standing, &mut text);
    worker(status, &mut text);
    if let Some(published) = &status.published {
        counts(&published.counts, &mut text);
    }
    hooks(status, &mut text);
    hook_times(costs, &mut text);
    text.gauge("needs_attention", "Things that need a person's attention.", status.needs_attention.len());
    text.out.push_str("# EOF\n");
    text.out
}

fn records(status: &Status, text: &mut Text) {
    let Some(records) = &status.records else { return };
    let mut family = text.family("records", Type::Gauge, "Records by kind.");
    records.by_kind.iter().for_each(|(kind, count)| family.sample(&[("kind", kind.name())], count.all));
    let mut family = text.family("records_today", Type::Gauge, "Records by kind that were recorded today.");
    records.by_kind.iter().for_each(|(kind, count)| family.sample(&[("kind", kind.name())], count.today));
}

fn sizes(status: &Status, text: &mut Text) {
    let size = &status.size;
    text.gauge("index_bytes", "Size of the index with its write-ahead log.", size.index_bytes);
    text.gauge("index_wal_bytes", "Size of the write-ahead log of the index.", status.index_wal_bytes);
    text.gauge("search_bytes", "Size of the search database.", size.search_bytes);
    text.gauge("journal_bytes", "Size of the journal.", size.journal_bytes);
    text.gauge("journal_segments", "Segments of the journal.", status.journal.segments);
    if let Some(bytes) = size.history_bytes {
        text.gauge("history_bytes", "Size of the packs of the history.", bytes);
    }
}

fn lag(status: &Status, standing: Option<&Standing>, text: &mut Text) {
    let help = "Records and operations that a target lacks; of search, changes of rows.";
    let mut family = text.family("lag_operations", Type::Gauge, help);
    family.sample(&[("target", "history")], status.pending.records);
    family.sample(&[("target", "rows")], status.rows_missing.records);
    family.sample(&[("target", "search")], status.search.behind);
    if let Some(standing) = standing {
        family.sample(&[("target", "remote")], standing.unpushed);
    }
    let mut family = text.family("lag_seconds", Type::Gauge, "Age of the oldest record that a target lacks.");
    family.sample(&[("target", "history")], status.pending.oldest_age_s.unwrap_or(0));
    family.sample(&[("target", "rows")], status.rows_missing.oldest_age_s.unwrap_or(0));
    if let Some(standing) = standing {
        family.sample(&[("target", "remote")], standing.oldest_unpushed_s.unwrap_or(0));
    }
    if let Some(at) = status.history.as_ref().and_then(|history| history.committed_at) {
        let help = "When the newest commit of the history was made.";
        text.gauge("last_commit_timestamp_seconds", help, at.as_second());
    }
}

fn worker(status: &Status, text: &mut Text) {
    let runs = u8::from(status.worker.is_some());
    text.gauge("worker_running", "Whether a process has the worker's lock: 1 or 0.", runs);
    let published = status.published.as_ref().filter(|_| status.publisher == Some(Publisher::Running));
    if let Some(published) = published {
        let help = "Failures of the running worker since its last commit.";
        text.gauge("worker_failures_in_a_row", help, published.failures_in_a_row);
    }
    let mut family = text.family("quarantined", Type::Gauge, "Files in quarantine that were not dismissed.");
    let quarantine = &status.quarantine;
    for (what, names) in [
        ("damaged", &quarantine.damaged),
        ("parked", &quarantine.parked),
        ("set_aside", &quarantine.set_aside),
        ("events", &quarantine.events),
    ] {
        family.sample(&[("what", what)], names.len());
    }
}

/// What workers have counted since the home was made.
fn counts(counts: &pipeline::Counts, text: &mut Text) {
    for (name, help, value) in [
        ("commits", "Commits made.", counts.commits),
        ("committed_records", "Records committed.", counts.records),
        ("operations", "Operations on records that took effect.", counts.operations),
        ("files_written", "Files that a recorder had not placed, or that were torn.", counts.files_written),
        ("rows_inserted", "Rows that a recorder had not inserted.", counts.rows_inserted),
        ("entries_torn", "Entries of the journal whose writer died.", counts.torn),
        ("entries_voided", "Entries of the journal that their writers voided.", counts.voided),
        ("entries_damaged", "Damaged stretches of the journal.", counts.damaged),
        ("entries_parked", "Records that could not be applied.", counts.parked),
        ("segments_removed", "Segments of the journal removed.", counts.segments_removed),
        ("retries", "Failed attempts that were retried.", counts.retries),
        ("lock_waits", "Waits for a lock on a reference of git.", counts.waits),
        ("search_failures", "Failed attempts to bring search up to date.", counts.search_failures),
    ] {
        text.counter(name, help, value);
    }
}

fn hooks(status: &Status, text: &mut Text) {
    let Some(hooks) = &status.hooks else { return };
    let mut family = text.family("hook_events", Type::Counter, "Events of hooks by outcome.");
    for (outcome, count) in [
        ("recorded", hooks.recorded),
        ("skipped", hooks.skipped),
        ("unreadable", hooks.unreadable),
        ("failed", hooks.failed),
    ] {
        family.sample(&[("outcome", outcome)], count);
    }
    text.counter("hook_told", "Failures at which an agent was told what is known.", hooks.told);
}

/// How long calls of hooks took, by host.
fn hook_times(costs: &Costs, text: &mut Text) {
    let by_host = costs.by_host();
    if by_host.is_empty() {
        return;
    }
    let seconds = |us: u64| us as f64 / 1e6;
    let mut family =
        text.family("hook_duration_seconds", Type::Summary, "Times of calls of hooks, without the start of a process.");
    for (host, cost) in &by_host {
        for (quantile, share) in [("0.5", 0.5), ("0.99", 0.99)] {
            if let Some(us) = cost.quantile_us(share) {
                family.sample(&[("host", host), ("quantile", quantile)], seconds(us));
            }
        }
        family.sample_of("_sum", &[("host", host)], seconds(cost.us));
        family.sample_of("_count", &[("host", host)], cost.calls);
    }
    let mut family = text.family("hook_told_tokens", Type::Counter, "About how many tokens agents were told by hooks.");
    by_host.iter().for_each(|(host, cost)| family.sample(&[("host", host)], cost.tokens));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_end_its_label() {
        let mut text = Text { out: String::new(), home: "/a\\b\"c\nd".into() };
        text.gauge("x_bytes", "X.", 1);
        let wanted = "# TYPE indelible_x_bytes gauge\n# UNIT indelible_x_bytes bytes\n# HELP indelible_x_bytes X.\n\
                      indelible_x_bytes{home=\"/a\\\\b\\\"c\\nd\"} 1\n";
        assert_eq!(text.out, wanted);
    }
}
