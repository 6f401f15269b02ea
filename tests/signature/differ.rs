//! If what failed is another thing, the signature is another one: wrong recall is worse than none.

use indelible::signature::{Signature, signature};
use proptest::prelude::*;

use crate::{Row, all_rows};

fn of(command: &str, output: &str) -> Option<Signature> {
    signature(command, "/srv/a", Some(1), output.as_bytes(), false)
}

/// Two outputs of two failures.
#[track_caller]
fn differ(command: &str, one: &str, other: &str) {
    let (one_signature, other_signature) = (of(command, one), of(command, other));
    assert!(one_signature.is_some(), "no signature: {one}");
    assert_ne!(one_signature, other_signature, "{one}");
}

#[test]
fn only_the_file_name_differs() {
    differ("cat x", "cat: a.txt: No such file or directory", "cat: b.txt: No such file or directory");
    differ("gcc -c x", "src/a.c:1:2: error: 'x' undeclared", "src/b.c:1:2: error: 'x' undeclared");
    differ("cargo build", "error: couldn't read `a.rs`: no such file", "error: couldn't read `b.rs`: no such file");
    differ(
        "git add x",
        "fatal: pathspec 'docs/a b.md' did not match any files",
        "fatal: pathspec 'docs/c d.md' did not match any files",
    );
    differ(
        "git checkout x",
        "error: Your local changes to the following files would be overwritten by checkout:\n\ta",
        "error: Your local changes to the following files would be overwritten by checkout:\n\tb",
    );
}

#[test]
fn only_the_identifier_differs() {
    let rust = |name: &str| {
        format!(
            "error[E0425]: cannot find value `{name}` in this scope\n --> a.rs:1:2\n  |\n1 | {name}\n  | ^ not found in this scope\n"
        )
    };
    differ("cargo check", &rust("alpha"), &rust("beta"));
    let same_head = |label: &str| format!("error[E0308]: mismatched types\n --> a.rs:1:2\n  |\n1 | x\n  | ^ {label}\n");
    differ("cargo check", &same_head("expected `u32`, found `&str`"), &same_head("expected `bool`, found `u8`"));
    differ(
        "python3 a.py",
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'id'",
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'name'",
    );
    differ(
        "javac A.java",
        "A.java:1: error: cannot find symbol\n  x = 1;\n  ^\n  symbol:   variable x\n",
        "A.java:1: error: cannot find symbol\n  x = 1;\n  ^\n  symbol:   variable y\n",
    );
    differ("gcc a.c", "a.c:(.text+0x5): undefined reference to `foo'", "a.c:(.text+0x5): undefined reference to `bar'");
    differ("gcc a.c", "a.c:1:2: Fehler: »x« nicht deklariert", "a.c:1:2: Fehler: »y« nicht deklariert");
    differ("gcc a.c", "a.c:1:2: エラー: ‘x’ が宣言されていません", "a.c:1:2: エラー: ‘y’ が宣言されていません");
}

#[test]
fn only_the_port_or_the_host_differs() {
    differ(
        "curl x",
        "curl: (7) Failed to connect to 127.0.0.1 port 5432 after 0 ms: Connection refused",
        "curl: (7) Failed to connect to 127.0.0.1 port 5433 after 0 ms: Connection refused",
    );
    differ(
        "node a.js",
        "Error: connect ECONNREFUSED 127.0.0.1:80\n    at f (a.js:1:2)",
        "Error: connect ECONNREFUSED 127.0.0.1:81\n    at f (a.js:1:2)",
    );
    differ(
        "./run",
        "error: no answer from http://db.example.com:80/x",
        "error: no answer from http://db.example.com:81/x",
    );
    differ("./run", "error: no answer from http://db1.example.com/x", "error: no answer from http://db2.example.com/x");
    differ(
        "ssh x",
        "ssh: Could not resolve hostname one.invalid: Name or service not known",
        "ssh: Could not resolve hostname two.invalid: Name or service not known",
    );
    differ(
        "git pull",
        "git@one.example.com: Permission denied (publickey).",
        "git@two.example.com: Permission denied (publickey).",
    );
    differ("./run", "error: no route to 10.0.0.1", "error: no route to 10.0.0.2");
}

#[test]
fn only_the_status_or_the_code_differs() {
    differ(
        "curl x",
        "curl: (22) The requested URL returned error: 500",
        "curl: (22) The requested URL returned error: 404",
    );
    differ("./run", "error: the server answered HTTP 503", "error: the server answered HTTP 429");
    differ("./run", "error: upload ended with status 413", "error: upload ended with status 507");
    differ("./run", "error: GET x: 404 Not Found", "error: GET x: 500 Internal Server Error");
    differ("./run", "error: the hook pre-push returned exit code 3", "error: the hook pre-push returned exit code 4");
    differ("tsc", "a.ts(1,2): error TS2322: not assignable", "a.ts(1,2): error TS2345: not assignable");
    differ(
        "python3 a.py",
        "Traceback (most recent call last):\nOSError: [Errno 98] on the socket",
        "Traceback (most recent call last):\nOSError: [Errno 13] on the socket",
    );
    differ(
        "mysql x",
        "ERROR 1045 (28000): Access denied for user 'a'",
        "ERROR 1044 (28000): Access denied for user 'a'",
    );
}

