//! Secrets in the paths of records: a path is made of the first title, and an amendment does not change it.

use jiff::{SignedDuration, Timestamp};

use super::project::Candidate;
use super::{Error, Session};
use crate::model::path::slug;
use crate::model::{RecordPath, Request};
use crate::page;
use crate::redact::Redactor;

/// Why a page is held that has a secret.
pub(super) const SAYS_SECRET: &str = "it says what looks like a secret";
/// Why a page is held whose path has one.
pub(super) const NAMES_SECRET: &str = "its path has the words of its first title, which said what looks like a secret: \
                                       record it again under another title, and erase this one";
/// So much earlier than a record was made, a commit can have it: clocks differ.
const SKEW: SignedDuration = SignedDuration::from_hours(48);

impl Session<'_> {
    /// Whether the path of `page` has the words of a secret that its first title had, though `request` has none any more.
    pub(super) fn names_secret(
        &self,
        page: &Candidate,
        request: Option<&Request>,
        secrets: Option<&Redactor>,
    ) -> Result<bool, Error> {
        let (Some(request), Some(secrets)) = (request, secrets) else { return Ok(false) };
        let name = RecordPath(&page.path).page();
        // A part of the first title is not all of it: a name is a whole slug and an id, behind the time of an experiment.
        let is_id = |rest: &str| {
            matches!(rest.len(), 8 | 36) && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        };
        let is_of = |title: &str| {
            let begin = format!("{}-", slug(title));
            let is_it = |part: &str| part.strip_prefix(begin.as_str()).is_some_and(is_id);
            name.split('/').any(|part| {
                let part = part.strip_suffix(".md").unwrap_or(part);
                is_it(part) || part.split_once('_').is_some_and(|(_, rest)| is_it(rest))
            })
        };
        if is_of(request.record.headline()) {
            return Ok(false);
        }
        let made = page::parse(&page.bytes).ok().map_or(Timestamp::MIN, |parsed| parsed.created_at);
        let since = made.checked_sub(SKEW).unwrap_or(Timestamp::MIN);
        let first = self.history.first_of(&page.path, since)?.and_then(|bytes| page::parse(&bytes).ok()?.request);
        let Some(first) = first else { return Ok(false) };
        let title = first.record.headline();
        let shown = secrets.text(title);
        Ok(shown != title && slug(&shown) != slug(title) && is_of(title))
    }
}
