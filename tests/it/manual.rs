//! Manual pages and completions, as shells and readers find them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use indelible::model::{FIELDS, FieldSpec, Shape};

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
    // The scripts ask the program that was typed.
    let folder = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().expect("it has one").to_owned();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&paths))).expect("no colons");
    let bash = |script: &str| {
        let script = format!("source '{}'; {script}", files[0].display());
        Cmd::new("bash", home.user()).args(["--norc", "-c", &script]).env("PATH", &path).ok()
    };
    let completes = bash("complete -p indelible");
    assert!(completes.stdout.contains("_indelible"), "{completes}");
    let offered = |words: &str, at: usize| {
        let line = format!("COMP_WORDS=({words}); COMP_CWORD={at}; _indelible; printf '%s\\n' \"${{COMPREPLY[@]}}\"");
        let outcome = bash(&line);
        assert_eq!(outcome.stderr, "", "{words}");
        outcome.stdout
    };
    let hosts = offered("indelible hooks install ''", 3);
    for host in ["claude", "codex", "gemini", "cursor", "opencode"] {
        assert!(hosts.lines().any(|line| line == host), "{host} is not offered: {hosts}");
    }
    assert!(!offered("indelible hooks ''", 2).contains("claude"), "a host is offered for a command");
    assert!(offered("indelible record failure --sev", 3).contains("--severity"));
    let _ = home.cmd(["init"]).ok();
    let _ = home.cmd(["record", "failure", "--title", "x:y", "--domain", "in bash", "--tags", "a:b,a:c"]).ok();
    let named = |rest: &str| format!("indelible --home '{}' {rest}", home.path().display());
    assert_eq!(offered(&named("list --domain ''"), 5), "'in bash'\n", "quoted for the line");
    assert_eq!(offered(&named("list --domain = in"), 6), "'in bash'\n", "bash splits at the sign");
    // Recorded names can be anything: none is run, and none is taken for the name of a file.
    let _ = home.cmd(["record", "failure", "--title", "odd", "--domain", "x$(reboot);`id`", "--tags", "z*"]).ok();
    assert_eq!(offered(&named("list --domain x"), 5), "$'x$(reboot);\\140id\\140'\n");
    std::fs::write(home.user().join("zoo"), "").expect("written");
    assert_eq!(offered(&named("list --tag z"), 5), "'z*'\n");
    assert!(offered(&named("config set hook.context ''"), 6).starts_with("'[\"installed\"]'\n"));
    assert_eq!(offered(&named("list --severity = hi"), 6), "high\n");
    assert_eq!(offered(&named("list --tag a : b"), 7), "b\n", "bash splits at the colon");
    if has("fish", "what it offers") {
        let offered = |line: &str| {
            let script = format!("source '{}'; complete -C '{line}'", files[1].display());
            Cmd::new("fish", home.user()).args(["--no-config", "-c", &script]).env("PATH", &path).ok().stdout
        };
        let hosts = offered("indelible hooks install ");
        for host in ["claude\tClaude Code", "codex", "gemini", "cursor", "opencode"] {
            assert!(hosts.lines().any(|line| line.starts_with(host)), "{host} is not offered: {hosts}");
        }
        assert!(offered("indelible completions ").contains("zsh"), "no shell is offered");
        assert!(!offered("indelible hooks ").contains("claude"), "a host is offered for a command");
    }
    if has("zsh", "whether it reads its script") {
        let script =
            format!("autoload -Uz compinit; compinit -u -D; source '{}'; which _indelible", files[2].display());
        let read = Cmd::new("zsh", home.user()).args(["-f", "-c", &script]).env("PATH", &path).ok();
        assert!(read.stdout.contains("complete --with-help"), "{read}");
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
}

/// A field's row in the table of the documents.
fn row(spec: &FieldSpec) -> String {
    let kinds: Vec<&str> = spec.kinds.iter().map(|kind| kind.name()).collect();
    let default = match (spec.required, spec.default) {
        (true, _) => "required".to_owned(),
        (false, "") => "empty".to_owned(),
        (false, default) => format!("`{default}`"),
    };
    let limit = match spec.shape {
        Shape::Line { chars_max } => format!("{chars_max} characters, one line"),
        Shape::List { chars_max } => format!("{chars_max} characters"),
        Shape::Body => "1 MiB".to_owned(),
        _ => String::new(),
    };
    format!("| `{}` | {} | {default} | {limit} | {} |", spec.name, kinds.join(", "), spec.about)
}

#[test]
fn the_documents_list_every_field_as_the_program_has_it() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{folder}/docs/using.md")).expect("it is there");
    let rows: Vec<String> = FIELDS.iter().map(row).collect();
    let (_, table) = text.split_once("### Fields").expect("there is such a part");
    let written: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).take(rows.len()).collect();
    assert_eq!(written, rows, "docs/using.md:\n{}", rows.join("\n"));
}
