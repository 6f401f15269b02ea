"""Transcripts of the sessions, shortened to what indelible reads: for `tests/fixtures/transcripts`."""

import json

# What is longer is a text of the host's own, as instructions and lists of skills.
TEXT_CHARS_MAX = 400
LEFT_OUT = ("addedLines",)


def shortened(value):
    if isinstance(value, str):
        return value if len(value) <= TEXT_CHARS_MAX else f"({len(value)} characters of the host's own)"
    if isinstance(value, list):
        return [shortened(it) for it in value]
    if isinstance(value, dict):
        return {name: shortened(it) for name, it in value.items() if name not in LEFT_OUT}
    return value


class Transcripts:
    """Saves the transcripts of a host's sessions to a folder, each by the name of its scenario."""

    def __init__(self, host, folder, names):
        self.host, self.folder, self.names = host, folder, names
        self.known = set(self.files())

    def files(self):
        return sorted(self.host.home.glob(self.host.transcripts)) if self.host.transcripts else []

    def save(self, scenario):
        """Saves what is new. A sub-agent of Claude Code has a transcript of its own."""
        if not self.folder:
            return
        self.host.export()
        new = [file for file in self.files() if file not in self.known]
        self.known.update(new)
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in new:
            text = file.read_text()
            for path, name in self.names:
                text = text.replace(str(path), name)
            lines = [text] if file.suffix == ".json" else text.splitlines()
            lines = [json.dumps(shortened(json.loads(it)), ensure_ascii=False, separators=(",", ":")) for it in lines]
            agent = "-agent" if file.name.startswith("agent-") else ""
            (self.folder / f"{self.host.name}-{scenario}{agent}{file.suffix}").write_text("\n".join(lines) + "\n")
