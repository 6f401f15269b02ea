//! Error lines of compilers, linkers and language runtimes.

use super::consequence::is_never_the_error;
use super::suites::failed_test;
use super::view::{Found, View};

/// How many lines behind a diagnostic its label is searched for.
const LABEL_LINES: usize = 13;
/// How many lines behind a compiler's error its symbol is searched for.
const SYMBOL_LINES: usize = 6;
/// How many lines before an exception its source is searched for.
const SOURCE_LINES: usize = 6;
/// How many lines behind an error its stack begins.
const STACK_LINES: usize = 12;

/// How compilers say that a line is an error, in any of their languages.
const SAYS_ERROR: [&str; 16] = [
    "error:",
    "fatal error:",
    "error TS",
    "error CS",
    "error C",
    "error LNK",
    "Fehler:",
    "schwerwiegender Fehler:",
    "erreur:",
    "erreur :",
    "erreur fatale",
    "错误：",
    "错误:",
    "致命错误",
    "エラー:",
    "致命的エラー:",
];

/// What a linker says of a symbol or a library.
const OF_LINKERS: &[&str] = &[
    "undefined reference to",
    "cannot find -l",
    "multiple definition of",
    "ld: cannot find ",
    "undefined symbol: ",
    "Undefined symbols for",
    "unresolved external symbol",
    "duplicate symbol",
    "nicht definierter Verweis",
    "référence indéfinie",
    "定義されていない参照",
    "未定义的引用",
];

/// The first diagnostic of rustc with a code, and the label at its source.
pub(super) fn rust(view: &View<'_>) -> Option<Found> {
    let (number, line) = view.numbered().find(|(_, line)| {
        let code = line.trim_start().strip_prefix("error[E").and_then(|rest| rest.split_once("]: "));
        code.is_some_and(|(code, _)| code.len() == 4 && code.bytes().all(|it| it.is_ascii_digit()))
    })?;
    Some(Found::new([view.normal(line), view.normal(label(view, number).unwrap_or_default())]))
}

/// The text behind the first `^^^` after the line `number`.
pub(super) fn label<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    for line in view.next(number + 1, LABEL_LINES) {
        if line.starts_with("error") || line.starts_with("warning") {
            return None;
        }
        let Some((_, source)) = line.split_once('|') else { continue };
        let Some(at) = source.find('^') else { continue };
        if source[..at].bytes().all(|byte| b" -|_~".contains(&byte)) {
            return Some(source[at..].trim_start_matches(['^', '-', ' ', '~', '_', '|']));
        }
    }
    None
}

/// The first panic of Rust, with its message and the values that it compares.
pub(super) fn panic(view: &View<'_>) -> Option<Found> {
    let is_panic =
        |line: &str| line.trim_start().starts_with("thread '") && line.contains("' ") && line.contains("panicked at");
    let (number, line) = view.numbered().find(|(_, line)| is_panic(line))?;
    let (before, place) = line.split_once("panicked at").unwrap_or((line, ""));
    let thread = before.rsplit_once('\'').map_or(before, |(name, _)| name).trim_start();
    let mut parts = vec![view.normal(&format!("{thread}' panicked at{place}"))];
    // A test that runs in the main thread is named in a line before.
    let before = view.next(number.saturating_sub(1), number.min(1)).find_map(failed_test);
    parts.extend(before.filter(|_| thread == "thread 'main").map(|name| view.normal(name)));
    for (count, next) in view.next(number + 1, 3).enumerate() {
        let is_value = ["left:", "right:"].iter().any(|begin| next.trim_start().starts_with(begin));
        let is_other = is_never_the_error(next) || next.starts_with("stack backtrace") || is_panic(next);
        if is_other || count > 0 && !is_value {
            break;
        }
        parts.push(view.normal(next));
    }
    Some(Found { names_test: !line.contains("'main'"), ..Found::new(parts) })
}

/// The last exception of Java, or the last cause of one.
pub(super) fn java(view: &View<'_>) -> Option<Found> {
    let is_java = |line: &str| {
        let line = line.trim_start();
        let cause = line.strip_prefix("Caused by:").or_else(|| line.strip_prefix("Exception in thread"));
        cause.is_some_and(|rest| !rest.trim().is_empty())
    };
    let (number, line) = view.numbered().rev().find(|(_, line)| is_java(line))?;
    Some(Found::at(number, [view.normal(line)]))
}

/// The exception of the last traceback, or the last line of another language that names one.
pub(super) fn exception(view: &View<'_>) -> Option<Found> {
    // Of a group of exceptions, the last one counts.
    const TRACEBACK: &str = "Traceback (most recent call last):";
    // An exception can have the traceback of another one as its message.
    let is_traceback = |line: &str| line.trim_start().starts_with(TRACEBACK) || line.ends_with(TRACEBACK);
    let traceback = view.numbered().rev().find(|(_, line)| is_traceback(line));
    let behind = traceback.and_then(|(begin, line)| {
        let depth = indent(line);
        view.numbered().skip(begin + 1).find(|(_, line)| indent(line) <= depth)
    });
    let named = || {
        view.numbered()
            .rev()
            .find(|(number, line)| exception_name(line).is_some() && !is_plain_error(view, *number, line))
    };
    let (number, line) = behind.or_else(named)?;
    let line = line.trim().trim_start_matches(['|', ' ']);
    let name = exception_name(line).unwrap_or(line);
    let message = line[name.len().min(line.len())..].trim_start_matches([':', ' ']);
    // Such an error says nothing without the source that it is about.
    let needs_source = message.is_empty() || name.ends_with("SyntaxError") || name.ends_with("IndentationError");
    let source = if needs_source { source_before(view, number) } else { None };
    let more = if message.ends_with(':') { behind_colon(view, number) } else { source };
    let source = more.map(|source| view.normal(source)).unwrap_or_default();
    Some(Found::at(number, [view.normal(line), source]))
}

