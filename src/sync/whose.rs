//! Whose a record on the trunk is: the commits of lanes name the home that recorded it.

use std::collections::HashMap;

use git2::{Oid, Repository, Revwalk, Sort};
use uuid::Uuid;

use super::message;
use super::tree::{Difference, Doing as _, Error, Trees};
use crate::home::Home;
use crate::model::HomeId;
use crate::model::layout::SYNC_GIT;
use crate::target::commits::TRUNK;

/// The home and the lane that brought each file.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// By the name of its bytes.
    by_bytes: HashMap<Oid, (HomeId, Option<Uuid>)>,
    /// By the path at which it was new.
    by_path: HashMap<String, (HomeId, Option<Uuid>)>,
}

impl Sources {
    /// The home and the lane that brought the file `id`, which lies at `path`. If no lane has these bytes, it was made of the pages of
    /// several homes, or changed by hand: then the home that recorded it counts.
    pub(super) fn of(&self, id: Oid, path: &str) -> Option<(HomeId, Option<Uuid>)> {
        self.by_bytes.get(&id).or_else(|| self.by_path.get(path)).copied()
    }
}

/// Which home brought each file, on which lane, by the commits of lanes between two of the trunk.
pub(super) fn sources(
    repository: &Repository,
    trees: &Trees<'_>,
    from: Option<Oid>,
    to: Oid,
) -> Result<Sources, Error> {
    let mut sources = Sources::default();
    let mut walk = repository.revwalk().doing("walking the trunk")?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).doing("walking the trunk")?;
    walk.push(to).doing("walking the trunk")?;
    if let Some(from) = from {
        walk.hide(from).doing("walking the trunk")?;
    }
    brought(repository, trees, walk, |by, difference| {
        let Some(found) = difference.new else { return };
        sources.by_bytes.insert(found.id, by);
        if difference.old.is_none() {
            sources.by_path.entry(difference.path).or_insert(by);
        }
    })?;
    Ok(sources)
}

/// Calls `visit` with each file that a commit of a lane in `walk` changed, and with the home and the lane that the commit names.
fn brought(
    repository: &Repository,
    trees: &Trees<'_>,
    walk: Revwalk<'_>,
    mut visit: impl FnMut((HomeId, Option<Uuid>), Difference),
) -> Result<(), Error> {
    for id in walk {
        let commit = repository.find_commit(id.doing("walking the trunk")?).doing("reading a commit")?;
        let trailers = message::parse(commit.message_bytes());
        let Some(home) = trailers.home.filter(|_| commit.parent_count() < 2) else { continue };
        let before = commit.parents().next().map(|parent| parent.tree_id());
        for difference in trees.differences(before, Some(commit.tree_id()))? {
            visit((home, trailers.lane), difference);
        }
    }
    Ok(())
}

/// Which other home recorded each page of the trunk that `home` has, by its path, as far as the commits of lanes say. Nothing, if there is
/// no trunk, or if it cannot be read.
pub fn homes_of_pages(home: &Home) -> HashMap<String, HomeId> {
    let path = home.private().path().join(SYNC_GIT);
    let read = || {
        let repository = Repository::open_bare(path).doing("opening sync.git")?;
        let trunk = repository.refname_to_id(TRUNK).doing("looking for the trunk")?;
        let trees = Trees::of(&repository)?;
        let mut walk = repository.revwalk().doing("walking the trunk")?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE).doing("walking the trunk")?;
        walk.push(trunk).doing("walking the trunk")?;
        let mut homes = HashMap::new();
        brought(&repository, &trees, walk, |(home, _), difference| {
            // Who amends a record did not record it.
            if difference.old.is_none() && difference.new.is_some() {
                homes.entry(difference.path).or_insert(home);
            }
        })?;
        Ok::<_, Error>(homes)
    };
    read().unwrap_or_else(|error| {
        tracing::debug!(error = crate::model::text::chain(&error), "whose records are on the trunk is not known");
        HashMap::new()
    })
}
