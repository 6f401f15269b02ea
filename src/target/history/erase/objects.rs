//! Takes objects out of a repository: each pack that has one is written again without it, and its old files go.
//!
//! What goes is found from the repository as it is, so a second run does what is left of the first. Nothing that a
//! reference, a reflog, a HEAD or an index of any work tree reaches goes, nor what a commit of another program reaches, even
//! if nothing reaches that commit: a stash that was dropped stays.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before a pack is replaced | its new form beside it, with our `.keep` | the next run, and the sweep |
//! | while its old files go | an index without a pack, which git ignores | the next run |

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::super::pack::{self, Staged, Staging};
use super::super::pack_file::{Ids, is_pack, is_there, remove};
use super::super::repack::LIBRARY_CONFIG;
use super::super::{Doing as _, DoingAt as _, Error, History, folder, sync, tree};
use super::scan::Wanted;
use super::survey::{Survey, found};
use crate::fs::{Dir, Point, os};
use crate::model::layout::join;

/// The files beside a pack that hold for its objects alone, in the order in which they go.
const BESIDE: [&str; 6] = ["bitmap", "mtimes", "pack", "rev", "idx", "keep"];
/// The files beside a pack that a new one needs too.
const CARRIED: [&str; 2] = ["keep", "promisor"];
/// Git's index of several packs.
const MULTI_PACK_INDEX: &str = "multi-pack-index";
/// The folders of what is under way in a work tree.
const UNDER_WAY: [&str; 3] = ["rebase-merge", "rebase-apply", "sequencer"];
/// A larger file is no list of commits.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// What keeps objects with erased records, by its name.
pub(super) type Kept = BTreeSet<String>;

/// Where a walk begins, and what that is called.
type Roots = Vec<(Oid, String)>;

/// The objects with erased records that nothing else needs, and what keeps the others; `old` is where our references were. Roots
/// whose name `is_left_out` keep nothing.
///
/// In a user's repository, what our commits do not reach stays as well.
pub(super) fn doomed(
    history: &History,
    repository: &Repository,
    survey: &mut Survey<'_>,
    old: &[Oid],
    is_left_out: &dyn Fn(&str) -> bool,
) -> Result<(HashSet<Oid>, Kept), Error> {
    let affected = survey.affected_commits()?;
    let mut from = old.to_vec();
    from.extend(survey.commits.iter().filter(|(_, known)| known.is_ours).map(|(id, _)| *id));
    let ours = reached(survey, &from);
    let mut doomed = candidates(history, survey, &affected, &ours)?;
    let mut roots = roots(history, repository, &Wanted::of(&doomed))?;
    roots.retain(|(_, name)| !is_left_out(name));
    for (id, _) in survey.commits.iter().filter(|(id, _)| affected.contains(id) && !ours.contains(id)) {
        roots.push((*id, format!("commit {id}, which nothing reaches")));
    }
    let mut alive = HashSet::new();
    let mut kept = Kept::new();
    let mut seen = HashSet::new();
    for (root, name) in roots {
        let before = alive.len();
        let is_kept = keep(survey, repository, &affected, root, &mut seen, &mut alive)?;
        if is_kept || alive.len() > before {
            kept.insert(name);
        }
    }
    doomed.retain(|id| !alive.contains(id));
    let own = in_own_store(history, &doomed)?;
    if own.len() < doomed.len() {
        kept.insert("the repository that this one borrows objects from (objects/info/alternates)".to_owned());
    }
    Ok((own, kept))
}

/// The objects that go unless something keeps them: every one that has a record. In a user's repository, those of them that the
/// commits `ours` have.
fn candidates(
    history: &History,
    survey: &mut Survey<'_>,
    affected: &HashSet<Oid>,
    ours: &HashSet<Oid>,
) -> Result<HashSet<Oid>, Error> {
    let mut found = HashSet::new();
    if history.owned {
        found.extend(survey.blobs.iter().copied());
        found.extend(affected);
        for id in survey.trees.clone() {
            if survey.is_tree_affected(id)? {
                found.insert(id);
            }
        }
        return Ok(found);
    }
    for id in affected.intersection(ours) {
        found.insert(*id);
        let tree = survey.commits.get(id).map(|known| known.tree);
        tree.map(|tree| keep_tree(survey, tree, &mut found)).transpose()?;
    }
    Ok(found)
}

