# The part that both Python clients share: arguments in, one visit to an MCP server, one line of JSON out.
from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NoReturn, Protocol

from pydantic import BaseModel

Kind = Literal["tools", "prompts", "resources"]
Json = dict[str, Any]

FIRST_WITHOUT_PING = "2026-07-28"
# Seconds, as in the TypeScript SDKs; the default of the HTTP libraries, 5, is too short for a tool call.
TIMEOUT = 60


class Wanted(argparse.Namespace):
    url: str
    token: str
    call: str | None
    arguments: Json
    prompt: str | None
    resource: str | None
    method: list[str]
    mode: str


class Connection(Protocol):
    """What both majors of the SDK can do, under one set of names."""

    @property
    def revision(self) -> str: ...
    @property
    def server(self) -> BaseModel | None: ...
    @property
    def capabilities(self) -> BaseModel: ...
    @property
    def instructions(self) -> str | None: ...
    async def page(self, kind: Kind, cursor: str | None) -> tuple[list[str], str | None]: ...
    async def call(self, tool: str, arguments: Json) -> BaseModel: ...
    async def prompt(self, name: str) -> BaseModel: ...
    async def resource(self, uri: str) -> BaseModel: ...
    async def ping(self) -> object: ...


Connect = Callable[[Wanted], AbstractAsyncContextManager[Connection]]


class Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def read_arguments(modes: Sequence[str]) -> Wanted:
    parser = Arguments(add_help=False, allow_abbrev=False)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--call")
    parser.add_argument("--arguments", type=json.loads, default={})
    parser.add_argument("--prompt")
    parser.add_argument("--resource")
    parser.add_argument("--method", action="append", default=[], choices=["ping", "prompts/list", "resources/list"])
    if modes:
        parser.add_argument("--mode", choices=modes, default=modes[0])
    else:
        parser.set_defaults(mode="")
    return parser.parse_args(namespace=Wanted())


def as_received(model: BaseModel | None) -> Json | None:
    # exclude_unset keeps out the defaults that the SDK adds to what came over the wire.
    return None if model is None else model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def headers(wanted: Wanted) -> dict[str, str]:
    return {"Authorization": f"Bearer {wanted.token}"}


async def every_page(connection: Connection, kind: Kind) -> list[str]:
    names, cursor = await connection.page(kind, None)
    while cursor is not None:
        more, cursor = await connection.page(kind, cursor)
        names += more
    return names


async def look(connection: Connection, wanted: Wanted) -> Json:
    seen: Json = {
        "revision": connection.revision,
        "server": as_received(connection.server),
        "capabilities": as_received(connection.capabilities),
        "instructions": connection.instructions,
        "tools": await every_page(connection, "tools"),
        "call": None,
        "prompts": None,
        "prompt": None,
        "resources": None,
        "resource": None,
        "ping": None,
    }
    if wanted.call is not None:
        seen["call"] = as_received(await connection.call(wanted.call, wanted.arguments))
    if wanted.prompt is not None or "prompts/list" in wanted.method:
        seen["prompts"] = await every_page(connection, "prompts")
    if wanted.prompt is not None:
        seen["prompt"] = as_received(await connection.prompt(wanted.prompt))
    if wanted.resource is not None or "resources/list" in wanted.method:
        seen["resources"] = await every_page(connection, "resources")
    if wanted.resource is not None:
        seen["resource"] = as_received(await connection.resource(wanted.resource))
    if "ping" in wanted.method:
        seen["ping"] = connection.revision < FIRST_WITHOUT_PING
        if seen["ping"]:
            await connection.ping()
    return seen


def describe(error: BaseException) -> Json:
    # Task groups wrap what happened, once a level.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    response = getattr(error, "response", None)
    rpc_error = getattr(error, "error", None)
    code = getattr(response, "status_code", None) or getattr(rpc_error, "code", None)
    return {"name": type(error).__name__, "message": str(error), "code": code}


async def visit(connect: Connect, wanted: Wanted) -> Json:
    async with connect(wanted) as connection:
        return await look(connection, wanted)


def main(sdk: str, connect: Connect, modes: Sequence[str] = ()) -> None:
    try:
        wanted = read_arguments(modes)
        if wanted.mode:
            sdk = f"{sdk}-{wanted.mode}"
        outcome, status = asyncio.run(visit(connect, wanted)), 0
    except Exception as error:
        outcome, status = {"error": describe(error)}, 1
    print(json.dumps({"sdk": sdk, **outcome}))
    sys.exit(status)
