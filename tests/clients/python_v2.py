# Visits an MCP server with the second major of the official Python SDK and prints what it saw as one line of JSON.
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CallToolResult,
    EmptyResult,
    GetPromptResult,
    Implementation,
    ReadResourceResult,
    ServerCapabilities,
)

import visit


@dataclass
class Connection:
    client: Client

    @property
    def revision(self) -> str:
        return self.client.protocol_version

    @property
    def server(self) -> Implementation | None:
        return self.client.server_info

    @property
    def capabilities(self) -> ServerCapabilities:
        return self.client.server_capabilities

    @property
    def instructions(self) -> str | None:
        return self.client.instructions

    async def page(self, kind: visit.Kind, cursor: str | None) -> tuple[list[str], str | None]:
        match kind:
            case "tools":
                tools = await self.client.list_tools(cursor=cursor)
                return [tool.name for tool in tools.tools], tools.next_cursor
            case "prompts":
                prompts = await self.client.list_prompts(cursor=cursor)
                return [prompt.name for prompt in prompts.prompts], prompts.next_cursor
            case "resources":
                resources = await self.client.list_resources(cursor=cursor)
                return [resource.uri for resource in resources.resources], resources.next_cursor

    async def call(self, tool: str, arguments: visit.Json) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def prompt(self, name: str) -> GetPromptResult:
        return await self.client.get_prompt(name)

    async def resource(self, uri: str) -> ReadResourceResult:
        return await self.client.read_resource(uri)

    async def ping(self) -> EmptyResult:
        return await self.client.session.send_ping()


@asynccontextmanager
async def connect(wanted: visit.Wanted) -> AsyncIterator[Connection]:
    # A pinned revision is taken on trust: nothing is discovered, so server and capabilities stay empty.
    async with (
        httpx2.AsyncClient(headers=visit.headers(wanted), timeout=visit.TIMEOUT) as http,
        Client(
            streamable_http_client(wanted.url, http_client=http),
            mode=wanted.mode,
            client_info=Implementation(name=f"test-python-v2-{wanted.mode}", version="1.0.0"),
        ) as client,
    ):
        yield Connection(client)


if __name__ == "__main__":
    visit.main("python-v2", connect, modes=["auto", "legacy", "2026-07-28"])
