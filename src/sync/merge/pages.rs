//! What is rendered from the merged tree, and committed on the trunk alone: domains' pages and experiments' outcomes.
//!
//! A file of a person in the place of a domain's page stays.

use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;

use super::hidden::pages_of;
use super::join::page_of;
use super::shape::{self, Shape};
use super::{Error, FILE_BYTES_MAX};
use crate::model::layout::{DOMAIN_PAGE, HYPOTHESIS, VERDICTS, join, split};
use crate::model::path::outcome_beside;
use crate::model::{Kind, Record, RecordId, RecordPath};
use crate::page::{self, PageEntry, Parsed};
use crate::rules::Given;
use crate::sync::tree::{Changes, Found, Trees};

/// The tree `tree`, which is `trunk` with `staged` changes, with everything rendered that shows what changed.
pub(super) fn rendered(trees: &Trees<'_>, trunk: Option<Oid>, tree: Oid, staged: &Changes) -> Result<Oid, Error> {
    let mut changes = Changes::new();
    outcomes(trees, tree, staged, &mut changes)?;
    let folders = folders(trees, trunk, tree, staged)?;
    domains(trees, tree, &folders, &mut changes)?;
    match changes.is_empty() {
        true => Ok(tree),
        false => trees.with(Some(tree), &changes),
    }
}

fn page_in(trees: &Trees<'_>, id: Oid) -> Result<Option<Parsed>, Error> {
    Ok(trees.file(id, FILE_BYTES_MAX)?.as_deref().and_then(page_of))
}

/// Says beside each changed experiment how it ended.
fn outcomes(trees: &Trees<'_>, tree: Oid, staged: &Changes, changes: &mut Changes) -> Result<(), Error> {
    for (path, id) in staged.iter().filter(|(path, _)| split(path).1 == HYPOTHESIS) {
        let Some(outcome) = outcome_beside(path) else { continue };
        let parsed = id.map(|id| page_in(trees, id)).transpose()?.flatten();
        let file = parsed.and_then(|parsed| {
            let (amended, request) = (parsed.amended(), parsed.request?);
            page::outcome_file(parsed.id, parsed.created_at, &request.record, amended.as_ref(), path)
        });
        let id = file.map(|file| trees.write(file.text.as_bytes())).transpose()?;
        if id.is_some() || trees.find(Some(tree), [outcome.as_str()])?.contains_key(&outcome) {
            changes.insert(outcome, id);
        }
    }
    Ok(())
}

/// The folders of the domains of which a rule or a verdict on one changed.
fn folders(trees: &Trees<'_>, trunk: Option<Oid>, tree: Oid, staged: &Changes) -> Result<BTreeSet<String>, Error> {
    let rules = staged.keys().filter_map(|path| RecordPath(path).domain_folder());
    let mut folders: BTreeSet<String> = rules.map(str::to_owned).collect();
    let verdicts: Vec<&str> = staged.keys().map(String::as_str).filter(|path| is_verdict(path)).collect();
    if verdicts.is_empty() {
        return Ok(folders);
    }
    let before = trees.find(trunk, verdicts.iter().copied())?;
    let ids = verdicts.iter().filter_map(|path| staged.get(*path).copied().flatten());
    let mut about = BTreeSet::new();
    for id in ids.chain(before.into_values().filter(|found| found.is_plain).map(|found| found.id)) {
        about.extend(trees.file(id, FILE_BYTES_MAX)?.as_deref().and_then(rule_of));
    }
    let pages = pages_of(trees, Some(tree), &about)?;
    folders.extend(pages.iter().filter_map(|(_, path, _)| RecordPath(path).domain_folder().map(str::to_owned)));
    Ok(folders)
}

fn is_verdict(path: &str) -> bool {
    path.strip_prefix(VERDICTS).is_some_and(|rest| rest.starts_with('/'))
}

