//! How the source is laid out: no circle among modules, short functions, files that a reader can take in.
//!
//! 1. A top-level module of the library uses modules below it alone: the graph of `crate::` paths has no circle. Unit tests
//!    may use anything.
//! 2. A function has no more than [`FUNCTION_LINES_MAX`] lines, a file no more than [`FILE_LINES_MAX`]. What is longer has
//!    its reason in [`LONG_FUNCTIONS`] or [`LONG_FILES`], and an entry that is not needed any more has to go.
//! 3. A name in a home is spelt in `model/layout.rs`, and nowhere else in the library.
//!
//! The source is read as rustfmt leaves it: a block ends with a brace in the column of the line that began it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FUNCTION_LINES_MAX: usize = 60;
const FILE_LINES_MAX: usize = 500;

/// Files that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[
    ("fs/os/windows.rs", "the counterparts of `os::unix`, most of them short"),
    ("fs/os/windows/calls.rs", "one table of calls, each with the unsafe code that it needs"),
];

/// Functions that may be longer, by file and name, each with the reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] =
    &[("worker/next/tests.rs", "each_situation_has_its_step", "a table, one row for each situation")];

/// Circles that are there still, by their modules in order, each with the reason.
const CIRCLES: &[(&[&str], &str)] = &[];

/// Names that are also words for other things.
const WORDS: &[&str] = &[
    ".git",
    ".gitignore",
    ".json",
    "adopted",
    "autostart",
    "config.toml",
    "dismissed",
    "exclude",
    "experiments",
    "indelible",
    "journal",
    "logs",
    "memory",
    "quarantine",
    "retracted",
    "scripts",
    "sessions",
    "tmp",
    "token",
];

/// A file of the source, by its path below `src`.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    fn add(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => add(&path, found),
                false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    add(&root, &mut paths);
    paths.sort();
    let source = |path: &PathBuf| {
        let below = path.strip_prefix(&root).expect("it was found there");
        let path_below = below.to_str().expect("a name in ASCII").replace('\\', "/");
        Source { path: path_below, text: fs::read_to_string(path).expect("it can be read") }
    };
    paths.iter().map(source).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether the file has nothing but tests: its module is behind `cfg(test)`.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs" || path.split('/').any(|part| matches!(part, "tests" | "simulated" | "simulated.rs"))
}

/// The file's lines without comments and without what is behind `cfg(test)`.
fn lines_of_the_library(text: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let is_test = ["#[cfg(test)]", "#[cfg(all(test"].iter().any(|it| line.trim_start().starts_with(it));
        if is_test {
            skip_item(line, &mut lines);
        } else if !line.trim_start().starts_with("//") {
            kept.push(line.split(" // ").next().unwrap_or(line));
        }
    }
    kept
}

/// Skips the item that the attribute `attribute` is on.
fn skip_item<'a>(attribute: &str, lines: &mut impl Iterator<Item = &'a str>) {
    let end = format!("{}}}", " ".repeat(indent(attribute)));
    for line in lines.by_ref() {
        if line.trim_start().starts_with(['#', '/']) {
            continue;
        }
        if !line.ends_with('{') || line.starts_with(&end) {
            return;
        }
        break;
    }
    let _ = lines.find(|line| line.trim_end_matches([';', ',']) == end);
}

/// The modules that `crate::` paths in `text` begin with.
fn modules_named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let names = match rest.strip_prefix('{') {
            Some(group) => names_of_group(group),
            None => vec![rest],
        };
        let word = |name: &str| name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        named.extend(names.into_iter().map(|name| word(name.trim_start())));
    }
    named
}

/// What `a, b::{c, d}, e}...` begins each of its parts with.
fn names_of_group(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// Which top-level modules of the library each of them uses, and in which file.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeMap<String, String>> {
    let module = |path: &str| path.split('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned();
    let library = sources.iter().filter(|it| !it.path.starts_with("bin/") && it.path != "lib.rs");
    let modules: BTreeSet<String> = library.clone().map(|it| module(&it.path)).collect();
    let mut uses = BTreeMap::<String, BTreeMap<String, String>>::new();
    for source in library.filter(|it| !is_test_file(&it.path)) {
        let from = module(&source.path);
        let text = lines_of_the_library(&source.text).join("\n");
        for to in modules_named(&text).into_iter().filter(|it| modules.contains(it) && *it != from) {
            uses.entry(from.clone()).or_default().entry(to).or_insert_with(|| source.path.clone());
        }
    }
    uses
}

/// The modules that can be reached from `from`.
fn reached(uses: &BTreeMap<String, BTreeMap<String, String>>, from: &str) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        for next in uses.get(&module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The functions of a file with their lengths in lines, from `fn` to the closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let end = format!("{}}}", " ".repeat(indent(line)));
        let is_whole = line.ends_with(['}', ';']);
        let length = if is_whole { Some(0) } else { lines[number..].iter().position(|it| *it == end) };
        functions.push((name.to_owned(), length.map_or(1, |length| length + 1)));
    }
    functions
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    let before =
        ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" ", "extern \"system\" "];
    while let Some(next) = before.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = next;
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

