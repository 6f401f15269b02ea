//! One record as a whole process, against what it cannot be faster than and against what people do otherwise.
//!
//! Each round runs every contender once, one after the other, so that the machine's moods hit all of them alike. What
//! counts is the ratio to the bare floor within the same run; absolute times mean nothing elsewhere.
//!
//! `cargo bench --bench record` prints a markdown table. Contenders that the machine lacks are skipped by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 400;

/// One way to keep a record, as a command.
struct Contender {
    name: &'static str,
    command: Box<dyn Fn(usize) -> Command>,
    /// Run in every so many rounds: what takes long needs fewer.
    every: usize,
    times: Vec<Duration>,
}

fn main() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut contenders = contenders(root.path());
    for round in 0..ROUNDS {
        for contender in contenders.iter_mut().filter(|contender| round % contender.every == 0) {
            let mut command = (contender.command)(round);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            let status = command.status().expect("it was started before");
            let time = start.elapsed();
            assert!(status.success(), "{} failed: {status}", contender.name);
            // The first rounds warm the caches.
            if round >= 10 || contender.every > 1 {
                contender.times.push(time);
            }
        }
    }
    report(&mut contenders);
}

fn report(contenders: &mut [Contender]) {
    contenders.iter_mut().for_each(|contender| contender.times.sort_unstable());
    let at = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100];
    let floor = at(&contenders[0].times, 50);
    println!("| one record | p50 | p95 | p99 | p50 / bare floor | runs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for Contender { name, times, .. } in contenders {
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        let ratio = at(times, 50).as_secs_f64() / floor.as_secs_f64();
        let [p50, p95, p99] = [50, 95, 99].map(|percent| ms(at(times, percent)));
        println!("| {name} | {p50} | {p95} | {p99} | {ratio:.2} | {} |", times.len());
    }
}

fn contenders(root: &Path) -> Vec<Contender> {
    let mut contenders = vec![bare(root)];
    contenders.extend(full(root));
    contenders.push(indelible(root));
    contenders.extend(sqlite3(root));
    contenders.extend(git(root));
    contenders
}

fn contender(name: &'static str, every: usize, command: impl Fn(usize) -> Command + 'static) -> Contender {
    Contender { name, command: Box::new(command), every, times: Vec::new() }
}

/// Compiles a floor, statically where the machine can.
fn compile(root: &Path, source: &str, libraries: &[&str]) -> Option<PathBuf> {
    let program = root.join(source.trim_end_matches(".c"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floors").join(source);
    let compile = |extra: &[&str]| {
        let mut command = Command::new("cc");
        command.args(["-O2"]).args(extra).arg("-o").arg(&program).arg(&source).args(libraries);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    (compile(&["-static"]) || compile(&[])).then_some(program)
}

fn bare(root: &Path) -> Contender {
    let program = compile(root, "bare.c", &[]).expect("a C compiler");
    let journal = root.join("bare.log");
    contender("bare floor: append, fdatasync", 1, move |_| {
        let mut command = Command::new(&program);
        command.arg(&journal);
        command
    })
}

fn full(root: &Path) -> Option<Contender> {
    let Some(program) = compile(root, "full.c", &["-lsqlite3", "-lm", "-lpthread", "-ldl"]) else {
        eprintln!("skipped: the full floor needs SQLite's library and header (libsqlite3-dev)");
        return None;
    };
    let folder = root.join("full.d");
    for inner in ["tmp", "files"] {
        std::fs::create_dir_all(folder.join(inner)).expect("folders can be made");
    }
    let index = rusqlite::Connection::open(folder.join("index.db")).expect("a database");
    let schema = "PRAGMA journal_mode = WAL; CREATE TABLE r (id TEXT PRIMARY KEY, body TEXT)";
    index.execute_batch(schema).expect("a table");
    // Held open for as long as the benchmark runs, as a worker holds its index.
    std::mem::forget(index);
    Some(contender("full floor: the same, a file and a row", 1, move |_| {
        let mut command = Command::new(&program);
        command.arg(&folder);
        command
    }))
}

fn indelible(root: &Path) -> Contender {
    let program = env!("CARGO_BIN_EXE_indelible");
    let home = root.join("home");
    let made = Command::new(program).args(["init"]).arg(&home).stdout(Stdio::null()).status();
    assert!(made.is_ok_and(|status| status.success()), "no home could be made");
    std::mem::forget(rusqlite::Connection::open(home.join("memory/index.db")).inspect(|index| {
        let _ = index.query_row("SELECT count(*) FROM records", [], |_| Ok(()));
    }));
    contender("indelible record failure", 1, move |round| {
        let mut command = Command::new(program);
        command.arg("--home").arg(&home).args(["record", "failure", "--domain", "bench", "--title"]);
        command.arg(format!("record {round}"));
        command
    })
}

fn sqlite3(root: &Path) -> Option<Contender> {
    let database = root.join("alone.db");
    let schema = "PRAGMA journal_mode = WAL; CREATE TABLE r (id INTEGER PRIMARY KEY, body TEXT);";
    let made = Command::new("sqlite3").arg(&database).arg(schema).stdout(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: sqlite3 is not installed");
        return None;
    }
    Some(contender("sqlite3: one row", 2, move |round| {
        let mut command = Command::new("sqlite3");
        command.arg(&database).arg(format!("INSERT INTO r (body) VALUES ('record {round}')"));
        command
    }))
}

fn git(root: &Path) -> Option<Contender> {
    let folder = root.join("git.d");
    let made = Command::new("git").args(["init", "-q"]).arg(&folder).stdout(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: git is not installed");
        return None;
    }
    Some(contender("git add, git commit", 4, move |round| {
        let script = format!(
            "echo record {round} > {round}.md && git add {round}.md && \
             git -c user.name=b -c user.email=b@localhost commit -q -m 'record {round}'"
        );
        let mut command = Command::new("sh");
        command.current_dir(&folder).arg("-c").arg(script);
        command
    }))
}
