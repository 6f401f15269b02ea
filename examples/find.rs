//! Finds records by words, and reads one: `cargo run --example find [HOME WORDS]`

use indelible::embed::{Home, Learning, Policy, Query, Record, Recorder, Redaction, Redactor, Request, make};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut arguments = std::env::args();
    let (home, words) = match (arguments.nth(1), arguments.next()) {
        (Some(path), Some(words)) => (Home::open(path.as_ref())?, words),
        _ => (sample(&folder.path().join("home"))?, "stale caches".to_owned()),
    };
    // A home at one moment. It needs no worker: what was recorded a moment ago is found.
    let query = Query::open(&home);
    for hit in query.find(&words, 10)? {
        let id = hit.recorded.id.short().to_string();
        let domain = hit.recorded.domain().unwrap_or_default().into_owned();
        println!("found: {} ({domain}), by {}", hit.recorded.title(), hit.matched.join(", "));
        // Its whole page, as a person reads it.
        let recorded = query.get(&id)?.expect("it was found a moment ago");
        println!("its page has {} lines", String::from_utf8_lossy(&recorded.page()).lines().count());
    }
    println!("newest: {}", query.newest(1)?.first().map_or("nothing", |it| it.title()));
    // A store that could not be read is named; the others answer.
    query.notes().iter().for_each(|note| println!("note: {note}"));
    Ok(())
}

fn sample(path: &std::path::Path) -> Result<Home, Box<dyn std::error::Error>> {
    let home = make(path)?;
    let mut recorder = Recorder::new(&home, Policy::new(Redaction::with(Redactor::new::<&str, &str>([])?)))?;
    for (title, domain) in [("the cache is stale after an upgrade", "ci"), ("the disk is full", "ops")] {
        let learning = Learning { title: title.into(), domain: domain.into(), ..Learning::default() };
        recorder.record(Request::new(Record::Failure(learning)))?;
    }
    drop(recorder);
    Ok(home)
}
