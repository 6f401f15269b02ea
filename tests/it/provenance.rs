//! Where a record comes from: found out, said, kept in file, row and history, and brought back with them.

use serde_json::{Value, json};

use crate::support::{Cmd, TestHome};

const ORIGIN: &str = "https://user:token@Git.example/Team/Project.git";

/// A home, and a repository with an origin beside it.
fn home_and_project() -> (TestHome, std::path::PathBuf) {
    let home = TestHome::new();
    let project = home.user().canonicalize().expect("it is there").join("project");
    let deep = project.join("src/deep");
    std::fs::create_dir_all(&deep).expect("folders");
    let git = |args: &[&str]| Cmd::new("git", home.user()).folder(&project).args(args).ok();
    let _ = (git(&["init", "--quiet"]), git(&["remote", "add", "origin", ORIGIN]));
    (home, deep)
}

/// What the index has of where the record `id` comes from.
fn row(home: &TestHome, id: &str) -> Value {
    let sql = "SELECT project, origin, session, agent, host, cwd FROM records WHERE id = ?1";
    let names = ["project", "origin", "session", "agent", "host", "cwd"];
    let read = |row: &rusqlite::Row<'_>| {
        let of = |at: usize| Ok::<_, rusqlite::Error>(json!(row.get::<_, Option<String>>(at)?));
        names.iter().enumerate().map(|(at, name)| Ok(((*name).to_owned(), of(at)?))).collect::<Result<_, _>>()
    };
    Value::Object(home.index().query_row(sql, [id], read).expect("it has a row"))
}

#[test]
fn a_record_says_which_project_and_agent_it_comes_from() {
    let (home, deep) = home_and_project();
    let recorded = home.recorder("failure", "it broke").env("CLAUDECODE", "1").folder(&deep).ok().receipt();
    let wanted = json!({ "project": "git.example/team/project", "origin": "agent", "session": null,
        "agent": "Claude Code", "host": null, "cwd": deep.to_str() });
    assert_eq!(row(&home, &recorded.id), wanted);
    let page = std::fs::read_to_string(home.join(&recorded.path)).expect("it was placed");
    for line in ["project: \"git.example/team/project\"", "origin: \"agent\"", "agent: \"Claude Code\""] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("token"), "a password is in\n{page}");
    // It comes back with the record: from the history, and into a rebuilt index.
    home.flush();
    std::fs::remove_file(home.join(&recorded.path)).expect("it was there");
    std::fs::remove_file(home.join("memory/index.db")).expect("it was there");
    home.recover_fully();
    assert_eq!(row(&home, &recorded.id), wanted);
    assert_eq!(std::fs::read_to_string(home.join(&recorded.path)).expect("it is back"), page);
}

#[test]
fn what_is_said_counts_more_than_what_is_found_out() {
    let (home, deep) = home_and_project();
    let said = home.recorder("heuristic", "always").folder(&deep).env("INDELIBLE_SESSION", "s-1");
    let said = said.env("INDELIBLE_AGENT", "from the environment");
    let said = said.args(["--agent", "Mine", "--project", "else/where", "--origin", "Import", "--host", "laptop"]);
    let recorded = said.ok().receipt();
    assert_eq!(
        row(&home, &recorded.id),
        json!({ "project": "else/where", "origin": "import", "session": "s-1",
        "agent": "Mine", "host": "laptop", "cwd": deep.to_str() })
    );
    // A line of a batch says it for itself; another folder is another project.
    let lines = json!({ "kind": "success", "title": "t", "domain": "d", "cwd": deep, "session": "s-2" });
    let answered = home.cmd(["record", "batch"]).stdin(format!("{lines}\n")).ok();
    let id = answered.json()["id"].as_str().expect("it has one").to_owned();
    assert_eq!(row(&home, &id)["project"], "git.example/team/project");
    assert_eq!(row(&home, &id)["session"], "s-2");
    // Outside of a repository there is no origin.
    let outside = home.record("observation", "outside");
    assert_eq!(row(&home, &outside.id)["project"], Value::Null);
    for bad in [&["--origin", "robot"][..], &["--session", &"x".repeat(501)]] {
        let refused = home.recorder("failure", "x").args(bad).run().exits(65);
        assert!(refused.stderr.contains(bad[0].trim_start_matches('-')), "{refused}");
    }
}

