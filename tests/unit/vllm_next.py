"""What vLLM 0.33, of which there is no CPU build, changed of what our code uses: recorded in a file beside this one.

`python -m tests.unit.vllm_next` records it anew. It fetches two wheels of 330 MB.
"""

import ast
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.vllm_sources import Sources, download
from tests.unit.vllm_interface import interface, is_upstream, our_classes, sources, used_names

RECORD = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.unit.vllm_next"
SUPPORTED, NEXT = "0.32.0", "0.33.0"
COMPATIBILITY = "gprune_server.compatibility"


def checked_names() -> list[str]:
    """All names of vLLM that our code uses, overrides or replaces."""
    return sorted({*used_names(), *interface()})


def moved_names() -> dict[str, str]:
    """Where our compatibility module finds a name in vLLM 0.33, by where it finds it in 0.32."""
    (alternatives,) = (node for node in sources()[COMPATIBILITY].body if isinstance(node, ast.Try))
    new, old = _imports(alternatives.body), _imports(alternatives.handlers[0].body)
    assert new.keys() == old.keys()
    return {old[name]: new[name] for name in old}


def _imports(statements: list[ast.stmt]) -> dict[str, str]:
    imports = [node for node in statements if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}


def shadowing(old: Sources, new: Sources) -> list[str]:
    """Our methods that the classes of vLLM below them did not have, and have now: vLLM would call ours for its own."""
    found = set()
    for ours in our_classes():
        names = {name for base in ours.__mro__ if base.__module__ in sources() for name in vars(base)}
        upstreams = [each for each in ours.__mro__ if is_upstream(each.__module__)]
        for upstream in (f"{each.__module__}.{each.__qualname__}" for each in upstreams):
            found |= {
                f"{upstream}.{name}"
                for name in names
                if isinstance(old.find(upstream), ast.ClassDef)
                and not old.find(f"{upstream}.{name}")
                and new.find(f"{upstream}.{name}")
            }
    return sorted(found)


def changes(old: Sources, new: Sources) -> dict[str, Any]:
    """What is absent from the new sources, and signatures that are not those of the old ones."""
    moved = moved_names()
    found = {name: (old.signature(name), new.signature(moved.get(name, name))) for name in checked_names()}
    return {
        "unread": [name for name, (before, _) in found.items() if before is None],
        "absent": [name for name, (before, after) in found.items() if before is not None and after is None],
        "changed": {name: [*pair] for name, pair in found.items() if differ(*pair)},
        "shadowed": shadowing(old, new),
    }


def differ(before: str | None, after: str | None) -> bool:
    """Whether two signatures differ, where both are known. A class may have got more fields."""
    if before is None or after is None:
        return False
    if before.startswith("fields: ") and after.startswith("fields: "):
        return not {*before[8:].split(", ")} <= {*after[8:].split(", ")}
    return before != after


def compare() -> dict[str, Any]:
    """Fetch both versions and compare them."""
    with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
        return changes(Sources(download(SUPPORTED, Path(old))), Sources(download(NEXT, Path(new))))


if __name__ == "__main__":
    RECORD.write_text(json.dumps(compare(), indent=2) + "\n")
