//! Indelible's entry in a settings file of TOML: a table at the end, under a header of its own. No other byte is touched, and
//! what is left is parsed to see that it says the same as before. Pure.

use toml::{Table, Value};

use super::{Entry, NAME, Problem};

/// The table that has the servers.
const SECTION: &str = "mcp_servers";

/// The entry in `text` that the host sees.
pub fn found(text: &str) -> Result<Option<Entry>, Problem> {
    let table = parse(text)?;
    let Some(server) = table.get(SECTION).and_then(|servers| servers.get(NAME)) else { return Ok(None) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let command = server.get("command").and_then(text);
    let args = server.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_off = server.get("enabled").and_then(Value::as_bool) == Some(false);
    Ok(Some(Entry { words: command.into_iter().chain(args.iter().filter_map(text)).collect(), is_off }))
}

/// `text`, which has no entry, with one that runs `words`.
pub fn added(text: &str, words: &[String]) -> Result<String, Problem> {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let (program, args) = words.split_first().map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
    let args = Value::Array(args.iter().cloned().map(Value::String).collect());
    let mut with = text.to_owned();
    if !text.is_empty() {
        with.push_str(&newline.repeat(if text.ends_with('\n') { 1 } else { 2 }));
    }
    for line in [header(), format!("command = {}", Value::String(program.clone())), format!("args = {args}")] {
        with.push_str(&line);
        with.push_str(newline);
    }
    let mut wanted = parse(text)?;
    let servers = wanted.entry(SECTION).or_insert_with(|| Table::new().into());
    let server = Table::from_iter([("command".to_owned(), program.into()), ("args".to_owned(), args)]);
    servers.as_table_mut().ok_or(Problem::Unusual)?.insert(NAME.into(), server.into());
    same(with, &wanted)
}

/// `text` without indelible's entry, and without what it has of tables within it.
pub fn cut(text: &str) -> Result<String, Problem> {
    if !found(text)?.is_some_and(|entry| entry.is_ours()) {
        return Ok(text.to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let begin = lines.iter().position(|line| plain(line) == header()).ok_or(Problem::Unusual)?;
    let within = header().replace(']', ".");
    let is_next = |line: &&str| plain(line).starts_with('[') && !plain(line).starts_with(&within);
    let mut end = lines[begin + 1..].iter().position(is_next).map_or(lines.len(), |next| begin + 1 + next);
    // What stands before another table's header is about that one.
    let is_between = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    while end < lines.len() && end > begin + 1 && is_between(lines[end - 1]) {
        end -= 1;
    }
    let is_blank = |at: usize| lines[at].trim().is_empty();
    let begin = if begin > 0 && is_blank(begin - 1) { begin - 1 } else { begin };
    let mut wanted = parse(text)?;
    let servers = wanted.get_mut(SECTION).and_then(Value::as_table_mut).ok_or(Problem::Unusual)?;
    servers.remove(NAME);
    if servers.is_empty() {
        wanted.remove(SECTION);
    }
    let left = [&lines[..begin], &lines[end..]].concat().concat();
    // An empty table of the user's, under its header, is not written by us.
    same(left.clone(), &wanted).or_else(|problem| {
        wanted.insert(SECTION.into(), Table::new().into());
        same(left, &wanted).map_err(|_| problem)
    })
}

/// `text`, if it says what `wanted` says.
fn same(text: String, wanted: &Table) -> Result<String, Problem> {
    match toml::from_str::<Table>(&text) {
        Ok(found) if found == *wanted => Ok(text),
        _ => Err(Problem::Unusual),
    }
}

fn parse(text: &str) -> Result<Table, Problem> {
    toml::from_str(text).map_err(|error| Problem::NotToml(error.message().to_owned()))
}

/// The line that our table begins with.
fn header() -> String {
    format!("[{SECTION}.{NAME}]")
}

/// A header without spaces, quotes and a comment.
fn plain(line: &str) -> String {
    let line = line.split('#').next().unwrap_or_default();
    line.chars().filter(|c| !c.is_whitespace() && *c != '"' && *c != '\'').collect()
}

#[cfg(test)]
mod tests {
    use super::super::MARK;
    use super::*;

    fn words() -> Vec<String> {
        ["/b \"c\"/indelible", "--home", "/h", "mcp", MARK].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_was_added_is_found_and_cut_again() {
        for text in [
            "",
            "model = \"x\"\n",
            "model = \"x\"",
            "# a\r\n[mcp_servers.x]\r\ncommand = 'x' # b\r\n",
            "[mcp_servers]\n[mcp_servers.x]\nargs = [\n  \"[mcp_servers.indelible]\",\n]\n",
            "a = \"\"\"\n[mcp_servers.y]\n\"\"\"\n\n[[list]]\nb = 1\n",
            "mcp_servers.x.command = \"x\"\n",
        ] {
            let with = added(text, &words()).unwrap_or_else(|problem| panic!("{problem}: {text}"));
            let entry = found(&with).expect("it is TOML").expect("it is there");
            assert!(entry.is_ours() && entry.words == words(), "{with}");
            let behind = format!(
                "{with}startup_timeout_sec = 5\n[mcp_servers.indelible.env]\nA = 'b'\n\n# theirs\n[z]\nc = 1\n"
            );
            let left = cut(&behind).expect("it is TOML");
            assert!(left.ends_with("\n# theirs\n[z]\nc = 1\n") && !left.contains("startup"), "{left}");
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            assert_eq!(cut(&with).expect("it is TOML"), format!("{text}{newline}"), "by way of {with}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_alone() {
        let foreign = "[mcp_servers.indelible]\ncommand = \"indelible\"\nargs = [\"mcp\"]\n";
        assert!(!found(foreign).expect("TOML").expect("an entry").is_ours());
        assert_eq!(cut(foreign).expect("TOML"), foreign);
        for text in ["mcp_servers = { x = { command = 'x' } }\n", "mcp_servers = 7\n"] {
            assert!(matches!(added(text, &words()), Err(Problem::Unusual)), "{text}");
        }
        let inline = "mcp_servers = { indelible = { command = 'x', args = ['mcp', '--installed'] } }\n";
        assert!(matches!(cut(inline), Err(Problem::Unusual)));
        assert!(matches!(found("[[["), Err(Problem::NotToml(_))));
        let off = format!("[mcp_servers.indelible]\nargs = ['mcp', '{MARK}']\nenabled = false\n");
        assert!(found(&off).expect("TOML").expect("an entry").is_off);
    }
}
