//! Manual pages and completions, as shells and readers find them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Cmd, TestHome, has};

/// What was written, all of it for everybody to read.
fn written(outcome: &serde_json::Value) -> Vec<PathBuf> {
    let all = outcome["written"].as_array().expect("it is a list");
    let all: Vec<_> = all.iter().map(|it| PathBuf::from(it.as_str().expect("it is text"))).collect();
    for path in &all {
        assert_for_everybody(path);
    }
    all
}

fn assert_for_everybody(path: &Path) {
    let mode = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).permissions().mode();
    assert_eq!(mode & 0o044, 0o044, "{path:?} is not for everybody to read: {mode:o}");
}

#[test]
fn every_command_has_a_manual_page() {
    let home = TestHome::absent();
    let page = home.homeless(["man"]).ok().stdout;
    assert!(page.starts_with(".ie") && page.contains("indelible"), "{page}");
    let by_prefix = home.homeless(["man", "--install", "--json"]).ok().json();
    let folders = written(&by_prefix);
    assert_eq!(folders, [home.user().join(".local/share/man/man1")]);
    let elsewhere = home.user().join("pages");
    let _ = home.homeless(["man", "--dir", elsewhere.to_str().expect("it is text")]).ok();
    for command in ["", "-record", "-record-failure", "-service-install", "-config-set", "-man", "-worker"] {
        for folder in [&folders[0], &elsewhere] {
            let page = folder.join(format!("indelible{command}.1"));
            assert_for_everybody(&page);
            let text = std::fs::read_to_string(&page).expect("it can be read");
            assert!(text.contains("Example"), "{page:?} shows no example");
        }
    }
    if !has("man", "whether it renders the pages") {
        return;
    }
    let page = folders[0].join("indelible-record-failure.1");
    let shown =
        Cmd::new("man", home.user()).args(["--warnings", "-l"]).args([&page]).env("MANROFFOPT", "-Tascii").run();
    assert!(shown.stdout.contains("severity"), "{shown}");
}

#[test]
fn completions_are_found_by_their_shells() {
    let home = TestHome::absent();
    let files = written(&home.homeless(["completions", "--install", "--json"]).ok().json());
    assert_eq!(files.len(), 3);
    let source = format!("source '{}' && complete -p indelible", files[0].display());
    let completes = Cmd::new("bash", home.user()).args(["--norc", "-c", &source]).ok();
    assert!(completes.stdout.contains("_indelible"), "{completes}");
    let words = "COMP_WORDS=(indelible hooks install ''); COMP_CWORD=3; _indelible indelible '' install";
    let offered = format!("source '{}'; {words}; echo ${{COMPREPLY[@]}}", files[0].display());
    let offered = Cmd::new("bash", home.user()).args(["--norc", "-c", &offered]).ok();
    assert!(offered.stdout.contains("claude codex gemini cursor opencode"), "{offered}");
    if has("fish", "what it offers") {
        let offered = |line: &str| {
            let script = format!("source '{}'; complete -C '{line}'", files[1].display());
            Cmd::new("fish", home.user()).args(["--no-config", "-c", &script]).ok().stdout
        };
        let hosts = offered("indelible hooks install ");
        for host in ["claude\tClaude Code", "codex", "gemini", "cursor", "opencode"] {
            assert!(hosts.lines().any(|line| line.starts_with(host)), "{host} is not offered: {hosts}");
        }
        assert!(offered("indelible completions ").contains("zsh"), "no shell is offered");
        assert!(!offered("indelible hooks ").contains("claude"), "a host is offered for a command");
    }
    let prefix = home.user().join("prefix");
    let args = ["completions", "fish", "--install", "--json", "--prefix", prefix.to_str().expect("it is text")];
    assert_eq!(
        written(&home.homeless(args).ok().json()),
        [prefix.join("share/fish/vendor_completions.d/indelible.fish")]
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(home.homeless(["completions", shell]).ok().stdout.contains("indelible"), "{shell}");
    }
    for bad in
        [&["completions"][..], &["completions", "elvish", "--install"], &["completions", "bash", "--prefix", "x"]]
    {
        let _ = home.homeless(bad).run().exits(64);
    }
    // Where a shell has to be told first, that is said.
    let said = |args: &[&str]| home.homeless(args).ok().stdout;
    assert!(said(&["completions", "--install"]).contains("site-functions $fpath)"));
    assert!(!said(&["completions", "bash", "--install"]).contains("fpath"));
    assert!(said(&["man", "--install"]).contains("MANPATH="));
    let text = std::fs::read_to_string(&files[1]).expect("it can be read");
    assert!(text.contains("severity"), "it does not know the options");
}
