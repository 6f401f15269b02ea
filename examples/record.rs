//! Records a failure and a rule into a home, and commits them: `cargo run --example record [HOME]`
//!
//! Without a HOME it makes one in a temporary folder.

use indelible::embed::{
    Confidence, Heuristic, Learning, Policy, Record, Recorder, Redaction, Redactor, Request, commit, make,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = std::env::args_os().nth(1).map_or_else(|| folder.path().join("home"), Into::into);
    let home = make(&path)?;

    // Every text passes a redactor before it is written anywhere. This one also knows a secret of our own.
    let redactor = Redactor::new([("ticket", "TICKET-[0-9]+")])?;
    let mut recorder = Recorder::new(&home, Policy::new(Redaction::with(redactor)))?;

    let failure = Learning {
        title: "the cache is stale after an upgrade".into(),
        domain: "ci".into(),
        tags: "cache,upgrade".into(),
        ..Learning::default()
    };
    let rule = Heuristic {
        domain: "ci".into(),
        rule: "Name caches by the version that wrote them".into(),
        explanation: "seen in TICKET-42".into(),
        source: "failure".into(),
        confidence: Confidence::DEFAULT,
    };
    // Two records, one sync. A key makes a record that is safe to repeat.
    let keyed = Request { key: Some("upgrade-7".into()), ..Request::new(Record::Failure(failure)) };
    for outcome in recorder.record_all(vec![keyed, Request::new(Record::Heuristic(rule))]) {
        // From here on the record is durable: no crash and no power cut loses it.
        let receipt = outcome?;
        println!("recorded: {}", receipt.path.unwrap_or_else(|| receipt.id.to_string()));
    }
    match commit(&home)? {
        Some(records) => println!("committed: {records}"),
        None => println!("a worker commits them"),
    }
    Ok(())
}
