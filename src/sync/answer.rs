//! What became of a push, by git's flags. Pure.

use super::{Class, Error};

/// What became of one push of one reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    /// The reference has another value than the lease names.
    Raced,
    /// The remote refuses it, for this reason.
    Refused(String),
    /// Git could not say: the error of its own.
    Failed(Error),
}

/// What `git push --porcelain` says of the reference `name`: a flag, `from:to`, and a summary, between tabs.
pub(super) fn answer_of(stdout: &str, name: &str, stderr: &str, success: bool) -> Answer {
    let end = format!(":{name}");
    let line = stdout.lines().find_map(|line| {
        let mut parts = line.splitn(3, '\t');
        let (flag, spec) = (parts.next()?, parts.next()?);
        spec.ends_with(&end).then(|| (flag.to_owned(), parts.next().unwrap_or_default().to_owned()))
    });
    let Some((flag, summary)) = line else {
        let error = Error::said("the remote could not be pushed to", stderr);
        return match error.class() {
            _ if success => Answer::Taken,
            Class::Refused => Answer::Refused(error.to_string()),
            _ => Answer::Failed(error),
        };
    };
    if flag != "!" {
        return Answer::Taken;
    }
    let reason = summary.rsplit_once('(').map_or(summary.as_str(), |(_, rest)| rest.trim_end_matches(')'));
    if summary.starts_with("[rejected]") || is_race(reason) {
        Answer::Raced
    } else if summary.starts_with("[remote failure]") {
        Answer::Failed(Error::new(Class::Later, format!("the remote did not say what became of the push: {reason}")))
    } else {
        let said: Vec<&str> = stderr.split("; ").filter(|line| line.starts_with("remote:")).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) };
        Answer::Refused(format!("{reason}{said}"))
    }
}

/// Whether the server's reason says that the reference has another value, or is being moved.
fn is_race(reason: &str) -> bool {
    let races = [
        "stale info",
        "atomic push",
        "atomic transaction",
        "fetch first",
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "incorrect old value provided",
        "reference already exists",
    ];
    races.iter().any(|race| reason.contains(race))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "refs/indelible/hosts/x";

    fn answer(line: &str) -> Answer {
        answer_of(&format!("To /srv/x.git\n{line}\nDone\n"), NAME, "remote: no secrets here; error: failed", false)
    }

    #[test]
    fn a_flag_decides_what_became_of_a_push() {
        let at = format!("1234:{NAME}");
        for taken in [" \t{}\t1..2", "*\t{}\t[new reference]", "=\t{}\t[up to date]", "+\t{}\t1...2 (forced update)"] {
            assert_eq!(answer(&taken.replace("{}", &at)), Answer::Taken, "{taken}");
        }
        for raced in [
            "[rejected] (stale info)",
            "[rejected] (fetch first)",
            "[remote rejected] (failed to update ref)",
            "[remote rejected] (cannot lock ref 'refs/indelible/hosts/x': reference already exists)",
        ] {
            assert_eq!(answer(&format!("!\t{at}\t{raced}")), Answer::Raced, "{raced}");
        }
        let refused = answer(&format!("!\t{at}\t[remote rejected] (pre-receive hook declined)"));
        let policy = answer(&format!("!\t{at}\t[remote rejected] (non-fast-forward)"));
        assert!(matches!(policy, Answer::Refused(_)), "with a lease that is the server's rule: {policy:?}");
        assert_eq!(refused, Answer::Refused("pre-receive hook declined: remote: no secrets here".to_owned()));
        assert!(matches!(
            answer(&format!("!\t{at}\t[remote failure] (remote failed to report status)")),
            Answer::Failed(_)
        ));
        let another = answer("*\t1:refs/indelible/hosts/y\t[new reference]");
        assert!(matches!(another, Answer::Failed(_)), "{another:?}");
    }
}
