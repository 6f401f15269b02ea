//! Records that people edit, in their editor or by hand in the files: what they meant is taken, nothing they typed is lost, and what
//! cannot be taken is left as it is and named.

use std::fs;

use indelible::model::{Field, Record};
use rustix::process::Signal;

use crate::adopt::adopt;
use crate::amend::{titled, traces};
use crate::changes::{Subject, assert_agree, seen};
use crate::support::{Cmd, Git, Tables, TestHome, Worker, framework, wait_for};
use crate::terminal::Terminal;

/// `indelible edit` of the record `id`, where the editor runs `script` with the file as `$1`.
fn edit(home: &TestHome, id: &str, script: &str) -> Cmd {
    let editor = home.user().join("editor");
    fs::write(&editor, script).expect("it can be written");
    home.cmd(["edit", id]).env("VISUAL", format!("sh '{}'", editor.display()))
}

/// The texts that are being edited.
fn drafts(home: &TestHome) -> Vec<String> {
    let names = fs::read_dir(home.private().join("edits")).into_iter().flatten();
    names.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("it is text")).collect()
}

#[track_caller]
fn record_of(home: &TestHome, subject: &Subject) -> Record {
    seen(home, subject).record.expect("it is there")
}

fn domain_of(record: &Record) -> String {
    record.text(Field::Domain).expect("its kind has one").into_owned()
}

/// Replaces `from` by `to` in the record's file.
#[track_caller]
fn by_hand(home: &TestHome, subject: &Subject, from: &str, to: &str) {
    let path = home.join(&subject.path);
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("it can be written");
}

#[test]
fn what_comes_back_from_the_editor_is_an_amendment() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the cahce grew");
    let fixed = edit(&home, &receipt.id, "sed -i 's/cahce/cache/; s/What happened/What really happened/' \"$1\"").ok();
    assert!(fixed.stdout.contains("title: the cahce grew -> the cache grew"), "{fixed}");
    let Record::Failure(it) = record_of(&home, &subject) else { panic!("another kind") };
    assert_eq!((it.title.as_str(), it.summary.as_str()), ("the cache grew", "What really happened.\n\nAnd why."));
    assert_eq!(drafts(&home), Vec::<String>::new());
    let before = traces(&home);
    let nothing = edit(&home, &receipt.id, "true").ok();
    assert!(nothing.stdout.contains("unchanged"), "{nothing}");
    assert_eq!((traces(&home), drafts(&home)), (before, Vec::new()));
    assert_agree(&home);
}

#[test]
fn a_text_that_cannot_be_taken_is_kept_and_edited_further() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the title");
    let before = traces(&home);
    for (script, code, says) in [
        ("sed -i 's/^severity: .*/severity: [/' \"$1\"", 65, "front matter cannot be read"),
        (
            "sed -i 's/^severity: .*/severity: 3/; s/^id: .*/id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa/' \"$1\"",
            65,
            "its id is not",
        ),
        (&format!("sed -i 's/^id: .*/id: {}/; s/^kind: .*/kind: success/' \"$1\"", receipt.id), 65, "its kind is not"),
        ("sed -i 's/^kind: .*/kind: failure/; s/^title: .*/title: \"\"/' \"$1\"", 65, "title: must not be empty"),
        ("echo typed >> \"$1\"; exit 3", 74, "ended with"),
        ("rm \"$1\"; ln -s /etc/passwd \"$1\"", 77, "symbolic link"),
    ] {
        let refused = edit(&home, &receipt.id, script).run().exits(code);
        assert_eq!(refused.stderr.matches(says).count(), 1, "{says}: {refused}");
        assert_eq!(traces(&home), before, "{says}");
    }
    let refused = edit(&home, &receipt.id, "true").run().exits(77);
    assert!(refused.stderr.contains("edits"), "{refused}");
    let _ = fs::remove_file(home.private().join(format!("edits/{}.md", receipt.id)));
    // A crash within the save, and then the text again.
    let crashed = edit(&home, &receipt.id, "sed -i 's/the title/typed for an hour/' \"$1\"");
    let _ = crashed.env("INDELIBLE_CRASH_AT", "AppendBeforeWrite").run().aborted();
    assert!(drafts(&home)[0].contains("typed for an hour"));
    home.recover_fully();
    let went_on = edit(&home, &receipt.id, "true").ok();
    assert!(went_on.stderr.contains("going on with an edit"), "{went_on}");
    assert_eq!(record_of(&home, &subject).headline(), "typed for an hour");
    assert_eq!(drafts(&home), Vec::<String>::new());
    assert_agree(&home);
}

