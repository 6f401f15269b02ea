//! Random sequences of everything that can happen to records, against a model: record, amend, retract, restore, an experiment's
//! end, edits by hand, erase, kills at any step, recoveries, lost stores; in a home of its own and in a user's repository, with and
//! without a worker. Whatever came before, each store says what the model says, and nothing has a byte of what was erased.

use std::fs;
use std::sync::Barrier;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Cmd, Dice, Outcome, Receipt, TestHome, Worker, assert_search_agrees, repository};

/// How many sequences a normal run has, and how many steps each.
const SEQUENCES: u64 = 4;
const STEPS: u64 = 14;

/// Where a command can be killed.
const POINTS: [&str; 26] = [
    "AppendBeforeWrite",
    "AppendShortWrite",
    "AppendAfterSync",
    "PlaceBeforeRename",
    "PlaceAfterRename",
    "ReplaceBeforeRename",
    "HideBeforeRemove",
    "RowBeforeCommit",
    "RowAfterCommit",
    "RotateBeforeHeader",
    "BatchBeforeSync",
    "CommitBeforePack",
    "CommitStaged",
    "CommitBeforeBranch",
    "CommitAfterBranch",
    "CommitAfterAnchor",
    "PruneBeforeUnlink",
    "EraseBeforeNote",
    "EraseBeforeAppend",
    "EraseBeforeRows",
    "EraseBeforeVacuum",
    "EraseBeforeFile",
    "EraseBeforeReference",
    "EraseAfterReferences",
    "EraseBeforeOldPack",
    "EraseBeforeDone",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    There,
    Retracted,
    Erased,
}

/// What the model knows of a record.
#[derive(Clone, Debug)]
struct Known {
    receipt: Receipt,
    title: String,
    text: String,
    /// How an experiment ended.
    result: Option<&'static str>,
    state: State,
    /// Every word that any version of it has had: none of them is anywhere once it is erased.
    words: Vec<String>,
}

/// The flags of a kind's title and text.
fn flags(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "heuristic" => ("--rule", "--explanation"),
        "experiment" => ("--name", "--hypothesis"),
        _ => ("--title", "--summary"),
    }
}

