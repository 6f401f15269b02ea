//! A user's own repository.

use super::{Cmd, TestHome};

/// A repository with two commits, and a home's folder in it that is no home yet.
pub fn repository() -> TestHome {
    let home = TestHome::absent();
    std::fs::create_dir(home.path()).expect("it can be made");
    let _ = home.git(["init", "-q", "-b", "trunk"]).ok();
    for (number, text) in ["one", "two", "three"].iter().enumerate() {
        std::fs::write(home.join("theirs.txt"), text).expect("it can be written");
        let _ = home.git(["add", "theirs.txt"]).ok();
        let _ = theirs(&home, ["commit", "-q", "-m", &format!("their commit {number}")]).ok();
    }
    home
}

/// Runs git as the repository's owner, with a name and without hooks.
pub fn theirs<'a>(home: &TestHome, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    let identity = ["-c", "user.name=Owner", "-c", "user.email=owner@example.org", "-c", "commit.gpgsign=false"];
    home.git(identity.into_iter().chain(["-c", "core.hooksPath=/dev/null"]).chain(args))
}
