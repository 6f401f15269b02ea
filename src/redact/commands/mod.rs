//! Secrets without a shape: arguments that a program takes as a secret by their place in the call. One table. Pure.
//!
//! A row is tried where one of its literals is in the text. The line around it is parsed as a shell would, and quoted parts are
//! parsed again, since commands stand in JSON and after `sh -c`. A reference such as `$PASSWORD` is not a secret and stays. So
//! does the rest of the call, so that the text says what was run.

mod places;
mod rows;

use std::ops::Range;

use self::places::{in_args, is, is_secret, unquoted};
use self::rows::Place::Input;
pub(super) use self::rows::ROWS;
use crate::shell::{self, Call, Word};

/// The rule's name in the placeholder.
pub(super) const NAME: &str = "command-secret";

/// How deep quotes within quotes are parsed.
const DEPTH_MAX: usize = 4;
/// How far the end of a here-document is searched for, in bytes.
const HERE_BYTES_MAX: usize = 16 << 10;
/// A text of up to this size, in bytes, is also parsed as a whole: quotes can span lines. Every text is parsed line by line,
/// since an apostrophe in one line does not open a quote for the next.
const WHOLE_BYTES_MAX: usize = 8 << 10;
/// The most calls of a group that are parsed.
const GROUP_MAX: usize = 16;
/// The most arguments of a program that are parsed.
const ARGS_MAX: usize = 128;
/// The programs that print their arguments.
const SPEAKERS: [&str; 5] = ["echo", "printf", "print", "Write-Output", "Write-Host"];

/// The secrets in the calls around `hits`, the places of rows' literals in `text`, in order.
pub(super) fn secrets(text: &str, hits: &[usize]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut done = 0;
    if !hits.is_empty() && text.len() <= WHOLE_BYTES_MAX && text.contains('\n') {
        look(text, 0..text.len(), 0, &mut found);
    }
    for hit in hits.iter().copied().filter(|hit| text.is_char_boundary(*hit)) {
        if hit >= done {
            let lines = lines_around(text, hit);
            done = lines.end;
            look(text, lines, 0, &mut found);
        }
    }
    found
}

/// The line of `hit`, with its continuation lines and here-documents.
fn lines_around(text: &str, hit: usize) -> Range<usize> {
    let goes_on = |before: &str| before.strip_suffix('\r').unwrap_or(before).ends_with('\\');
    let mut begin = hit;
    loop {
        begin = text[..begin].rfind('\n').map_or(0, |feed| feed + 1);
        if begin == 0 || !goes_on(&text[..begin - 1]) {
            break;
        }
        begin -= 1;
    }
    let mut end = hit;
    loop {
        end += text[end..].find('\n').unwrap_or(text.len() - end);
        if end == text.len() || !goes_on(&text[..end]) {
            break;
        }
        end += 1;
    }
    if text[begin..end].contains("<<") {
        end = text.floor_char_boundary(end.saturating_add(HERE_BYTES_MAX));
    }
    begin..end
}

/// Finds the secrets in the calls in `range` of `text`, and in its quoted parts.
fn look(text: &str, range: Range<usize>, depth: usize, found: &mut Vec<Range<usize>>) {
    let part = &text[range.clone()];
    let calls = shell::calls(part);
    for (number, call) in calls.iter().enumerate() {
        let ranges = in_call(part, call, before(part, &calls, number));
        found.extend(ranges.into_iter().map(|it| range.start + it.start..range.start + it.end));
        if depth < DEPTH_MAX {
            for inner in call.words.iter().flat_map(|word| &word.inner) {
                look(text, range.start + inner.start..range.start + inner.end, depth + 1, found);
            }
        }
    }
}

/// The calls whose output is the input of the call `number`: the one before it, or a group in brackets.
fn before<'c>(text: &str, calls: &'c [Call], number: usize) -> &'c [Call] {
    let Some(last) = number.checked_sub(1) else { return &[] };
    let ends_group = calls[last].words.iter().any(|word| word.text == "}");
    if calls[last].is_piped && !ends_group {
        return &calls[last..number];
    }
    let begin = calls[number].words.first().map_or(0, |word| word.range.start);
    let up_to = text[..begin].trim_end();
    let is_piped = calls[last].is_piped || up_to.ends_with('|') && !up_to.ends_with("||");
    if is_piped { &calls[number.saturating_sub(GROUP_MAX)..number] } else { &[] }
}

