"""``--self-test``: does the program work here? Window toolkit, library and engine, each once.

Everything happens in a temporary folder, so that it can be run beside a library in use. The
packaged program is tested with it, and it is the first thing to ask of somebody with a problem.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from explorer.core.errors import EngineError, ExplorerError
from explorer.core.recipe import Recipe
from explorer.engine.messages import Crashed, Ended, Load, Ready, Refused, Start, Steps
from explorer.engine.process.engine_process import EngineProcess
from explorer.engine.text.tokens import Tokens
from explorer.library.collection import Collections
from explorer.library.ledger import Ledger
from explorer.library.rows import ModelRef, TryEnd
from explorer.library.samples import Samples
from explorer.library.storage.database import Database
from explorer.system.paths import Paths
from explorer.system.version import version
from explorer.weights.store.store import Store

MODEL, BUILD, TOKENS = "demo", "cpu-int8", 10
PATIENCE = 120.0
"""Seconds to wait for the engine before it counts as hung."""


def run() -> int:
    """Run every check, say how each went, and return 0 if all passed, else 1."""
    print(f"Sample Explorer {version()}, self-test", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="sample-explorer-") as folder:
        paths = Paths.default(Path(folder))
        for name, check in (("window", _window), ("library", _library), ("engine", _engine)):
            failed += not _passed(name, check, paths)
    print("The self-test failed." if failed else "All is well.")
    return 1 if failed else 0


def _passed(name: str, check: Callable[[Paths], str], paths: Paths) -> bool:
    began = time.monotonic()
    try:
        found = check(paths)
    except (ExplorerError, ImportError, OSError) as error:
        print(f"FAILED  {name}: {error}", flush=True)
        return False
    print(f"ok      {name}: {found} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def _window(paths: Paths) -> str:
    from explorer.gui.window.check import check_qt

    return check_qt(paths.resources / "icons")


def _library(paths: Paths) -> str:
    """Keep the second of two tries, and find it with its price after reopening."""
    with Database.open(paths.library) as database:
        ledger = Ledger(database)
        collection = Collections(database).default()
        model = ModelRef("0" * 64, MODEL, BUILD, "{}")
        hunt = ledger.open_hunt("A prompt", (1, 2), model, Recipe())
        for verdict in ("rejected", "kept"):
            index = ledger.reserve_index(hunt.id)
            attempt = ledger.begin_try(hunt.id, index, 0, "cpu", {})
            ledger.end_try(attempt, TryEnd("max_tokens", (3,), "text", (-1.0,), 0.1))
            ledger.decide([(attempt, verdict)], collection=collection.id)
    with Database.open(paths.library) as database:
        samples = Samples(database)
        (sample,) = samples.page(samples.ids(collection.id))
        if sample.caption != "machine-written, 2 tries (1 rejected)":
            raise ExplorerError(f"The library counts wrongly: {sample.caption!r}.")
        return f"kept and found again, {sample.caption!r}"


def _engine(paths: Paths) -> str:
    """Make the demonstration model's build and let it write in the engine process."""
    folder = Store(paths).ensure(MODEL, BUILD)
    tokens = Tokens.from_folder(folder)
    prompt = tuple(tokens.encode("Once upon a time"))
    recipe = Recipe(max_tokens=TOKENS, end_of_text="never")
    written: list[int] = []
    device = ""
    engine = EngineProcess()
    try:
        engine.send(Load(folder, BUILD, "cpu"), Start((1, 0), 0, 1, prompt, recipe))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for event in engine.poll():
                match event:
                    case Ready():
                        device = event.device_name
                    case Steps():
                        written += event.tokens.tolist()
                    case Ended():
                        text = tokens.decode(written)
                        if len(written) != TOKENS:
                            raise EngineError(f"{len(written)} tokens came instead of {TOKENS}.")
                        return f"{device}: {text!r}"
                    case Refused() | Crashed():
                        raise EngineError(event.message)
                    case _:
                        pass
            if engine.silent:
                raise EngineError("The engine process was stopped, or a driver of it hangs.")
            time.sleep(0.01)
        raise EngineError(f"The engine process did not answer within {PATIENCE:.0f} seconds.")
    finally:
        engine.close()
