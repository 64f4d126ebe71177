"""The sources of a vLLM that is not installed, read without importing them."""

import ast
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr


def download(version: str, folder: Path) -> Path:
    """Fetch a wheel of vLLM for CUDA from the package index, and unpack its modules into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*pip, "--dest", scratch, f"vllm=={version}"], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".py")])
    return folder


class Sources:
    """Definitions by their dotted names, looked up through imports and base classes.

    Attributes:
        folder: what holds the package `vllm`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = cache(self._module)

    def _module(self, name: str) -> ast.Module | None:
        path = self.folder.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.exists():
                return ast.parse(file.read_text())
        return None

    def find(self, name: str) -> Definition | None:
        """Return what a dotted name stands for; None if there is nothing. Attributes of objects count as found."""
        module = self.module(name)
        if module is not None or "." not in name:
            return module
        owner, _, attribute = name.rpartition(".")
        found = self.find(owner)
        if isinstance(found, ast.Module):
            return self._in_module(owner, found, attribute)
        if isinstance(found, ast.ClassDef):
            return self._in_class(owner, found, attribute)
        return found

    def _in_module(self, name: str, module: ast.Module, attribute: str) -> Definition | None:
        package = (self.folder / Path(*name.split(".")) / "__init__.py").exists()
        for node in statements(module):
            if isinstance(node, ast.ImportFrom):
                source = source_of(node, name, package)
                for alias in node.names:
                    if alias.name == "*" and (found := self.find(f"{source}.{attribute}")):
                        return found
                    if attribute == (alias.asname or alias.name):
                        # Of another package, it is there as far as can be seen.
                        return self.find(f"{source}.{alias.name}") or ast.Constant(None)
            elif found := defined(node, attribute):
                return found
        return None

    def _in_class(self, name: str, owner: ast.ClassDef, attribute: str) -> Definition | None:
        for node in statements(owner):
            if found := defined(node, attribute):
                return found
        module = self._home(name)
        for base in owner.bases:
            parent = f"{module}.{ast.unparse(base).partition('[')[0]}"
            found_base = self.find(parent)
            if isinstance(found_base, ast.ClassDef) and (found := self._in_class(parent, found_base, attribute)):
                return found
        return None

    def _home(self, name: str) -> str:
        """The module of a class, behind the imports that lead to it."""
        module, _, attribute = name.rpartition(".")
        tree = self.module(module)
        for node in statements(tree) if tree else ():
            if isinstance(node, ast.ImportFrom) and attribute in {alias.asname or alias.name for alias in node.names}:
                package = (self.folder / Path(*module.split(".")) / "__init__.py").exists()
                return self._home(f"{source_of(node, module, package)}.{attribute}")
        return module

    def signature(self, name: str) -> str | None:
        """What callers and overriding methods rely on; None if there is nothing of that name."""
        found = self.find(name)
        if isinstance(found, ast.ClassDef):
            start = self._in_class(name, found, "__init__")
            fields = sorted(ast.unparse(node.target) for node in found.body if isinstance(node, ast.AnnAssign))
            return described(start) if start else f"fields: {', '.join(fields)}"
        return None if found is None else described(found)


def statements(owner: ast.Module | ast.ClassDef) -> Iterator[ast.stmt]:
    """Statements of a module or class, those below `if` and `try` among them."""
    pending: list[ast.stmt] = list(owner.body)
    while pending:
        node = pending.pop(0)
        yield node
        for part in ("body", "orelse", "finalbody") if isinstance(node, (ast.If, ast.Try)) else ():
            pending += getattr(node, part, [])


def source_of(node: ast.ImportFrom, module: str, package: bool) -> str:
    """The module that an import reads."""
    if not node.level:
        return node.module or ""
    up = node.level - package
    parent = module.split(".")[:-up] if up else module.split(".")
    return ".".join([*parent, *([node.module] if node.module else [])])


def defined(node: ast.stmt, name: str) -> Definition | None:
    """What a statement defines under a name."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return node if node.name == name else None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return ast.Constant(name) if name in names else None


def described(definition: Definition) -> str:
    """A function's parameters, and whether it is awaited or bound; any other definition by its kind."""
    if not isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return type(definition).__name__
    kind = "async " if isinstance(definition, ast.AsyncFunctionDef) else ""
    decorators = {ast.unparse(each) for each in definition.decorator_list} & {"property", "classmethod", "staticmethod"}
    return f"{' '.join(decorators)} {kind}({ast.unparse(definition.args)})".strip()
