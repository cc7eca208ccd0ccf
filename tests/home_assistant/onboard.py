# Turns a fresh Home Assistant into the test home: users and their tokens, the MCP server, rooms, exposure to Assist.
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

PASSWORD = "only-for-tests"
TOKEN_DAYS = 3650
# The onboarding makes these three rooms.
ROOMS = {
    "living_room": [
        "light.reading_lamp",
        "light.ceiling_light",
        "cover.blinds",
        "sensor.living_room_temperature",
    ],
    "kitchen": ["light.worktop_light", "switch.coffee_maker"],
    "bedroom": [
        "light.bedside_lamp",
        "sensor.bedroom_temperature",
        "climate.bedroom_thermostat",
    ],
}
SCRIPTS = ["echo_word", "slow_step", "count_up"]


class Commands:
    """Home Assistant's websocket commands, one at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last_id = 0

    async def authenticate(self, token: str) -> None:
        await self._socket.receive_json()
        await self._socket.send_json({"type": "auth", "access_token": token})
        answer = await self._socket.receive_json()
        if answer["type"] != "auth_ok":
            raise SystemExit(f"websocket: {answer}")

    async def run(self, command: str, **arguments: Any) -> Any:
        self._last_id += 1
        await self._socket.send_json({"id": self._last_id, "type": command, **arguments})
        answer = await self._socket.receive_json()
        if not answer["success"]:
            raise SystemExit(f"{command}: {answer['error']}")
        return answer["result"]


class HomeAssistant:
    """Home Assistant's HTTP interface."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._client_id = f"{url}/"

    async def get(self, path: str, token: str | None = None) -> Any:
        """The answer, or None while the server does not have one."""
        try:
            async with self._session.get(path, headers=bearer(token)) as response:
                return await response.json() if response.ok else None
        except aiohttp.ClientConnectionError:
            return None

    async def post(self, path: str, token: str | None = None, **body: Any) -> Any:
        async with self._session.post(path, headers=bearer(token), **body) as response:
            if not response.ok:
                raise SystemExit(f"POST {path}: {response.status} {await response.text()}")
            return await response.json()

    async def commands(self, token: str) -> Commands:
        commands = Commands(await self._session.ws_connect("/api/websocket"))
        await commands.authenticate(token)
        return commands

    async def create_owner(self) -> str:
        owner = {
            "client_id": self._client_id,
            "name": "Owner",
            "username": "owner",
            "password": PASSWORD,
            "language": "en",
        }
        answer = await self.post("/api/onboarding/users", json=owner)
        return await self._access_token(answer["auth_code"])

    async def finish_onboarding(self, token: str) -> None:
        await self.post("/api/onboarding/analytics", token)
        client = {"client_id": self._client_id, "redirect_uri": self._client_id}
        await self.post("/api/onboarding/integration", token, json=client)

    async def log_in(self, username: str) -> str:
        form = {
            "client_id": self._client_id,
            "redirect_uri": self._client_id,
            "handler": ["homeassistant", None],
        }
        flow = await self.post("/auth/login_flow", json=form)
        answers = {"client_id": self._client_id, "username": username, "password": PASSWORD}
        step = await self.post(f"/auth/login_flow/{flow['flow_id']}", json=answers)
        return await self._access_token(step["result"])

    async def add_mcp_server(self, token: str) -> None:
        flows = "/api/config/config_entries/flow"
        flow = await self.post(flows, token, json={"handler": "mcp_server"})
        step = await self.post(f"{flows}/{flow['flow_id']}", token, json={})
        if step["type"] != "create_entry":
            raise SystemExit(f"mcp_server: {step}")

    async def mcp_tools(self, token: str) -> set[str]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = await self.post("/api/mcp", token, json=request)
        return {tool["name"] for tool in answer["result"]["tools"]}

    async def _access_token(self, code: str) -> str:
        grant = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "code": code,
        }
        token: str = (await self.post("/auth/token", data=grant))["access_token"]
        return token


def bearer(token: str | None) -> dict[str, str]:
    accept = {"Accept": "application/json"}
    return accept | {"Authorization": f"Bearer {token}"} if token else accept


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits without end: the caller limits the whole run."""
    while not await condition():
        await asyncio.sleep(0.25)


async def long_lived_token(commands: Commands) -> str:
    token: str = await commands.run(
        "auth/long_lived_access_token", client_name="tests", lifespan=TOKEN_DAYS
    )
    return token


async def create_guest(commands: Commands) -> None:
    guest = await commands.run("config/auth/create", name="Guest", group_ids=["system-users"])
    await commands.run(
        "config/auth_provider/homeassistant/create",
        user_id=guest["user"]["id"],
        username="guest",
        password=PASSWORD,
    )


async def furnish(commands: Commands) -> None:
    for room, entities in ROOMS.items():
        for entity in entities:
            await commands.run("config/entity_registry/update", entity_id=entity, area_id=room)
    exposed = [entity for entities in ROOMS.values() for entity in entities]
    exposed += [f"script.{script}" for script in SCRIPTS]
    await commands.run(
        "homeassistant/expose_entity",
        assistants=["conversation"],
        entity_ids=exposed,
        should_expose=True,
    )


async def onboard(home: HomeAssistant, state: Path) -> None:
    async def listens() -> bool:
        return await home.get("/api/onboarding") is not None

    async def runs() -> bool:
        answer = await home.get("/api/core/state", owner)
        return answer is not None and answer["state"] == "RUNNING"

    async def serves_scripts() -> bool:
        return {f"script__{script}" for script in SCRIPTS} <= await home.mcp_tools(owner)

    await until(listens)
    owner = await home.create_owner()
    await until(runs)
    await home.finish_onboarding(owner)
    await home.add_mcp_server(owner)

    commands = await home.commands(owner)
    await furnish(commands)
    await create_guest(commands)
    guest_commands = await home.commands(await home.log_in("guest"))
    await until(serves_scripts)

    (state / "token").write_text(await long_lived_token(commands))
    (state / "token-guest").write_text(await long_lived_token(guest_commands))


async def main() -> None:
    url, state = sys.argv[1], Path(sys.argv[2])
    async with aiohttp.ClientSession(base_url=url) as session:
        await onboard(HomeAssistant(session, url), state)


asyncio.run(main())