#[test]
fn an_amendment_while_the_editor_is_open_is_not_undone() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the title");
    let amend = home.cmd(["amend", &receipt.id, "--domain", "elsewhere"]).into_command();
    let words: Vec<_> = std::iter::once(amend.get_program()).chain(amend.get_args()).collect();
    let line: Vec<String> = words.iter().map(|word| format!("'{}'", word.to_str().expect("UTF-8"))).collect();
    let script = format!("{} && sed -i 's/the title/the new title/' \"$1\"", line.join(" "));
    let _ = edit(&home, &receipt.id, &script).ok();
    let record = record_of(&home, &subject);
    assert_eq!((record.headline(), domain_of(&record).as_str()), ("the new title", "elsewhere"));
    assert_agree(&home);
}

#[test]
fn a_person_sees_what_would_change_and_may_edit_again() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the title");
    let script = "n=$(cat \"$0.n\" 2>/dev/null || echo 0); echo $((n + 1)) > \"$0.n\"
        case $n in 0) sed -i 's/^severity: .*/severity: 9/' \"$1\";; 1) sed -i 's/^severity: .*/severity: 4/' \"$1\";;
        2) sed -i 's/the title/the last title/' \"$1\";; esac";
    let mut terminal = Terminal::run(edit(&home, &receipt.id, script).into_command());
    terminal.answer("Edit it again?", "");
    terminal.answer("Amend it?", "e");
    terminal.answer("Amend it?", "y");
    let screen = terminal.exits(0);
    assert!(screen.contains("severity: 3 -> 4"), "{screen}");
    let Record::Failure(it) = record_of(&home, &subject) else { panic!("another kind") };
    assert_eq!((it.title.as_str(), it.severity.get()), ("the last title", 4));
    // A no keeps the text.
    let mut terminal = Terminal::run(edit(&home, &receipt.id, "sed -i 's/last/very last/' \"$1\"").into_command());
    terminal.answer("Amend it?", "n");
    let _ = terminal.exits(0);
    assert_eq!(record_of(&home, &subject).headline(), "the last title");
    assert!(drafts(&home)[0].contains("the very last title"));
}

#[test]
fn edits_by_hand_are_taken_from_files_with_their_owners_own_lines() {
    let home = TestHome::new();
    let (one, two) = (titled(&home, "one"), titled(&home, "two"));
    by_hand(&home, &one.1, "title: \"one\"", "# mine\naliases: [first]\ntitle: \"number one\"");
    let verified = home.verify().exits(1);
    assert!(verified.stdout.contains("its file was edited by hand"), "{verified}");
    assert!(verified.stdout.contains("all else agrees"), "{verified}");
    let taken = home.cmd(["amend", "--json", "--from-files", &one.1.path]).ok().json();
    assert_eq!((&taken["changed"], &taken["applied"]), (&true.into(), &true.into()), "{taken}");
    assert_eq!(record_of(&home, &one.1).headline(), "number one");
    let text = fs::read_to_string(home.join(&one.1.path)).expect("it is there");
    assert!(text.contains("# mine\naliases: [first]\n"), "its owner's lines are lost: {text}");
    // What is no edit is not named: only its owner's own lines, and the ends of lines.
    let path = home.join(&one.1.path);
    let crlf = text.replace("# mine", "# still mine").replace('\n', "\r\n");
    fs::write(&path, crlf).expect("it can be written");
    let _ = home.verify().exits(0);
    fs::write(&path, text).expect("it can be written");
    // The heading alone, in all files.
    by_hand(&home, &two.1, "# two", "# \\*Two\\*, corrected");
    let taken = home.cmd(["amend", "--from-files"]).ok();
    assert!(taken.stdout.contains("title: two -> *Two*, corrected"), "{taken}");
    assert_eq!(record_of(&home, &two.1).headline(), "*Two*, corrected");
    let again = home.cmd(["amend", "--from-files"]).ok();
    assert!(again.stdout.contains("no file was edited"), "{again}");
    let aside = &home.status()["quarantine"]["set_aside"];
    assert_eq!(aside.as_array().map(Vec::len), Some(0), "{aside}");
    assert_agree(&home);
}

