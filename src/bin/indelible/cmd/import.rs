//! `import`: the lines of an export become records of this home, with their ids.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use indelible::backup::{Counts, Importer, LINE_BYTES_MAX};
use indelible::home::Home;
use indelible::model::text::{counted, number, without_mark};
use indelible::model::{Invalid, RecordId};
use indelible::pipeline::Progress;
use indelible::target::search::{Bound, SEARCH_MAX};
use indelible::worker::Want;
use serde_json::json;

use super::flush::{Job, SEARCH_IS_LEFT};
use super::{Context, batch};
use crate::backup_args::ImportArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Bars};
use crate::policy;
use crate::settings::{Settings, milliseconds, seconds};

const WHAT: &str = "not everything was imported";
/// The most bytes of entries that are synced at once.
const GROUP_BYTES: usize = 1 << 20;
/// So many records are applied and committed before more are read: what they take in memory and in the journal is bounded.
const RECORDS_AT_ONCE: usize = 4_000;
/// How many refused lines are named, and how many records that differ.
const NAMED_MAX: usize = 20;

pub fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    if args.restore && !policy::is_person() {
        let why = std::io::Error::other(
            "--restore: only a person at a terminal says that what persons wrote was written by them",
        );
        return Err(Failure::new(Exit::Usage, WHAT).because(&why).hint("without it, these records become imports"));
    }
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let redaction = policy::of_command(&settings, args.redact)?.redaction;
    let (input, bytes) = open(&args.file)?;
    let wait = milliseconds(settings.worker.index_wait_ms);
    let importer = Importer::new(&home, redaction, args.restore, wait);
    let bars = Bars::new(context.json);
    let timeout = seconds(args.timeout);
    let mut import = Import { home: &home, settings: &settings, importer, bars, timeout, bytes, told: Told::default() };
    if !args.dry_run {
        // What is pending is known to the index then.
        import.apply()?;
    }
    import.lines(input, args.dry_run)?;
    let Import { importer, told, .. } = import;
    if importer.is_cut() {
        let why = std::io::Error::other("the file is cut off: its last line does not say that it ends there");
        let failure = Failure::new(Exit::Input, WHAT).because(&why);
        say(context, importer.counts(), &told, args.dry_run);
        return Err(failure.hint("the lines that are there are imported; import the whole file again"));
    }
    say(context, importer.counts(), &told, args.dry_run);
    Ok(if told.refused == 0 { Exit::Done } else { Exit::Input })
}

/// The lines, and how many bytes they are; 0 if that is not known.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, u64), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(crate::input::stdin())), 0));
    }
    let failed = |error: std::io::Error| Failure::new(Exit::Input, WHAT).because(&error);
    // A FIFO would be waited for.
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(failed(std::io::Error::other(format!("{} is no file", indelible::model::text::path(path)))));
    }
    let file = File::open(path).map_err(failed)?;
    Ok((Box::new(BufReader::with_capacity(1 << 16, file)), found.len()))
}

/// What is said in the end.
#[derive(Default)]
struct Told {
    refused: u64,
    /// The first refused lines, and why.
    lines: Vec<(u64, String)>,
    /// The first records that the home has at another revision.
    differ: Vec<RecordId>,
    search_is_left: bool,
}

struct Import<'i> {
    home: &'i Home,
    settings: &'i Settings,
    importer: Importer<'i>,
    bars: Bars,
    timeout: std::time::Duration,
    bytes: u64,
    told: Told,
}

