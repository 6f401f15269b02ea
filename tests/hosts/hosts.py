"""How each host is installed, told where its model is, and run once without a terminal.

Everything lies in one temporary folder: the packages of npm, a HOME for each host, and its project. No host sees the
variables of this process, except those that a program needs to start.
"""

import json
import os
import re
import subprocess
from pathlib import Path

KEY = "no-key-for-a-stand-in"
MODEL = "stand-in"
SESSION_S = 120
INSTALL_S = 600
# What npm needs to reach its registry through a proxy, in lower case as well. No host sees it.
REACH = ("NODE_EXTRA_CA_CERTS", "NPM_CONFIG_REGISTRY", "NPM_CONFIG_CAFILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class Host:
    name = ""
    title = ""
    package = ""
    # Where its transcripts are, below its HOME.
    transcripts = ""
    # Whether sub-agents are run.
    helpers = False

    def __init__(self, root, packages, url):
        self.packages = packages / self.name
        self.home = root / self.name / "home"
        self.project = root / self.name / "project"
        self.url = url
        for folder in (self.packages, self.home, self.project):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def program(self):
        return self.packages / "node_modules/.bin" / self.name

    def env(self):
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        return {**kept, "HOME": str(self.home), "NO_COLOR": "1", "GIT_CONFIG_NOSYSTEM": "1", **self.variables()}

    def call(self, words, timeout=SESSION_S, more=None):
        """Runs a program in the project, with the host's own environment, and `more` variables."""
        return subprocess.run([str(it) for it in words], cwd=self.project, env={**self.env(), **(more or {})},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout)

    def install(self, version):
        """Installs the host from npm, unless it is there. Returns its version; fails with what npm says."""
        if not self.program.exists():
            words = ["npm", "install", "--no-audit", "--no-fund", "--prefix", self.packages, f"{self.package}@{version}"]
            reach = {name: value for name, value in os.environ.items() if name.upper() in REACH}
            done = self.call(words, INSTALL_S, reach)
            if done.returncode:
                raise RuntimeError(done.stdout.strip()[-400:])
        done = self.call([self.program, "--version"], 60)
        found = re.search(r"\d+\.\d+\.\d+\S*", done.stdout)
        if not found:
            raise RuntimeError(done.stdout.strip()[-400:] or "it does not say its version")
        return found[0]

    def variables(self):
        return {}

    def configure(self):
        """Writes settings that lead the host to the stand-in."""

    def words(self, prompt):
        """The command line of a session that ends by itself."""
        raise NotImplementedError

    def export(self):
        """Has the host write the transcript of its last session, unless it does that by itself."""

    def write(self, path, text):
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Claude(Host):
    name, title, package = "claude", "Claude Code", "@anthropic-ai/claude-code"
    transcripts = ".claude/projects/**/*.jsonl"
    helpers = True

    def variables(self):
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY, "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    def words(self, prompt):
        return [self.program, "-p", prompt, "--allowedTools", "Bash,mcp__indelible"]


class Codex(Host):
    name, title, package = "codex", "Codex CLI", "@openai/codex"
    transcripts = ".codex/sessions/**/*.jsonl"

    def variables(self):
        return {"STAND_IN_KEY": KEY}

    def configure(self):
        # A session without a terminal cannot ask for trust; see `words`.
        self.write(".codex/config.toml", f'''\
model = "{MODEL}"
model_provider = "{MODEL}"
[model_providers.{MODEL}]
name = "{MODEL}"
base_url = "{self.url}/v1"
env_key = "STAND_IN_KEY"
wire_api = "responses"
''')

    def words(self, prompt):
        return [self.program, "exec", "--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust",
                "--skip-git-repo-check", prompt]


class Gemini(Host):
    name, title, package = "gemini", "Gemini CLI", "@google/gemini-cli"
    transcripts = ".gemini/tmp/**/chats/*.json*"

    def variables(self):
        return {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": self.url}

    def configure(self):
        settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"enableAutoUpdate": False},
                    "privacy": {"usageStatisticsEnabled": False}}
        self.write(".gemini/settings.json", json.dumps(settings, indent=2))

    def words(self, prompt):
        return [self.program, "--skip-trust", "--yolo", "-m", "gemini-2.5-flash", "-p", prompt]


class OpenCode(Host):
    name, title, package = "opencode", "OpenCode", "opencode-ai"
    transcripts = "exported/*.json"

    def variables(self):
        return {"OPENCODE_DISABLE_AUTOUPDATE": "1"}

    def configure(self):
        provider = {"npm": "@ai-sdk/openai-compatible", "name": MODEL, "models": {MODEL: {"name": MODEL}},
                    "options": {"baseURL": f"{self.url}/v1", "apiKey": KEY}}
        settings = {"$schema": "https://opencode.ai/config.json", "provider": {MODEL: provider}, "model": f"{MODEL}/{MODEL}",
                    "small_model": f"{MODEL}/{MODEL}", "autoupdate": False, "share": "disabled"}
        self.write(".config/opencode/opencode.json", json.dumps(settings, indent=2))

    def words(self, prompt):
        return [self.program, "run", "--model", f"{MODEL}/{MODEL}", prompt]

    def export(self):
        # Its messages are in a database that also holds tokens, and is never opened but by itself.
        found = re.search(r"ses_\w+", self.call([self.program, "session", "list"]).stdout)
        said = self.call([self.program, "export", found[0]]).stdout if found else ""
        if "{" in said:
            self.write(f"exported/{found[0]}.json", said[said.index("{"):])


HOSTS = (Claude, Codex, Gemini, OpenCode)
