"""What was seen, line by line: from the requests that reached the model, and from the records in the home."""

import html
import json
import re

import model

# A rule that a person has written before the sessions.
RULE = "run check.py from the project's own folder"
SAID = re.compile(r"\bindelible: .*")
PACK = re.compile(r"<indelible-memory.*?</indelible-memory>", re.DOTALL)
LINES = {
    "failure": "the failure is recorded once",
    "marker": "the marker in mid-turn is recorded once",
    "helper": "a sub-agent's marker in mid-turn is recorded once",
    "hostile": "a marker in a tool's output is not recorded",
    "told": "the second session is told of the failure, next to the tool's result",
    "followed": "and after which step the same command worked",
    "once": "once, and nowhere else in that session",
    "shared": "the third session is told the step that both have",
    "pack": "a pack is in the first request",
    "same": "and has the same bytes in the next session",
    "prompt": "with `--context prompt`, what shares rare words with a prompt is in its request",
    "listed": "the MCP tools are listed",
    "called": "the MCP search is called, and finds the failure",
}
NO_SUCH_THING = None


def count(records, text):
    return sum(text in json.dumps(record, ensure_ascii=False) for record in records)


def strings(value):
    """All strings in `value`, in order. Gemini CLI escapes what hooks say as HTML."""
    if isinstance(value, str):
        return [html.unescape(value)]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for it in inner for text in strings(it)]


def fresh(request):
    """What is new in `request`: the last tool results, and what stands next to them."""
    protocol = next(it for it in model.PROTOCOLS if it.path.search(request["path"]))
    return protocol.fresh(request["body"])


def told(value):
    """The lines that indelible says at a failure, wherever they stand in `value`."""
    return [found[0] for text in strings(value) for found in SAID.finditer(text)]


def pack(requests):
    """The pack in the first request of a session."""
    found = requests and PACK.search("\n".join(strings(requests[0]["body"])))
    return found[0] if found else None


def failed(requests):
    """The request in which the failure of the check comes back to the model."""
    name = "FileNotFoundError"
    return next((it for it in requests if any(name in text for text in strings(fresh(it)))), None)


def seen(first, after_first, second, third, looks, delegate, prompt, records, served):
    """What each line of the table says: True, False, or `NO_SUCH_THING`."""
    failures = [it for it in after_first if it["kind"] == "failure"]
    learned = [it for it in after_first if it["kind"] in ("heuristic", "observation")]
    failure = failed(second)
    said = told(fresh(failure)) if failure else []
    in_all = told(second[-1]["body"]) if second else []
    failure = failed(third)
    said_then = told(fresh(failure)) if failure else []
    packs = [pack(look) for look in looks]
    listed = all(look and model.memory_tool(look[0]["answer"]["tools"]) for look in looks)
    results = [text for look in looks for request in look[1:] for text in strings(fresh(request))]
    helper = NO_SUCH_THING
    if delegate is not None:
        helper = count([it for it in records if it["kind"] != "failure"], model.HELPERS_MARKER) == 1
    return {
        "failure": failed(first) is not None and count(failures, model.CHECK) == 1,
        "marker": count(learned, model.MARKER) == 1,
        "helper": helper,
        "hostile": any(model.HOSTILE in text for it in first for text in strings(it["body"]))
        and count(records, model.HOSTILE) == 0,
        "told": bool(said),
        "followed": any("worked later in that session" in line and model.MEND in line for line in said),
        "once": bool(said) and in_all == said and len(set(said)) == len(said),
        "shared": any(f"`{model.MEND}` (2 of 2 times)" in line for line in said_then),
        "pack": bool(first) and pack(first) is not None and RULE in pack(first),
        "same": None not in packs and len(set(packs)) == 1,
        "prompt": bool(prompt) and "It shares rare words" in (pack(prompt) or "") and RULE in pack(prompt),
        "listed": served and listed,
        "called": served and any(model.CHECK in text for text in results),
    }


def table(results):
    """A table in markdown: a line for each check, a column for each host."""
    word = {True: "yes", False: "**no**", NO_SUCH_THING: "-"}
    rows = [["", *(title for title, _ in results)], ["---"] * (len(results) + 1)]
    for key, line in LINES.items():
        rows.append([line, *("not run" if seen is None else word[seen[key]] for _, seen in results)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