/// A sequence under way.
struct Run {
    seed: u64,
    dice: Dice,
    home: TestHome,
    worker: Option<Worker>,
    known: Vec<Known>,
    words: u64,
    said: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            let _ = dice.below(2);
        }
        let home = match dice.below(3) {
            0 => {
                let home = repository();
                let _ = home.cmd(["init"]).ok();
                home
            }
            _ => TestHome::new(),
        };
        let mut run = Run { seed, dice, home, worker: None, known: Vec::new(), words: 0, said: Vec::new() };
        if run.dice.below(3) == 0 {
            run.worker = Some(Worker::quick(&run.home));
        }
        run
    }

    /// A text with a word of its own, that no other text has.
    fn words(&mut self, what: &str) -> (String, String) {
        self.words += 1;
        let word = format!("qz{:x}w{}k", self.seed, self.words);
        (format!("{what} {word} said"), word)
    }

    /// One of the records that are in one of `states`.
    fn pick(&mut self, states: &[State]) -> Option<usize> {
        let fit: Vec<usize> = (0..self.known.len()).filter(|at| states.contains(&self.known[*at].state)).collect();
        let at = self.dice.below(fit.len().max(1) as u64) as usize;
        fit.get(at).copied()
    }

    fn point(&mut self) -> Option<&'static str> {
        match self.dice.below(3) {
            0 => Some(POINTS[self.dice.below(POINTS.len() as u64) as usize]),
            _ => None,
        }
    }

    /// Runs a command, killed at `point` if there is one. Returns its outcome if it did what it was asked.
    fn run(&mut self, args: &[&str], point: Option<&str>) -> Option<Outcome> {
        let command: Cmd = self.home.cmd(args);
        let command = match point {
            Some(point) => command.env("INDELIBLE_CRASH_AT", point),
            None => command,
        };
        let outcome = command.run();
        self.said.push(format!("{} {args:?} at {point:?}", outcome.code().unwrap_or(-1)));
        let is_done = outcome.code() == Some(0);
        assert!(is_done || point.is_some(), "{}\n{outcome}", self.story());
        is_done.then_some(outcome)
    }

    fn story(&self) -> String {
        format!("MODEL_SEED={} MODEL_SEQUENCES=1, after:\n{}", self.seed, self.said.join("\n"))
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=4 => self.record(),
            5..=7 => self.amend(),
            8..=9 => self.change("retract", &[State::There, State::Retracted], State::Retracted),
            10..=11 => self.change("restore", &[State::Retracted, State::There], State::There),
            12 => self.end(),
            13..=14 => self.edit(),
            15..=16 => self.change("erase", &[State::There, State::Retracted, State::Erased], State::Erased),
            17 => self.kill_worker(),
            18 => self.recover(),
            _ => self.lose(),
        }
    }

    fn record(&mut self) {
        let kind = ["failure", "heuristic", "experiment", "observation"][self.dice.below(4) as usize];
        let ((title, one), (text, two)) = (self.words("Title"), self.words("Text"));
        let (of_title, of_text) = flags(kind);
        let key = format!("key {}", self.words);
        let mut args = vec!["record", kind, of_title, &title, of_text, &text, "--key", &key, "--json"];
        if kind != "experiment" {
            args.extend(["--domain", "ci"]);
        }
        let point = self.point();
        // A recorder that was killed may have recorded; with its key, the next one says which record it is.
        let outcome = self.run(&args, point).or_else(|| self.run(&args, None)).expect("it is recorded");
        let receipt = outcome.receipt();
        let words = vec![one, two];
        self.known.push(Known { receipt, title, text, result: None, state: State::There, words });
    }

    fn amend(&mut self) {
        let Some(at) = self.pick(&[State::There]) else { return };
        let (text, word) = self.words("Amended");
        let known = self.known[at].clone();
        let (of_title, of_text) = flags(&known.receipt.kind);
        let is_title = self.dice.below(2) == 0;
        self.known[at].words.push(word);
        let args = ["amend", &known.receipt.id, if is_title { of_title } else { of_text }, &text, "--json"];
        let point = self.point();
        let is_done = self.run(&args, point).is_some() || self.is_there(&text);
        if is_done {
            let known = &mut self.known[at];
            *(if is_title { &mut known.title } else { &mut known.text }) = text;
        }
    }

    /// Whether a command that was killed has done it all the same: its text is in the home once everything is applied.
    fn is_there(&mut self, text: &str) -> bool {
        let _ = self.run(&["flush"], None);
        let list = self.home.cmd(["list", "--json", "--limit", "1000"]).ok().stdout;
        list.lines().any(|line| line.contains(text))
            || self.known.iter().filter(|known| known.state == State::There).any(|known| {
                let page = fs::read_to_string(self.home.join(&known.receipt.page())).unwrap_or_default();
                page.contains(text)
            })
    }

    fn change(&mut self, verb: &str, from: &[State], to: State) {
        let Some(at) = self.pick(from) else { return };
        let id = self.known[at].receipt.id.clone();
        let mut args = vec![verb, id.as_str()];
        args.extend((verb == "erase").then_some("--yes"));
        let point = self.point();
        if self.run(&args, point).is_some() {
            self.known[at].state = to;
            return;
        }
        let _ = self.run(&["flush"], None);
        self.known[at].state = self.state_of(&id).expect("it is known");
    }

    /// The state of a record, as its state file and its page say.
    fn state_of(&self, id: &str) -> Option<State> {
        let last = &id[id.len() - 2..];
        let state = fs::read_to_string(self.home.join(&format!("memory/retracted/{last}/{id}.md"))).unwrap_or_default();
        Some(match () {
            () if state.contains("state: erased") => State::Erased,
            () if state.contains("state: retracted") => State::Retracted,
            () => State::There,
        })
    }

    fn end(&mut self) {
        let fits = |known: &Known| known.state == State::There && known.receipt.kind == "experiment";
        let Some(at) = self.known.iter().position(fits) else { return };
        let id = self.known[at].receipt.id.clone();
        let result = ["success", "failed", "inconclusive"][self.dice.below(3) as usize];
        let (text, word) = self.words("Outcome");
        self.known[at].words.push(word);
        let _ = self.run(&["record", "outcome", &id, "--result", result, "--summary", &text], None);
        self.known[at].result = Some(result);
    }

    /// An edit by hand: taken by `amend --from-files`, or there when the record is erased.
    fn edit(&mut self) {
        let Some(at) = self.pick(&[State::There]) else { return };
        let _ = self.run(&["flush"], None);
        let (text, word) = self.words("Edited");
        let known = self.known[at].clone();
        self.known[at].words.push(word);
        let page = known.receipt.page();
        let bytes = fs::read_to_string(self.home.join(&page)).expect("a page");
        fs::write(self.home.join(&page), bytes.replace(&known.text, &text)).expect("edited");
        if self.dice.below(3) == 0 {
            self.said.push(format!("edited {page}"));
            let _ = self.run(&["erase", &known.receipt.id, "--yes"], None);
            self.known[at].state = State::Erased;
            return;
        }
        let _ = self.run(&["amend", "--from-files", &page], None);
        self.known[at].text = text;
    }

    fn kill_worker(&mut self) {
        match self.worker.take() {
            Some(worker) if self.dice.below(2) == 0 => worker.kill(),
            Some(worker) => assert!(worker.stop(Signal::TERM).success(), "{}", self.story()),
            None => self.worker = Some(Worker::quick(&self.home)),
        }
        self.said.push(format!("a worker runs: {}", self.worker.is_some()));
    }

    fn recover(&mut self) {
        let point = self.point();
        if self.run(&["recover"], point).is_none() {
            let _ = self.run(&["recover"], None);
        }
    }

    /// A store is lost, and made again from the others.
    fn lose(&mut self) {
        if let Some(worker) = self.worker.take() {
            assert!(worker.stop(Signal::TERM).success(), "{}", self.story());
        }
        let _ = self.run(&["flush"], None);
        let lost = ["memory/index.db", "memory/search.db", "memory/failures"][self.dice.below(3) as usize];
        for end in ["", "-wal", "-shm"] {
            let path = self.home.join(&format!("{lost}{end}"));
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        self.said.push(format!("lost {lost}"));
        let _ = self.run(&["recover"], None);
    }

    /// Each store has to say what the model says.
    fn check(&mut self) {
        let _ = self.run(&["flush"], None);
        let story = self.story();
        let verified = self.home.verify();
        assert_eq!(verified.code(), Some(0), "{story}\n{verified}");
        let index = self.home.index();
        let history = self.home.history();
        for known in &self.known {
            let (id, page) = (&known.receipt.id, known.receipt.page());
            assert_eq!(self.state_of(id), Some(known.state), "{story}\n{known:?}");
            let on_disk = fs::read(self.home.join(&page)).ok();
            let shown = self.home.git(["show", &format!("{history}:{page}")]).run();
            let in_git = (shown.code() == Some(0)).then(|| shown.stdout.into_bytes());
            assert_eq!(on_disk, in_git, "{story}\nthe page and git differ: {known:?}");
            let table = match known.receipt.kind.as_str() {
                "heuristic" => "heuristics",
                "experiment" => "experiments",
                _ => "learnings",
            };
            let of_row = format!("SELECT count(*) FROM records JOIN {table} t ON t.id = row_id WHERE records.id = ?1");
            let rows: i64 = index.query_row(&of_row, [id], |row| row.get(0)).expect("readable");
            let show = self.home.cmd(["show", id, "--json"]).run();
            if known.state != State::There {
                assert_eq!((on_disk, rows), (None, 0), "{story}\n{known:?}");
                assert_eq!(show.code(), Some(1), "{story}\n{show}");
                continue;
            }
            assert_eq!(rows, 1, "{story}\n{known:?}");
            let text = String::from_utf8(on_disk.unwrap_or_default()).expect("text");
            assert!(text.contains(&known.title) && text.contains(&known.text), "{story}\n{known:?}\n{text}");
            let seen: Value = serde_json::from_str(&show.stdout).unwrap_or_else(|_| panic!("{story}\n{show}"));
            let seen = seen.to_string();
            let parts = [known.title.as_str(), known.text.as_str(), known.result.unwrap_or("")];
            assert!(parts.iter().all(|part| seen.contains(part)), "{story}\n{known:?}\n{seen}");
        }
        self.check_erased(&story);
    }

    /// No file and no object has a word of what was erased.
    fn check_erased(&self, story: &str) {
        let erased = self.known.iter().filter(|known| known.state == State::Erased);
        let words: Vec<&String> = erased.flat_map(|known| &known.words).collect();
        if words.is_empty() {
            return;
        }
        let mut open = vec![self.home.path().to_owned()];
        let mut texts = vec![("git's objects".to_owned(), objects(&self.home))];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => open.push(path),
                    false => texts.push((path.display().to_string(), fs::read(&path).expect("readable"))),
                }
            }
        }
        for (name, bytes) in texts {
            let text = format!("{name}{}", String::from_utf8_lossy(&bytes)).to_lowercase();
            let found: Vec<_> = words.iter().filter(|word| text.contains(word.as_str())).collect();
            assert!(found.is_empty(), "{story}\n{found:?} is in {name}");
        }
    }

    /// Ends the sequence: a recovery changes nothing, and git finds nothing wrong.
    fn end_all(mut self) {
        if let Some(worker) = self.worker.take() {
            assert!(worker.stop(Signal::TERM).success(), "{}", self.story());
        }
        self.check();
        let _ = self.run(&["recover"], None);
        self.check();
        assert_search_agrees(&self.home, false);
        let fsck = self.home.git(["fsck", "--full", "--strict", "--no-dangling"]).ok();
        assert!(!fsck.stdout.contains("missing") && !fsck.stderr.contains("error"), "{}\n{fsck}", self.story());
    }
}

