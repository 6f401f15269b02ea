//! What a topic found, as it is kept between runs, and the document that is made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::curve::Curve;
use crate::lab::Lab;
use crate::machine::{self, Machine};
use crate::samples::Spread;
use crate::topics::{self, Topic};

/// What a topic found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    topic: String,
    title: String,
    scale: String,
    pub seconds: u64,
    machine: Machine,
    blocks: Vec<Block>,
    /// What the goals are held against, by name.
    figures: BTreeMap<String, Spread>,
    skipped: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Block {
    Heading(String),
    Text(String),
    Table { head: Vec<String>, rows: Vec<Vec<String>> },
    Curve(Curve),
}

impl Report {
    pub fn new(topic: &Topic, scale: &str) -> Report {
        Report {
            topic: topic.name.into(),
            title: topic.title.into(),
            scale: scale.into(),
            seconds: 0,
            machine: machine::here(),
            blocks: Vec::new(),
            figures: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        let table = Block::Table { head: head.iter().map(ToString::to_string).collect(), rows };
        eprint!("{}", table.markdown());
        self.blocks.push(table);
    }

    pub fn curve(&mut self, curve: Curve) {
        self.blocks.push(Block::Curve(curve));
    }

    pub fn figure(&mut self, name: impl Into<String>, spread: Spread) {
        self.figures.insert(name.into(), spread);
    }

    /// Says what did not take part, and why.
    pub fn skip(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.skipped.contains(&what) {
            eprintln!("skipped: {what}");
            self.skipped.push(what);
        }
    }

    /// Keeps it for the document.
    pub fn keep(&self, lab: &Lab) {
        let text = serde_json::to_string_pretty(self).expect("a report is text and numbers") + "\n";
        std::fs::write(lab.results().join(format!("{}.json", self.topic)), text).expect("a result can be kept");
    }

    fn kept(results: &Path, topic: &str) -> Option<Report> {
        let text = std::fs::read_to_string(results.join(format!("{topic}.json"))).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// `here` is the machine that the document names at its beginning.
    fn markdown(&self, here: &Machine) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for block in &self.blocks {
            let _ = writeln!(text, "{}", block.markdown());
        }
        if !self.skipped.is_empty() {
            let _ = writeln!(text, "Skipped: {}.\n", self.skipped.join("; "));
        }
        let Machine { date, commit, load, .. } = &self.machine;
        let _ = write!(text, "*Scale {}, {date}, commit {commit}, {} s; ", self.scale, self.seconds);
        let _ = writeln!(text, "load average before: {load}.*\n");
        if self.machine.name() != here.name() {
            let _ = writeln!(text, "*On: {}.*\n", self.machine.name());
        }
        text
    }
}

impl Block {
    fn markdown(&self) -> String {
        match self {
            Block::Heading(text) => format!("### {text}\n"),
            Block::Text(text) => format!("{text}\n"),
            Block::Curve(curve) => format!("![{}](benchmarks/{})\n", curve.title, curve.file()),
            Block::Table { head, rows } => {
                let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
                let rule = line(&vec!["---".to_owned(); head.len()]);
                line(head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
            }
        }
    }
}

/// The figures of all results there are, each with the scale that it was taken at.
pub fn figures(lab: &Lab) -> BTreeMap<String, (Spread, String)> {
    let kept = topics::ALL.iter().filter_map(|topic| Report::kept(&lab.results(), topic.name));
    kept.flat_map(|report| report.figures.into_iter().map(move |(name, it)| (name, (it, report.scale.clone()))))
        .collect()
}

const OPENING: &str = "\
Written by `cargo bench`, and not edited. A ratio compares programs that took turns within one run: whole processes, from
before the start to after the end. It is the median of the rounds' own ratios, with the middle half of them in brackets
(all of them, if there were fewer than eight rounds). Compare a time only with the others in its table; another machine has
other times. No test asserts anything here.

    cargo bench                         everything, homes of up to 100,000 records
    cargo bench -- --scale full         up to 1,000,000 records
    cargo bench -- record growth        these topics only; the others' last results stay

A topic's last line says at which scale it was run, and how busy the machine was before it: on an idle machine the load average
is below 1; a higher one comes from the topic before, or from other programs.
";

/// Writes docs/benchmarks.md and the curves from all results there are.
pub fn write_document(lab: &Lab) {
    let docs = lab.docs();
    let curves = docs.join("benchmarks");
    std::fs::create_dir_all(&curves).expect("the folder of the curves can be made");
    let here = machine::here();
    let mut text = format!("# Benchmarks\n\n{OPENING}\n{}\n", here.markdown());
    // What was wanted comes first, though it is known last.
    let order = topics::ALL.iter().rev().take(1).chain(topics::ALL.iter().rev().skip(1).rev());
    for report in order.filter_map(|topic| Report::kept(&lab.results(), topic.name)) {
        text.push_str(&report.markdown(&here));
        for block in &report.blocks {
            if let Block::Curve(curve) = block {
                std::fs::write(curves.join(curve.file()), curve.svg()).expect("a curve can be written");
            }
        }
    }
    let text = text.trim_end().to_owned() + "\n";
    std::fs::write(docs.join("benchmarks.md"), text).expect("the document can be written");
    eprintln!("written: {}", docs.join("benchmarks.md").display());
}