#[test]
fn secrets_of_an_edit_leave_the_file_with_the_amendment() {
    let home = TestHome::new();
    let (_, subject) = titled(&home, "one");
    home.flush();
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    by_hand(&home, &subject, "And why.", &format!("The token {secret} was wrong."));
    let _ = home.cmd(["amend", "--from-files", "--redact", "--dry-run"]).ok();
    let file = || fs::read_to_string(home.join(&subject.path)).expect("it is there");
    assert!(file().contains(&secret), "a dry run changed the file");
    let _ = home.cmd(["amend", "--from-files", "--redact"]).ok();
    home.flush();
    assert!(!file().contains(&secret) && file().contains("The token [redacted:github-token] was wrong."), "{}", file());
    assert!(home.cmd(["amend", "--from-files"]).ok().stdout.contains("no file was edited"));
    assert_agree(&home);
}

#[test]
fn secrets_of_an_edit_leave_the_file_though_their_amendment_was_cut_off() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    // Before the file is replaced, before the amendment is written, and before and after it is synced.
    for point in ["ReplaceBeforeRename", "AppendBeforeWrite", "AppendBeforeSync", "AppendAfterSync"] {
        let home = TestHome::new();
        let (_, subject) = titled(&home, "one");
        home.flush();
        by_hand(&home, &subject, "And why.", &format!("The token {secret} was wrong."));
        let take = || home.cmd(["amend", "--from-files", "--redact"]);
        let _ = take().env("INDELIBLE_CRASH_AT", point).run().aborted();
        let file = || fs::read_to_string(home.join(&subject.path)).expect("it is there");
        assert!(file().contains(" was wrong."), "{point}: the edit is lost: {}", file());
        assert_eq!(file().contains(&secret), point == "ReplaceBeforeRename", "{point}: {}", file());
        let _ = take().ok();
        home.flush();
        assert!(file().contains("The token [redacted:github-token] was wrong."), "{point}: {}", file());
        assert!(home.cmd(["amend", "--from-files"]).ok().stdout.contains("no file was edited"), "{point}");
        assert_agree(&home);
    }
}

#[test]
fn an_edit_by_hand_of_an_earlier_revision_is_merged() {
    let home = TestHome::new();
    let (receipt, subject) = titled(&home, "the title");
    by_hand(&home, &subject, "domain: \"ci\"", "domain: \"by hand\"");
    let _ = home.cmd(["amend", &receipt.id, "--title", "by command"]).ok();
    let text = fs::read_to_string(home.join(&subject.path)).expect("it is there");
    assert!(text.contains("by hand") && !text.contains("by command"), "the edit is left as it is: {text}");
    let _ = home.cmd(["amend", "--from-files"]).ok();
    let record = record_of(&home, &subject);
    assert_eq!((record.headline(), domain_of(&record).as_str()), ("by command", "by hand"));
    assert_agree(&home);
}

#[test]
fn files_that_cannot_be_read_as_their_records_are_left_and_named() {
    let home = TestHome::new();
    let (good, broken, other) = (titled(&home, "good"), titled(&home, "broken"), titled(&home, "other"));
    by_hand(&home, &good.1, "title: \"good\"", "title: \"better\"");
    by_hand(&home, &broken.1, "title: \"broken\"", "title: [");
    by_hand(&home, &other.1, "created_at: ", "created_at: 1999-01-01T00:00:00Z # ");
    let before = traces(&home);
    let paths = [&good, &broken].map(|it| it.1.path.as_str());
    let refused = home.cmd(["amend", "--from-files"].into_iter().chain(paths)).run().exits(65);
    assert!(refused.stderr.contains(&broken.0.id), "{refused}");
    assert_eq!(traces(&home), before, "all or none");
    let taken = home.cmd(["amend", "--from-files"]).run().exits(65);
    for path in [&broken.1.path, &other.1.path] {
        assert!(taken.stderr.contains(path.as_str()), "{taken}");
    }
    assert_eq!(record_of(&home, &good.1).headline(), "better");
    let text = fs::read_to_string(home.join(&broken.1.path)).expect("it is there");
    assert!(text.contains("title: ["), "left as it is");
}

/// A worker that looks for edits as often as it can.
fn watching(home: &TestHome) -> Worker {
    Worker::start(home, &["worker.age_ms=10", "worker.edits_s=1"])
}

