//! The words of erased records: what is looked for in every file. Kept in memory alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use memchr::memmem::Finder;

use super::noted::{Noted, trace_of};
use crate::erasing::{Erasing, Trace};
use crate::model::path::{domain_slug, slug};
use crate::model::{Field, Record, RecordId, Request, fields_of};
use crate::page::{self, StateFile};

/// How much of a file is read at once.
const PART_BYTES: usize = 1 << 20;
/// Shorter lines are everywhere.
const BYTES_MIN: usize = 6;
/// A line of this length is nowhere else by chance.
const BYTES_DISTINCT: usize = 16;
/// The most lines that are looked for; the longest ones first.
const LINES_MAX: usize = 200;
/// A longer line is looked for by its start.
const LINE_BYTES_MAX: usize = 200;
/// Fields that are one of a few values, a number, or another record's id.
const PLAIN: [Field; 6] =
    [Field::Severity, Field::Confidence, Field::Verdict, Field::Of, Field::Resolves, Field::Result];

/// What the source of a rule mostly is: names of kinds, which paths of every home have.
const SOURCES: [&str; 4] = ["failure", "success", "observation", "auto"];

/// One text that is looked for.
#[derive(Debug)]
struct Word {
    finder: Finder<'static>,
    /// Whether it is nowhere else by chance.
    is_distinct: bool,
}

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Words {
    words: Vec<Word>,
    /// Those that an earlier run knew; their numbers come after the others'.
    noted: Option<Noted>,
    /// The names of the folders of their domains.
    folders: BTreeSet<String>,
    ids: BTreeSet<RecordId>,
}

impl Words {
    /// The lines of the records `ids`, as every version of their pages has them, and of why they were retracted.
    pub(super) fn of(pages: &[Vec<u8>], ids: &BTreeSet<RecordId>) -> Words {
        let (mut lines, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for bytes in pages {
            let parsed = page::parse(bytes).ok();
            if let Some(request) = parsed.filter(|it| ids.contains(&it.id)).and_then(|it| it.request) {
                add(&request, &mut lines);
                if let Record::Heuristic(rule) = &request.record {
                    folders.insert(domain_slug(&rule.domain));
                }
            }
            if let Some(because) = StateFile::read(bytes).filter(|it| ids.contains(&it.of)).and_then(|it| it.because) {
                add_text(&because, &mut lines);
            }
        }
        let mut lines: Vec<String> = lines.into_iter().collect();
        lines.sort_by_key(|line| (std::cmp::Reverse(line.len()), line.clone()));
        lines.truncate(LINES_MAX);
        let word =
            |line: &String| Word { finder: Finder::new(line.as_bytes()).into_owned(), is_distinct: is_distinct(line) };
        Words { words: lines.iter().map(word).collect(), noted: None, folders, ids: ids.clone() }
    }

    /// What the note `of` them keeps: of those that are nowhere else by chance.
    pub(super) fn traces(&self, of: &Erasing) -> BTreeSet<Trace> {
        let words = self.words.iter().filter(|word| word.is_distinct);
        words.filter_map(|word| trace_of(word.finder.needle(), of.key)).collect()
    }

    /// These, and those that `note` alone knows.
    pub(super) fn and_noted(self, note: &Erasing) -> Words {
        let known = self.traces(note);
        let others: BTreeSet<Trace> = note.traces.difference(&known).cloned().collect();
        let noted = (!others.is_empty()).then(|| Noted::of(&others, note.key));
        Words { noted, ..self }
    }

    /// Whether a folder of this name is that of a domain of theirs, or has a word or an id.
    pub(super) fn is_folder(&self, name: &str) -> bool {
        self.folders.contains(name)
            || !self.hits(name.as_bytes()).is_empty()
            || self.ids.iter().any(|id| name.ends_with(&id.short()))
    }

    /// Which of the words `bytes` have, in any case; by their numbers.
    pub(super) fn hits(&self, bytes: &[u8]) -> BTreeSet<usize> {
        if self.words.is_empty() && self.noted.is_none() {
            return BTreeSet::new();
        }
        let lower = bytes.to_ascii_lowercase();
        let found = |(number, word): (usize, &Word)| word.finder.find(&lower).map(|_| number);
        let noted = self.noted.iter().flat_map(|noted| noted.hits(&lower)).map(|number| self.words.len() + number);
        self.words.iter().enumerate().filter_map(found).chain(noted).collect()
    }

    /// Those of `hits` that are nowhere else by chance.
    pub(super) fn distinct(&self, hits: &BTreeSet<usize>) -> BTreeSet<usize> {
        hits.iter().copied().filter(|number| self.words.get(*number).is_none_or(|word| word.is_distinct)).collect()
    }

    /// Whether `bytes` have a word that is nowhere else by chance, or an id of the records.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        let has_id = self.ids.iter().any(|id| memchr::memmem::find(bytes, id.to_string().as_bytes()).is_some());
        has_id || self.has_word(bytes)
    }