/// The rule that a verdict's page names, cheaply.
fn rule_of(bytes: &[u8]) -> Option<RecordId> {
    let line = bytes.split(|byte| *byte == b'\n').take(40).find_map(|line| line.strip_prefix(b"of: "))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Renders the pages of the domains in `folders`.
fn domains(trees: &Trees<'_>, tree: Oid, folders: &BTreeSet<String>, changes: &mut Changes) -> Result<(), Error> {
    let mut rules: BTreeMap<&str, Vec<(String, PageEntry)>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for folder in folders {
        let entries = entries(trees, tree, folder)?;
        ids.extend(entries.iter().map(|(_, entry)| entry.id));
        rules.insert(folder, entries);
    }
    if folders.is_empty() {
        return Ok(());
    }
    let mut given = verdicts(trees, tree, &ids)?;
    let paths: Vec<String> = folders.iter().map(|folder| join(folder, DOMAIN_PAGE)).collect();
    let there = trees.find(Some(tree), paths.iter().map(String::as_str))?;
    for ((_, mut entries), path) in rules.into_iter().zip(paths) {
        let ours = there.get(&path);
        if let Some(Found { id, is_plain }) = ours
            && !(*is_plain && trees.file(*id, FILE_BYTES_MAX)?.is_some_and(|bytes| page::is_rendered(&bytes)))
        {
            continue;
        }
        for (_, entry) in &mut entries {
            entry.given = given.remove(&entry.id).unwrap_or_default();
        }
        let domain = entries.first().map(|(domain, _)| domain.clone());
        let text = domain.map(|domain| page::domain_page(&domain, entries.into_iter().map(|(_, entry)| entry)));
        match text {
            Some(text) => drop(changes.insert(path, Some(trees.write(text.as_bytes())?))),
            None if ours.is_some() => drop(changes.insert(path, None)),
            None => {}
        }
    }
    Ok(())
}

/// The rules in the folder of a domain, oldest first, each with its domain.
fn entries(trees: &Trees<'_>, tree: Oid, folder: &str) -> Result<Vec<(String, PageEntry)>, Error> {
    let mut entries = Vec::new();
    trees.each(Some(tree), folder, &mut |path, file| {
        let Shape::Page(tail) = shape::of(path) else { return Ok(()) };
        let Some(parsed) = page_in(trees, file.id)?.filter(|parsed| tail.is_of(parsed.id)) else { return Ok(()) };
        if let Some(Record::Heuristic(rule)) = parsed.request.map(|request| request.record) {
            let entry = PageEntry {
                id: parsed.id,
                rule: rule.rule,
                explanation: rule.explanation,
                source: rule.source,
                confidence: rule.confidence.get(),
                created_at: parsed.created_at,
                path: path.to_owned(),
                given: Vec::new(),
                validated_elsewhere: 0,
                violated_elsewhere: 0,
            };
            entries.push((rule.domain, entry));
        }
        Ok(())
    })?;
    entries.sort_by_key(|(_, entry)| (entry.created_at, entry.id));
    Ok(entries)
}

/// The verdicts on each of `rules`, oldest first.
fn verdicts(trees: &Trees<'_>, tree: Oid, rules: &BTreeSet<RecordId>) -> Result<BTreeMap<RecordId, Vec<Given>>, Error> {
    let mut found: BTreeMap<RecordId, Vec<Given>> = BTreeMap::new();
    trees.each(Some(tree), Kind::Verdict.folder(), &mut |path, file| {
        let Shape::Page(tail) = shape::of(path) else { return Ok(()) };
        let Some(bytes) = trees.file(file.id, FILE_BYTES_MAX)? else { return Ok(()) };
        if rule_of(&bytes).is_none_or(|rule| !rules.contains(&rule)) {
            return Ok(());
        }
        let Some(parsed) = page_of(&bytes).filter(|parsed| tail.is_of(parsed.id)) else { return Ok(()) };
        let Some(request) = parsed.request else { return Ok(()) };
        if let Record::Verdict(verdict) = request.record {
            let provenance = request.provenance;
            found.entry(verdict.of).or_default().push(Given {
                id: parsed.id,
                at: parsed.created_at,
                ruling: verdict.verdict,
                origin: provenance.origin,
                session: provenance.session,
                agent: provenance.agent,
                project: provenance.project,
                because: verdict.because,
            });
        }
        Ok(())
    })?;
    found.values_mut().for_each(|given| given.sort_by_key(|it| (it.at, it.id)));
    Ok(found)
}