#[test]
fn a_worker_takes_an_edit_by_hand_and_names_what_it_cannot_take() {
    let home = TestHome::new();
    let (good, broken, cut) = (titled(&home, "good"), titled(&home, "broken"), titled(&home, "cut"));
    let (linked, huge) = (titled(&home, "linked"), titled(&home, "huge"));
    let worker = watching(&home);
    by_hand(&home, &good.1, "domain: \"ci\"", "domain: \"by hand\"\naliases: [mine]");
    by_hand(&home, &broken.1, "title: \"broken\"", "title: [");
    by_hand(&home, &cut.1, "\n\nAnd why.", "");
    let path = home.join(&linked.1.path);
    fs::remove_file(&path).expect("it is there");
    std::os::unix::fs::symlink("/etc/passwd", &path).expect("it can be linked");
    fs::File::options()
        .write(true)
        .open(home.join(&huge.1.path))
        .expect("it opens")
        .set_len(100 << 20)
        .expect("it grows");
    let needs = wait_for("the others are named", || {
        let needs = home.status()["needs_attention"].to_string();
        [&broken, &cut, &linked, &huge].iter().all(|it| needs.contains(&it.1.path)).then_some(needs)
    });
    assert!(needs.contains("half of a save") && !needs.contains(&good.1.path), "{needs}");
    wait_for("the edit is taken", || {
        let shown = home.cmd(["show", "--json", &good.0.id]).ok().json();
        let page = fs::read_to_string(home.join(&good.1.path)).expect("it is there");
        (shown["records"][0]["domain"] == "by hand" && page.contains("revision: \"2:")).then_some(())
    });
    home.flush();
    assert_eq!(domain_of(&record_of(&home, &good.1)), "by hand");
    let log = home.git(["log", "-1", "--format=%B", "--", &good.1.path]).ok().stdout;
    assert!(log.contains("changed: domain\n  because: edited by hand"), "{log}");
    assert!(fs::read_to_string(home.join(&broken.1.path)).expect("it is there").contains("title: ["), "left as it is");
    // What is put right is taken, and named no more; also by the next worker.
    let _ = worker.stop(Signal::TERM);
    by_hand(&home, &broken.1, "title: [", "title: \"mended\"");
    let _worker = watching(&home);
    wait_for("the mended one is taken", || {
        let shown = home.cmd(["show", "--json", &broken.0.id]).ok().json();
        (shown["records"][0]["title"] == "mended").then_some(())
    });
    wait_for("it is named no more", || {
        let needs = home.status()["needs_attention"].to_string();
        (!needs.contains(&broken.1.path) && needs.contains(&cut.1.path)).then_some(())
    });
}

#[test]
fn a_worker_takes_no_secret_where_they_are_replaced() {
    let home = TestHome::new();
    let (plain, secret) = (titled(&home, "plain"), titled(&home, "secret"));
    let key = format!("ghp_{}", "a1B2".repeat(9));
    let settings = ["worker.age_ms=10", "worker.edits_s=1", "redact.records=true"];
    let worker = Worker::start(&home, &settings);
    by_hand(&home, &plain.1, "domain: \"ci\"", "domain: \"by hand\"");
    by_hand(&home, &secret.1, "And why.", &format!("And why: {key} was in the log."));
    let needs = wait_for("it is named", || {
        let needs = home.status()["needs_attention"].to_string();
        needs.contains(&secret.1.path).then_some(needs)
    });
    assert!(needs.contains("it says a secret"), "{needs}");
    wait_for("the other is taken", || {
        let shown = home.cmd(["show", "--json", &plain.0.id]).ok().json();
        (shown["records"][0]["domain"] == "by hand").then_some(())
    });
    home.flush();
    let in_git = |text: &str| !home.git(["log", "--oneline", "-S", text]).ok().stdout.trim().is_empty();
    assert!(in_git("by hand") && !in_git(&key));
    // The next worker looks at once, where this one rests as long as its look was worth.
    let _ = worker.stop(Signal::TERM);
    by_hand(&home, &secret.1, &key, "a key");
    let worker = Worker::start(&home, &settings);
    wait_for("it is taken without the secret", || {
        let shown = home.cmd(["show", "--json", &secret.0.id]).ok().json();
        shown["records"][0]["summary"].as_str().is_some_and(|it| it.contains("a key was in the log")).then_some(())
    });
    home.flush();
    assert!(in_git("a key was in the log"));
    let _ = worker.stop(Signal::TERM);
    assert!(!in_git(&key));
}

