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

/// What is wanted.
struct Goal {
    what: &'static str,
    /// The figures that say whether it is so; the first that there is counts.
    figures: &'static [&'static str],
    limit: Limit,
    unit: &'static str,
    /// Why it may be missed.
    why: &'static str,
}

const fn goal(what: &'static str, figures: &'static [&'static str], limit: Limit, unit: &'static str) -> Goal {
    Goal { what, figures, limit, unit, why: "" }
}

impl Goal {
    /// What is said where it is missed.
    const fn missed_for(self, why: &'static str) -> Goal {
        Goal { why, ..self }
    }
}

const GOALS: [Goal; 63] = [
    goal("`record` / full floor", &["record / full floor"], AtMost(1.2), "").missed_for(
        "most of what is left above the floor is SQLite, which opens the index and reads its schema, where the \
         floor inserts into a table of its own (decisions 0009, 0010)",
    ),
    goal("`record` / bare floor", &["record / bare floor"], AtMost(2.0), "").missed_for(
        "a file and a row come before the answer, and the full floor, which does no more than these, is above this goal \
         itself (decision 0010)",
    ),
    goal("`record` / full floor, cold caches", &["record, cold caches / full floor"], AtMost(2.0), "")
        .missed_for("the program is read from the disk again, and it is a hundred times as large as the floor's"),
    goal("p50 with 50 at once / full floor's", &["p50 with 50 at once / full floor"], AtMost(1.3), "").missed_for(CROWD),
    goal("p99 with 50 at once / full floor's", &["p99 with 50 at once / full floor"], AtMost(1.5), "").missed_for(CROWD),
    goal("system calls of one `record`", &["system calls of a record"], AtMost(90.0), ""),
    goal(
        "`record` in the largest home / in an empty one",
        &[
            "record in a home of 1,000,000 / empty",
            "record in a home of 100,000 / empty",
            "record in a home of 1,000 / empty",
        ],
        AtMost(1.1),
        "",
    ),
    goal("p99 of a hook that records, 50 at once", &["hook p99, 50 at once, a tool failed"], Below(50.0), " ms")
        .missed_for(
            "fifty processes that start in one moment share two cores, as those with nothing to record show, and one disk, as \
             the full floor's p99 shows (decision 0017)",
        ),
    goal("provenance, in a repository with an origin", &["provenance, with an origin: µs more"], AtMost(30.0), " µs"),
    goal("the same, without an origin", &["provenance, without an origin: µs more"], AtMost(30.0), " µs").missed_for(
        "the id that such a repository has on this machine is in a file of its own, under a hash of its real path",
    ),
    goal("syncs per record", &["syncs per record"], Exactly(1.0), ""),
    goal("syncs per record in a batch", &["syncs per record in a batch"], Below(0.01), ""),
    goal(
        "bytes written per small record, everything included, in batches of 100",
        &["bytes written per record"],
        Below(4096.0),
        "",
    ),
    goal("the same in pages that the disk owes", &["bytes written per record, in pages"], AtMost(6144.0), "")
        .missed_for("a record's own file is a page of 4 kB by itself"),
    goal("`record batch`, 100,000 records", &["batch of 100,000, records/s"], AtLeast(20_000.0), " records/s")
        .missed_for(FILES),
    goal("its memory", &["batch of 100,000, memory"], Below(64.0), " MiB"),
    goal("`record batch` of 1,000,000: its memory", &["batch of 1,000,000, memory"], Below(64.0), " MiB"),
    goal("`record batch`, 100,000 records / `tar -x` of the same files", &["batch of 100,000 / tar"], AtMost(1.2), "")
        .missed_for(FILES),
    goal(
        "worker draining 10,000 / `git fast-import`, both synced",
        &["worker draining 10,000 / fast-import"],
        AtMost(1.0),
        "",
    )
    .missed_for(DRAIN),
    goal("`flush` of 10,000 / `git fast-import`, both synced", &["flush of 10,000 / fast-import"], AtMost(1.0), "")
        .missed_for(DRAIN),
    goal(
        "a batch of 10 in the largest home, dated / in one of 1,000",
        &["a batch of 10 committed, dated, 1,000,000", "a batch of 10 committed, dated, 100,000"],
        AtMost(1.5),
        "",
    ),
    goal(
        "a batch of 10 in the largest home, flat / in one of 1,000",
        &["a batch of 10 committed, flat, 1,000,000", "a batch of 10 committed, flat, 100,000"],
        AtMost(2.0),
        "",
    )
    .missed_for("git stores a folder as one object, and one of 10,000 names is written whole for each commit"),
    goal("`recover` of 100,000 unapplied intents", &["recover of 100,000, records/s"], AtLeast(10_000.0), " records/s")
        .missed_for(FILES),
    goal("its memory", &["recover of 100,000, memory"], Below(64.0), " MiB"),
    goal("`recover` of 1,000,000: its memory", &["recover of 1,000,000, memory"], Below(64.0), " MiB").missed_for(AUDIT),
    goal("`verify` of 1,000,000: its memory", &["verify of 1,000,000, memory"], Below(64.0), " MiB").missed_for(AUDIT),
    goal("a recorder's memory", &["recorder memory"], AtMost(8.0), " MiB"),
    goal("an idle worker's memory", &["idle worker memory"], AtMost(16.0), " MiB"),
    goal(
        "a draining worker's memory, largest backlog",
        &["worker draining 1,000,000, memory", "worker draining 100,000, memory"],
        AtMost(64.0),
        " MiB",
    )
    .missed_for(
        "it may be git's, which the worker has roll packs together (decision 0015); `flush`, which has it do nothing, takes \
         what is in its line",
    ),
    goal("an idle worker's wake-ups per minute, of all threads", &["idle worker, wake-ups per minute"], AtMost(2.0), ""),
    goal("p99 from record to commit at 100 records/s", &["p99 to commit at 100/s, s"], Below(2.0), " s"),
    goal("the worker's share of a core at 100 records/s", &["worker CPU at 100/s, %"], Below(20.0), " %"),
    goal("packs, with 100 batches of 10 a second", &["peak number of packs, paced"], AtMost(40.0), ""),
    goal("packs, with batches of 10 at full speed", &["peak number of packs, at full speed"], AtMost(40.0), "")
        .missed_for("a commit waits three seconds for a repack, and one of 100,000 objects can take longer (decision 0015)"),
    goal("`git log -1 --stat` / after `git gc`", &["git log -1 --stat / after gc"], AtMost(1.5), ""),
    goal("`git fsck` / after `git gc`", &["git fsck / after gc"], AtMost(1.5), ""),
    goal("size of the history / after `git gc`", &["size / after gc"], AtMost(1.5), ""),
    goal("the right rule of ruff for its message, MRR", &["MRR, messages asked"], AtLeast(0.8), ""),
    goal("the right rule of ruff for its name, MRR", &["MRR, names asked"], AtLeast(0.76), ""),
    goal("`search` at 10,000, slowest question, p50", &["search p50, slowest, 10,000"], AtMost(4.0), " ms").missed_for(SLOWEST),
    goal("the same, p99", &["search p99, slowest, 10,000"], AtMost(10.0), " ms").missed_for(SLOWEST),
    goal("`search` at 100,000, slowest question, p50", &["search p50, slowest, 100,000"], AtMost(15.0), " ms")
        .missed_for(SLOWEST),
    goal("the same, p99", &["search p99, slowest, 100,000"], AtMost(40.0), " ms").missed_for(SLOWEST),
    goal("`search` at 1,000,000, slowest question, p50", &["search p50, slowest, 1,000,000"], AtMost(60.0), " ms")
        .missed_for(SLOWEST),
    goal("the same, p99", &["search p99, slowest, 1,000,000"], AtMost(150.0), " ms").missed_for(SLOWEST),
    goal(
        "a search's memory in the largest home",
        &["search memory, largest, 1,000,000", "search memory, largest, 100,000"],
        AtMost(30.0),
        " MiB",
    ),
    goal(
        "`list` in the largest home, slowest, p50",
        &["list p50, slowest, 1,000,000", "list p50, slowest, 100,000"],
        AtMost(5.0),
        " ms",
    ),
    goal(
        "`show` in the largest home, p50",
        &["show p50, slowest, 1,000,000", "show p50, slowest, 100,000"],
        AtMost(5.0),
        " ms",
    ),
    goal(
        "search.db built, largest home",
        &["search.db of 1,000,000, records/s", "search.db of 100,000, records/s"],
        AtLeast(20_000.0),
        " records/s",
    )
    .missed_for("the table in the topic of reading has what SQLite needs for a table of FTS5 of the same text"),
    goal(
        "the memory of a worker that builds it",
        &["search.db of 1,000,000, memory", "search.db of 100,000, memory"],
        AtMost(64.0),
        " MiB",
    ),
    goal("size of search.db / text, 10,000 records", &["search.db of 10,000 / text"], Below(1.2), "").missed_for(SIZE),
    goal(
        "the same, largest home",
        &["search.db of 1,000,000 / text", "search.db of 100,000 / text"],
        Below(1.2),
        "",
    )
    .missed_for(SIZE),
    goal("a hook that tells of a known failure / one that does not, more", &["hook, known failure: ms more"], AtMost(0.3), " ms"),
    goal("p99 of a hook that tells of a known failure, 50 at once", &["hook p99, 50 at once, a known failure, told"], Below(40.0), " ms"),
    goal("a session starts in a home of 100,000, p50", &["session start p50, ms"], AtMost(15.0), " ms"),
    goal("`mcp`: first answer, p50", &["mcp, first answer p50, ms"], AtMost(5.0), " ms"),
    goal("its memory then", &["mcp, memory"], AtMost(8.0), " MiB"),
    goal("its memory after a search", &["mcp, memory after a search"], AtMost(8.0), " MiB"),
    goal("lanes of hosts at once, there at the first attempt", &["hosts at once, lanes at the first attempt, in 100"], Exactly(100.0), " %"),
    goal("a container's `drain` over HTTP, requests", &["container's drain, requests"], AtMost(3.0), ""),
    goal("the same, sent and received, into 100,000 records", &["container's drain, kB"], AtMost(15.0), " kB"),
    goal("references that are left beside the trunk of folded lanes", &["lanes folded, references left"], Exactly(1.0), ""),
    goal("`record` with a remote out of reach / without", &["record with a remote out of reach / without"], AtMost(1.05), ""),
];

/// Why a crowd of recorders may take longer than one of the floor's.
const CROWD: &str = "each of them starts a program of a hundred times the size, on two cores";

/// Why an audit may take more memory than it should.
const AUDIT: &str = "an audit keeps a line for each path that any store has";

/// Why a question may take longer than it should.
const SLOWEST: &str = "the topic of reading has each question's own time, and how busy the machine was";

/// Why the search database may be larger than it should.
const SIZE: &str =
    "it has the words of each record in order, besides the lists of FTS5, and facts of each record (decision 0047)";

/// Why what places many files takes longer in some runs than in others.
const FILES: &str = "what placing a file takes is the disk's: `tar -x` of the same files, in the table of batches, takes many \
                     times as long in one run as in another";

/// Why draining takes more than `git fast-import` does.
const DRAIN: &str = "`git fast-import` is given the bytes; we open each file to see that it is the one that was recorded, and \
                     look up its row. Of larger backlogs it is the slower one";

pub fn run(lab: &Lab, report: &mut Report) {
    report.text("Compared with the figures below. A goal is reached if the median reaches it.");
    let figures = report::figures(lab);
    let mut rows = Vec::new();
    for Goal { what, figures: names, limit, unit, why } in &GOALS {
        let found = names.iter().find_map(|name| figures.get_key_value(*name));
        let Some((name, (Spread { median, .. }, scale))) = found else {
            rows.push(vec![
                (*what).into(),
                limit.show(unit),
                "not measured".into(),
                "-".into(),
                "-".into(),
                String::new(),
            ]);
            continue;
        };
        let of =
            name.rsplit(", ").next().filter(|_| names.len() > 1).map_or_else(String::new, |_| format!(" ({name})"));
        let (reached, why) = if limit.is_reached(*median) { ("yes", "") } else { ("**no**", *why) };
        let measured = format!("{}{unit}{of}", figures[name].0.show());
        rows.push(vec![(*what).into(), limit.show(unit), measured, reached.into(), scale.clone(), why.into()]);
    }
    report.table(&["", "goal", "measured", "reached", "scale", "why not"], rows);
}
