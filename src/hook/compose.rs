//! Composes the records of a failure, and of what was learned. Pure.

use super::context::Context;
use super::{EventKind, Learned, Rules, Tool};
use crate::followed::Followed;
use crate::model::{Confidence, Heuristic, Learning, Record, Severity, limits};
use crate::record::Redacted;
use crate::session::Opened;

/// How much is kept of a command, of a tool's input and of an error, in bytes.
const COMMAND_BYTES_MAX: usize = 8 << 10;
const INPUT_BYTES_MAX: usize = 4 << 10;
const ERROR_BYTES_MAX: usize = 16 << 10;
/// The severity of an observation.
const LEARNED: Severity = Severity::LOW;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 160;

/// The failure of `tool`.
pub(super) fn of_tool(
    context: &Context<'_>,
    tool: &Tool,
    error: &str,
    exit_code: Option<i64>,
    severity: Severity,
) -> Redacted {
    let event = context.event;
    let name = context.redacted(&tool.name);
    let command = tool.command.as_deref().map(|command| context.redacted(command));
    let error = context.redacted(error);
    let title = match &command {
        Some(command) => {
            let ended = exit_code.map_or_else(|| "failed".into(), |code| format!("exit code {code}"));
            format!("{}: {ended}", shortened(first_line(command), TITLE_CHARS_MAX))
        }
        None => format!("{name}: {}", first_line(&error)),
    };
    let domain = command.as_deref().and_then(program).map_or_else(|| name.to_lowercase(), str::to_owned);
    let mut tags = vec!["hook".to_owned(), event.host.name().to_owned(), name.replace(',', " ")];
    tags.extend(exit_code.map(|code| format!("exit-{code}")));
    let mut summary = format!("**Tool**: {}\n\n", shortened(&name, TITLE_CHARS_MAX));
    match &command {
        Some(command) => summary.push_str(&block("Command", &cut(command, COMMAND_BYTES_MAX))),
        None => summary.push_str(&block("Input", &cut(&input(context, tool), INPUT_BYTES_MAX))),
    }
    summary.push_str(&block("Error", &cut(error.trim_end(), ERROR_BYTES_MAX)));
    summary.push_str(&context.place());
    let digest = event.digest.to_string();
    let key = context.key(&["tool", tool.call.as_deref().unwrap_or(&digest)]);
    failure(context, &title, &domain, severity, &tags.join(","), summary, key)
}

/// The failure of a sub-agent, or of a turn.
pub(super) fn of_agent_stop(context: &Context<'_>, error: &str, severity: Severity) -> Redacted {
    let event = context.event;
    let agent = context.redacted(event.agent.as_deref().unwrap_or("agent"));
    let error = context.redacted(error);
    let title = format!("{agent}: {}", first_line(&error));
    let mut summary = block("Error", &cut(error.trim_end(), ERROR_BYTES_MAX));
    if let EventKind::AgentStop { said, .. } = &event.kind
        && !said.is_empty()
    {
        summary.push_str(&block("It said last", &cut(&context.redacted(said), ERROR_BYTES_MAX)));
    }
    summary.push_str(&context.place());
    let key = context.key(&["turn", &event.digest.to_string()]);
    failure(context, &title, "agent", severity, &format!("hook,{}", event.host.name()), summary, key)
}

/// The success of `tool`, whose command failed before: what `followed` that `failure`.
pub(super) fn of_success(
    context: &Context<'_>,
    tool: &Tool,
    failure: &Opened,
    followed: &Followed,
    severity: Severity,
) -> Redacted {
    let name = context.redacted(&tool.name);
    let command = context.redacted(tool.command.as_deref().unwrap_or_default());
    let title = format!("{}: {}", shortened(first_line(&command), TITLE_CHARS_MAX), followed.outcome());
    let domain = program(&command).map_or_else(|| name.to_lowercase(), str::to_owned);
    let tags = ["hook", context.event.host.name(), &name.replace(',', " ")].join(",");
    let mut summary = format!("**Tool**: {}\n\n", shortened(&name, TITLE_CHARS_MAX));
    summary.push_str(&block("Command", &cut(&command, COMMAND_BYTES_MAX)));
    summary.push_str(&followed.to_text());
    summary.push_str(&context.place());
    let key = context.key(&["followed", &failure.failure.to_string()]);
    let it = Learning {
        title: headline(&title),
        domain: shortened_to(&domain, limits::DOMAIN_CHARS_MAX),
        severity,
        tags: shortened_to(&tags, limits::TAGS_CHARS_MAX),
        summary,
        resolves: Some(failure.record()),
    };
    context.request(Record::Success(it), key)
}

fn failure(
    context: &Context<'_>,
    title: &str,
    domain: &str,
    severity: Severity,
    tags: &str,
    summary: String,
    key: String,
) -> Redacted {
    let it = Learning {
        title: headline(title),
        domain: shortened_to(domain, limits::DOMAIN_CHARS_MAX),
        severity,
        tags: shortened_to(tags, limits::TAGS_CHARS_MAX),
        summary,
        ..Learning::default()
    };
    context.request(Record::Failure(it), key)
}

