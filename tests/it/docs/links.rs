//! Links: each leads to a file that exists and to a heading in it, and each page of the site is in its table of contents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use super::{Page, pages, root};

/// The names that a page's headings have as targets of links.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in page.lines().filter(|(block, line)| block.is_none() && line.starts_with('#')) {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{name}-{number}")).find(|it| !found.contains(it));
        found.insert(if found.contains(&name) { again.expect("numbers do not end") } else { name });
    }
    found
}

/// `path` without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let all = pages();
    let mut broken = Vec::new();
    for page in &all {
        let folder = Path::new(&page.path).parent().expect("it is a file");
        let prose = page.lines().filter(|(block, _)| block.is_none()).map(|(_, line)| line);
        for target in prose.flat_map(|line| link.captures_iter(line)).map(|found| found[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(file, it)| (file, Some(it)));
            let path = if file.is_empty() { PathBuf::from(&page.path) } else { plain(&folder.join(file)) };
            let is_there = root().join(&path).exists();
            let has_it = anchor.is_none_or(|anchor| {
                let other = all.iter().find(|it| Path::new(&it.path) == path);
                other.is_some_and(|other| anchors(other).contains(anchor))
            });
            if !is_there || !has_it {
                broken.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = Page::read("docs/SUMMARY.md").text;
    let missing: Vec<_> = pages()
        .into_iter()
        .map(|page| page.path)
        .filter(|path| {
            let listed = path.strip_prefix("docs/").is_none_or(|name| contents.contains(&format!("({name})")));
            !listed && path != "docs/SUMMARY.md"
        })
        .collect();
    assert!(missing.is_empty(), "pages that docs/SUMMARY.md lacks: {missing:?}");
}
