//! Says that a rule held, and that it did not, and shows how sure it is then: `cargo run --example judge`

use indelible::embed::{
    Confidence, Heuristic, Policy, Query, Record, Recorder, Redaction, Redactor, Request, Verdicts, make,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let home = make(&folder.path().join("home"))?;
    let policy = || Ok::<_, Box<dyn std::error::Error>>(Policy::new(Redaction::with(Redactor::new::<&str, &str>([])?)));
    let rule = Heuristic {
        domain: "ci".into(),
        rule: "Run the linter before you push".into(),
        source: "observation".into(),
        confidence: Confidence::DEFAULT,
        ..Heuristic::default()
    };
    let rule = Recorder::new(&home, policy()?)?.record(Request::new(Record::Heuristic(rule)))?.id;
    let say = |when: &str| -> Result<(), Box<dyn std::error::Error>> {
        let standing = Query::open(&home).standing(rule)?.ok_or("the rule is there")?;
        println!("{when}: confidence {:.2}", standing.confidence);
        Ok(())
    };
    say("as recorded")?;
    // A verdict counts once for each session.
    for session in ["monday", "tuesday"] {
        let mut verdicts = Verdicts::new(&home, policy()?, Some(session.to_owned()))?;
        verdicts.validate(rule, "the build stayed green")?;
    }
    say("after it held twice")?;
    Verdicts::new(&home, policy()?, Some("wednesday".to_owned()))?.violate(rule, "the linter missed it")?;
    say("after it did not hold")
}
