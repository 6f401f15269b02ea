//! Who can change a file or folder, on Linux and macOS.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::Others;
use super::user;

/// Whether this user can run a program at `path`.
pub(in crate::fs::os) fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Others, besides this user and root, who can change what is at `path`; `None` if there are no others. On the way to
/// something (`on_the_way`), a folder in which every user may create names but only owners change them counts as the
/// user's own.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn others_who_can_change(path: &Path, on_the_way: bool) -> io::Result<Option<Others>> {
    const STICKY: u32 = 0o1000;
    let found = std::fs::symlink_metadata(path)?;
    let others = others_of(&found, || rustix::fs::lgetxattr(path, ACCESS_LIST, &mut [0_u8; 0][..]).is_ok());
    Ok(others.filter(|_| !(on_the_way && is_ours_or_roots(&found) && found.mode() & STICKY != 0)))
}

/// As [`others_who_can_change`], for an open file.
///
/// # Errors
/// [`io::Error`] if it cannot be read.
pub fn others_who_can_change_open(file: &File) -> io::Result<Option<Others>> {
    Ok(others_of(&file.metadata()?, || rustix::fs::fgetxattr(file, ACCESS_LIST, &mut [0_u8; 0][..]).is_ok()))
}

/// The name of an access control list: if a file has one, its group bits may stand for other users.
const ACCESS_LIST: &str = "system.posix_acl_access";

fn is_ours_or_roots(found: &Metadata) -> bool {
    found.uid() == user() || found.uid() == 0 || is_overflow_user_here(found.uid())
}

/// Whether `owner` stands for every user without a number here, including root: in the user namespace of a sandbox that
/// has only this user, `/` and `/home` appear as owned by it. Which of those users it is cannot be known, and none of
/// them can be in that namespace.
fn is_overflow_user_here(owner: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).ok();
    let stands_in = |owner: u32| read("/proc/sys/kernel/overflowuid").is_some_and(|it| it.trim() == owner.to_string());
    stands_in(owner) && read("/proc/self/uid_map").is_some_and(|map| has_neither(&map, 0, owner))
}

/// Whether the table of a user namespace, `map`, has neither of the users `one` and `other`.
fn has_neither(map: &str, one: u32, other: u32) -> bool {
    let ranges = map.lines().map(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        Some(*numbers.first()?..numbers.first()? + numbers.get(2)?)
    });
    let ranges: Option<Vec<_>> = ranges.collect();
    ranges
        .is_some_and(|it| !it.is_empty() && !it.iter().any(|it| it.contains(&one.into()) || it.contains(&other.into())))
}

fn others_of(found: &Metadata, has_access_list: impl FnOnce() -> bool) -> Option<Others> {
    let (mode, group) = (found.mode(), found.gid());
    if !is_ours_or_roots(found) {
        Some(Others::Owner(found.uid()))
    } else if mode & 0o002 != 0 {
        Some(Others::Everybody)
    } else if mode & 0o020 != 0 && (has_access_list() || !is_group_of_one(group, found.uid())) {
        Some(Others::Group(group))
    } else {
        None
    }
}

/// Whether the user `owner` alone is in the group: many systems give each user a group with the same number, and make
/// files writable by it. A group that cannot be looked up counts as one with several members.
fn is_group_of_one(group: u32, owner: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    group == owner && owner != 0 && is_alone(&read("/etc/passwd"), &read("/etc/group"), owner)
}

/// Whether `passwd` and `group`, the texts of the system's lists, show the user `owner` as the only member of the group
/// with the same number.
fn is_alone(passwd: &str, group: &str, owner: u32) -> bool {
    let number = owner.to_string();
    let lines =
        |text: &str| text.lines().map(|it| it.split(':').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>();
    let is = |line: &Vec<String>, at: usize| line.get(at) == Some(&number);
    let (users, groups) = (lines(passwd), lines(group));
    let Some(own) = users.iter().find(|user| is(user, 2)).map(|user| &user[0]) else { return false };
    let Some(members) = groups.iter().find(|group| is(group, 2)).and_then(|group| group.get(3)) else { return false };
    members.split(',').all(|name| name.is_empty() || name == own)
        && users.iter().all(|user| !is(user, 3) || user[0] == *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_overflow_user_only_in_a_namespace_without_either() {
        for (map, is_so) in [
            ("         0          0 4294967295\n", false),
            ("      1000       1000          1\n", true),
            ("0 1000 1\n", false),
            ("1000 0 1\n65534 65534 1\n", false),
            ("1000 0 1\n2000 5000 65536\n", false),
            ("", false),
            ("1000 x\n", false),
        ] {
            assert_eq!(has_neither(map, 0, 65534), is_so, "{map}");
        }
    }

    #[test]
    fn a_group_of_one_has_no_other_user() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nyou:x:1001:1001::/home/you:/bin/sh\n";
        let group = "root:x:0:\nme:x:1000:\nyou:x:1001:me\n";
        assert!(is_alone(passwd, group, 1000));
        assert!(!is_alone(passwd, group, 1001), "another user is a member");
        assert!(!is_alone(passwd, group, 1002), "it is not listed");
        assert!(
            !is_alone(&passwd.replace("you:x:1001:1001", "you:x:1001:1000"), group, 1000),
            "it is another's first group"
        );
        assert!(!is_alone("", "", 1000));
    }
}