    /// Whether `bytes` have a word that is nowhere else by chance.
    pub(super) fn has_word(&self, bytes: &[u8]) -> bool {
        !self.distinct(&self.hits(bytes)).is_empty()
    }

    /// The words that the file at `path` has; none if there is no such file.
    pub(super) fn hits_of(&self, path: &Path) -> io::Result<BTreeSet<usize>> {
        let mut hits = BTreeSet::new();
        self.each_part(path, &mut |part| hits.extend(self.hits(part)))?;
        Ok(hits)
    }

    /// Whether the file at `path` has what [`Words::is_in`] looks for.
    pub(super) fn is_in_file(&self, path: &Path) -> io::Result<bool> {
        let mut is_in = false;
        self.each_part(path, &mut |part| is_in = is_in || self.is_in(part))?;
        Ok(is_in)
    }

    /// Calls `look` with one part of the file at `path` after the other. A word can begin in one part and end in the next: each
    /// part begins with the end of the last.
    fn each_part(&self, path: &Path, look: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let (mut buffer, mut part) = (vec![0; PART_BYTES], Vec::new());
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            part.extend_from_slice(&buffer[..read]);
            look(&part);
            part.drain(..part.len().saturating_sub(self.longest()));
        }
    }

    /// The length of the longest word, in bytes.
    fn longest(&self) -> usize {
        let noted = self.noted.as_ref().map_or(0, Noted::longest);
        self.words.iter().map(|word| word.finder.needle().len()).max().unwrap_or(0).max(noted).max(40)
    }
}

/// Adds the lines of a record, as they can be spelled.
fn add(request: &Request, lines: &mut BTreeSet<String>) {
    let record = &request.record;
    let fields = fields_of(record.kind()).filter(|spec| !PLAIN.contains(&spec.field));
    let texts = fields.filter_map(|spec| record.text(spec.field).map(|text| text.into_owned()));
    let texts = texts.filter(|text| !SOURCES.contains(&text.as_str()));
    let slug = slug(record.headline());
    texts.chain(request.key.clone()).chain([slug]).for_each(|text| add_text(&text, lines));
}

/// Adds the lines of a text.
fn add_text(text: &str, lines: &mut BTreeSet<String>) {
    for line in text.lines().chain(text.split(',')) {
        let line = line.trim().to_ascii_lowercase();
        let escaped = serde_json::to_string(&line).unwrap_or_default();
        let escaped = escaped.trim_matches('"').to_owned();
        lines.extend([line, escaped].into_iter().filter(|line| line.len() >= BYTES_MIN).map(cut));
    }
}

fn cut(mut line: String) -> String {
    line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
    line
}

/// Whether `line` is nowhere else by chance: it is long, or several words, or looks like a token.
fn is_distinct(line: &str) -> bool {
    let has = |is: fn(&char) -> bool| line.chars().any(|c| is(&c));
    let is_token = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    let is_phrase = line.contains([' ', '-', '_', '/', '.', ':', '=']);
    line.len() >= BYTES_DISTINCT || (line.len() >= 8 && (is_token || is_phrase))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Learning, Level, Record};

    fn words(title: &str, summary: &str) -> (Words, RecordId) {
        let id = RecordId(Uuid::from_u128(7));
        let learning =
            Learning { title: title.into(), summary: summary.into(), domain: "ci".into(), ..Learning::default() };
        let request = Request::new(Record::Failure(learning));
        let files = page::files(id, Timestamp::UNIX_EPOCH, &request, Level::Day);
        let pages: Vec<Vec<u8>> = files.into_iter().map(|file| file.text.into_bytes()).collect();
        (Words::of(&pages, &BTreeSet::from([id])), id)
    }

    #[test]
    fn a_line_is_found_in_any_case_escaped_and_as_a_slug() {
        let (words, id) = words("Token \"hunter2\" leaked", "first line here\nsecond: AKIA123456\nok");
        for text in [
            "x token \"hunter2\" LEAKED y",
            r#"{"title":"Token \"hunter2\" leaked"}"#,
            "memory/failures/2026/01/02/token-hunter2-leaked-00000007.md",
            "SECOND: akia123456",
        ] {
            assert!(words.is_in(text.as_bytes()), "{text}");
        }
        assert!(words.is_in(format!("of {id}").as_bytes()));
        for text in ["", "token", "hunter2", "ok", "ci", "first line"] {
            assert!(!words.is_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_plain_word_is_found_and_proves_nothing() {
        let (words, _) = words("validated", "");
        let hits = words.hits(b"times_validated INTEGER");
        assert!(!hits.is_empty() && words.distinct(&hits).is_empty());
    }
}
