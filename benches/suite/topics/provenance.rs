//! What it costs a recorder to say where its record comes from.
//!
//! Homes are in memory and have an idle worker each: a disk's moods, and the repair of SQLite's log by each recorder alone,
//! are many times what is measured. The pairs differ in nothing but the setting `record.provenance` and the folder.

use std::path::Path;

use super::worker::Worker;
use crate::homes;
use crate::lab::{Lab, indelible, output};
use crate::process::measured;
use crate::report::Report;
use crate::samples::{Contender, interleave, number};

/// How many rounds count for one of `record`'s: a few µs have to be seen in a process's ms.
const ROUNDS: usize = 6;
const ALL: &str = r#"["project", "session", "agent", "host", "cwd"]"#;
/// Who takes part: a name, whether the folder is in a repository, whether that has an origin, and what is kept.
const CASES: [(&str, Option<bool>, &str); 3] = [
    ("nothing of it, outside of a repository", None, "[]"),
    ("project and folder, of a repository with an origin", Some(true), ALL),
    ("project and folder, of a repository without an origin", Some(false), ALL),
];

pub fn run(lab: &Lab, report: &mut Report) {
    let places: Option<Vec<_>> = (0..CASES.len()).map(|at| lab.memory(&format!("provenance-{at}"))).collect();
    let Some(places) = places else {
        report.skip("what provenance costs (there is no /dev/shm)");
        return;
    };
    report.text(
        "`record failure` with a project and a folder, which it finds by itself, against one that keeps neither.",
    );
    let workers: Vec<Worker> = places
        .iter()
        .zip(CASES)
        .map(|(place, (_, origin, kept))| {
            make(place, origin, kept);
            Worker::start(&place.join("home"), &[])
        })
        .collect();
    let mut contenders: Vec<_> = places
        .iter()
        .zip(CASES)
        .map(|(place, (name, ..))| Contender::new(name, 1, move |round| record(lab, place, round)))
        .collect();
    let turns = interleave(ROUNDS * lab.scale.rounds, 10, &mut contenders);
    drop(contenders);
    workers.into_iter().for_each(Worker::stop);
    let more = |at: usize| turns.difference(at, 0).spread();
    let rows = (0..CASES.len()).map(|at| {
        let added = if at == 0 { "-".to_owned() } else { format!("{} µs", more(at).show()) };
        vec![CASES[at].0.to_owned(), format!("{} µs", number(turns.of(at).median())), added]
    });
    report.table(&["what is kept", "p50", "more"], rows.collect());
    report.figure("provenance, with an origin: µs more", more(1));
    report.figure("provenance, without an origin: µs more", more(2));
}

/// A home at `place`, with settings, and beside it the folder that its records are made in.
fn make(place: &Path, origin: Option<bool>, kept: &str) {
    homes::new(&place.join("home"));
    let folder = place.join("work/src/deep");
    std::fs::create_dir_all(&folder).expect("memory has room");
    std::fs::create_dir_all(place.join("settings/indelible")).expect("memory has room");
    let settings = format!("[record]\nprovenance = {kept}\n");
    std::fs::write(place.join("settings/indelible/config.toml"), settings).expect("memory has room");
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        output(command.arg("-C").arg(place.join("work")).args(args));
    };
    if let Some(has_origin) = origin {
        git(&["init", "-q"]);
        if has_origin {
            git(&["remote", "add", "origin", "https://example.org/owner/repository.git"]);
        }
    }
}

/// Records once at `place`. Returns how long the process took, in µs.
fn record(lab: &Lab, place: &Path, round: usize) -> f64 {
    let title = format!("record {round}");
    let mut command = indelible(&place.join("home"), &["record", "failure", "--domain", "bench", "--title", &title]);
    command.current_dir(place.join("work/src/deep")).env("XDG_CONFIG_HOME", place.join("settings"));
    command.env("XDG_STATE_HOME", place.join("state"));
    1000.0 * measured(lab, &command, None).wall_ms
}
