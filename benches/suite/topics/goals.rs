//! The goals, held against what the other topics last found.

use crate::lab::Lab;
use crate::report::{self, Report};
use crate::samples::{Spread, number};

/// Which side of the goal is the good one.
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
    Exactly(f64),
}

use Limit::{AtLeast, AtMost, Below, Exactly};

impl Limit {
    fn is_reached(&self, value: f64) -> bool {
        match self {
            AtMost(limit) => value <= *limit,
            AtLeast(limit) => value >= *limit,
            Below(limit) => value < *limit,
            Exactly(limit) => value == *limit,
        }
    }

    fn show(&self, unit: &str) -> String {
        let (words, limit) = match self {
            AtMost(limit) => ("at most", limit),
            AtLeast(limit) => ("at least", limit),
            Below(limit) => ("below", limit),
            Exactly(limit) => ("exactly", limit),
        };
        format!("{words} {}{unit}", number(*limit))
    }
}

/// What is wanted, the figures that say whether it is so (the first that there is counts), the limit, and its unit.
type Goal = (&'static str, &'static [&'static str], Limit, &'static str);

const GOALS: [Goal; 27] = [
    ("`record` / full floor", &["record / full floor"], AtMost(1.2), ""),
    ("`record` / bare floor", &["record / bare floor"], AtMost(2.0), ""),
    ("p99 with 50 at once / full floor's", &["p99 with 50 at once / full floor"], AtMost(2.0), ""),
    (
        "`record` in the largest home / in an empty one",
        &[
            "record in a home of 1,000,000 / empty",
            "record in a home of 100,000 / empty",
            "record in a home of 1,000 / empty",
        ],
        AtMost(1.1),
        "",
    ),
    ("syncs per record", &["syncs per record"], Exactly(1.0), ""),
    ("syncs per record in a batch", &["syncs per record in a batch"], Below(0.01), ""),
    (
        "bytes written per small record by its commit, in batches of 100",
        &["bytes per record, committed"],
        Below(4096.0),
        "",
    ),
    (
        "bytes written per small record by its recorder, in batches of 100",
        &["bytes per record, recorded"],
        Below(4096.0),
        "",
    ),
    ("`record batch`, 100,000 records", &["batch of 100,000, records/s"], AtLeast(20_000.0), " records/s"),
    ("its memory", &["batch of 100,000, memory"], Below(64.0), " MiB"),
    (
        "worker draining 10,000 / `git fast-import`, both synced",
        &["worker draining 10,000 / fast-import"],
        AtMost(1.0),
        "",
    ),
    ("`flush` of 10,000 / `git fast-import`, both synced", &["flush of 10,000 / fast-import"], AtMost(1.0), ""),
    (
        "a batch of 10 in the largest home, dated / in one of 1,000",
        &["a batch of 10 committed, dated, 1,000,000", "a batch of 10 committed, dated, 100,000"],
        AtMost(1.5),
        "",
    ),
    (
        "a batch of 10 in the largest home, flat / in one of 1,000",
        &["a batch of 10 committed, flat, 1,000,000", "a batch of 10 committed, flat, 100,000"],
        AtMost(1.5),
        "",
    ),
    ("`recover` of 100,000 unapplied intents", &["recover of 100,000, records/s"], AtLeast(10_000.0), " records/s"),
    ("its memory", &["recover of 100,000, memory"], Below(64.0), " MiB"),
    ("a recorder's memory", &["recorder memory"], AtMost(8.0), " MiB"),
    ("an idle worker's memory", &["idle worker memory"], AtMost(16.0), " MiB"),
    ("a draining worker's memory, 100,000 pending", &["worker draining 100,000, memory"], AtMost(64.0), " MiB"),
    ("an idle worker's wake-ups per minute, of all threads", &["idle worker, wake-ups per minute"], AtMost(2.0), ""),
    ("p99 from record to commit at 100 records/s", &["p99 to commit at 100/s, s"], Below(2.0), " s"),
    ("the worker's share of a core at 100 records/s", &["worker CPU at 100/s, %"], Below(20.0), " %"),
    ("packs, with 100 batches of 10 a second", &["peak number of packs, paced"], AtMost(40.0), ""),
    ("packs, with batches of 10 at full speed", &["peak number of packs, at full speed"], AtMost(40.0), ""),
    ("`git log -1 --stat` / after `git gc`", &["git log -1 --stat / after gc"], AtMost(1.5), ""),
    ("`git fsck` / after `git gc`", &["git fsck / after gc"], AtMost(1.5), ""),
    ("size of the history / after `git gc`", &["size / after gc"], AtMost(1.5), ""),
];

pub fn run(lab: &Lab, report: &mut Report) {
    report.text("Held against what is below. Whether a goal is reached is said of the median.");
    let figures = report::figures(lab);
    let mut rows = Vec::new();
    for (what, names, limit, unit) in &GOALS {
        let found = names.iter().find_map(|name| figures.get_key_value(*name));
        let Some((name, (Spread { median, .. }, scale))) = found else {
            rows.push(vec![(*what).into(), limit.show(unit), "not measured".into(), "-".into(), "-".into()]);
            continue;
        };
        let of =
            name.rsplit(", ").next().filter(|_| names.len() > 1).map_or_else(String::new, |_| format!(" ({name})"));
        let reached = if limit.is_reached(*median) { "yes" } else { "**no**" };
        let measured = format!("{}{unit}{of}", figures[name].0.show());
        rows.push(vec![(*what).into(), limit.show(unit), measured, reached.into(), scale.clone()]);
    }
    report.table(&["", "goal", "measured", "reached", "scale"], rows);
}
