//! `erase` in a user's repository: our records go from our history and its objects, out of their packs as well, and everything of
//! theirs stays as it was, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::Signal;

use crate::erase::{NEEDLES, assert_agree, assert_gone, assert_whole, erase, places, recorded, secrets};
use crate::support::{Receipt, TestHome, Worker, repository, theirs};

/// A user's repository with all that a user can have in one, and a home in it that has secrets and other records.
struct Guest {
    home: TestHome,
    secrets: Vec<Receipt>,
    others: Vec<Receipt>,
    /// What only its name leads to: a stash that was dropped, and a file that was added once.
    dangling: Vec<String>,
}

fn guest() -> Guest {
    let home = repository();
    let git = |args: &[&str]| theirs(&home, args.iter().copied()).ok().stdout.trim().to_owned();
    git(&["branch", "side", "trunk~1"]);
    git(&["tag", "-a", "-m", "theirs", "v1"]);
    let other = home.path().parent().expect("a folder").join("linked");
    git(&["worktree", "add", "-q", "--detach", other.to_str().expect("text"), "side"]);
    let mut dangling = Vec::new();
    for text in ["dropped", "kept"] {
        fs::write(home.join("theirs.txt"), text).expect("written");
        git(&["stash", "-q"]);
        if text == "dropped" {
            dangling.push(git(&["rev-parse", "stash@{0}"]));
            git(&["stash", "drop", "-q"]);
        }
    }
    fs::write(home.join("added.txt"), "added once").expect("written");
    dangling.push(git(&["hash-object", "-w", "added.txt"]));
    fs::write(home.join("staged.txt"), "staged").expect("written");
    git(&["add", "staged.txt"]);
    let _ = home.cmd(["init"]).ok();
    let mut others = vec![home.record("failure", "before")];
    home.flush();
    let secrets = secrets(&home);
    home.flush();
    others.push(home.record("heuristic", "after"));
    home.flush();
    Guest { home, secrets, others, dangling }
}

/// The source of a rule is the name of a kind, which every path of such a record has.
#[test]
fn what_every_home_says_is_not_named() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let rule = recorded(&home, &["heuristic", "--domain", "sekretdomain9", "--rule", "never zebra hunter2"]);
    let _ = home.record("observation", "beside");
    home.flush();
    let said = erase(&home, &[rule], &["--yes"]).ok();
    assert!(!said.stdout.contains("says the same words"), "{said}");
    assert_gone(&home);
}

/// Whether the file `name` in `.git` is ours, or is there for speed alone.
fn is_ours(name: &str) -> bool {
    // A gc of theirs lists all references in info/refs.
    let ours = ["objects/", "indelible", "refs/indelible", "logs/refs/indelible", "refs/heads/indelible", "info/refs"];
    ours.iter().any(|start| name.starts_with(start)) || name.starts_with("logs/refs/heads/indelible")
}

/// Every file of the user's in `.git`, with its bytes, mode and owner, and every object of theirs.
fn of_theirs(guest: &Guest) -> BTreeMap<String, (Vec<u8>, u32, u32)> {
    let git = guest.home.path().join(".git");
    let mut found = BTreeMap::new();
    let mut open = vec![git.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&git).expect("beneath").to_string_lossy().into_owned();
            if is_ours(&name) {
                continue;
            }
            let meta = fs::symlink_metadata(&path).expect("there");
            if meta.is_dir() {
                open.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).expect("readable");
            if name == "packed-refs" {
                let text = String::from_utf8(bytes).expect("text");
                bytes = text.lines().filter(|line| !line.contains("indelible")).collect::<Vec<_>>().join("\n").into();
            }
            found.insert(name, (bytes, meta.permissions().mode(), meta.uid()));
        }
    }
    let named = ["trunk", "side", "v1", "stash@{0}"].into_iter().map(str::to_owned);
    let blob = guest.dangling.last().expect("a blob").clone();
    let named: Vec<String> = named.chain(guest.dangling.first().cloned()).collect();
    let list = ["rev-list", "--objects", "--no-object-names"].into_iter().chain(named.iter().map(String::as_str));
    let mut objects: BTreeSet<String> = guest.home.git(list).ok().stdout.lines().map(str::to_owned).collect();
    objects.insert(blob);
    for object in objects {
        let size = guest.home.git(["cat-file", "-s", &object]).ok().stdout.into_bytes();
        found.insert(format!("object {object}"), (size, 0, 0));
    }
    found
}

