# Visits an MCP server with the first major of the official Python SDK and prints what it saw as one line of JSON.
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CallToolResult,
    EmptyResult,
    GetPromptResult,
    Implementation,
    InitializeResult,
    PaginatedRequestParams,
    ReadResourceResult,
    ServerCapabilities,
)
from pydantic import AnyUrl

import visit


@dataclass
class Connection:
    session: ClientSession
    initialized: InitializeResult

    @property
    def revision(self) -> str:
        return str(self.initialized.protocolVersion)

    @property
    def server(self) -> Implementation:
        return self.initialized.serverInfo

    @property
    def capabilities(self) -> ServerCapabilities:
        return self.initialized.capabilities

    @property
    def instructions(self) -> str | None:
        return self.initialized.instructions

    async def page(self, kind: visit.Kind, cursor: str | None) -> tuple[list[str], str | None]:
        params = None if cursor is None else PaginatedRequestParams(cursor=cursor)
        match kind:
            case "tools":
                tools = await self.session.list_tools(params=params)
                return [tool.name for tool in tools.tools], tools.nextCursor
            case "prompts":
                prompts = await self.session.list_prompts(params=params)
                return [prompt.name for prompt in prompts.prompts], prompts.nextCursor
            case "resources":
                resources = await self.session.list_resources(params=params)
                return [str(resource.uri) for resource in resources.resources], resources.nextCursor

    async def call(self, tool: str, arguments: visit.Json) -> CallToolResult:
        return await self.session.call_tool(tool, arguments)

    async def prompt(self, name: str) -> GetPromptResult:
        return await self.session.get_prompt(name)

    async def resource(self, uri: str) -> ReadResourceResult:
        return await self.session.read_resource(AnyUrl(uri))

    async def ping(self) -> EmptyResult:
        return await self.session.send_ping()


@asynccontextmanager
async def connect(wanted: visit.Wanted) -> AsyncIterator[Connection]:
    async with (
        httpx.AsyncClient(headers=visit.headers(wanted), timeout=visit.TIMEOUT) as http,
        streamable_http_client(wanted.url, http_client=http) as (incoming, outgoing, _),
        ClientSession(
            incoming, outgoing, client_info=Implementation(name="test-python-v1", version="1.0.0")
        ) as session,
    ):
        yield Connection(session, await session.initialize())


if __name__ == "__main__":
    visit.main("python-v1", connect)
