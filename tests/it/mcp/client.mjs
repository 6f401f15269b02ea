// The official client of npm against `indelible mcp`: node client.mjs PROGRAM HOME. Prints the version that was agreed on.

import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [program, home] = process.argv.slice(2);
const transport = new StdioClientTransport({ command: program, args: ["--home", home, "mcp"] });
const client = new Client({ name: "a-test", version: "1.0.0" });
await client.connect(transport);
assert.equal(client.getServerVersion().name, "indelible");
assert.match(client.getInstructions(), /do you remember/);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
assert.deepEqual(tools.slice(0, 2), ["search", "get"]);
await client.ping();
const title = "The client of npm";
const said = await client.callTool({ name: "record", arguments: { kind: "success", title, domain: "clients" } });
assert.ok(!said.isError && said.content[0].text.startsWith("Recorded"), JSON.stringify(said));
const found = await client.callTool({ name: "search", arguments: { query: title } });
assert.ok(found.content[0].text.includes(title), JSON.stringify(found));
const id = said.content[0].text.match(/\(([^)]*)\)$/)[1];
const read = await client.readResource({ uri: `indelible://record/${id}` });
assert.ok(read.contents[0].text.includes(title), JSON.stringify(read));
await assert.rejects(client.readResource({ uri: "indelible://record/00000000" }), /not found/);
await assert.rejects(client.callTool({ name: "no_such_tool", arguments: {} }), /unknown tool/);
assert.deepEqual((await client.listPrompts()).prompts.map((it) => it.name), ["checkin", "learn"]);
const prompt = await client.getPrompt({ name: "learn", arguments: {} });
assert.equal(prompt.messages[0].role, "user");
assert.equal((await client.listResourceTemplates()).resourceTemplates[0].uriTemplate, "indelible://record/{id}");
console.log(`agreed: ${transport._protocolVersion ?? client.transport?.protocolVersion ?? "a version"}`);
await client.close();