/// All objects of git, reachable or not, as they are decoded.
fn objects(home: &TestHome) -> Vec<u8> {
    let batch = home.git(["cat-file", "--batch-all-objects", "--batch"]).into_command().output().expect("there is git");
    batch.stdout
}

fn sequences(first: u64, count: u64) {
    for seed in first..first + count {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            run.step();
            if step % 5 == 4 {
                run.check();
            }
        }
        run.end_all();
    }
}

#[test]
fn every_store_says_what_the_model_says() {
    sequences(1, SEQUENCES);
}

/// The long run: `MODEL_SEED=1 MODEL_SEQUENCES=10000`.
#[test]
#[ignore = "runs for hours"]
fn long() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (first, count) = (number("MODEL_SEED", 1), number("MODEL_SEQUENCES", 10_000));
    for seed in first..first + count {
        sequences(seed, 1);
        if seed % 100 == 0 {
            println!("{} sequences", seed + 1 - first);
        }
    }
}

/// Two processes that change the same record at the same time: both end well, and the stores agree on what became of it.
#[test]
fn two_processes_at_once_on_one_record_end_in_one_state() {
    let verbs: [[&str; 2]; 5] =
        [["amend", "erase"], ["retract", "erase"], ["erase", "erase"], ["amend", "retract"], ["amend", "amend"]];
    for (number, pair) in verbs.into_iter().enumerate() {
        for beside in [false, true] {
            let mut run = Run::new(9_000 + 2 * number as u64);
            if let Some(worker) = run.worker.take() {
                assert!(worker.stop(Signal::TERM).success());
            }
            run.record();
            let _ = run.run(&["flush"], None);
            run.worker = beside.then(|| Worker::quick(&run.home));
            let known = run.known[0].clone();
            let (of_title, _) = flags(&known.receipt.kind);
            let texts = [run.words("First"), run.words("Second")];
            run.known[0].words.extend(texts.iter().map(|(_, word)| word.clone()));
            let start = Barrier::new(2);
            let outcomes = std::thread::scope(|scope| {
                let doing = |at: usize| {
                    let (home, id, text, start) = (&run.home, known.receipt.id.as_str(), texts[at].0.as_str(), &start);
                    scope.spawn(move || {
                        let args = match pair[at] {
                            "amend" => vec!["amend", id, of_title, text],
                            "erase" => vec!["erase", id, "--yes"],
                            verb => vec![verb, id],
                        };
                        start.wait();
                        home.cmd(args).run()
                    })
                };
                let both = [doing(0), doing(1)];
                both.map(|it| it.join().expect("it ran"))
            });
            let done: Vec<bool> = outcomes.iter().map(|outcome| outcome.code() == Some(0)).collect();
            for outcome in &outcomes {
                // In each other's way, or too late: named, and nothing half done.
                assert!(matches!(outcome.code(), Some(0 | 65 | 75)), "{pair:?}, {beside}: {outcome}");
            }
            assert!(done.contains(&true), "{pair:?}, {beside}: {} {}", outcomes[0], outcomes[1]);
            let _ = run.run(&["flush"], None);
            let erased = (0..2).any(|at| pair[at] == "erase" && done[at]);
            let state = run.state_of(&known.receipt.id).expect("it is known");
            assert!(!erased || state == State::Erased, "{pair:?}, {beside}: {state:?}");
            run.known[0].state = state;
            if state == State::There {
                let page = fs::read_to_string(run.home.join(&known.receipt.page())).expect("a page");
                let last = texts.iter().map(|(text, _)| text).find(|text| page.contains(text.as_str()));
                run.known[0].title = last.expect("one of the amendments stands").clone();
            }
            run.end_all();
        }
    }
}
