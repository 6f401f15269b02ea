"""The official client of PyPI against `indelible mcp`: client.py PROGRAM HOME. Prints one line for each way to connect."""

import asyncio
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def use(mode, program, home):
    server = StdioServerParameters(command=program, args=["--home", home, "mcp"])
    async with Client(stdio_client(server), mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools[:2] == ["search", "get"] and "record" in tools, tools
        title = f"The client of PyPI, {mode}"
        said = await client.call_tool("record", {"kind": "success", "title": title, "domain": "clients", "key": mode})
        assert not said.is_error and said.content[0].text.startswith("Recorded"), said
        found = await client.call_tool("search", {"query": title})
        assert not found.is_error and title in found.content[0].text, found
        wrong = await client.call_tool("search", {"query": ""})
        assert wrong.is_error and wrong.content[0].text.startswith("query: "), wrong
        whole = said.content[0].text.rsplit("(", 1)[1].rstrip(")")
        read = await client.read_resource(f"indelible://record/{whole}")
        assert title in read.contents[0].text, read
        assert [it.name for it in (await client.list_prompts()).prompts] == ["checkin", "learn"]
        prompt = await client.get_prompt("checkin", {"task": "mend the build"})
        assert "mend the build" in prompt.messages[0].content.text, prompt
        templates = (await client.list_resource_templates()).resource_templates
        assert [it.uri_template for it in templates] == ["indelible://record/{id}"], templates
        assert [str(it.uri) for it in (await client.list_resources()).resources] == ["indelible://golden"]
        try:
            await client.call_tool("no_such_tool", {})
            raise AssertionError("a tool that does not exist was called")
        except AssertionError:
            raise
        except Exception as error:
            assert "unknown tool" in str(error), error
        print(f"{mode}: {client.protocol_version}", flush=True)


async def main():
    for mode in ["legacy", "auto", "2026-07-28"]:
        await use(mode, *sys.argv[1:3])


asyncio.run(main())