impl Import<'_> {
    fn lines(&mut self, mut input: Box<dyn BufRead>, is_dry: bool) -> Result<(), Failure> {
        let (mut line, mut at, mut done) = (Vec::new(), 0_u64, 0_u64);
        self.bars.begin_bytes("importing", self.bytes);
        while batch::read_line(&mut input, &mut line, LINE_BYTES_MAX)? {
            at += 1;
            done += line.len() as u64;
            if at.is_multiple_of(256) {
                self.bars.at(done);
            }
            self.line(at, &line)?;
            if is_dry {
                self.importer.forget();
                if self.importer.since_looked() >= RECORDS_AT_ONCE {
                    self.importer.look_again();
                }
                continue;
            }
            if self.importer.waiting() >= GROUP_BYTES {
                self.keep()?;
            }
            if self.importer.since_looked() >= RECORDS_AT_ONCE {
                self.keep()?;
                self.bars.end();
                self.apply()?;
                self.bars.begin_bytes("importing", self.bytes);
                self.bars.at(done);
            }
        }
        self.bars.end();
        if is_dry {
            return Ok(());
        }
        self.keep()?;
        self.apply()
    }

    fn line(&mut self, at: u64, line: &[u8]) -> Result<(), Failure> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = if at == 1 { without_mark(text) } else { text };
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let taken = match text.len() > LINE_BYTES_MAX {
            true => Err(Invalid::new("line", format!("at most {LINE_BYTES_MAX} bytes; more were given")).into()),
            false => self.importer.take(text).map_err(|error| Failure::of(WHAT, &error))?,
        };
        match taken {
            Ok(None) => {}
            Ok(Some(id)) if self.told.differ.len() < NAMED_MAX => self.told.differ.push(id),
            Ok(Some(_)) => {}
            Err(refused) => {
                self.told.refused += 1;
                if self.told.lines.len() < NAMED_MAX {
                    self.told.lines.push((at, refused.to_string()));
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Failure> {
        self.importer.keep().map_err(|error| Failure::of(WHAT, &error))
    }

    /// Has files, rows and git follow.
    fn apply(&mut self) -> Result<(), Failure> {
        // SQLite shares memory among the connections of a process: after one that only reads, none could write.
        self.importer.look_again();
        let (home, settings) = (self.home, self.settings);
        let job = Job { home, settings, want: Want::Flush, what: WHAT, search: Bound::Time(SEARCH_MAX) };
        let done = job.run(self.timeout, &mut self.bars)?;
        self.told.search_is_left |= done.search_is_left;
        Ok(())
    }
}

fn say(context: &Context, counts: Counts, told: &Told, is_dry: bool) {
    let Counts { imported, known, differ, hidden, of_persons, retracted, not_retracted } = counts;
    if context.json {
        let lines: Vec<_> = told.lines.iter().map(|(line, error)| json!({ "line": line, "error": error })).collect();
        return output::json(&json!({
            "imported": imported, "known": known, "differ": differ, "hidden": hidden, "of_persons": of_persons,
            "retracted": retracted, "not_retracted": not_retracted, "refused": told.refused, "lines": lines,
            "differing": told.differ, "dry_run": is_dry,
        }));
    }
    for (line, error) in &told.lines {
        output::warn(&format!("line {}: {error}", number(*line)));
    }
    if told.refused > told.lines.len() as u64 {
        output::warn(&format!("and {} more lines were refused", number(told.refused - told.lines.len() as u64)));
    }
    let verb = if is_dry { "would be imported" } else { "imported" };
    output::line(&format!("{}: {verb}", counted(imported, "record", "records")));
    for (count, what) in [
        (known, "known already"),
        (hidden, "retracted or erased here: left out"),
        (retracted, "retracted there, and kept away here"),
        (not_retracted, "retracted there, and left as they are here"),
        (told.refused, "refused"),
    ] {
        if count > 0 {
            output::line(&format!("  {} {what}", number(count)));
        }
    }
    if differ > 0 {
        output::line(&format!("  {} at another revision here, and left as they are:", number(differ)));
        told.differ.iter().for_each(|id| output::line(&format!("    {id}")));
    }
    if of_persons > 0 {
        let what = "said to be a person's: they are imports here, and no agent is told of them unasked; a person's own backup is \
                    brought back with --restore, at a terminal";
        output::line(&format!("  {} {what}", number(of_persons)));
    }
    if told.search_is_left && !is_dry {
        output::line(&output::hint(SEARCH_IS_LEFT));
    }
}
