"""The floors of docs/architecture.md: every import in the program points down, or this fails.

The sources are read, not run, so imports inside functions and under ``TYPE_CHECKING`` count too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "explorer"

DOORS = {
    "PySide6": ("explorer.gui", "explorer.app", "explorer.loading.model_loader"),
    "shiboken6": ("explorer.gui", "explorer.app"),
    "onnxruntime": ("explorer.engine.runtime",),
    "sqlite3": ("explorer.library.storage.connection",),
    "platformdirs": ("explorer.system.paths",),
    "huggingface_hub": ("explorer.weights.hub.hub",),
    "httpx": (),
    "httpx2": (),
    "requests": (),
    "torch": (),
    "scipy": (),
}
"""Outside package -> the modules, or packages with all in them, that may import it."""

MOST_FILES = 16
"""Files of a folder beside its ``__init__``; more is a second part that has no name yet."""

CORE = ("explorer.core",)
SYSTEM = (*CORE, "explorer.system")
JOBS = (*SYSTEM, "explorer.jobs")
ENGINE = (*SYSTEM, "explorer.engine", "explorer.engine.text", "explorer.engine.hardware")
PROCESS = (*ENGINE, *JOBS, "explorer.engine.process")
FORMATS = (*CORE, "explorer.weights.formats")
CHECKPOINTS = (*FORMATS, "explorer.weights.checkpoints")
BUILDS = (*CHECKPOINTS, "explorer.weights.builds")
STORE = (*BUILDS, *SYSTEM, "explorer.weights.store")
HUB = (*STORE, "explorer.weights.hub")
STORAGE = (*SYSTEM, "explorer.library.storage")
LIBRARY = (*STORAGE, "explorer.library")
EXPORT = (*LIBRARY, "explorer.library.export")
SPEED = (*ENGINE, *BUILDS, "explorer.studies.speed")
QUALITY = (*ENGINE, *STORE, "explorer.studies.quality")
BELOW_GUI = (*PROCESS, *HUB, *EXPORT, *SPEED, *QUALITY, "explorer.review", "explorer.loading")

STYLE = ("explorer.gui.style",)
FIELDS = (*STYLE, "explorer.gui.fields")
WIDGETS = (*FIELDS, "explorer.gui.widgets")
CARDS = (*WIDGETS, "explorer.gui.cards")
COLLECTION = (*CARDS, "explorer.gui.collection")
MODEL_PARTS = (*WIDGETS, "explorer.gui.model_parts")

MAY_IMPORT = {
    "explorer.core": CORE,
    "explorer.system": SYSTEM,
    "explorer.jobs": JOBS,
    "explorer.engine.text": (*CORE, "explorer.engine.text"),
    "explorer.engine.hardware": (*SYSTEM, "explorer.engine.hardware"),
    "explorer.engine": ENGINE,
    "explorer.engine.process": PROCESS,
    "explorer.weights": (),
    "explorer.weights.formats": FORMATS,
    "explorer.weights.checkpoints": CHECKPOINTS,
    "explorer.weights.builds": BUILDS,
    "explorer.weights.store": STORE,
    "explorer.weights.hub": HUB,
    "explorer.library.storage": STORAGE,
    "explorer.library": LIBRARY,
    "explorer.library.export": EXPORT,
    "explorer.review": (*LIBRARY, "explorer.engine.messages", "explorer.review"),
    "explorer.studies": (),
    "explorer.studies.speed": SPEED,
    "explorer.studies.quality": QUALITY,
    "explorer.loading": (*PROCESS, *HUB, *LIBRARY, *SPEED, "explorer.loading"),
    "explorer.gui.style": STYLE,
    "explorer.gui.fields": FIELDS,
    "explorer.gui.widgets": WIDGETS,
    "explorer.gui.cards": (*CARDS, *LIBRARY),
    "explorer.gui.help": (*WIDGETS, *SYSTEM, "explorer.gui.help"),
    "explorer.gui.collection": (*COLLECTION, *EXPORT),
    "explorer.gui.history": (*CARDS, *LIBRARY, "explorer.gui.history"),
    "explorer.gui.settings": (*WIDGETS, *ENGINE, *STORAGE, "explorer.gui.settings"),
    "explorer.gui.model_parts": (*MODEL_PARTS, *BELOW_GUI),
    "explorer.gui.models": (*MODEL_PARTS, *BELOW_GUI, "explorer.gui.models"),
    "explorer.gui.settings_store": SYSTEM,
    "explorer.gui.library_access": EXPORT,
    "explorer.gui.engine_loop": BELOW_GUI,
    "explorer.gui.explore": (
        *COLLECTION,
        *MODEL_PARTS,
        *BELOW_GUI,
        "explorer.gui.engine_loop",
        "explorer.gui.settings_store",
        "explorer.gui.explore",
    ),
    "explorer.gui.window": ("explorer.gui", *BELOW_GUI),
    "explorer.gui": (),
    "explorer.commands": ("explorer.commands", *BELOW_GUI),
    "explorer.cli": ("explorer.commands", "explorer.self_test", *SYSTEM),
    "explorer.app": ("explorer.gui", *BELOW_GUI),
    # The self-test starts Qt too, to see that it can be started.
    "explorer.self_test": ("explorer.gui.window.check", *BELOW_GUI),
    "explorer.__main__": ("explorer.app", "explorer.cli", "explorer.commands", *SYSTEM),
    "explorer": (),
}
"""Package, or single module -> the packages that it may import of ours, each without the packages
inside it unless they are named too; but ``explorer.gui`` and ``explorer.commands`` stand for all in
them. The longest name decides."""
WHOLE = ("explorer.gui", "explorer.commands")


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def _floor(module: str) -> str:
    return max((name for name in MAY_IMPORT if _within(module, name)), key=len)


def _covers(permission: str, imported: str) -> bool:
    if permission in WHOLE:
        return _within(imported, permission)
    return permission in (imported, _floor(imported))


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
        floor = _floor(module)
        for imported in imports(module, path, set(sources)):
            top = imported.partition(".")[0]
            if imported == "(computed name)":
                found.append(f"{module} imports by a computed name, which nobody can check")
            elif top == "explorer":
                allowed = imported == "explorer" or any(
                    _covers(name, imported) for name in MAY_IMPORT[floor]
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
    assert "explorer.core.errors" in set(
        imports("explorer.core.recipe", sources["explorer.core.recipe"], set(sources))
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine/lanes.py", "from explorer.library import ledger"),
        ("engine/lanes.py", "from explorer.weights.store.store import Store"),
        ("engine/lanes.py", "from explorer.engine.process.engine_pool import EnginePool"),
        ("engine/lanes.py", "from explorer.jobs.job import Job"),
        ("engine/text/tokens.py", "from explorer.engine.lanes import Lanes"),
        ("engine/hardware/device.py", "from explorer.engine.text.tokens import Tokens"),
        ("weights/store/store.py", "import explorer.engine.session"),
        ("weights/store/store.py", "def f():\n    from huggingface_hub import snapshot_download"),
        ("weights/store/store.py", "from explorer.weights.hub import hub"),
        ("weights/formats/config.py", "from explorer.weights.checkpoints import checkpoint"),
        ("engine/lanes.py", "def f():\n    import onnxruntime as ort"),
        ("library/ledger.py", "from sqlite3 import Connection"),
        ("library/storage/database.py", "import sqlite3"),
        ("library/storage/database.py", "from explorer.library.ledger import Ledger"),
        ("library/ledger.py", "from explorer.library.export import collection_file"),
        ("review/review.py", "from explorer.engine.lanes import Lanes"),
        ("review/review.py", "from ..weights.store import store"),
        ("review/review.py", "from ..gui.style import theme"),
        ("review/review.py", "from ..studies.quality import verify"),
        ("weights/store/store.py", "from explorer.studies.quality import measure"),
        ("studies/quality/verify.py", "from explorer.gui.style import theme"),
        ("studies/quality/verify.py", "from explorer.commands import terminal"),
        ("studies/quality/verify.py", "from explorer.studies.speed import memory_bound"),
        ("studies/quality/verify.py", "import onnxruntime"),
        ("core/recipe.py", "import explorer.engine.messages"),
        ("core/recipe.py", "from explorer.system import paths"),
        ("cli.py", "from PySide6.QtCore import QObject"),
        ("cli.py", "import importlib\nimportlib.import_module('PySide6')"),
        ("gui/explore/lane.py", "from explorer import app"),
        ("gui/explore/lane.py", "from ... import cli"),
        ("gui/explore/lane.py", "from explorer.gui.models import models_page"),
        ("gui/explore/lane.py", "from explorer.gui.window import menus"),
        ("gui/widgets/flow.py", "from explorer.gui.cards import card_list"),
        ("engine/lanes.py", "from importlib import import_module\nimport_module(name)"),
        ("stray.py", "import explorer.core.errors"),
        ("gui/stray.py", "import explorer.core.errors"),
        ("weights/stray.py", "import explorer.core.errors"),
    ],
)
def test_a_broken_floor_is_found(tmp_path: Path, module: str, source: str) -> None:
    root = tmp_path / "explorer"
    for each in modules(ROOT):
        path = root.parent / (each.replace(".", "/") + ".py")
        if (ROOT.parent / each.replace(".", "/")).is_dir():
            path = path.with_suffix("") / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    target = root / module
    assert violations(root) == []
    target.write_text(source + "\n", encoding="utf-8")
    assert len(violations(root)) == 1


def test_no_folder_holds_more_than_one_subject_can_fill() -> None:
    folders = {path.parent for path in modules(ROOT).values()}
    counts = {
        str(folder.relative_to(ROOT)): sum(
            path.name != "__init__.py" for path in folder.glob("*.py")
        )
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


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
