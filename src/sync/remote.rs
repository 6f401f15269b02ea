//! What a remote has, and who can read it.

use std::collections::BTreeMap;

use git2::Oid;
use uuid::Uuid;

use crate::model::layout::OWNED_BRANCH;

use super::git::Git;
use super::session::REMOTE;
use super::{Class, Error, Session, url};

/// An empty file. Git knows it by this name on Windows, too.
const NOTHING: &str = "/dev/null";
/// The names that the trunk can have.
pub const TRUNKS: [&str; 2] = [OWNED_BRANCH, "refs/indelible/trunk"];

/// The references of a remote that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// By their full names.
    pub all: BTreeMap<String, Oid>,
    /// How many of them are lanes.
    pub lanes: usize,
}

impl Refs {
    /// The lanes among them: full name, id, and where it is.
    pub fn lanes<'r>(&'r self, prefixes: &'r [String]) -> impl Iterator<Item = (&'r str, Uuid, Oid)> {
        self.all.iter().filter_map(|(name, at)| Some((name.as_str(), lane_of(name, prefixes)?, *at)))
    }
}

/// The id of the lane that the reference `name` is; `None` if it is no lane.
pub fn lane_of(name: &str, prefixes: &[String]) -> Option<Uuid> {
    let id = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()))?;
    // Only as a lane is spelt: 32 digits without dashes are another name.
    Uuid::try_parse(id).ok().filter(|parsed| parsed.to_string() == id)
}

impl Session<'_> {
    /// The lanes of the remote, and what may be its trunk.
    ///
    /// # Errors
    /// The class of what git says; [`Class::Config`] if the remote names its objects by SHA-256.
    pub fn list(&self) -> Result<Refs, Error> {
        let patterns: Vec<String> = self.options.lanes.iter().map(|prefix| format!("{prefix}*")).collect();
        let mut args = vec!["ls-remote", "--quiet", "--refs", REMOTE];
        args.extend(patterns.iter().map(String::as_str));
        args.extend(TRUNKS);
        args.extend(self.options.trunk.as_deref());
        let output = self.run(&args)?.ok("the remote could not be asked what it has")?;
        let mut refs = Refs { all: parse(&output.text())?, lanes: 0 };
        refs.lanes = refs.lanes(&self.options.lanes).count();
        Ok(refs)
    }

    /// Where one reference of the remote is.
    ///
    /// # Errors
    /// As [`Session::list`].
    pub fn look(&self, name: &str) -> Result<Option<Oid>, Error> {
        let output = self.run(&["ls-remote", "--quiet", "--refs", REMOTE, name])?;
        Ok(parse(&output.ok("the remote could not be asked")?.text())?.get(name).copied())
    }

    /// Whether a stranger can read the remote; `None` if that cannot be asked: it is no address of HTTP or of git's own
    /// protocol, which has no login.
    ///
    /// # Errors
    /// [`Class::Later`] if the remote cannot be reached.
    pub fn is_public(&self) -> Result<Option<bool>, Error> {
        // The user's git can have another address for it, which is the one that strangers have to be asked about.
        let there = self.run(&["ls-remote", "--get-url", REMOTE])?.ok("git did not say the remote's address")?.text();
        // If that cannot be asked, as with a login over SSH, the one that was given may be open to strangers all the same.
        let can_be_asked = |it: &&str| url::is_http(it) || url::is_without_login(it);
        let Some(remote) = [there.trim_end_matches('\n'), &self.options.remote].into_iter().find(can_be_asked) else {
            return Ok(None);
        };
        // No helper, no header, no .netrc, no cookie: an empty folder is all that this git knows of its user.
        let nowhere = self.store.path().join("nowhere");
        let git = Git::new(self.options.git.as_deref().unwrap_or_else(|| "git".as_ref()), self.store.path());
        let git = git.variable("HOME", nowhere.as_os_str()).variable("XDG_CONFIG_HOME", nowhere.as_os_str());
        let git = git.variable("GIT_CONFIG_GLOBAL", NOTHING).variable("NETRC", NOTHING);
        let git = git.setting("credential.helper", "").setting("http.emptyAuth", "false");
        let git = git.setting(&format!("remote.{REMOTE}.url"), &url::anonymous(remote));
        let output = git.run(&["ls-remote", "--quiet", "--heads", REMOTE], &self.limits())?;
        if output.success {
            return Ok(Some(true));
        }
        let error = Error::said("the remote could not be asked as a stranger", &output.stderr);
        match error.class() {
            Class::Later => Err(error),
            // A forge says "not found" to strangers.
            _ => Ok(Some(false)),
        }
    }

    /// Checks once that no stranger can read the remote, unless the user said that it may be so.
    ///
    /// # Errors
    /// [`Class::Config`] if everybody can read it; as [`Session::is_public`].
    pub fn check_private(&mut self) -> Result<(), Error> {
        if self.store.state().checked {
            return Ok(());
        }
        if !self.options.public && self.is_public()? == Some(true) {
            let shown = url::without_credentials(&self.options.remote);
            let what = "everybody can read it, and records can be confidential";
            return Err(Error::new(
                Class::Config,
                format!("{shown}: {what}; `indelible remote add --public` accepts that"),
            ));
        }
        self.store.change(|state| state.checked = true)
    }
}

/// The lines of `ls-remote`: names of references, and where they are.
fn parse(text: &str) -> Result<BTreeMap<String, Oid>, Error> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let Some((id, name)) = line.split_once('\t') else { continue };
        if id.len() == 64 {
            return Err(Error::new(Class::Config, "the remote names its objects by SHA-256; one with SHA-1 is needed"));
        }
        if let Ok(id) = Oid::from_str(id) {
            all.insert(name.to_owned(), id);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_found_among_references() {
        let id = Uuid::from_u128(7);
        let prefixes = super::super::LANES.map(str::to_owned);
        let text = format!(
            "{one}\trefs/heads/main\n{one}\trefs/indelible/hosts/{id}\n{one}\trefs/heads/indelible-host/{id}\n\
             {one}\trefs/indelible/hosts/{}\n{one}\trefs/indelible/hosts/x\ngarbage\n",
            id.simple(),
            one = "1".repeat(40)
        );
        let refs = Refs { all: parse(&text).expect("it is SHA-1"), lanes: 0 };
        assert_eq!(refs.all.len(), 5);
        assert_eq!(refs.lanes(&prefixes).map(|(_, lane, _)| lane).collect::<Vec<_>>(), [id, id]);
        let error = parse(&format!("{}\trefs/heads/main\n", "1".repeat(64))).expect_err("it is SHA-256");
        assert_eq!(error.class(), Class::Config);
    }
}
