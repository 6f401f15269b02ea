#!/usr/bin/env node
// Starts the program for this system, with the same arguments, input and output, and ends as it ends.
"use strict";
const { spawn } = require("node:child_process");
const { existsSync } = require("node:fs");
const { join } = require("node:path");

const targets = {
  "linux-x64": "x86_64-unknown-linux-gnu",
  "linux-arm64": "aarch64-unknown-linux-gnu",
  "darwin-x64": "x86_64-apple-darwin",
  "darwin-arm64": "aarch64-apple-darwin",
  "win32-x64": "x86_64-pc-windows-gnu",
};
const system = `${process.platform}-${process.arch}`;
const name = process.platform === "win32" ? "indelible.exe" : "indelible";
const program = join(__dirname, "..", "programs", targets[system] || system, name);
if (!existsSync(program)) {
  console.error(`error: this package has no program for ${system}\nhint: build it from source: cargo install --path .`);
  process.exit(69);
}
const child = spawn(program, process.argv.slice(2), { stdio: "inherit", windowsHide: true });
// A terminal sends these to the program as well. What a person or a service sends, this process alone gets. On Windows the console
// sends them to both, and to pass a signal on there is to kill.
const hasTerminal = [process.stdin, process.stdout, process.stderr].some((it) => it.isTTY);
const ofTerminal = hasTerminal ? ["SIGINT", "SIGQUIT", "SIGHUP"] : [];
const passes = (signal) => process.platform !== "win32" && !ofTerminal.includes(signal);
for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR2"]) {
  try {
    process.on(signal, () => passes(signal) && child.kill(signal));
  } catch {
    // This system does not have it.
  }
}
child.on("error", (error) => {
  console.error(`error: ${program} could not be started: ${error.message}`);
  process.exit(74);
});
child.on("exit", (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else {
    process.exitCode = code;
  }
});
