"""What our code uses of vLLM: found in our sources and classes, and recorded in a file beside this one.

`python -m tests.unit.vllm_interface` records it anew. Look at the difference first: vLLM calls our methods with its
own arguments, and no type checker compares the two.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

from tests.support.tools import ROOT

RECORD = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.unit.vllm_interface"
PACKAGES = ("gprune_vllm", "server/gprune_server")
ENGINE_CLIENTS = ("vllm.engine.protocol.EngineClient", "vllm.v1.engine.async_llm.AsyncLLM")
WRAPPERS: Mapping[str, tuple[str, ...]] = {
    "ObservedEngine": ENGINE_CLIENTS,
    "DrainingEngine": ENGINE_CLIENTS,
    "UsageReporter": (
        "vllm.entrypoints.openai.chat_completion.serving.OpenAIServingChat",
        "vllm.entrypoints.openai.chat_completion.batch_serving.OpenAIServingChatBatch",
        "vllm.entrypoints.openai.responses.serving.OpenAIServingResponses",
    ),
    "AnthropicMessages": ("vllm.entrypoints.anthropic.serving.AnthropicServingMessages",),
    "GPruneEndpointPlugin": ("vllm.plugins.endpoint_plugins.interface.EndpointPlugin",),
}
"""Our classes that stand in for classes of vLLM without deriving from them."""
OWNERS = ("self", "cls", "super()", "self._engine", "self._handler")
"""Expressions in a class whose attributes may be vLLM's."""
DESCRIPTORS = (staticmethod, classmethod, property, cached_property)


@cache
def sources() -> dict[str, ast.Module]:
    """Our modules by name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to((ROOT / package).parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(file.read_text())
    return found


def is_upstream(name: str | None) -> bool:
    """Whether a dotted name is one of vLLM's."""
    return name is not None and f"{name}.".startswith("vllm.")


def imported(tree: ast.AST) -> dict[str, str]:
    """What a module imports of vLLM, wherever it does: the full names by those they have in the module."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name: alias.name for alias in node.names if is_upstream(alias.name)}
        elif isinstance(node, ast.ImportFrom) and is_upstream(node.module):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def full_name(expression: ast.expr, names: Mapping[str, str]) -> str | None:
    """Return the full name of an imported name or of an attribute of one; None for other expressions."""
    text = ast.unparse(expression)
    known = [name for name in names if f"{text}.".startswith(f"{name}.")]
    return names[known[0]] + text.removeprefix(known[0]) if known and re.fullmatch(r"[\w.]+", text) else None


@cache
def used_names() -> dict[str, bool]:
    """Names of vLLM that our code uses, and whether it calls them."""
    found: dict[str, bool] = {}
    for tree in sources().values():
        names = imported(tree)
        found = dict.fromkeys(names.values(), False) | found
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (name := full_name(node, names)):
                found.setdefault(name, False)
        calls = [full_name(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found |= {name: True for name in calls if name is not None}
    return found


def resolve(name: str) -> Any:
    """Return what a dotted name stands for.

    Raises:
        AttributeError: vLLM has nothing of that name.
    """
    value: Any = import_module("vllm")
    path = "vllm"
    for part in name.split(".")[1:]:
        path += f".{part}"
        if inspect.ismodule(value) and not hasattr(value, part):
            try:
                import_module(path)
            except ModuleNotFoundError as error:
                raise AttributeError(f"There is no {path}") from error
        value = getattr(value, part)
    return value


def missing_names() -> list[str]:
    """Names of vLLM that our code uses and that do not exist."""
    return [name for name in sorted(used_names()) if not exists(name)]


def exists(name: str) -> bool:
    """Whether vLLM has something of a dotted name."""
    try:
        resolve(name)
    except AttributeError:
        return False
    return True


def signature(value: Any) -> str:
    """Describe what callers and overriding methods rely on: the parameters, and whether it is awaited or a property.

    Types go by their last names, so that moving one is no difference.
    """
    if isinstance(value, (property, cached_property)):
        return "property"
    if isinstance(value, (staticmethod, classmethod)):
        return f"{type(value).__name__} {signature(value.__func__)}"
    awaited = "async " if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value) else ""
    return awaited + re.sub(r"(\b[A-Za-z_]\w*\.)+(?=[A-Za-z_])| at 0x\w+", "", str(inspect.signature(value)))


def called_signatures() -> dict[str, str]:
    """Signatures of the classes that our code creates objects of, and of the functions that it uses in any way."""
    found = {}
    for name, called in used_names().items():
        value = resolve(name)
        used = callable(value) and (called or not inspect.isclass(value))
        if used and is_upstream(getattr(value, "__module__", None)):
            found[name] = signature(value)
    return found


@cache
def our_classes() -> list[type]:
    """The classes of our modules, each of which is imported."""
    values = {name: vars(import_module(name)).values() for name in sources()}
    return [value for name in values for value in values[name] if inspect.isclass(value) and value.__module__ == name]


def touched(ours: type) -> set[str]:
    """Names of the methods that a class defines, and names that these use of the object or of what it wraps."""
    nodes = [*ast.walk(ast.parse(textwrap.dedent(inspect.getsource(ours))))]
    defined = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OWNERS}
    return defined | used | ({"__init__"} & {*vars(ours)})  # a dataclass has one without defining it


def methods_of(upstream: type, names: set[str]) -> dict[str, str]:
    """Signatures of the methods of these names that a class has from vLLM, by full name."""
    found = {}
    for name in names:
        bases = [base for base in upstream.__mro__ if is_upstream(base.__module__) and name in vars(base)]
        if bases and isinstance(vars(bases[0])[name], (FunctionType, *DESCRIPTORS)):
            found[f"{bases[0].__module__}.{bases[0].__qualname__}.{name}"] = signature(vars(bases[0])[name])
    return found


def method_signatures() -> dict[str, str]:
    """Signatures of the methods of vLLM that our classes override, replace or call."""
    found: dict[str, str] = {}
    for ours in our_classes():
        if any(is_upstream(base.__module__) for base in ours.__mro__):
            mixed = [base for base in ours.__mro__ if base.__module__ in sources()]
            found |= methods_of(ours, {name for base in mixed for name in touched(base)})
        for wrapped in WRAPPERS.get(ours.__name__, ()):
            found |= methods_of(resolve(wrapped), touched(ours) - {"__init__"})
    return found


def interface() -> dict[str, str]:
    """Signatures of all that our code uses of vLLM, by full name."""
    return dict(sorted((called_signatures() | method_signatures()).items()))


def differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Describe each difference between what was recorded and what was found."""
    return [
        f"{name}: expected {recorded.get(name, 'no record of it')}, found {found.get(name, 'nothing that we use')}"
        for name in sorted({*recorded, *found})
        if recorded.get(name) != found.get(name)
    ]


if __name__ == "__main__":
    RECORD.write_text(json.dumps(interface(), indent=2) + "\n")