#[track_caller]
fn assert_untouched(guest: &Guest, before: &BTreeMap<String, (Vec<u8>, u32, u32)>) {
    let now = of_theirs(guest);
    let changed: Vec<&String> = before.iter().filter(|(name, it)| now.get(*name) != Some(it)).map(|it| it.0).collect();
    assert!(changed.is_empty(), "changed or gone: {changed:?}");
    let new: Vec<&String> = now.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(new.is_empty(), "appeared: {new:?}");
    for entry in fs::read_dir(guest.home.path().join(".git/objects/pack")).expect("a folder").flatten() {
        let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with(".keep") && !name.ends_with(".staging"), "{name} is left");
        assert!(entry.path().is_dir() || mode == 0o444, "{name} {mode:o}");
    }
}

#[test]
fn nothing_of_ours_is_left_and_everything_of_theirs_is() {
    let guest = guest();
    let Guest { home, secrets, others, .. } = &guest;
    // Theirs and ours in one pack with deltas, as the user's own gc makes it; then more of ours, loose and in packs.
    let _ = theirs(home, ["-c", "gc.cruftPacks=false", "gc", "-q"]).ok();
    let mut secrets = secrets.clone();
    secrets.push(recorded(home, &["failure", "--title", "late zebra hunter2", "--domain", "sekretdomain9"]));
    home.flush();
    let before = of_theirs(&guest);
    let dry = erase(home, &secrets, &["--dry-run", "--json"]).ok().json();
    assert_eq!(dry["git"]["kept_by"].as_array().map(Vec::len), Some(0), "{dry}");
    assert!(dry["git"]["packs"].as_u64() > Some(1), "{dry}");
    assert_untouched(&guest, &before);
    let said = erase(home, &secrets, &["--yes", "--json"]).ok().json();
    assert_eq!(said["kept_by"].as_array().map(Vec::len), Some(0), "{said}");
    assert_gone(home);
    assert_untouched(&guest, &before);
    assert_whole(home, others);
    assert_agree(home);
    assert_eq!(home.git(["rev-parse", "indelible"]).ok().stdout, home.git(["rev-parse", &home.history()]).ok().stdout);
    let _ = theirs(home, ["status", "--porcelain"]).ok();
    home.recover_fully();
    let after = home.record("failure", "goes on");
    home.flush();
    assert_whole(home, &[after]);
    assert_gone(home);
    // Their gc goes on as well, with a cruft pack.
    let _ = theirs(home, ["gc", "-q"]).ok();
    assert_agree(home);
    assert_gone(home);
    assert_untouched(&guest, &before);
}

#[test]
fn a_cruft_pack_and_one_that_is_held_are_written_again_too() {
    let guest = guest();
    let Guest { home, secrets, others, .. } = &guest;
    // A dropped batch of ours is in a cruft pack, and the rest in a pack with a `.keep` of the user's.
    let tip = home.git(["rev-parse", &home.history()]).ok().stdout;
    let _ = theirs(home, ["-c", "gc.cruftPacks=true", "gc", "-q"]).ok();
    let packs = || {
        let listed = fs::read_dir(home.path().join(".git/objects/pack")).expect("packs").flatten();
        listed.map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == "pack")).collect::<Vec<_>>()
    };
    let kept = packs().into_iter().find(|pack| !pack.with_extension("mtimes").exists()).expect("a pack");
    fs::write(kept.with_extension("keep"), "theirs\n").expect("written");
    let _ = erase(home, secrets, &["--yes"]).ok();
    assert_gone(home);
    assert_ne!(home.git(["rev-parse", &home.history()]).ok().stdout, tip);
    let held = packs().into_iter().any(|pack| fs::read(pack.with_extension("keep")).is_ok_and(|it| it == b"theirs\n"));
    assert!(held, "what held the pack holds the new one");
    for id in &guest.dangling {
        let _ = home.git(["cat-file", "-e", id]).ok();
    }
    assert_whole(home, others);
    assert_agree(home);
}