/// How many of the commits that the references at `tips` reach have something to erase.
pub(super) fn rewritten_commits(survey: &mut Survey<'_>, tips: &[Oid]) -> Result<usize, Error> {
    let affected = survey.affected_commits()?;
    Ok(reached(survey, tips).intersection(&affected).count())
}

/// Every commit that `from` reaches.
fn reached(survey: &Survey<'_>, from: &[Oid]) -> HashSet<Oid> {
    let mut reached = HashSet::new();
    let mut open = from.to_vec();
    while let Some(id) = open.pop() {
        if let Some(known) = survey.commits.get(&id)
            && reached.insert(id)
        {
            open.extend(&known.parents);
        }
    }
    reached
}

/// Adds what `root` reaches and has erased records to `alive`. Returns whether it reaches any, whatever reached it before.
fn keep(
    survey: &mut Survey<'_>,
    repository: &Repository,
    affected: &HashSet<Oid>,
    root: Oid,
    seen: &mut HashSet<Oid>,
    alive: &mut HashSet<Oid>,
) -> Result<bool, Error> {
    let root = match repository.find_tag(root) {
        Ok(tag) => tag.as_object().peel(git2::ObjectType::Any).map_or(tag.target_id(), |it| it.id()),
        Err(_) => root,
    };
    let mut open = vec![root];
    let mut is_kept = false;
    while let Some(id) = open.pop() {
        if survey.blobs.contains(&id) {
            is_kept |= alive.insert(id) || id == root;
            continue;
        }
        let Some(known) = survey.commits.get(&id) else {
            is_kept |= keep_tree(survey, id, alive)?;
            continue;
        };
        let (tree, parents) = (known.tree, known.parents.clone());
        is_kept |= affected.contains(&id);
        if !seen.insert(id) {
            continue;
        }
        if affected.contains(&id) {
            alive.insert(id);
            keep_tree(survey, tree, alive)?;
        }
        open.extend(parents);
    }
    Ok(is_kept)
}

/// Adds what goes from the tree `id` to `alive`, and the tree itself. Returns whether there is any.
fn keep_tree(survey: &mut Survey<'_>, id: Oid, alive: &mut HashSet<Oid>) -> Result<bool, Error> {
    if found(survey.objects.read_header(id))?.is_none_or(|(_, kind)| kind != git2::ObjectType::Tree)
        || !survey.is_tree_affected(id)?
    {
        return Ok(false);
    }
    if !alive.insert(id) {
        return Ok(true);
    }
    let Some(object) = found(survey.objects.read(id))? else { return Ok(false) };
    for entry in tree::entries(object.data()) {
        let entry = entry.map_err(|_| tree::malformed(id, ""))?;
        match entry.shape() {
            tree::Shape::Folder => drop(keep_tree(survey, entry.id, alive)?),
            _ if survey.blobs.contains(&entry.id) => drop(alive.insert(entry.id)),
            _ => {}
        }
    }
    Ok(true)
}

/// Everything that git would keep objects for. Of an index, only the names that are `wanted` are looked for.
fn roots(history: &History, repository: &Repository, wanted: &Wanted<'_>) -> Result<Roots, Error> {
    let mut roots = Roots::new();
    for reference in repository.references().doing("listing references")? {
        let reference = reference.doing("listing references")?;
        let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        roots.extend(reference.target().map(|id| (id, name)));
    }
    let mut folders = vec![history.common.clone()];
    for entry in fs::read_dir(history.common.join("worktrees")).into_iter().flatten().flatten() {
        folders.push(entry.path());
    }
    for (number, folder) in folders.iter().enumerate() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with("HEAD") || name.starts_with("BISECT") {
                add_ids(&entry.path(), &name, &mut roots)?;
            } else if name == "index" || name.starts_with("sharedindex.") {
                let named = |id| (id, "the index of a work tree".to_owned());
                roots.extend(wanted.in_file(&entry.path())?.into_iter().map(named));
            }
        }
        add_lists(&folder.join("logs"), "the reflog of ", "", &mut roots)?;
        for under_way in UNDER_WAY {
            add_lists(&folder.join(under_way), "a rebase or a pick under way: ", under_way, &mut roots)?;
        }
        if number > 0 {
            add_lists(&folder.join("refs"), "", "refs", &mut roots)?;
        }
    }
    Ok(roots)
}

