#!/usr/bin/env python3
# Written by indelible (adopt --scripts); `indelible release` puts back what was here before.
# The flags, variables, printed lines and exit codes are those of the framework's script of this name.
"""
record-heuristic.py: records a heuristic.

  record-heuristic.py --domain TEXT --rule TEXT [--explanation TEXT] [--source failure|success|observation]
                      [--confidence 0-1|low|medium|high] [--project | --global]

or with HEURISTIC_DOMAIN, _RULE, _EXPLANATION, _SOURCE and _CONFIDENCE. On a terminal it asks for what is missing. What
goes to a project's own database (--project, or a folder with .elf) is recorded by the framework's script, which is kept.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys

INDELIBLE = @BINARY@
KEPT = @KEPT@
SCRIPT = os.path.realpath(__file__)
HOME = os.path.dirname(os.path.dirname(SCRIPT))
# The private folder may have moved since this was written.
PRIVATE = [os.path.join(HOME, ".indelible"), os.path.join(HOME, ".git", "indelible")]


def say(text, to=1):
    """Writes a line. Output that cannot be written changes no exit code."""
    try:
        os.write(to, (text + "\n").encode("utf-8", "replace"))
    except OSError:
        pass


def fail(text):
    say("ERROR: " + text, 2)
    sys.exit(1)


def confidence_of(text):
    """A confidence in digits or words; 0.7 for anything else."""
    try:
        number = float(text)
        if 0.0 <= number <= 1.0:
            return text.strip()
    except ValueError:
        pass
    return text.lower() if text.lower() in ("low", "medium", "high") else "0.7"


def is_in_project():
    """Whether the framework finds a database of a project for this folder."""
    sys.path.insert(0, os.path.join(HOME, "query"))
    try:
        from project import detect_project_context
        return bool(detect_project_context().has_project_context())
    except Exception:
        return False


def run_theirs():
    """Runs the framework's own script, as if it lay here."""
    name = os.path.basename(SCRIPT)
    for kept in [KEPT] + [os.path.join(private, "adopted", "scripts", name) for private in PRIVATE]:
        if os.path.isfile(kept):
            with open(kept, "rb") as file:
                code = compile(file.read(), SCRIPT, "exec")
            exec(code, {"__name__": "__main__", "__file__": SCRIPT})
            sys.exit(0)
    fail("a project's database was meant, and the framework's own script is not there to write to it")


def ask(prompt):
    try:
        return input(prompt + ": ").strip()
    except EOFError:
        return ""


def arguments():
    parser = argparse.ArgumentParser(description="Record a heuristic")
    parser.add_argument("--domain", default="")
    parser.add_argument("--rule", default="")
    parser.add_argument("--explanation", default="")
    parser.add_argument("--source", default="", choices=["", "failure", "success", "observation"])
    parser.add_argument("--confidence", default="")
    parser.add_argument("--skip-validation", action="store_true")
    parser.add_argument("--project", action="store_true")
    parser.add_argument("--global", dest="is_global", action="store_true")
    parser.add_argument("--justification", default="")
    given = parser.parse_args()
    if given.project or not given.is_global and is_in_project():
        run_theirs()
    fields = {}
    for name, missing in [("domain", ""), ("rule", ""), ("explanation", ""), ("source", "observation"),
                          ("confidence", "0.7")]:
        fields[name] = getattr(given, name) or os.environ.get("HEURISTIC_" + name.upper()) or missing
    return fields


def complete(fields):
    """Asks for what is missing, at a terminal."""
    if fields["domain"] and fields["rule"]:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        say("Usage (non-interactive):")
        say('  python record-heuristic.py --domain "domain" --rule "the heuristic rule"')
        say('  Optional: --explanation "why" --source failure|success|observation --confidence 0.8')
        sys.exit(0)
    for name in ("domain", "rule", "explanation", "source", "confidence"):
        fields[name] = ask(name.capitalize()) or {"source": "observation", "confidence": "0.5"}.get(name, "")
        if not fields[name] and name in ("domain", "rule"):
            fail(name.capitalize() + " cannot be empty")


def record(fields):
    """Records, and returns the receipt, and what was said beside it."""
    program = INDELIBLE if os.access(INDELIBLE, os.X_OK) else shutil.which("indelible")
    if not program:
        fail("indelible is not installed")
    line = lambda text: " ".join(text.splitlines())
    flags = ["--" + name + "=" + line(fields[name]) for name in ("domain", "rule", "source")]
    flags += ["--explanation=-", "--confidence=" + confidence_of(fields["confidence"])]
    # Callers read the number of the row, so it is not left to a worker.
    done = subprocess.run([program, "--home", HOME, "--set", "record.row=recorder", "--json", "record", "heuristic", "--new"] + flags,
                          input=fields["explanation"].encode("utf-8", "surrogateescape"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    warnings = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        try:
            told = json.loads(warnings.splitlines()[-1])
            warnings = ": ".join(told["causes"]) + ("; " + told["hint"] if told.get("hint") else "")
        except (ValueError, LookupError, TypeError):
            pass
        fail(warnings)
    return json.loads(done.stdout), warnings


def main():
    fields = arguments()
    complete(fields)
    receipt, warnings = record(fields)
    path = os.path.join(HOME, receipt["path"])
    if receipt.get("row_id"):
        say("Database record created (ID: %d)" % receipt["row_id"])
    elif "the row was refused" in warnings:
        fail(warnings + "; " + path + " and the journal have the record, do not repeat it")
    else:
        say("Database record pending (record %s)" % receipt["id"])
    say("Appended to: " + path)
    say("\nHeuristic recorded successfully!")


if __name__ == "__main__":
    main()