#[test]
fn what_they_merged_stays_and_is_named_and_never_comes_back_into_our_history() {
    let guest = guest();
    let Guest { home, secrets, others, .. } = &guest;
    let _ = theirs(home, ["merge", "-q", "-m", "merged", "indelible"]).ok();
    let before = of_theirs(&guest);
    let said = erase(home, secrets, &["--yes", "--json"]).ok().json();
    let kept = said["kept_by"].to_string();
    for name in ["refs/heads/trunk", "the reflog of HEAD", "the index of a work tree"] {
        assert!(kept.contains(name), "{name} in {kept}");
    }
    assert!(!kept.contains("indelible"), "{kept}");
    assert_untouched(&guest, &before);
    assert!(places(home, &NEEDLES).iter().all(|place| place.contains(' ') || place == ".git/index"), "{said}");
    assert_agree(home);
    // They merge theirs into our branch: that would bring all of it back.
    let _ = theirs(home, ["stash", "-q", "-u"]).run();
    let _ = theirs(home, ["checkout", "-q", "-f", "indelible"]).ok();
    let _ = theirs(home, ["merge", "-q", "-X", "ours", "-m", "back again", "trunk"]).run();
    let after = home.record("failure", "after");
    home.flush();
    let history = home.history();
    let log =
        home.git(["log", "-p", "--format=%H %B", &history, "--", "memory", "experiments"]).ok().stdout.to_lowercase();
    assert!(NEEDLES.iter().all(|needle| !log.contains(needle)), "it came back");
    let _ = theirs(home, ["checkout", "-q", "-f", "trunk"]).ok();
    home.recover_fully();
    assert_whole(home, &[after]);
    assert_whole(home, others);
    let log = home.git(["log", "-p", "--format=%H %B", &home.history(), "--", "memory"]).ok().stdout.to_lowercase();
    assert!(NEEDLES.iter().all(|needle| !log.contains(needle)), "it came back");
}

#[test]
fn our_branch_stays_where_it_is_checked_out_and_is_named() {
    let guest = guest();
    let Guest { home, secrets, others, .. } = &guest;
    let other = home.path().parent().expect("a folder").join("linked");
    let _ = home.git_in(&other, ["checkout", "-q", "indelible"]).ok();
    let tip = home.git(["rev-parse", "indelible"]).ok().stdout;
    let said = erase(home, secrets, &["--yes"]).ok();
    assert!(said.stdout.contains("refs/heads/indelible") && said.stdout.contains("rotate"), "{said}");
    assert_eq!(home.git(["rev-parse", "indelible"]).ok().stdout, tip, "it is not moved under them");
    let clean = home.git_in(&other, ["status", "--porcelain"]).ok().stdout;
    assert_eq!(clean, "", "their work tree is as it was");
    // They commit on it: the next batch does not take that in.
    let commit =
        ["-c", "user.name=o", "-c", "user.email=o@o", "commit", "-q", "--allow-empty", "-m", "theirs, on ours"];
    let _ = home.git_in(&other, commit).ok();
    let after = home.record("failure", "after");
    home.flush();
    let log = home.git(["log", "-p", "--format=%H %B", &home.history(), "--", "memory"]).ok().stdout.to_lowercase();
    assert!(NEEDLES.iter().all(|needle| !log.contains(needle)), "it came back");
    assert_whole(home, others);
    assert_whole(home, &[after]);
    assert_agree(home);
    let _ = home.git_in(&other, ["checkout", "-q", "--detach"]).ok();
    let status = home.cmd(["status"]).ok();
    assert!(status.stdout.contains("git branch --force indelible"), "{status}");
}

