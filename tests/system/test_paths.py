"""Where things live."""

import os
import sys
from pathlib import Path

import pytest

from explorer.core.errors import InputError
from explorer.system.paths import Paths


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_folder_whose_name_is_not_text_is_refused(tmp_path, monkeypatch):
    wild = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    wild.mkdir()
    for make in (lambda: Paths.default(wild), lambda: Paths.default(wild / "data")):
        with pytest.raises(InputError, match="not UTF-8"):
            make()
    monkeypatch.chdir(wild)
    with pytest.raises(InputError, match="not UTF-8"):
        Paths.default(Path("data"))
    monkeypatch.setenv("XDG_DATA_HOME", str(wild))
    with pytest.raises(InputError, match="--data-dir"):
        Paths.default()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_folder_that_links_to_itself_is_refused(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    if sys.version_info < (3, 13):  # a later Python finds out when the folder is used
        with pytest.raises(InputError, match="link to itself"):
            Paths.default(link)


def test_data_dir_holds_everything_that_is_written(tmp_path):
    paths = Paths.default(tmp_path / "mine")
    for place in (paths.library, paths.settings, paths.models, paths.model_cache, paths.logs):
        assert place.is_relative_to(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_program_finds_what_it_ships():
    paths = Paths.default()
    assert (paths.bundled_models / "demo" / "config.json").is_file()
    assert paths.resources.is_dir()


def packaged(monkeypatch, program):
    program.parent.mkdir(parents=True)
    program.write_text("")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_folder_data_beside_a_packaged_program_makes_it_portable(tmp_path, monkeypatch):
    packaged(monkeypatch, tmp_path / "stick" / "sample-explorer")
    assert not Paths.default().library.is_relative_to(tmp_path / "stick")
    data = tmp_path / "stick" / "data"
    data.mkdir()
    paths = Paths.default()
    for place in (paths.library, paths.settings, paths.models, paths.model_cache, paths.logs):
        assert place.is_relative_to(data)
    assert Paths.default(tmp_path / "mine").library == tmp_path / "mine" / "library.sqlite"


def test_on_macos_the_folder_lies_beside_the_bundle(tmp_path, monkeypatch):
    packaged(monkeypatch, tmp_path / "Sample Explorer.app/Contents/MacOS/sample-explorer")
    (tmp_path / "data").mkdir()
    assert Paths.default().data == tmp_path / "data"


def test_a_folder_data_beside_a_checkout_is_nothing(tmp_path, monkeypatch):
    packaged(monkeypatch, tmp_path / "bin" / "python")
    monkeypatch.delattr(sys, "frozen")
    (tmp_path / "bin" / "data").mkdir()
    assert not Paths.default().library.is_relative_to(tmp_path / "bin")
