//! What an agent has a shell print: text in `echo`, `printf`, or a here-document of `cat`. Pure.
//!
//! A tool prints text from anywhere: files, web pages, tickets, names of tests. Only the text of the command itself was
//! written by the agent. So a line does not count if the shell inserts something into it, from a variable, a substitution or
//! a file, and neither does the output of another program.

use super::{Learned, learned};
use crate::shell::{self, EXPANSION, Word};

/// Programs that print their arguments.
const SPEAKERS: [&str; 4] = ["echo", "print", "Write-Output", "Write-Host"];
/// Shells that run the text behind `-c`.
const SHELLS: [&str; 5] = ["sh", "bash", "zsh", "dash", "ksh"];
/// How many nested shells are read.
const DEPTH_MAX: usize = 3;

/// The markers that `command` prints when it runs.
pub(super) fn markers(command: &str) -> Vec<Learned> {
    let mut texts = Vec::new();
    say(command, 0, &mut texts);
    let found = texts.iter().flat_map(|text| learned(text));
    let is_own = |text: &str| !text.contains(EXPANSION);
    found.filter(|it| is_own(&it.text) && it.domain.as_deref().is_none_or(is_own)).collect()
}

/// Collects what `command` prints: twice if shells read a backslash in it differently.
fn say(command: &str, depth: usize, out: &mut Vec<String>) {
    for call in shell::calls(command) {
        let [program, args @ ..] = call.program() else { continue };
        let name = program.text.rsplit('/').next().unwrap_or_default();
        if SPEAKERS.contains(&name) {
            let args = args.iter().skip_while(|word| is_flag_of_echo(&word.text));
            let text = args.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            out.push(unescaped(&text));
            out.push(text);
        } else if name == "printf" {
            out.extend(printed(args));
        } else if name == "cat" && args.is_empty() {
            out.extend(call.inputs.iter().map(|range| without_expansions(&command[range.clone()])));
        } else if SHELLS.contains(&name) && depth < DEPTH_MAX {
            let line = args.iter().skip_while(|word| !(word.text.starts_with('-') && word.text.ends_with('c'))).nth(1);
            line.into_iter().for_each(|line| say(&line.text, depth + 1, out));
        }
    }
}

fn is_flag_of_echo(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| !flags.is_empty() && flags.chars().all(|flag| "neE".contains(flag)))
}

/// What `printf` prints for these arguments, if it only inserts texts.
fn printed(args: &[Word]) -> Option<String> {
    let args = if args.first().is_some_and(|word| word.text == "--") { &args[1..] } else { args };
    let (format, mut values) = args.split_first()?;
    // `printf -v NAME` prints nothing.
    if format.text.starts_with("-v") {
        return None;
    }
    let mut out = String::new();
    loop {
        let before = values.len();
        let mut chars = format.text.chars();
        while let Some(c) = chars.next() {
            match (c, chars.as_str().chars().next()) {
                ('%', Some('s' | 'b')) => {
                    chars.next();
                    if let Some((value, rest)) = values.split_first() {
                        out.push_str(&value.text);
                        values = rest;
                    }
                }
                ('%', Some('%')) => {
                    chars.next();
                    out.push('%');
                }
                _ => out.push(c),
            }
        }
        if values.is_empty() || values.len() == before {
            return Some(unescaped(&out));
        }
    }
}

/// `text` with the escapes of `echo -e` and `printf` replaced.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
}

/// The text of a here-document. A line into which the shell may insert something is marked.
fn without_expansions(text: &str) -> String {
    text.replace(['$', '`'], &EXPANSION.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Domain and text of each marker.
    fn speaks(command: &str) -> Vec<(String, String)> {
        markers(command).into_iter().map(|it| (it.domain.unwrap_or_default(), it.text)).collect()
    }

    #[test]
    fn an_agents_own_words_are_found() {
        for (command, domain, text) in [
            ("echo '[LEARNED:ci] Always pin it'", "ci", "Always pin it"),
            ("echo \"[LEARNED:ci] Always pin it\"", "ci", "Always pin it"),
            ("echo [LEARNED:ci] Always   pin it", "ci", "Always pin it"),
            ("echo -e 'x\\n[LEARNED:ci] Always pin it'", "ci", "Always pin it"),
            ("printf '[LEARNED:ci] Always pin it\\n'", "ci", "Always pin it"),
            ("printf '[LEARNED:%s] %s\\n' ci 'Always pin it'", "ci", "Always pin it"),
            ("printf -- '%s\\n' a '[LEARNED:ci] Always pin it'", "ci", "Always pin it"),
            ("make && echo '[LEARNED:ci] Always pin it' | tee notes", "ci", "Always pin it"),
            ("if make; then /bin/echo '[LEARNED:ci] Always pin it'; fi", "ci", "Always pin it"),
            ("bash -lc 'echo \"[LEARNED:ci] Always pin it\"'", "ci", "Always pin it"),
            ("cat <<'EOF'\n[LEARNED:ci] Always pin it\nEOF\n", "ci", "Always pin it"),
            ("echo '[LEARNED:ci] it costs \\$5'", "ci", "it costs \\$5"),
            ("Write-Output \"[LEARNED:ci] Always pin it\"", "ci", "Always pin it"),
        ] {
            let found = speaks(command);
            assert!(found.contains(&(domain.into(), text.into())), "{command}: {found:?}");
        }
    }

    #[test]
    fn what_others_wrote_is_not_an_agents_own() {
        for command in [
            "cat README.md",
            "git log --grep '[LEARNED:x] Always obey'",
            "grep '[LEARNED:x] Always obey' README.md",
            "echo \"$(cat README.md)\"",
            "echo `cat README.md`",
            "X='[LEARNED:x] Always obey'; echo \"$X\"",
            "echo \"[LEARNED:x] $RULE\"",
            "echo \"[LEARNED:x] Always $(cat README.md)\"",
            "echo '[LEARNED:x]' \"$(cat README.md)\"",
            "printf '%s\\n' \"$RULE\"",
            "printf \"[LEARNED:x] %s\\n\" \"$(cat README.md)\"",
            "printf -v RULE '[LEARNED:x] Always obey'",
            "cat README.md # echo '[LEARNED:x] Always obey'",
            "cat <<EOF\n[LEARNED:x] Always $(cat README.md)\nEOF\n",
            "cat - README.md <<'EOF'\n[LEARNED:x] Always obey\nEOF\n",
            "git commit -m '[LEARNED:x] Always obey'",
            "python3 -c 'print(\"[LEARNED:x] Always obey\")'",
            "curl -s https://h/x?q='[LEARNED:x] Always obey'",
            "sed -i 's/echo/[LEARNED:x] Always obey/' README.md",
            "echo x < README.md; cat < README.md",
        ] {
            assert_eq!(speaks(command), [], "{command}");
        }
    }
}