/// The line that the colon at the end of the message at `number` leads to.
fn behind_colon<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let says_something = |line: &&str| line.contains(char::is_alphanumeric) && *line != "+ actual - expected";
    view.next(number + 1, SOURCE_LINES).find(says_something)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name of the exception that the line begins with: `a.b.TypeError` of `Uncaught a.b.TypeError: message`.
fn exception_name(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '\t', '|']);
    let begin = ["Uncaught ", "Unhandled ", "Uncaught exception ", "Unhandled exception: ", "[cause]: "];
    let rest = match line.as_bytes().first() {
        Some(b'U' | b'[') => begin.iter().find_map(|begin| line.strip_prefix(begin)).unwrap_or(line),
        _ => line,
    };
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._$:\\".contains(&byte) || !byte.is_ascii();
    let end = rest.bytes().position(|byte| !of_name(byte)).unwrap_or(rest.len());
    let name = rest[..end].trim_end_matches(':');
    let behind = &rest[name.len()..];
    let is_named = ["Error", "Exception", "Interrupt", "Exit"].iter().any(|ending| name.ends_with(ending));
    let ends = behind.is_empty() || behind.starts_with(": ") || behind.starts_with(" [") || behind.trim() == ":";
    let is_name = name.starts_with(|c: char| c.is_alphabetic()) && !name.contains(": ");
    (is_named && ends && is_name).then(|| &line[..line.len() - behind.len()])
}

/// Whether the line is a plain `Error: message` of a program, not of a runtime that shows its stack.
fn is_plain_error(view: &View<'_>, number: usize, line: &str) -> bool {
    let is_plain = line.trim_start().starts_with("Error:");
    let is_frame = |next: &str| next.starts_with("    at ");
    is_plain && !view.next(number + 1, STACK_LINES).any(is_frame)
}

/// The source line that a traceback quotes last before the line `number`.
fn source_before<'v>(view: &View<'v>, number: usize) -> Option<&'v str> {
    let begin = number.saturating_sub(SOURCE_LINES);
    let is_marks = |line: &str| line.trim().bytes().all(|byte| b"^~ ".contains(&byte));
    let is_place = |line: &str| {
        let line = line.trim_start();
        line.starts_with("File \"") || line.starts_with('[') || line.starts_with("Traceback")
    };
    let before = view.next(begin, number - begin).rev();
    let source = before.into_iter().find(|line| !is_marks(line) && !line.trim_start().starts_with("throw "))?;
    let is_quoted = indent(source) > 0 || view.next(number.saturating_sub(1), 1).any(is_marks);
    (is_quoted && !is_place(source)).then(|| source.trim())
}

/// The first error of a compiler at a place in a file, with the symbol that javac is missing.
pub(super) fn compiler(view: &View<'_>) -> Option<Found> {
    let is_go = view.programs.name() == "go";
    let is_error = |line: &str| {
        behind_place(line).is_some_and(|(file, message)| {
            SAYS_ERROR.iter().any(|begin| message.starts_with(begin)) || is_go && file.ends_with(".go")
        })
    };
    let (number, line) = view.numbered().find(|(_, line)| is_error(line.trim_start()))?;
    let mut following = view.next(number + 1, SYMBOL_LINES).take_while(|line| !is_error(line));
    let symbol = following.find_map(|line| line.trim_start().strip_prefix("symbol:"));
    Some(Found::at(number, [view.normal(line), symbol.map(|symbol| view.normal(symbol)).unwrap_or_default()]))
}

/// The file and the message of `file:12:5: message` and `file(12,5): message`.
pub(super) fn behind_place(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        let mut end = at + 1;
        let digits = |end: &mut usize| {
            let begin = *end;
            while bytes.get(*end).is_some_and(u8::is_ascii_digit) {
                *end += 1;
            }
            *end > begin
        };
        match byte {
            b':' if digits(&mut end) => {
                if bytes.get(end) == Some(&b':') {
                    let mut column = end + 1;
                    end = if digits(&mut column) { column } else { end };
                }
            }
            b'(' if digits(&mut end) => {
                if bytes.get(end) == Some(&b',') {
                    end += 1;
                    digits(&mut end);
                }
                if bytes.get(end) != Some(&b')') {
                    continue;
                }
                end += 1;
            }
            _ => continue,
        }
        let Some(message) = line[end..].strip_prefix(':').or_else(|| line[end..].strip_prefix(" -")) else { continue };
        return Some((&line[..at], message.trim_start()));
    }
    None
}

/// The first line of a linker about a symbol or a library.
pub(super) fn linker(view: &View<'_>) -> Option<Found> {
    // Few outputs have any of these: then no line is searched for them.
    let parts = view.parts;
    let said: Vec<&str> = OF_LINKERS.iter().copied().filter(|it| parts.iter().any(|part| part.contains(it))).collect();
    if said.is_empty() {
        return None;
    }
    let (_, line) = view.numbered().find(|(_, line)| said.iter().any(|it| line.contains(it)))?;
    // Where a symbol was defined first is said behind it.
    let line = line.split("; ").next().unwrap_or(line);
    Some(Found::new([view.normal(line.trim_start_matches("= note: "))]))
}
