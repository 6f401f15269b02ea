// indelible: records what fails and what is learned in OpenCode sessions. See docs/hooks.md.
//
// `indelible hooks install opencode` puts this file into ~/.config/opencode/plugins/ and fills in the program's path.
// Every event is handed to `indelible hook` as one JSON object on stdin. Whatever goes wrong here, the session goes on.

import { spawn } from "node:child_process";

const COMMAND = ["indelible"];
// When agents are told what was recorded: "start", "failure", "prompt", several with commas between, or nothing.
const CONTEXT = "";
const TIMEOUT_MS = 10_000;
// The recorder reads events of up to 4 MiB.
const MESSAGES_CHARS_MAX = 500_000;

/** Hands one event to the recorder, and resolves to what it tells the agent, if anything. */
function send(event) {
  return new Promise((resolve) => {
    try {
      const [program, ...words] = COMMAND;
      const context = CONTEXT ? ["--context", CONTEXT] : [];
      const child = spawn(program, [...words, "hook", "--host", "opencode", ...context, "--installed"], {
        stdio: ["pipe", "pipe", "ignore"],
        timeout: TIMEOUT_MS,
      });
      let answer = "";
      child.stdout.setEncoding("utf8");
      child.stdout.on("data", (text) => (answer += text));
      child.on("error", () => resolve());
      child.on("close", () => resolve(toldIn(answer)));
      child.stdin.on("error", () => {});
      child.stdin.end(JSON.stringify({ host: "opencode", ...event }));
    } catch {
      resolve();
    }
  });
}

/** What `answer`, the recorder's, tells the agent. */
function toldIn(answer) {
  try {
    return JSON.parse(answer).hookSpecificOutput?.additionalContext;
  } catch {
    return undefined;
  }
}

/** What an agent wrote in `message`. The host itself writes synthetic texts. */
const textOf = (message) =>
  (message?.parts ?? [])
    .filter((part) => part.type === "text" && !part.synthetic && !part.ignored)
    .map((part) => part.text)
    .join("\n");

/**
 * What an agent wrote in a session: its last message, and every earlier one that may mark something as learned, newest first.
 * The recorder knows what it has recorded before. Summaries repeat what tools printed, and are left out; so are the messages that a
 * fork copied, which are older than the session: it began at `begun`.
 */
async function written(client, session, begun) {
  try {
    const answer = await client.session.messages({ path: { id: session } });
    const isOwn = (info) => info?.role === "assistant" && !info.summary && !(info.time?.created < begun);
    const messages = (answer?.data ?? answer ?? []).filter(({ info }) => isOwn(info));
    const last = messages.pop();
    const earlier = [];
    let room = MESSAGES_CHARS_MAX;
    for (const text of messages.reverse().map(textOf)) {
      if (!/\[learned/i.test(text)) continue;
      room -= text.length;
      if (room < 0) break;
      earlier.push(text);
    }
    return { last_assistant_message: textOf(last), messages: earlier, agent_type: last?.info?.agent ?? last?.info?.mode };
  } catch {
    return {};
  }
}

/** The session that `session` was started from, since a sub-agent has a session of its own, and when it began. */
async function about(client, session) {
  try {
    const answer = await client.session.get({ path: { id: session } });
    const info = answer?.data ?? answer;
    return { parent: info?.parentID, begun: info?.time?.created };
  } catch {
    return {};
  }
}

export const Indelible = async ({ client, directory }) => {
  const base = (name, session) => ({ hook_event_name: name, session_id: session, cwd: directory });
  // What each session was told at its start. The host asks again at every step, and gets the same each time.
  const told = new Map();
  // What was told at each prompt, by its message. The host gives the messages as they were sent, and gets the same each time.
  const toldAt = new Map();
  const atPrompt = ({ info, parts }) => {
    const prompt = textOf({ parts });
    if (!toldAt.has(info.id)) toldAt.set(info.id, send({ ...base("chat.message", info.sessionID), prompt }));
    return toldAt.get(info.id);
  };
  return {
    "experimental.chat.system.transform": async (input, output) => {
      const session = input?.sessionID ?? "";
      if (!told.has(session)) told.set(session, send(base("session.created", session)));
      const text = await told.get(session);
      if (text) output?.system?.push(text);
    },
    "experimental.chat.messages.transform": async (input, output) => {
      if (!CONTEXT.split(",").includes("prompt")) return;
      const prompts = (output?.messages ?? []).filter(({ info }) => info?.role === "user");
      for (const message of prompts) {
        // Earlier prompts of a session that was taken up again were answered without it.
        if (message !== prompts.at(-1) && !toldAt.has(message.info.id)) continue;
        const text = await atPrompt(message);
        const at = message.parts?.findLastIndex((part) => part.type === "text" && !part.synthetic && !part.ignored);
        const part = message.parts?.[at];
        if (text && part && !part.text.includes(text)) message.parts[at] = { ...part, text: `${part.text}\n\n${text}` };
      }
    },
    "tool.execute.after": async (input, output) => {
      const text = await send({
        ...base("tool.execute.after", input.sessionID),
        tool_name: input.tool,
        tool_use_id: input.callID,
        tool_input: input.args ?? output?.args,
        // All else that is in `metadata` repeats the output or holds whole files.
        tool_response: { output: output?.output, metadata: { exit: output?.metadata?.exit } },
      });
      // The model gets it as the end of the output.
      if (text && typeof output?.output === "string") output.output += `\n${text}\n`;
    },
    event: async ({ event }) => {
      const { type, properties = {} } = event;
      const part = properties.part;
      if (type === "message.part.updated" && part?.type === "tool" && part.state?.status === "error") {
        // A tool that throws is not told to `tool.execute.after`.
        await send({
          ...base("tool.error", part.sessionID),
          tool_name: part.tool,
          tool_use_id: part.callID,
          tool_input: part.state.input,
          error: String(part.state.error ?? "it failed"),
        });
      } else if (type === "session.idle") {
        const { parent, begun } = await about(client, properties.sessionID);
        const { agent_type, ...said } = await written(client, properties.sessionID, begun);
        const of = parent ? { ...base("session.idle", parent), agent_type } : base("session.idle", properties.sessionID);
        await send({ ...of, ...said });
      } else if (type === "session.error") {
        await send({ ...base("session.error", properties.sessionID), error: properties.error });
      }
    },
  };
};
