"""Checks lines against the protocol's published schema: schemas.py SCHEMA < LINES. Each line: the name of a definition, a tab,
and a message of the server. Prints how many were checked."""

import json
import sys

from jsonschema import Draft7Validator, Draft202012Validator

schema = json.load(open(sys.argv[1], encoding="utf-8"))
section = "$defs" if "$defs" in schema else "definitions"
Validator = Draft202012Validator if section == "$defs" else Draft7Validator
checked = 0
for line in sys.stdin:
    name, message = line.rstrip("\n").split("\t", 1)
    assert name in schema[section], f"{name} is in no schema"
    rule = {"$ref": f"#/{section}/{name}", section: schema[section]}
    errors = [f"{name}: {error.message}: {message}" for error in Validator(rule).iter_errors(json.loads(message))]
    assert not errors, errors
    checked += 1
print(checked)