/// Another user may have named the folder, and the origin of the repository in it.
#[test]
fn what_is_found_out_and_does_not_fit_is_left_out() {
    let (home, deep) = home_and_project();
    let config = home.user().join("project/.git/config");
    for path in ["x".repeat(600), "a\0b".to_owned()] {
        std::fs::write(&config, format!("[core]\n[remote \"origin\"]\n\turl = https://h/{path}\n"))
            .expect("it is there");
        let recorded = home.recorder("failure", "it broke").folder(&deep).ok().receipt();
        let row = row(&home, &recorded.id);
        assert_eq!((&row["project"], &row["cwd"]), (&Value::Null, &json!(deep)), "{path}");
        let line = json!({ "kind": "success", "title": "t", "domain": "d", "cwd": deep });
        let _ = home.cmd(["record", "batch"]).stdin(format!("{line}\n")).ok();
        let said = format!("[LEARNED:ci] Always pin it, {}.", path.len());
        let event =
            json!({ "hook_event_name": "Stop", "session_id": "s", "cwd": deep, "last_assistant_message": said });
        let before = home.status()["pending"]["records"].as_u64();
        let _ = home.cmd(["hook"]).stdin(event.to_string()).ok();
        assert_eq!(home.status()["pending"]["records"].as_u64(), before.map(|before| before + 1), "{path}");
    }
    // A folder that lies deeper than a path can be long.
    let script = "name=$(printf '%0200d' 0); for i in $(seq 25); do mkdir $name; cd $name; done; exec \"$@\"";
    let recorder = ["record", "failure", "--json", "--title", "t", "--domain", "d"];
    let recorded = home.under(&["bash", "-c", script, "bash"], &recorder).folder(&deep).ok().receipt();
    assert_eq!(row(&home, &recorded.id)["cwd"], Value::Null);
}

#[test]
fn a_user_decides_what_is_kept() {
    let (home, deep) = home_and_project();
    home.configure_user("[record]\nprovenance = [\"project\", \"host\"]\n[sync]\nname = \"laptop\"\n");
    let recorded = home.recorder("failure", "it broke").env("CLAUDECODE", "1").folder(&deep).ok().receipt();
    let kept = row(&home, &recorded.id);
    assert_eq!(kept["project"], "git.example/team/project");
    assert_eq!((&kept["host"], &kept["cwd"], &kept["agent"]), (&json!("laptop"), &Value::Null, &Value::Null));
    home.configure_user("[record]\nprovenance = [\"everything\"]\n");
    let said = home.cmd(["config", "list"]).run();
    assert!(said.stderr.contains("expected project, origin, session, agent, host, cwd"), "{said}");
    // A home does not decide it.
    home.configure_user("");
    std::fs::write(home.join(".indelible/config.toml"), "[record]\nprovenance = []\n").expect("it is ours");
    let recorded = home.recorder("failure", "again").folder(&deep).ok().receipt();
    assert_eq!(row(&home, &recorded.id)["project"], "git.example/team/project");
}

#[test]
fn an_index_of_an_older_program_takes_it_all_the_same() {
    let (home, deep) = home_and_project();
    let before = home.record("failure", "before");
    let index = home.index();
    index.execute_batch("DROP INDEX records_resolves; DROP INDEX records_of_others").expect("it was there");
    for name in ["project", "origin", "session", "agent", "host", "cwd", "revision", "amended", "resolves", "home"] {
        index.execute_batch(&format!("ALTER TABLE records DROP COLUMN {name}")).expect("it was there");
    }
    let added_since = "DROP TABLE marks; DROP TABLE changes; DROP TRIGGER changes_insert; DROP TRIGGER changes_update;
        DROP TRIGGER changes_delete; DELETE FROM indelible WHERE name IN ('migration', 'index')";
    index.execute_batch(added_since).expect("they were there");
    drop(index);
    assert_eq!(home.verify().exits(0).stdout.matches("agree").count(), 1);
    let after = home.recorder("failure", "after").folder(&deep).ok().receipt();
    assert_eq!(row(&home, &after.id)["project"], "git.example/team/project");
    assert_eq!(row(&home, &before.id)["project"], Value::Null);
    home.flush();
    home.recover_fully();
}