/// The secrets of `call` in `text`, and those that `before` pipes into it.
fn in_call(text: &str, call: &Call, before: &[Call]) -> Vec<Range<usize>> {
    let first = call.words.len() - call.program().len();
    let mut found = Vec::new();
    for (at, word) in call.words.iter().enumerate() {
        let name = name_of(&text[word.range.clone()]);
        let is_name = |program: &&str| program.eq_ignore_ascii_case(name);
        let rows = ROWS.iter().filter(|row| row.programs.iter().any(is_name) || at == first && row.programs == ["*"]);
        let args = &call.words[at + 1..call.words.len().min(at + 1 + ARGS_MAX)];
        for row in
            rows.filter(|row| row.with.is_empty() || args.iter().any(|arg| row.with.iter().any(|it| is(arg, it))))
        {
            for place in row.secrets {
                match place {
                    Input => found.extend(given(text, call, before)),
                    place => found.extend(in_args(text, args, place)),
                }
            }
        }
    }
    found
}

/// The last part of a program's path, even right after a line break of JSON.
fn name_of(raw: &str) -> &str {
    let raw = raw.rsplit(['/', '"', '\'', '(', '{']).next().unwrap_or(raw);
    let name = raw.rsplit("\\n").next().unwrap_or(raw);
    name.strip_suffix(".exe").unwrap_or(name)
}

/// The input of `call`: its here-documents, or the words that `before` prints.
fn given(text: &str, call: &Call, before: &[Call]) -> Vec<Range<usize>> {
    let mut found = call.inputs.clone();
    for before in before {
        let [program, args @ ..] = before.program() else { continue };
        let name = name_of(&text[program.range.clone()]);
        if SPEAKERS.contains(&name) {
            let is_text = |word: &&Word| !(word.text.starts_with('-') || name == "printf" && is_format(&word.text));
            found.extend(args.iter().filter(is_text).map(|word| word.range.clone()));
        } else if name == "cat" {
            found.extend(before.inputs.clone());
        }
    }
    let lines = found.into_iter().flat_map(|range| {
        let range = unquoted(text, range);
        let begin = range.start;
        let line = move |(at, line): (usize, &str)| (begin + at, line.trim_end_matches(['\n', '\r']).len());
        let feeds = text[range.clone()].split_inclusive('\n');
        feeds.scan(0, |at, line| Some((std::mem::replace(at, *at + line.len()), line))).map(line).collect::<Vec<_>>()
    });
    let lines = lines.map(|(begin, length)| begin..begin + length);
    lines.filter(|range| is_secret(text, range)).collect()
}

/// Whether `printf` prints nothing of its own for `format`.
fn is_format(format: &str) -> bool {
    format.replace("%s", "").replace("%b", "").replace("\\n", "").trim().is_empty()
}

#[cfg(test)]
mod tests {
    use crate::redact::Redactor;

    #[test]
    fn line_breaks_that_are_written_out_are_seen() {
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        let placeholder = "[redacted:command-secret]";
        for (text, kept) in [
            (r"printf 'hunter2horse\n' | docker login", r"printf 'X' | docker login"),
            (r"printf '%s\n%s\n' hunter2horse hunter2horse | passwd ada", r"printf '%s\n%s\n' X X | passwd ada"),
            (r#"{"command":"cd /x\nmysql -phunter2horse shop","n":1}"#, r#"{"command":"cd /x\nmysql -pX shop","n":1}"#),
            (
                r#"{"command": "bash -c \"sshpass -p hunter2horse ssh h\""}"#,
                r#"{"command": "bash -c \"sshpass -p X ssh h\""}"#,
            ),
        ] {
            assert_eq!(redactor.text(text), kept.replace('X', placeholder), "{text}");
        }
    }

    #[test]
    fn a_long_text_costs_little() {
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        for part in
            ["mysql -p$(", "docker login <<E\n", "curl \"", "'mysql ", "echo x | passwd \\\n", "mysql(", "openssl `"]
        {
            let _ = redactor.text(&part.repeat(5_000));
        }
    }
}