/// Adds the ids in every file beneath `folder`.
fn add_lists(folder: &Path, what: &str, below: &str, roots: &mut Roots) -> Result<(), Error> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = join(below, &entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => add_lists(&entry.path(), what, &name, roots)?,
            Ok(kind) if kind.is_file() => add_ids(&entry.path(), &format!("{what}{name}"), roots)?,
            _ => {}
        }
    }
    Ok(())
}

/// Adds every word in the file at `path` that is an object's name.
fn add_ids(path: &Path, name: &str, roots: &mut Roots) -> Result<(), Error> {
    if !path.symlink_metadata().is_ok_and(|it| it.is_file() && it.len() <= LIST_BYTES_MAX) {
        return Ok(());
    }
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.doing_at("reading a list of commits", path)?,
    };
    for word in text.split(|byte| byte.is_ascii_whitespace()).filter(|word| word.len() == 40) {
        let id = std::str::from_utf8(word).ok().and_then(|word| Oid::from_str(word).ok());
        roots.extend(id.filter(|id| *id != Oid::ZERO_SHA1).map(|id| (id, name.to_owned())));
    }
    Ok(())
}

/// The packs that have any of `doomed`, by name.
pub(super) fn affected_packs(history: &History, doomed: &HashSet<Oid>) -> Result<BTreeSet<String>, Error> {
    let mut affected = BTreeSet::new();
    if doomed.is_empty() {
        return Ok(affected);
    }
    let packs = folder(&history.packs())?;
    for name in packs.names().doing_at("listing the packs", packs.path())? {
        let Some(stem) = name.strip_suffix(".idx").filter(|stem| is_pack(stem)) else { continue };
        let path = packs.path().join(&name);
        for id in Ids::open(&path).doing_at("reading a pack's index", &path)? {
            if doomed.contains(&id.doing_at("reading a pack's index", &path)?) {
                affected.insert(stem.to_owned());
                break;
            }
        }
    }
    Ok(affected)
}

/// Takes `doomed` out of every pack, and removes the loose ones.
pub(super) fn remove_objects(history: &History, doomed: &HashSet<Oid>) -> Result<(), Error> {
    if doomed.is_empty() {
        return Ok(());
    }
    forget_derived(history, doomed)?;
    for name in affected_packs(history, doomed)? {
        replace_pack(history, &name, doomed)?;
    }
    let mut by_folder: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for id in doomed {
        let hex = id.to_string();
        let (start, rest) = hex.split_at(2);
        by_folder.entry(history.common.join("objects").join(start)).or_default().push(rest.to_owned());
    }
    for (path, names) in by_folder.into_iter().filter(|(path, _)| path.is_dir()) {
        let folder = folder(&path)?;
        let mut has_removed = false;
        for name in names {
            if is_there(&folder, &name)? {
                history.step(Point::EraseBeforeLoose)?;
                has_removed |= remove(&folder, &name)?;
            }
        }
        if has_removed {
            sync(&folder)?;
        }
    }
    Ok(())
}

/// Removes what names objects for speed alone, if it names one of `doomed`: programs complain of such a file that names a missing
/// one.
fn forget_derived(history: &History, doomed: &HashSet<Oid>) -> Result<(), Error> {
    let wanted = Wanted::of(doomed);
    let packs = folder(&history.packs())?;
    let names = packs.names().doing_at("listing the packs", packs.path())?;
    if !wanted.in_file(&packs.path().join(MULTI_PACK_INDEX))?.is_empty() {
        for name in names.iter().filter(|name| name.starts_with(MULTI_PACK_INDEX) && !name.ends_with(".d")) {
            remove(&packs, name)?;
        }
    }
    forget_chain(&packs, "multi-pack-index.d", &wanted)?;
    sync(&packs)?;
    let info = history.common.join("objects/info");
    if info.is_dir() {
        let info = folder(&info)?;
        if !wanted.in_file(&info.path().join("commit-graph"))?.is_empty() {
            remove(&info, "commit-graph")?;
        }
        forget_chain(&info, "commit-graphs", &wanted)?;
        sync(&info)?;
    }
    Ok(())
}

/// Removes the folder `name`, if a file in it names one of the `wanted`: its files build on each other.
fn forget_chain(above: &Dir, name: &str, wanted: &Wanted<'_>) -> Result<(), Error> {
    for file in fs::read_dir(above.path().join(name)).into_iter().flatten().flatten() {
        if !wanted.in_file(&file.path())?.is_empty() {
            return above.remove_tree(name).doing_at("removing what names objects", above.path());
        }
    }
    Ok(())
}

