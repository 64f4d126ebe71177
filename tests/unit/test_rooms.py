"""Which room may import which, and that nothing imports in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.tools import ROOT

ROOMS = ("gprune_vllm", "server/gprune_server", "evaluation", "loadtest", "deploy", "tests")
FORBIDDEN = {
    "gprune_vllm": ("gprune_server", "evaluation", "loadtest", "deploy", "tests", "fastapi"),
    "gprune_vllm.plan": (
        *("vllm", "torch", "pydantic", "transformers"),
        *(
            f"gprune_vllm.{name}"
            for name in ("adapter", "families", "methods", "settings", "ratio_settings", "account")
        ),
    ),
    "gprune_vllm.defaults": ("vllm", "torch", "pydantic", "transformers", "gprune_vllm"),
    "gprune_vllm.methods": ("vllm", "transformers", "gprune_vllm.adapter", "gprune_vllm.families"),
    "gprune_vllm.adapter": ("gprune_vllm.families.",),
    "gprune_server": ("evaluation", "loadtest", "deploy", "tests", "gprune_vllm.families."),
    "evaluation": ("loadtest", "tests"),
    "loadtest": ("tests", *(f"evaluation.{name}" for name in ("client", "asking", "service", "commands", "figures"))),
    "deploy": ("gprune_vllm", "gprune_server", "evaluation", "loadtest", "tests"),
}
"""What the modules of a room must not import: packages, or with a dot at the end, modules of one."""


def modules() -> dict[str, Path]:
    """Every module of the repository by name."""
    found = {}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            parts = file.relative_to((ROOT / room).parent if "/" in room else ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """Names that a module imports, at its head or later; what is imported for type checkers only is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in MODULES)
        else:
            yield from imported(node)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    inside = {name: file for name, file in MODULES.items() if f"{name}.".startswith(f"{room}.")}
    assert inside
    for name, file in inside.items():
        for other in imported(ast.parse(file.read_text())):
            inner = f"{other}.".startswith(f"{room}.")
            assert inner or not any(is_in(other, forbidden) for forbidden in FORBIDDEN[room]), (name, other)


def is_in(module: str, place: str) -> bool:
    """Whether a module is a package or one of its modules, or with a dot at the end, one of its modules."""
    return module.startswith(place) if place.endswith(".") else f"{module}.".startswith(f"{place}.")


def head(tree: ast.Module) -> set[str]:
    """Modules of the repository that a module imports at its head, which is where circles break an import."""
    nodes = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {name for name in imported(ast.Module(nodes, [])) if name in MODULES}


def test_nothing_imports_in_a_circle() -> None:
    graph = {name: head(ast.parse(file.read_text())) for name, file in MODULES.items()}
    # `from package import module` names the package too, which is no dependency on what else it imports.
    direct = {
        name: {other for other in others if not f"{name}.".startswith(f"{other}.")} for name, others in graph.items()
    }
    TopologicalSorter(direct).prepare()