#[test]
fn no_module_uses_one_that_uses_it() {
    let uses = uses(&sources());
    assert!(uses.len() > 10, "the modules were not found: {uses:?}");
    let mut circles = BTreeSet::new();
    for module in uses.keys() {
        let circle: Vec<String> =
            reached(&uses, module).into_iter().filter(|it| reached(&uses, it).contains(module)).collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    let known: BTreeSet<Vec<String>> =
        CIRCLES.iter().map(|(circle, _)| circle.iter().map(|it| (*it).to_owned()).collect()).collect();
    let why = |circle: &Vec<String>| {
        let inner = |from: &String| {
            let uses = uses[from].iter().filter(|(to, _)| circle.contains(to));
            uses.map(|(to, path)| format!("    {from} uses {to}, in src/{path}\n")).collect::<String>()
        };
        format!("{}:\n{}", circle.join(", "), circle.iter().map(inner).collect::<String>())
    };
    let new: String = circles.difference(&known).map(why).collect();
    assert!(new.is_empty(), "modules use each other; move what both need below both:\n{new}");
    let gone: Vec<_> = known.difference(&circles).collect();
    assert!(gone.is_empty(), "there are no such circles any more; take them off the list: {gone:?}");
}

#[test]
fn files_are_short_enough_to_take_in() {
    let long: BTreeMap<String, usize> = sources()
        .iter()
        .map(|it| (it.path.clone(), it.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    let known: BTreeSet<&str> = LONG_FILES.iter().map(|(path, _)| *path).collect();
    let new: Vec<_> = long.iter().filter(|(path, _)| !known.contains(path.as_str())).collect();
    assert!(new.is_empty(), "files of more than {FILE_LINES_MAX} lines; split them by topic: {new:#?}");
    let gone: Vec<_> = known.iter().filter(|path| !long.contains_key(**path)).collect();
    assert!(gone.is_empty(), "short enough by now; take them off the list: {gone:?}");
}

#[test]
fn functions_are_short_enough_to_take_in() {
    let mut long = BTreeMap::new();
    let mut count = 0;
    for source in sources() {
        for (name, lines) in functions(&source.text) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                long.insert((source.path.clone(), name), lines);
            }
        }
    }
    assert!(count > 1000, "the functions were not found: {count}");
    let known: BTreeSet<(&str, &str)> = LONG_FUNCTIONS.iter().map(|(path, name, _)| (*path, *name)).collect();
    let is_known = |(path, name): &(String, String)| known.contains(&(path.as_str(), name.as_str()));
    let new: Vec<_> = long.iter().filter(|(key, _)| !is_known(key)).collect();
    assert!(new.is_empty(), "functions of more than {FUNCTION_LINES_MAX} lines: {new:#?}");
    let is_long = |(path, name): &&(&str, &str)| long.contains_key(&((*path).to_owned(), (*name).to_owned()));
    let gone: Vec<_> = known.iter().filter(|it| !is_long(it)).collect();
    assert!(gone.is_empty(), "short enough by now; take them off the list: {gone:?}");
}

#[test]
fn a_name_in_a_home_is_spelt_once() {
    const LAYOUT: &str = "model/layout.rs";
    let sources = sources();
    let layout = sources.iter().find(|it| it.path == LAYOUT).expect("the layout is there");
    let names = lines_of_the_library(&layout.text).into_iter().filter_map(|line| {
        let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        value.strip_suffix("\";")
    });
    let names: BTreeSet<&str> = names.filter(|name| name.len() > 2 && !WORDS.contains(name)).collect();
    assert!(names.len() > 40, "the names were not found: {names:?}");
    let mut again = Vec::new();
    for source in sources.iter().filter(|it| it.path != LAYOUT && !is_test_file(&it.path)) {
        let text = lines_of_the_library(&source.text).join("\n");
        again.extend(
            names.iter().filter(|name| text.contains(&format!("\"{name}\""))).map(|name| (&source.path, *name)),
        );
    }
    assert!(again.is_empty(), "spelt a second time; use `model::layout`: {again:#?}");
}

#[test]
fn what_reads_the_source_finds_what_it_is_to_find() {
    let text = "use crate::{a, b::{c, d}, e};\nfn f() { crate::g::h() }\n// crate::i\n#[cfg(test)]\nmod tests {\n    use crate::j;\n}\n\
                #[cfg(all(test, unix))]\nuse crate::k;\nuse crate::l;\n";
    let named = modules_named(&lines_of_the_library(text).join("\n"));
    assert_eq!(named.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "e", "g", "l"]);
    let text = "impl A {\n    pub(crate) fn f(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn g() {}\n}\nfn h<T>() {\n}\n";
    let lengths = functions(text);
    assert_eq!(lengths, [("f".to_owned(), 5), ("g".to_owned(), 1), ("h".to_owned(), 2)]);
}
