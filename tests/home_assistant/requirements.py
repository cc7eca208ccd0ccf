# Prints the Python requirements of Home Assistant's built-in integrations and of those named as arguments.
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from homeassistant import bootstrap, components

COMPONENTS = Path(components.__path__[0])


def manifest(domain: str) -> dict[str, list[str]]:
    path = COMPONENTS / domain / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


def with_dependencies(domains: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(domains)
    while waiting:
        domain = waiting.pop()
        if domain not in found:
            found.add(domain)
            waiting += manifest(domain).get("dependencies", [])
    return found


def main() -> None:
    always_loaded = bootstrap.CORE_INTEGRATIONS | bootstrap.DEFAULT_INTEGRATIONS
    domains = with_dependencies(always_loaded.union(sys.argv[1:]))
    requirements = {line for domain in domains for line in manifest(domain).get("requirements", [])}
    print("\n".join(sorted(requirements)))


main()