#[test]
fn many_edits_at_once_wait_for_a_person() {
    let home = TestHome::new();
    let lines: String =
        (0..60).map(|n| format!("{{\"kind\":\"failure\",\"title\":\"number {n}\",\"domain\":\"ci\"}}\n")).collect();
    let answers = home.cmd(["record", "batch", "--json"]).stdin(lines).ok();
    home.flush();
    let paths = answers.stdout.lines().filter_map(|line| {
        let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
        Some(home.join(answer["path"].as_str()?))
    });
    for path in paths {
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&path, text.replace("domain: \"ci\"", "domain: \"moved\"")).expect("it can be written");
    }
    let worker = watching(&home);
    wait_for("they are counted", || {
        let needs = home.status()["needs_attention"].to_string();
        (needs.contains("60 files were edited") && needs.contains("amend --from-files")).then_some(())
    });
    let taken = home.cmd(["amend", "--from-files"]).ok();
    assert_eq!(taken.stdout.matches("amended: failure").count(), 60, "{taken}");
    let _ = worker.stop(Signal::TERM);
    let _worker = watching(&home);
    wait_for("nothing is left", || {
        (!home.status()["needs_attention"].to_string().contains("edited by hand")).then_some(())
    });
}

/// The line of an export that has the record `id`.
fn line_of(home: &TestHome, id: &str) -> String {
    let exported = home.cmd(["export"]).ok().stdout;
    exported.lines().find(|line| line.contains(id)).expect("it is exported").to_owned()
}

/// A row of an experiment, and each row of an adopted home, holds less than its record: what its file says besides is an edit, too.
#[test]
fn an_edit_of_what_no_row_has_is_an_edit() {
    let adopted = framework(Tables::Usual, Git::Clean, 3);
    let _ = adopt(&adopted, &["--yes"]).ok();
    let criteria = ["experiment", "--name", "a run", "--hypothesis", "h", "--success-criteria", "ten percent"];
    let summary = ["failure", "--title", "a title", "--domain", "d", "--summary", "one line\nten percent"];
    for (home, args, field) in [
        (&TestHome::new(), &criteria, "success criteria"),
        (&adopted, &summary, "summary"),
        (&adopted, &criteria, "success criteria"),
    ] {
        let receipt = home.cmd(["record"].iter().chain(args.iter()).chain(&["--json"])).ok().receipt();
        home.flush();
        let subject = Subject::of(home, &receipt);
        by_hand(home, &subject, "ten percent", "twenty percent");
        let exported = line_of(home, &receipt.id);
        assert!(exported.contains("ten percent") && !exported.contains("twenty percent"), "{exported}");
        // An amendment of another field leaves it to the next one.
        let flag = if receipt.kind == "experiment" { "--name" } else { "--title" };
        let amended = home.cmd(["amend", &receipt.id, flag, "another title"]).ok();
        assert!(amended.stdout.matches(" -> ").count() == 1, "{amended}");
        let exported = line_of(home, &receipt.id);
        assert!(exported.contains("another title") && !exported.contains("twenty percent"), "{exported}");
        let taken = home.cmd(["amend", "--from-files"]).ok();
        assert!(taken.stdout.contains(&format!("  {field}: ")), "{taken}");
        let again = home.cmd(["amend", "--from-files"]).ok();
        assert!(again.stdout.contains("no file was edited"), "{again}");
        let text = fs::read_to_string(home.join(&subject.path)).expect("it is there");
        assert!(text.contains("twenty percent") && text.contains("another title"), "{text}");
        let exported = line_of(home, &receipt.id);
        assert!(exported.contains("twenty percent") && exported.contains("another title"), "{exported}");
        let _ = home.verify().exits(0);
    }
}

#[test]
fn an_edit_by_hand_survives_a_worker_that_crashes_while_it_takes_it() {
    for point in
        ["AppendBeforeWrite", "AppendAfterSync", "ReplaceBeforeRename", "RowBeforeCommit", "CommitBeforeBranch"]
    {
        let home = TestHome::new();
        let (_, subject) = titled(&home, "the title");
        by_hand(&home, &subject, "domain: \"ci\"", "domain: \"by hand\"");
        let settings = ["worker.age_ms=10", "worker.edits_s=1"];
        let mut worker = Worker::launch(&home, &settings, &[("INDELIBLE_CRASH_AT", point)]);
        assert_eq!(worker.wait().code(), None, "{point}: it did not crash");
        let text = fs::read_to_string(home.join(&subject.path)).expect("it is there");
        assert!(text.contains("by hand"), "{point}: {text}");
        let _worker = watching(&home);
        wait_for("the edit is taken", || {
            let page = fs::read_to_string(home.join(&subject.path)).expect("it is there");
            page.contains("revision: \"2:").then_some(())
        });
        home.flush();
        assert_eq!(domain_of(&record_of(&home, &subject)), "by hand", "{point}");
        assert_agree(&home);
    }
}
