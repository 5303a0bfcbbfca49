"""The floors of docs/architecture.md: every import in the program points down, or this fails.

The sources are read, not run, so imports inside functions and under ``TYPE_CHECKING`` count too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "explorer"

DOORS = {
    "PySide6": ("explorer.gui", "explorer.app"),
    "shiboken6": ("explorer.gui", "explorer.app"),
    "onnxruntime": ("explorer.engine.runtime",),
    "sqlite3": ("explorer.library.connection",),
    "platformdirs": ("explorer.paths",),
    "huggingface_hub": ("explorer.weights.hub",),
    "httpx": (),
    "httpx2": (),
    "requests": (),
    "torch": (),
    "scipy": (),
}
"""Outside package -> the modules, or packages with all in them, that may import it."""

GROUND = (
    "explorer.bounded_reading",
    "explorer.errors",
    "explorer.interrupt",
    "explorer.recipe",
    "explorer.paths",
    "explorer.manifest",
    "explorer.settings",
    "explorer.child_process",
    "explorer.heartbeat",
    "explorer.jobs",
    "explorer.lock",
    "explorer.output_file",
    "explorer.version",
    "explorer.licences",
    "explorer.crash",
    "explorer.display",
)
COMPOSITION = (
    "explorer.app",
    "explorer.cli",
    "explorer.commands",
    "explorer.selftest",
)
REVIEW = tuple(
    f"explorer.{name}"
    for name in ("review", "decisions", "screen", "hunt", "seats", "refill", "showing")
)
STUDIES = ("explorer.studies", *REVIEW, "explorer.engine", "explorer.weights", "explorer.library")
BELOW_GUI = (*STUDIES, *GROUND)

MAY_IMPORT = {
    **{module: GROUND for module in GROUND},
    "explorer.engine": ("explorer.engine", *GROUND),
    "explorer.weights": ("explorer.weights", *GROUND),
    "explorer.library": ("explorer.library", *GROUND),
    **{
        module: (*REVIEW, "explorer.engine.messages", "explorer.library", *GROUND)
        for module in REVIEW
    },
    "explorer.studies": (*STUDIES, *GROUND),
    "explorer.gui": ("explorer.gui", *BELOW_GUI),
    "explorer.app": ("explorer.gui", *BELOW_GUI),
    **{module: (*COMPOSITION[1:], *BELOW_GUI) for module in COMPOSITION[1:]},
    # The self-test starts Qt too, to see that it can be started.
    "explorer.selftest": ("explorer.gui", *BELOW_GUI),
    "explorer.__main__": (*COMPOSITION, *GROUND),
    "explorer": (),
}
"""Module, or package with all in it -> what it may import of our own. The longest name decides."""


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def modules(root: Path) -> dict[str, Path]:
    """Return every module below the package folder ``root`` by its dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: set[str]) -> Iterator[str]:
    """Yield the dotted name of everything that the file imports, modules of ours in full."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and node.args:
                first = node.args[0]
                yield str(first.value) if isinstance(first, ast.Constant) else "(computed name)"


def violations(root: Path) -> list[str]:
    """Return one sentence for every import that breaks a floor."""
    found = []
    sources = modules(root)
    for module, path in sources.items():
        floor = max((name for name in MAY_IMPORT if _within(module, name)), key=len)
        for imported in imports(module, path, set(sources)):
            top = imported.partition(".")[0]
            if imported == "(computed name)":
                found.append(f"{module} imports by a computed name, which nobody can check")
            elif top == "explorer":
                allowed = imported == "explorer" or any(
                    _within(imported, name) for name in MAY_IMPORT[floor]
                )
                if floor == "explorer" and module != "explorer":
                    found.append(f"{module} stands on no floor; give it one in this test")
                elif not allowed:
                    found.append(f"{module} imports {imported}")
            elif top in DOORS and not any(_within(module, name) for name in DOORS[top]):
                found.append(f"{module} imports {imported}")
    return found


def test_every_import_points_down() -> None:
    assert violations(ROOT) == []


def test_the_walk_sees_the_program() -> None:
    sources = modules(ROOT)
    assert "explorer.errors" in set(
        imports("explorer.recipe", sources["explorer.recipe"], set(sources))
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine/lanes.py", "from explorer.library import ledger"),
        ("engine/lanes.py", "from explorer.weights.store import Store"),
        ("weights/store.py", "import explorer.engine.session"),
        ("weights/store.py", "def f():\n    from huggingface_hub import snapshot_download"),
        ("engine/lanes.py", "def f():\n    import onnxruntime as ort"),
        ("library/ledger.py", "from sqlite3 import Connection"),
        ("library/database.py", "import sqlite3"),
        ("review.py", "from explorer.engine.lanes import Lanes"),
        ("review.py", "from .weights import store"),
        ("review.py", "from .gui import theme"),
        ("review.py", "from .studies import verify"),
        ("weights/store.py", "from explorer.studies import quality"),
        ("studies/verify.py", "from explorer.gui import theme"),
        ("studies/verify.py", "from explorer.commands import console"),
        ("studies/verify.py", "import onnxruntime"),
        ("recipe.py", "import explorer.engine.messages"),
        ("cli.py", "from PySide6.QtCore import QObject"),
        ("cli.py", "import importlib\nimportlib.import_module('PySide6')"),
        ("gui/lane.py", "from explorer import app"),
        ("gui/lane.py", "from .. import cli"),
        ("engine/lanes.py", "from importlib import import_module\nimport_module(name)"),
        ("stray.py", "import explorer.errors"),
    ],
)
def test_a_broken_floor_is_found(tmp_path: Path, module: str, source: str) -> None:
    root = tmp_path / "explorer"
    for name in (
        "app",
        "cli",
        "review",
        "engine/session",
        "weights/store",
        "library/ledger",
        "library/database",
        "studies/quality",
        "commands/console",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.py").write_text("")
    for folder in (root, *(path for path in root.iterdir() if path.is_dir())):
        (folder / "__init__.py").write_text("")
    target = root / module
    target.parent.mkdir(exist_ok=True)
    assert violations(root) == []
    target.write_text(source + "\n")
    assert len(violations(root)) == 1


def test_nothing_imports_itself_in_a_circle() -> None:
    sources = modules(ROOT)
    edges = {
        module: {name for name in imports(module, path, set(sources)) if name in sources}
        for module, path in sources.items()
    }
    while free := [module for module, targets in edges.items() if not targets & edges.keys()]:
        for module in free:
            del edges[module]
    assert sorted(edges) == []