/// Writes the pack `name` again without `doomed`, and removes its files.
fn replace_pack(history: &History, name: &str, doomed: &HashSet<Oid>) -> Result<(), Error> {
    let packs = folder(&history.packs())?;
    let index = packs.path().join(format!("{name}.idx"));
    let mut left = Vec::new();
    for id in Ids::open(&index).doing_at("reading a pack's index", &index)? {
        let id = id.doing_at("reading a pack's index", &index)?;
        if !doomed.contains(&id) {
            left.push(id);
        }
    }
    let mut new = None;
    if !left.is_empty() && is_there(&packs, &format!("{name}.pack"))? {
        let staged = written(history, &left)?;
        history.step(Point::EraseBeforePack)?;
        let placed = staged.place(history, None)?;
        pack::check_seen(history, left.iter().copied())?;
        new = Some(placed.name().to_owned());
        placed.release()?;
    }
    if let Some(new) = &new {
        carry(&packs, name, new)?;
        if !history.owned {
            look_like(&packs, name, new);
        }
    }
    history.step(Point::EraseBeforeOldPack)?;
    for extension in BESIDE {
        remove(&packs, &format!("{name}.{extension}"))?;
    }
    sync(&packs)
}

/// Gives the files of the pack `new` mode, owner and age of those of `old`, as far as the system lets this user: a user's gc goes by
/// the age of a pack. One that has ages of its own for its objects becomes young, so that they stay longer.
fn look_like(packs: &Dir, old: &str, new: &str) {
    let has_ages = packs.path().join(format!("{old}.mtimes")).exists();
    for extension in ["pack", "idx"] {
        let path = |name: &str| packs.path().join(format!("{name}.{extension}"));
        if let Err(error) = os::look_like(&path(old), &path(new), !has_ages) {
            tracing::debug!(%error, pack = new, "a pack that was written again has another owner or age");
        }
    }
}

/// A pack of the objects `ids`, not yet in its place.
fn written(history: &History, ids: &[Oid]) -> Result<Staged, Error> {
    let repository = history.repository()?;
    let staging = Staging::create(history, "erase", &[])?;
    repository.set_config(&staging.settings(LIBRARY_CONFIG)?).doing("configuring a pack")?;
    let mut builder = repository.packbuilder().doing("starting a pack")?;
    builder.set_threads(1);
    for id in ids {
        builder.insert_object(*id, None).doing("filling a pack")?;
    }
    staging.write(&mut builder)
}

/// Gives the pack `new` what holds for all of `old`.
fn carry(packs: &Dir, old: &str, new: &str) -> Result<(), Error> {
    let doing = "writing what is beside a pack";
    for extension in CARRIED {
        let content = packs.content(&format!("{old}.{extension}"), LIST_BYTES_MAX).doing_at(doing, packs.path())?;
        let name = format!("{new}.{extension}");
        if let Some(content) = content
            && !is_there(packs, &name)?
        {
            let file = packs.create_empty(&name).doing_at(doing, packs.path())?;
            file.write_all(&content).and_then(|()| file.sync_now()).doing_at(doing, packs.path())?;
        }
    }
    sync(packs)
}

/// Those of `wanted` that the repository itself has. What it borrows is another repository's.
pub(super) fn in_own_store(history: &History, wanted: &HashSet<Oid>) -> Result<HashSet<Oid>, Error> {
    let mut own: HashSet<Oid> = wanted.iter().copied().filter(|id| loose(history, *id).is_file()).collect();
    let packs = folder(&history.packs())?;
    for name in packs.names().doing_at("listing the packs", packs.path())? {
        let is_index = name.strip_suffix(".idx").is_some_and(is_pack);
        if is_index && own.len() < wanted.len() {
            let path = packs.path().join(&name);
            for id in Ids::open(&path).doing_at("reading a pack's index", &path)? {
                own.extend(id.doing_at("reading a pack's index", &path).map(|id| wanted.get(&id).copied())?);
            }
        }
    }
    Ok(own)
}

/// Where the object `id` is if it is in no pack.
fn loose(history: &History, id: Oid) -> PathBuf {
    let hex = id.to_string();
    let (start, rest) = hex.split_at(2);
    history.common.join("objects").join(start).join(rest)
}
