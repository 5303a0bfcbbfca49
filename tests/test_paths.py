"""Where things live."""

from explorer.paths import Paths


def test_data_dir_holds_everything_that_is_written(tmp_path):
    paths = Paths.default(tmp_path / "mine")
    for place in (paths.library, paths.settings, paths.models, paths.model_cache, paths.logs):
        assert place.is_relative_to(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_program_finds_what_it_ships():
    paths = Paths.default()
    assert (paths.bundled_models / "demo" / "config.json").is_file()
    assert paths.resources.is_dir()