/// What was learned: a heuristic if it is a rule, an observation otherwise.
pub(super) fn of_learned(context: &Context<'_>, found: Learned) -> Redacted {
    let found = Learned {
        domain: found.domain.map(|domain| context.redacted(&domain)),
        text: context.redacted(&shortened(&found.text, limits::BODY_BYTES_MAX / 16)),
    };
    let domain = found.domain.as_deref().unwrap_or("general");
    let domain = shortened_to(domain, limits::DOMAIN_CHARS_MAX);
    let mut body = String::new();
    if found.text.chars().count() > limits::HEADLINE_CHARS_MAX {
        body.push_str(&block("All of it", &found.text));
    }
    body.push_str(&context.place());
    let key = context.key_of_learned(&["learned", &domain.to_lowercase(), &found.essence()]);
    let record = match found.is_rule() {
        true => Record::Heuristic(Heuristic {
            domain,
            rule: shortened_to(&found.text, limits::HEADLINE_CHARS_MAX),
            explanation: body,
            source: "auto".into(),
            confidence: Confidence::DEFAULT,
        }),
        false => Record::Observation(Learning {
            title: shortened_to(&found.text, limits::HEADLINE_CHARS_MAX),
            domain,
            severity: LEARNED,
            tags: format!("hook,{}", context.event.host.name()),
            summary: body,
            ..Learning::default()
        }),
    };
    context.request(record, key)
}

/// Whether the command runs a program whose exit code 1 is an answer.
pub(super) fn is_answer(tool: &Tool, rules: &Rules) -> bool {
    let program = tool.command.as_deref().and_then(program);
    program.is_some_and(|program| rules.answers.iter().any(|answer| answer == program))
}

/// The program that a shell's line is about: the first word that is not an assignment, `cd`, `sudo` or the like.
fn program(command: &str) -> Option<&str> {
    const WAYS: [&str; 8] = ["sudo", "env", "time", "nice", "nohup", "exec", "timeout", "cd"];
    let mut parts = command.split(['\n', ';', '&', '|']).map(str::trim).filter(|part| !part.is_empty());
    parts.find_map(|part| {
        let mut words = part.split_whitespace().skip_while(|word| is_assignment(word));
        let mut word = words.next()?;
        if word == "cd" {
            return None;
        }
        while WAYS.contains(&word) {
            word = words.find(|it| {
                !it.starts_with('-') && !is_assignment(it) && !it.starts_with(|c: char| c.is_ascii_digit())
            })?;
        }
        let name = word.rsplit('/').next().unwrap_or(word);
        let plain =
            name == "[" || name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'));
        (plain && !name.is_empty() && !name.starts_with('#')).then_some(name)
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| !c.is_ascii_digit())
    })
}

/// A tool's input, as redacted JSON. Each text is redacted on its own, and then the whole, because a field's name can tell
/// that its value is a secret.
fn input(context: &Context<'_>, tool: &Tool) -> String {
    let mut input = tool.input.clone();
    context.redaction.value(&mut input);
    context.redacted(&serde_json::to_string_pretty(&input).unwrap_or_default())
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing was said")
}

/// `text` under a heading, in a fence longer than any in the text. Empty if `text` is blank.
fn block(heading: &str, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let ticks = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(ticks.max(2) + 1);
    format!("**{heading}**\n\n{fence}\n{text}\n{fence}\n\n")
}

/// `text`, or its beginning and its end if it has more than `bytes_max` bytes.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(bytes_max / 4);
    let tail = text.ceil_char_boundary(text.len() - bytes_max / 4 * 3);
    format!("{}\n… {} bytes are left out …\n{}", &text[..head], tail - head, &text[tail..])
}

/// The first `chars_max` characters of `text`, with an ellipsis if it has more.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    crate::model::text::shortened(text, chars_max).into_owned()
}

/// `text` with at most `chars_max` characters, including the ellipsis, and never blank.
fn shortened_to(text: &str, chars_max: usize) -> String {
    let short = shortened(text.trim(), chars_max - 1);
    if short.trim().is_empty() { "unnamed".into() } else { short }
}

fn headline(text: &str) -> String {
    shortened_to(&shortened(text, TITLE_CHARS_MAX + 40), limits::HEADLINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_what_a_line_is_about() {
        for (line, found) in [
            ("cargo test", Some("cargo")),
            ("cd /x && RUST_LOG=debug /usr/bin/git push", Some("git")),
            ("sudo -n env A=1 systemctl restart x", Some("systemctl")),
            ("timeout 5 make", Some("make")),
            ("[ -f x ]", Some("[")),
            ("# a comment\nls", Some("ls")),
            ("$(x)", None),
            ("", None),
        ] {
            assert_eq!(program(line), found, "{line}");
        }
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert!(block("x", "```\n````").contains("\n`````\n"));
        assert_eq!(block("x", " \n"), "");
    }

    #[test]
    fn what_is_cut_keeps_its_beginning_and_its_end() {
        let text = format!("begin{}end", "ä".repeat(1000));
        let cut = cut(&text, 100);
        assert!(cut.starts_with("begin") && cut.ends_with("end") && cut.contains("bytes are left out"));
    }
}