#[test]
fn only_the_test_differs() {
    differ("pytest", "FAILED a/test_a.py::test_x - assert 1 == 2", "FAILED a/test_a.py::test_y - assert 1 == 2");
    differ("pytest", "FAILED a/test_a.py::test_x - assert 1 == 2", "FAILED a/test_b.py::test_x - assert 1 == 2");
    differ("pytest", "ERROR a/test_a.py\nE   ImportError: a", "ERROR a/test_a.py\nE   ImportError: b");
    differ(
        "go test",
        "--- FAIL: TestA (0.00s)\n    a_test.go:3: want 2",
        "--- FAIL: TestB (0.00s)\n    a_test.go:3: want 2",
    );
    differ("prove", "not ok 1 - adds", "not ok 1 - takes");
    differ(
        "cargo test",
        "thread 'tests::a' panicked at src/lib.rs:1:2:\nboom",
        "thread 'tests::b' panicked at src/lib.rs:1:2:\nboom",
    );
    differ(
        "python3 -m unittest",
        "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\nAssertionError: 1 != 2",
        "FAIL: test_b (t.T.test_b)\nTraceback (most recent call last):\nAssertionError: 1 != 2",
    );
    let same = of("pytest", "FAILED a/test_a.py::test_x[1-a b] - assert 1 == 2");
    assert_eq!(same, of("pytest", "FAILED a/test_a.py::test_x[2-c d] - assert 3 == 4"), "parameters are of one test");
}

#[test]
fn only_the_target_or_the_package_differs() {
    differ(
        "make x",
        "make: *** No rule to make target 'dist'.  Stop.",
        "make: *** No rule to make target 'release'.  Stop.",
    );
    differ("npm run x", "npm error Missing script: \"lint\"", "npm error Missing script: \"build\"");
    differ(
        "npm i x",
        "npm error 404 Not Found - GET https://registry.npmjs.org/@a%2fone - Not found\nnpm error 404  '@a/one@1.0.0' is not in this registry.",
        "npm error 404 Not Found - GET https://registry.npmjs.org/@a%2ftwo - Not found\nnpm error 404  '@a/two@1.0.0' is not in this registry.",
    );
    differ(
        "pip install x",
        "ERROR: No matching distribution found for one",
        "ERROR: No matching distribution found for two",
    );
    differ("apt install x", "E: Unable to locate package one", "E: Unable to locate package two");
    differ(
        "cargo build",
        "error: no matching package named `one` found",
        "error: no matching package named `two` found",
    );
    let of_cause = |cause: &str| {
        format!("error: failed to get `x`\n\nCaused by:\n  failed to load source\n\nCaused by:\n  {cause}\n")
    };
    differ("cargo build", &of_cause("unable to update /a/one"), &of_cause("network is away"));
}

/// The error line of each is the other one.
#[test]
fn a_consequence_or_a_warning_is_not_the_error() {
    let of_cargo = |name: &str| {
        format!(
            "warning: unused variable: `a`\nerror: unused import: `{name}`\n --> a.rs:1:2\nerror: could not compile `demo` (lib) due to 1 previous error\n"
        )
    };
    differ("cargo check", &of_cargo("one"), &of_cargo("two"));
    for output in [
        "error: could not compile `demo` (lib) due to 1 previous error\n",
        "collect2: error: ld returned 1 exit status\n",
        "make: *** [Makefile:3: all] Error 2\n",
        "npm error A complete log of this run can be found in: /a/b.log\n",
        "tar: Child returned status 2\n",
        "2 errors generated.\n",
        "error: aborting due to 2 previous errors\n",
        "error: test failed, to rerun pass `--lib`\n",
        "test result: FAILED. 0 passed; 1 failed\n",
        "npm error code ELIFECYCLE\n",
        "fatal: Could not read from remote repository.\n",
        "warning: the error count is missing a unit\n",
        "a.c:1:2: warning: invalid conversion, denied by nobody\n",
        "DeprecationWarning: invalid escape sequence\n",
    ] {
        assert_eq!(of("./run", output), None, "{output}");
    }
}

