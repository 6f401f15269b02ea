//! Paths and addresses within a text: where they lie does not matter, what they name does.

/// Endings of files in which a place is told by line and column.
const SOURCES: [&str; 62] = [
    "asm", "c", "cc", "cfg", "clj", "cmake", "conf", "cpp", "cs", "css", "csv", "cxx", "d", "dart", "erl", "ex", "exs",
    "f90", "go", "gradle", "groovy", "h", "hcl", "hpp", "hs", "html", "ini", "ipynb", "java", "jl", "js", "json",
    "jsx", "kt", "log", "lua", "md", "mjs", "mk", "ml", "nix", "o", "php", "pl", "pm", "proto", "py", "r", "rb", "rs",
    "s", "scala", "sh", "sql", "svelte", "swift", "tf", "toml", "ts", "tsx", "txt", "xml",
];
const MORE_SOURCES: [&str; 14] =
    ["yaml", "yml", "rst", "tex", "service", "feature", "scss", "ps1", "vue", "zig", "bash", "cjs", "lock", "bats"];

/// The last part of a path; the whole text if it is not a path.
pub(super) fn last_part(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// The last part of `chunk` if it is a path: one from the root, the home or a dot, or one that ends in a file's name.
pub(super) fn without_folders(chunk: &str) -> Option<&str> {
    if is_windows(chunk) {
        return chunk.trim_end_matches('\\').rsplit(['\\', '/']).next();
    }
    let (first, _) = chunk.split_once('/')?;
    let last = last_part(chunk);
    if last.is_empty() {
        return None;
    }
    let is_rooted = matches!(first, "" | "." | ".." | "~");
    // `git@host:a.git`, `@scope/package.js` and `host:80/a.html` name more than a file.
    let is_address = chunk.contains('@') || ends_in_port(first);
    (is_rooted || !is_address && has_ending(last)).then_some(last)
}

fn is_windows(chunk: &str) -> bool {
    let bytes = chunk.as_bytes();
    bytes.len() > 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && bytes[2] == b'\\'
}

/// Whether a name ends like a file's: in a dot, a letter, and up to five more letters or digits.
fn has_ending(name: &str) -> bool {
    let name = without_place(name).unwrap_or(name);
    let name = name.split("::").next().unwrap_or(name);
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or("", |(_, ending)| ending);
    ending.len() <= 6
        && ending.starts_with(|c: char| c.is_ascii_alphabetic())
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether `text` is `host:port`.
pub(super) fn ends_in_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_number = !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number && !host.is_empty() && !is_source_file(host)
}

pub(super) fn is_source_file(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    SOURCES.contains(&ending) || MORE_SOURCES.contains(&ending) || name.ends_with("file")
}

/// `name` without the line and column behind it, as in `a.c:12:5` and `TaxTest.adds:12`. Nothing if there are none; `host:80` has none.
pub(super) fn without_place(name: &str) -> Option<&str> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let (rest, last) = name.rsplit_once(':')?;
    if !number(last) || rest.is_empty() {
        return None;
    }
    // Hosts have no capitals.
    let is_of_class = |text: &str| text.contains('.') && text.starts_with(|c: char| c.is_ascii_uppercase());
    match rest.rsplit_once(':') {
        Some((file, line)) if number(line) && !file.is_empty() => Some(file),
        _ => (is_source_file(rest) || is_of_class(rest)).then_some(rest),
    }
}

/// Scheme, host and port of an address, and of one without a host the last part of its path.
pub(super) fn address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = host.rsplit('@').next().unwrap_or(host);
    match host {
        "" => format!("{scheme}://{}", without_place(last_part(rest)).unwrap_or(last_part(rest))),
        host => format!("{scheme}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_last_part() {
        for (chunk, expected) in [
            ("/a/b.c", Some("b.c")),
            ("./x/sub", Some("sub")),
            ("../a/", Some("a")),
            ("~/a/b", Some("b")),
            ("a/b.py::t", Some("b.py::t")),
            ("a/b.c:12:5", Some("b.c:12:5")),
            ("C:\\x\\y.txt", Some("y.txt")),
            ("and/or", None),
            ("application/json", None),
            ("library/alpine:3.2", None),
            ("@a/core", None),
            ("git@h.de:a/b.git", None),
            ("localhost:3000/a.html", None),
            ("github.com/a/b", None),
            ("/", None),
            ("a", None),
        ] {
            assert_eq!(without_folders(chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn a_place_is_no_port() {
        for (name, expected) in [
            ("a.c:12:5", Some("a.c")),
            ("a.c:12", Some("a.c")),
            ("Makefile:3", Some("Makefile")),
            ("main.unknown:3:4", Some("main.unknown")),
            ("localhost:80", None),
            ("db.example.com:5432", None),
            ("10.0.0.1:80", None),
            ("a:b", None),
            (":1", None),
        ] {
            assert_eq!(without_place(name), expected, "{name}");
        }
        assert!(
            ends_in_port("localhost:80")
                && ends_in_port("db.example.com:5432")
                && !ends_in_port("a.c:12")
                && !ends_in_port("a:b")
        );
    }

    #[test]
    fn an_address_keeps_scheme_host_and_port() {
        for (text, expected) in [
            ("http://127.0.0.1:5432/health?x=1", "http://127.0.0.1:5432"),
            ("postgres://u:p@db:1/x", "postgres://db:1"),
            ("unix:///var/run/docker.sock", "unix://docker.sock"),
            ("file://", "file://"),
            ("https://a.b", "https://a.b"),
        ] {
            assert_eq!(address(text), expected);
        }
    }
}
