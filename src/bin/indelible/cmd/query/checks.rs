//! What `query.py` accepts as a value, and what it says of any other.

use super::problem::Problem;

const DOMAIN_CHARS_MAX: usize = 100;
const TASK_CHARS_MAX: usize = 10_000;
const TAGS_MAX: usize = 50;
const TAG_CHARS_MAX: usize = 50;
const LIMIT_MAX: i64 = 1000;

const ALLOWED: &str = "Use only alphanumeric, hyphen, underscore, and dot.";

/// A limit: 1 to 1000.
pub fn limit(limit: i64) -> Result<u32, Problem> {
    match u32::try_from(limit) {
        Ok(rows @ 1..) if limit <= LIMIT_MAX => Ok(rows),
        _ if limit < 1 => Err(Problem::Invalid(format!("Limit must be at least 1. Got: {limit}."))),
        _ => Err(Problem::Invalid(format!(
            "Limit exceeds maximum of {LIMIT_MAX}. Use a smaller limit or process results in batches."
        ))),
    }
}

/// The domain, if one was given: an empty text counts as not given.
pub fn domain(domain: Option<&str>) -> Result<Option<&str>, Problem> {
    let Some(domain) = domain.filter(|it| !it.is_empty()) else { return Ok(None) };
    if domain.chars().count() > DOMAIN_CHARS_MAX {
        let what = format!("Domain exceeds maximum length of {DOMAIN_CHARS_MAX} characters.");
        return Err(Problem::Invalid(format!("{what} Use a shorter domain name.")));
    }
    match domain.chars().all(is_allowed) {
        true => Ok(Some(domain)),
        false => Err(Problem::Invalid(format!("Domain '{domain}' contains invalid characters. {ALLOWED}"))),
    }
}

/// The tags, if any were given: an empty text counts as not given.
pub fn tags(tags: Option<&str>) -> Result<Option<Vec<String>>, Problem> {
    let Some(tags) = tags.filter(|it| !it.is_empty()) else { return Ok(None) };
    if tags.split(',').count() > TAGS_MAX {
        let what = format!("Too many tags (max {TAGS_MAX}).");
        return Err(Problem::Invalid(format!("{what} Reduce number of tags or query in batches.")));
    }
    let mut found = Vec::new();
    for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        if tag.chars().count() > TAG_CHARS_MAX {
            let begin: String = tag.chars().take(20).collect();
            return Err(Problem::Invalid(format!("Tag '{begin}...' exceeds maximum length of {TAG_CHARS_MAX}.")));
        }
        if !tag.chars().all(is_allowed) {
            return Err(Problem::Invalid(format!("Tag '{tag}' contains invalid characters. {ALLOWED}")));
        }
        found.push(tag.to_owned());
    }
    match found.is_empty() {
        true => Err(Problem::Invalid("No valid tags provided after filtering.".into())),
        false => Ok(Some(found)),
    }
}

/// A task, if there is one.
pub fn task(task: Option<&str>) -> Result<Option<&str>, Problem> {
    if task.is_some_and(|it| it.chars().count() > TASK_CHARS_MAX) {
        let what = format!("Query exceeds maximum length of {TASK_CHARS_MAX} characters.");
        return Err(Problem::Invalid(format!("{what} Reduce query size.")));
    }
    Ok(task.map(str::trim).filter(|it| !it.is_empty()))
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}