#[test]
fn a_test_that_passed_is_not_the_error() {
    for output in [
        "test error_is_denied ... ok\n",
        "ok 3 - error: cannot connect\n",
        "PASS error_invalid.test.js\n",
        "a.py::test_error_denied PASSED\n",
        "a.py::test_x[no error: denied] PASSED\n",
        "test a - says error: not found ... ok\n",
        "✓ shows error: not found\n",
        "INFO  errors=0, no failures\n",
    ] {
        let output = output.repeat(4);
        assert_eq!(of("./run", &output), None, "{output}");
    }
}

#[test]
fn a_command_that_is_shown_is_not_the_error() {
    for (command, output) in [
        (
            "make -k all",
            "echo error: cannot be\ngrep -c invalid denied.txt\ncp error.log missing.txt\nrm -f unknown failed\n",
        ),
        (
            "make -k all",
            "gcc -Werror -o error error.c\ntest -f invalid || false\nsh -c 'echo failed'\nmake: *** [Makefile:2: all] Error 1\n",
        ),
        ("./run --on-error='retry failed jobs'", "retry failed jobs\none\ntwo\nthree\n"),
        ("set -x; ./run", "+ echo error: cannot be\n+ ./run invalid\n+ a\n+ b\n"),
    ] {
        assert_eq!(of(command, output), None, "{output}");
    }
}

#[test]
fn what_was_told_by_us_is_not_the_error() {
    let told = "indelible: this failure was seen 2 times. error: the cache is stale (2026-11-29)\n";
    assert_eq!(of("./run", told), None);
    let both = format!("{told}error: the region is missing\n");
    assert_eq!(of("./run", &both), of("./run", "error: the region is missing\n"));
}

/// The names in quotes in `text`, of three letters and more.
fn names(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split('\'').collect();
    let is_name = |name: &&str| name.len() >= 3 && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    parts.into_iter().skip(1).step_by(2).filter(is_name).collect()
}

/// A name that stands in quotes in a signature is what failed: with another name, it is another failure.
#[test]
fn with_any_other_name_it_is_another_failure() {
    let mut count = 0;
    for row in all_rows() {
        let Some(before) = row.signature() else { continue };
        for name in names(&before.text) {
            // A name that is a word of the command, or in other words, would be replaced there as well.
            let changed = Row { output: row.output.replace(name, "zzqx"), ..row.clone() };
            if changed.output == row.output {
                continue;
            }
            count += 1;
            assert_ne!(changed.signature().as_ref(), Some(&before), "{}: {name}", row.group);
        }
    }
    assert!(count > 200, "{count} names were found");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_can_be_looked_at(output in proptest::collection::vec(any::<u8>(), 0..2000), command in ".{0,80}", cwd in ".{0,20}", was_cut: bool) {
        let _ = signature(&command, &cwd, Some(1), &output, was_cut);
    }

    #[test]
    fn any_lines_can_be_looked_at(
        lines in proptest::collection::vec((0..PARTS.len(), 0..PARTS.len(), "\\PC{0,12}", 0..PARTS.len()), 0..40),
        command in "(bash -lc |sudo |env A=1 |git |cargo |python3 -m |['\"|;&$(){}]| |x){0,10}",
        cut in 0..200_usize,
    ) {
        let text: String = lines.iter().map(|(a, b, any, c)| format!("{}{}{any}{}\n", PARTS[*a], PARTS[*b], PARTS[*c])).collect();
        let output = &text.as_bytes()[cut.min(text.len())..];
        if let Some(signature) = signature(&command, "/a", None, output, false) {
            prop_assert!(signature.text.chars().count() <= indelible::signature::TEXT_CHARS_MAX);
            let has_control = signature.text.contains(char::is_control);
            prop_assert!(!has_control);
        }
    }
}

/// What the classes look for.
const PARTS: [&str; 47] = [
    "",
    " ",
    "error[E0308]: ",
    "error: ",
    "fatal: ",
    "thread 'a' (1) panicked at ",
    "FAILED a.py::t[",
    " - ",
    "E   ",
    "not ok 1 - ",
    "--- FAIL: ",
    "FAIL: a (b.c)",
    "Caused by:",
    "Exception in thread \"main\" ",
    "Traceback (most recent call last):",
    "a.TypeError: ",
    "a.c:1:2: error: ",
    "a.ts(1,2): error TS1: ",
    "undefined reference to `",
    "CONFLICT (content): ",
    "! [rejected] ",
    "npm error ",
    "==1==ERROR: ",
    "bash: line 3: ",
    "x: ",
    " --> a.rs:1:2",
    "  | ^^^^ ",
    "  |",
    "  left: ",
    "\r",
    "\u{1b}[31m",
    "\u{1b}]0;",
    "'",
    "`",
    "/a",
    "/a/b.c",
    "://",
    "http://u@h:1/",
    "0x",
    "1",
    ":",
    "2026-11-29T10:19:29Z ",
    "tmpab12cd34",
    "cannot ",
    "エラー",
    "é",
    "<n>",
];
