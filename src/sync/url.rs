//! Addresses of remotes: what kind they are, and how they are shown without credentials. Pure.

/// `text` with the credentials of every address in it replaced: `https://user:secret@host` becomes `https://***@host`.
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let credentials = credentials_of(after).filter(|user| user.contains(':') || !is_ssh(before));
        match credentials {
            Some(user) => {
                shown.push_str("***@");
                rest = &after[user.len() + 1..];
            }
            None => rest = after,
        }
    }
    shown.push_str(rest);
    shown
}

/// What stands before the `@` of an address whose scheme ends where `text` begins. What a password must not have, it can have here: a quote
/// is part of it if an `@` follows before a slash or a space; a slash or a space is, if what follows the colon is no port.
fn credentials_of(text: &str) -> Option<&str> {
    let line = text.find(['\n', '\r']).map_or(text, |end| &text[..end]);
    let line = line.find("://").map_or(line, |end| &line[..end]);
    let authority = line.find(|c: char| c == '/' || c.is_whitespace()).map_or(line, |end| &line[..end]);
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Some(user);
    }
    let (_, port) = authority.split_once(':').filter(|_| !authority.starts_with('['))?;
    let port = port.trim_matches(|c: char| c.is_ascii_punctuation());
    match port.bytes().all(|c| c.is_ascii_digit()) {
        true => None,
        false => line.rsplit_once('@').map(|(user, _)| user),
    }
}

/// Whether the scheme at the end of `text` is ssh's: its user name is no secret.
fn is_ssh(text: &str) -> bool {
    ["ssh://", "git+ssh://", "ssh+git://"].iter().any(|scheme| text.ends_with(scheme))
}

/// Whether `url` goes over HTTP.
pub fn is_http(url: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme)))
}

/// Whether `url` goes by git's own protocol, which has no login: who reaches it can read it.
pub fn is_without_login(url: &str) -> bool {
    url.get(..6).is_some_and(|it| it.eq_ignore_ascii_case("git://"))
}

/// Whether `url` is a folder of this machine.
pub fn is_folder(url: &str) -> bool {
    url.starts_with("file://") || !url.contains("://") && (url.starts_with(['/', '.']) || !url.contains(':'))
}

/// Whether `url` can go over ssh.
pub fn may_be_ssh(url: &str) -> bool {
    !is_http(url) && !is_folder(url)
}

/// `url` without credentials, to be asked as a stranger would.
pub fn anonymous(url: &str) -> String {
    without_credentials(url).replacen("***@", "", 1)
}

/// `url` as it means the same from everywhere: a folder by its whole path.
pub fn whole(url: &str) -> String {
    let is_relative = is_folder(url) && !url.contains("://") && !url.trim().is_empty() && !url.starts_with('-');
    let whole = is_relative.then(|| std::path::absolute(url).ok()).flatten();
    whole.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| url.to_owned())
}

/// Why `url` cannot be a remote's address, if it cannot.
pub fn trouble(url: &str) -> Option<&'static str> {
    if url.trim().is_empty() {
        Some("it is empty")
    } else if url.starts_with('-') {
        Some("it begins with a dash, and would be taken for an option")
    } else if url.contains(|c: char| c.is_control()) {
        Some("there is a control character in it")
    } else if is_folder(url) && !url.contains("://") && !std::path::Path::new(url).is_absolute() {
        Some("a folder is named by its whole path")
    } else if url.contains("::") && !url.contains("://") {
        Some("git would run a program for it (`transport::address`)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        for (url, shown) in [
            ("https://ada:s3cret@host/x.git", "https://***@host/x.git"),
            ("https://ghp_token@host/x.git", "https://***@host/x.git"),
            ("fatal: 'http://a:b@c@host:80/' no, http://d:e@f/g", "fatal: 'http://***@host:80/' no, http://***@f/g"),
            ("ssh://git@host/x.git", "ssh://git@host/x.git"),
            ("ssh://git:pw@host/x.git", "ssh://***@host/x.git"),
            ("git@host:x.git", "git@host:x.git"),
            ("/srv/memory.git", "/srv/memory.git"),
            ("https://host/@x", "https://host/@x"),
            ("https://host:8080/@x", "https://host:8080/@x"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("http://ada:s3'cret@host/x.git", "http://***@host/x.git"),
            ("http://ada:s3\"cr@e't@host/x.git", "http://***@host/x.git"),
            ("http://ada:s3/cret@host/x.git", "http://***@host/x.git"),
            ("http://ada:s3 cret@host/x.git", "http://***@host/x.git"),
            (
                "access 'http://ada:s3'cret@h/': no, as 'http://h:80': a@b",
                "access 'http://***@h/': no, as 'http://h:80': a@b",
            ),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
        assert_eq!(anonymous("https://ada:s3cret@host/x.git"), "https://host/x.git");
    }

    #[test]
    fn an_address_has_a_kind() {
        assert!(is_http("HTTPS://host/x") && !is_http("ssh://host/x"));
        assert!(is_without_login("git://host/x") && !is_without_login("git@host:x") && !is_without_login("git:"));
        assert!(is_folder("/srv/x.git") && is_folder("../x") && is_folder("file:///srv/x") && is_folder("x.git"));
        assert!(may_be_ssh("git@host:x.git") && may_be_ssh("ssh://host/x") && !may_be_ssh("https://host/x"));
        for bad in ["", " ", "--upload-pack=x", "ext::sh -c x", "/srv/x\n", "../x"] {
            assert!(trouble(bad).is_some(), "{bad:?}");
        }
        assert_eq!(trouble("git@host:x.git"), None);
    }
}