#[test]
fn killed_anywhere_it_is_finished_and_theirs_is_as_it_was() {
    let points = [
        "EraseBeforeReference",
        "EraseBeforeReference:2",
        "PointerBeforeMove:2",
        "PointerAfterMove:2",
        "EraseAfterReferences",
        "EraseBeforePack",
        "CommitBeforeIndex:2",
        "EraseBeforeOldPack",
        "EraseBeforeLoose",
        "EraseBeforeDone",
    ];
    for point in points {
        let guest = guest();
        let Guest { home, secrets, others, .. } = &guest;
        if point != "EraseBeforeLoose" {
            let _ = theirs(home, ["-c", "gc.cruftPacks=false", "gc", "-q"]).ok();
        } else {
            let packs = home.path().join(".git/objects/pack");
            for pack in fs::read_dir(&packs).expect("packs").flatten().map(|it| it.path()) {
                if pack.extension().is_some_and(|it| it == "pack") {
                    let bytes = fs::read(&pack).expect("a pack");
                    for extension in ["pack", "idx", "rev"] {
                        let _ = fs::remove_file(pack.with_extension(extension));
                    }
                    let _ = home.git(["unpack-objects", "-q"]).stdin(bytes).ok();
                }
            }
        }
        let before = of_theirs(&guest);
        let killed = erase(home, secrets, &["--yes"]).env("INDELIBLE_CRASH_AT", point).run();
        assert_ne!(killed.code(), Some(0), "{point}: {killed}");
        if point.starts_with("Pointer") {
            let worker = Worker::quick(home);
            worker.wait_until_committed(home);
            assert!(worker.stop(Signal::TERM).success());
        } else {
            home.flush();
        }
        assert!(!home.private().join("erasing.json").exists(), "{point}: it is finished");
        assert_gone(home);
        assert_untouched(&guest, &before);
        assert_whole(home, others);
        assert_agree(home);
    }
}

/// A home in a linked work tree has its private folder elsewhere, and its history is not that of the home beside it.
#[test]
fn of_two_homes_in_one_repository_only_the_one_is_changed() {
    let guest = guest();
    let Guest { home, secrets, .. } = &guest;
    let linked = TestHome::at(home.path().parent().expect("a folder").join("linked"));
    let _ = linked.cmd(["init"]).ok();
    let there = crate::erase::secrets(&linked);
    linked.flush();
    let kept = linked.record("failure", "kept there");
    linked.flush();
    let theirs_tip = linked.git(["rev-parse", &linked.history()]).ok().stdout;
    let _ = theirs(home, ["-c", "gc.cruftPacks=false", "gc", "-q"]).ok();
    let _ = erase(home, secrets, &["--yes"]).ok();
    assert_eq!(linked.git(["rev-parse", &linked.history()]).ok().stdout, theirs_tip);
    assert_whole(&linked, &there);
    assert_agree(home);
    assert_agree(&linked);
    let ours_tip = home.git(["rev-parse", &home.history()]).ok().stdout;
    fs::write(linked.private().join("hooks.error"), "never zebra hunter2\n").expect("written");
    let _ = erase(&linked, &there, &["--yes"]).ok();
    assert_eq!(home.git(["rev-parse", &home.history()]).ok().stdout, ours_tip);
    assert_gone(home);
    assert_gone(&linked);
    let text = fs::read_to_string(linked.private().join("hooks.error")).unwrap_or_default();
    assert!(!text.contains("zebra"), "the private folder is swept wherever it is");
    assert_whole(&linked, &[kept]);
    assert_agree(&linked);
}

#[test]
fn a_repository_that_it_borrows_from_is_not_touched_and_named() {
    let origin = repository();
    let _ = origin.cmd(["init"]).ok();
    let lent = origin.record("failure", "hunter2 zebra, lent");
    origin.flush();
    let home = TestHome::absent();
    let (from, to) = (origin.path().to_str().expect("text"), home.path().to_str().expect("text"));
    let _ = origin.git(["clone", "-q", "--shared", from, to]).ok();
    let _ = home.cmd(["init"]).ok();
    let secrets = secrets(&home);
    home.flush();
    // Ours, too, but only there: the other repository has fetched it.
    let all = |home: &Path| {
        let list = ["cat-file", "--batch-all-objects", "--batch-check"];
        origin.git_in(home, list).ok().stdout
    };
    let _ = origin.git(["fetch", "-q", to, &format!("{}:refs/heads/fetched", home.history())]).ok();
    let _ = theirs(&home, ["repack", "-q", "-a", "-d", "-l"]).ok();
    let before = all(origin.path());
    let said = erase(&home, &secrets, &["--yes"]).ok();
    assert!(said.stdout.contains("borrows"), "{said}");
    assert_eq!(all(origin.path()), before, "nothing there has changed");
    let log = home.git(["log", "-p", "--format=%H %B", &home.history(), "--", "memory"]).ok().stdout.to_lowercase();
    assert!(NEEDLES.iter().all(|needle| !log.contains(needle)), "our history has it");
    assert_agree(&home);
    let _ = lent;
}
