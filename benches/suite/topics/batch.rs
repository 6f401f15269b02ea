//! Many records from one process: `record batch` against SQLite taking the rows alone and tar placing the files alone.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::homes;
use crate::lab::{Lab, has, indelible, output};
use crate::process::{MIB, Usage, measured, syncs, system_calls};
use crate::report::Report;
use crate::samples::{Samples, Spread, grouped, number};

fn of_size(lab: &Lab, report: &mut Report, records: usize) -> Vec<Vec<String>> {
    let input = homes::lines(lab, records);
    let inserts = has("sqlite3", "--version").then(|| inserts(lab, records));
    let mut archive = None;
    let (mut ours, mut rows, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.scale.long_rounds_of(records) {
        let home = homes::new(&lab.scratch("batch-home"));
        ours.push(measured(lab, &indelible(&home, &["record", "batch"]), Some(&input)));
        if let Some(inserts) = &inserts {
            let mut sqlite3 = Command::new("sqlite3");
            sqlite3.arg(lab.scratch("batch.db"));
            rows.push(measured(lab, &sqlite3, Some(inserts)));
        }
        let archive = archive.get_or_insert_with(|| pack(lab, &home));
        files.push(measured(lab, &unpack(lab, archive), None));
    }
    if inserts.is_none() {
        report.skip("sqlite3 (not installed)");
    }
    let _ = (lab.scratch("batch-home"), lab.scratch("batch-files"));
    let rate = Samples::new(ours.iter().map(|run| records as f64 / run.wall_ms * 1e3).collect()).spread();
    let memory = Samples::new(ours.iter().map(|run| run.memory / MIB).collect()).spread();
    report.figure(format!("batch of {}, records/s", grouped(records as i64)), rate);
    report.figure(format!("batch of {}, memory", grouped(records as i64)), memory);
    let to_tar = ours.iter().zip(&files).map(|(ours, files)| ours.wall_ms / files.wall_ms).collect();
    report.figure(format!("batch of {} / tar", grouped(records as i64)), Samples::new(to_tar).spread());
    let line = |name: &str, runs: &[Usage]| {
        let median = |of: fn(&Usage) -> f64| Samples::new(runs.iter().map(of).collect()).median();
        vec![
            grouped(records as i64),
            name.into(),
            grouped((records as f64 / median(|run| run.wall_ms) * 1e3) as i64),
            ratio(&ours, runs).show(),
            format!("{} MiB", number(median(|run| run.memory) / MIB)),
            number(median(|run| run.written) / 1e3 / records as f64),
        ]
    };
    let mut lines = vec![line("**`record batch`**", &ours), line("`tar -x` of the same files", &files)];
    if !rows.is_empty() {
        lines.push(line("`sqlite3`, the rows in one transaction", &rows));
    }
    lines
}

/// What has to be said of the runs' number.
pub fn once(lab: &Lab) -> String {
    let large = lab.scale.bulk.iter().any(|records| lab.scale.long_rounds_of(*records) == 1);
    let note = if large { "; once for 1,000,000 records" } else { "" };
    format!("Medians of {} rounds{note}.", lab.scale.long_rounds)
}

/// How much longer `ours` took than `others`, run by run.
pub fn ratio(ours: &[Usage], others: &[Usage]) -> Spread {
    Samples::new(ours.iter().zip(others).map(|(one, other)| one.wall_ms / other.wall_ms).collect()).spread()
}

pub fn run(lab: &Lab, report: &mut Report) {
    let rows = lab.scale.bulk.iter().flat_map(|&records| of_size(lab, report, records)).collect();
    let head = ["records", "", "records/s", "time of `record batch` / this", "peak memory", "kB written per record"];
    report.table(&head, rows);
    report.text(once(lab));
    report.text(
        "`record batch` journals and syncs what it acknowledges and does the work of both others besides, one home's \
         files, rows and journal; neither of them syncs more than once.",
    );
    let home = homes::new(&lab.scratch("batch-syncs"));
    let input = homes::lines(lab, 1000);
    match system_calls(lab, &indelible(&home, &["record", "batch"]), Some(&input)) {
        Some(calls) => {
            let per_record = syncs(&calls) as f64 / 1000.0;
            report.figure("syncs per record in a batch", Spread::exactly(per_record));
            report.text(format!("Syncs per record in a batch of 1,000: {}.", number(per_record)));
        }
        None => report.skip("syncs of a batch (strace is not installed)"),
    }
}

fn inserts(lab: &Lab, records: usize) -> PathBuf {
    let path = lab.scratch("batch.sql");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("it can be made"));
    let mut write = |text: String| file.write_all(text.as_bytes()).expect("it can be written");
    write("PRAGMA journal_mode = WAL; CREATE TABLE r (id TEXT PRIMARY KEY, body TEXT); BEGIN;\n".into());
    for number in 0..records {
        write(format!("INSERT INTO r VALUES ('record-{number}', '{}');\n", homes::line(number).replace('\'', "''")));
    }
    write("COMMIT;\n".into());
    file.flush().expect("it can be written");
    path
}

fn pack(lab: &Lab, home: &Path) -> PathBuf {
    let archive = lab.scratch("batch.tar");
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(home).args(["--exclude", "index.db*", "memory"]);
    output(&mut tar);
    archive
}

fn unpack(lab: &Lab, archive: &Path) -> Command {
    let folder = lab.scratch("batch-files");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(folder);
    tar
}
