// Writes the lines of an export: a home of some months, the same every time, for the page's checks and pictures.
// A line without a path that its record can have gets one from the home.
//   node .ci/page/sample.mjs | indelible --home DIR import -

let seed = 20261130;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const one = (list) => list[Math.floor(random() * list.length)];
const DAY = 24 * 3600 * 1000;
const END = Date.UTC(2026, 10, 28, 18);
const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");
const id = (at) => {
  const time = at.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-${one(["8", "9", "a", "b"])}${hex(3)}-${hex(12)}`;
};

const projects = ["github.com/ada/shop", "github.com/ada/engine", "gitlab.com/notes/site"];
const agents = ["Claude Code", "Codex CLI", "Gemini CLI"];
const rules = [
  ["rust", "Run clippy before you push"],
  ["ops", "Never ship a cache without a limit"],
  ["ci", "Pin the toolchain; a new one fails on Mondays"],
  ["sql", "An index on the column of every foreign key"],
  ["general", "Measure before and after, on the same machine"],
  ["git", "Rebase only what nobody else has"],
  ["ci", "Cache by the lock file, not by the date"],
  ["http", "A retry needs a limit and a key"],
];
const failures = [
  ["cargo", "cargo test --locked: exit code 101", "error[E0382]: use of moved value: `cart`\n  --> src/cart.rs:41:9"],
  ["npm", "npm run build: exit code 1", "Module not found: can't resolve './config'"],
  ["ops", "Cache grew without bound", "The limit was never set.\n\nMemory rose by 40 MB an hour until the host killed it."],
  ["sql", "Migration 0042 failed on a copy of production", "column \"total\" contains null values"],
  ["ci", "The nightly job timed out after 60 minutes", ""],
];
const experiments = [
  ["Smaller batches", "Batches of 100 halve the latency", "success", "p50 went from 40 to 18 ms."],
  ["One connection for each worker", "Fewer lock waits", "failed", "The same number of waits, and more memory."],
  ["Compress the history", "Half the disk", "", ""],
];

const lines = [];
const at = () => Math.floor(END - Math.pow(random(), 1.5) * 240 * DAY);
const line = (created, fields) => {
  const record = { id: id(created), created_at: new Date(created).toISOString(), path: "", ...fields };
  lines.push(record);
  return record.id;
};
const from = () => ({ project: one(projects), agent: one(agents), origin: "hook", session: hex(8) });
const kept = rules.map(([domain, rule]) =>
  line(at(), {
    kind: "heuristic", domain, rule, confidence: Math.round((0.4 + random() * 0.55) * 100) / 100, source: "observation",
    explanation: "It has cost an afternoon more than once.", ...from(), origin: "agent",
  }));
for (const rule of kept) {
  for (let n = 0; n < random() * 9; n++) {
    line(at(), { kind: "verdict", verdict: random() < 0.85 ? "validated" : "violated", of: rule, ...from(), origin: "agent" });
  }
}
for (let n = 0; n < 140; n++) {
  const [domain, title, summary] = one(failures);
  const created = at();
  const failure = line(created, { kind: "failure", domain, title, summary, severity: one([2, 3, 3, 4, 5]), ...from() });
  if (random() < 0.4) {
    line(created + 600_000, {
      kind: "success", domain, title: `${title.split(":")[0]} works again`, severity: 3, resolves: failure, ...from(),
      summary: "The same command worked later in that session, after 3 steps.\n\n- edited `src/cart.rs`\n- ran `cargo add serde`",
    });
  }
}
for (let n = 0; n < 60; n++) {
  line(at(), { kind: "observation", domain: one(["ci", "ops", "rust"]), title: "The build is slower on the second run", severity: 2, ...from() });
}
for (const [name, hypothesis, result, outcome] of experiments) {
  line(at(), { kind: "experiment", name, hypothesis, ...(result ? { result, outcome } : {}), project: projects[0] });
}
lines.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
// A verdict comes after its rule.
const verdicts = lines.filter((it) => it.kind === "verdict");
const others = lines.filter((it) => it.kind !== "verdict");
process.stdout.write([...others, ...verdicts].map((it) => JSON.stringify(it)).join("\n") + "\n");
