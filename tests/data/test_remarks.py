"""What is said about files reaches the user, in one process or several, at the first preparation and later."""

from pathlib import Path

import numpy as np
import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.notes import Remark, in_words, read_remarks, remark, write_remarks
from braincog_tmkt.data.sets import DATASETS, Folder, NCaltech101, build_dataset
from braincog_tmkt.data.types import FrameSpec, Item
from braincog_tmkt.errors import DataError, RecipeError
from braincog_tmkt.recipe import load_recipe, recipe_hash, with_overrides
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.store import read_records

from .trees import caltech_tree, recording

SPEC = FrameSpec(steps=3, size=16)


def folder(root: Path, strays: str = "b", count: int = 6) -> Path:
    """Recordings of 32x24 in two classes; those of the names in `strays` have an event at x = 3000."""
    for label, name in enumerate(("cat", "dog")):
        (root / "events" / name).mkdir(parents=True)
        for number, stem in enumerate("abcdefghijklmnopqrstuvwxyz"[:count]):
            events = recording(100 * label + number, 32, 24)
            events["x"][5] = 3000 if stem in strays else events["x"][5]
            np.save(root / "events" / name / f"{stem}.npy", events)
    return root


def test_what_is_said_reads_back_and_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    file, words = tmp_path / "remarks", Remark("a thing is odd in", "do this", "3 of 4 events", 0.75)
    assert read_remarks(file) == []
    write_remarks(file, [("events.npy", 3, words)])
    with file.open("ab") as lines:
        lines.write(b'\n["events.npy", 2, {"wha')
    write_remarks(file, [("events.npy", 1, words), ("images.npy", 0, words)])
    assert read_remarks(file) == [("events.npy", 1, words), ("events.npy", 3, words), ("images.npy", 0, words)]
    remark("nobody", "listens", "here", 0.0)


def test_a_sentence_counts_files_once_and_names_the_worst() -> None:
    def odd(share: float) -> Remark:
        return Remark("something is odd in", "do this", f"{share:.0%}", share)

    other = Remark("more is odd in", "do that", "x", 0.5)
    said = [("a", odd(0.1)), ("b", odd(0.3)), ("a", odd(0.1)), ("c", other)]
    assert in_words(said, 9, "recordings") == [
        "something is odd in 2 of 9 recordings, most of all b (30%); do this",
        "more is odd in 1 of 9 recordings: c (x); do that",
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_remarks_come_from_every_process_and_again_from_the_cache(tmp_path: Path, workers: int, monkeypatch) -> None:
    dataset = Folder(folder(tmp_path / "mine", count=40 if workers > 1 else 6))
    first, second = (
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", workers, progress=False) for _ in range(2)
    )
    (sentence,) = first.remarks
    assert f"left out of 2 of {len(first.events)} recordings, as events/" in sentence
    assert "x = 3000" in sentence
    assert second.remarks == first.remarks
    assert not list(tmp_path.glob("cache/*/*.done"))


class Breaking(Folder):
    """A folder whose last recording cannot be read as long as it is told so."""

    broken = True

    def events(self, item: Item) -> np.ndarray:
        if self.broken and item.key == "dog/t":
            raise DataError("stop")
        return super().events(item)


def test_remarks_survive_a_preparation_that_was_interrupted(tmp_path: Path) -> None:
    dataset = Breaking(folder(tmp_path / "mine", strays="as", count=20))
    with pytest.raises(DataError, match="stop"):
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    (file,) = tmp_path.glob("cache/*.partial/remarks.jsonl")
    assert [row for _, row, _ in read_remarks(file)] == [0, 18, 20]  # of the chunk that was finished
    dataset.broken = False
    (sentence,) = prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False).remarks
    assert "left out of 4 of 40 recordings" in sentence


def test_sets_without_anything_odd_keep_no_file(tmp_path: Path) -> None:
    dataset = Folder(folder(tmp_path / "mine", strays=""))
    assert prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False).remarks == ()
    assert not list(tmp_path.glob("cache/*/remarks.jsonl"))


def test_published_extents_stay_as_they_are(tmp_path: Path) -> None:
    """N-Caltech101's rule, tonic's, counts every event."""
    caltech_tree(tmp_path, count=1)
    dataset = NCaltech101(tmp_path)
    item = dataset.index().recordings[0]
    plain = dataset.events(item)
    assert not prepare(dataset, dataset.index(), FrameSpec(3, 240), tmp_path / "cache", progress=False).remarks
    assert dataset.own_extent
    assert len(plain) == 400
    assert dataset.area(plain) is None


def test_a_sensor_is_shown_whole_and_events_beyond_it_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "mine", strays="")
    known, unknown = build_dataset("folder", root, sensor=[24, 32]), build_dataset("folder", root)
    item = known.index().recordings[0]
    spec = FrameSpec(2, 64, "number")
    shown = known.frames(item, spec)
    assert known.area(known.events(item)) == (32, 24)
    assert not np.array_equal(shown, unknown.frames(item, spec))  # nothing lies at the rim of these recordings
    assert not shown[..., :4].any()
    events = recording(0, 32, 24)
    events["x"][7], events["y"][7] = 9, 24
    np.save(root / "events/cat/a.npy", events)
    with pytest.raises(DataError, match=r"cat/a\.npy has 1 of 400 events beyond .*height 24 .*32.*x = 9, y = 24"):
        known.frames(item, spec)


def test_the_sensor_is_part_of_the_caches_key(tmp_path: Path) -> None:
    root = folder(tmp_path / "mine", strays="")
    for sensor in (None, [24, 32], [24, 33]):
        dataset = build_dataset("folder", root, sensor=sensor)
        prepare(dataset, dataset.index(), SPEC, tmp_path / "cache", progress=False)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 3


def test_a_known_sensor_may_be_repeated_but_not_changed(tmp_path: Path) -> None:
    for name in set(DATASETS) - {"folder", "tonic", "moving", "still"}:
        width, height = DATASETS[name].sensor
        build_dataset(name, tmp_path, sensor=[height, width])
        with pytest.raises(RecipeError, match=r"the sensor of .*leave out data\.sensor"):
            build_dataset(name, tmp_path, sensor=[height, width + 1])


def test_recipes_check_the_sensor_and_count_it_only_if_it_is_set() -> None:
    recipe = load_recipe(find_recipe("folder/baseline"))
    assert recipe.data.sensor is None
    changed = with_overrides(recipe, ["data.sensor=[720, 1280]"])
    assert changed.data.sensor == [720, 1280]
    assert recipe_hash(changed) != recipe_hash(recipe)
    for wrong in ("[720]", "[720, 0]", "[720, 5000]", "[1, 2, 3]"):
        with pytest.raises(RecipeError, match=r"data\.sensor is .*a height and a width"):
            with_overrides(recipe, [f"data.sensor={wrong}"])
    for wrong in ("wide", "[a, b]", "[1.5, 2]"):
        with pytest.raises(RecipeError, match=r"data\.sensor must be"):
            with_overrides(recipe, [f"data.sensor={wrong}"])


def test_the_command_and_the_recipes_of_a_folder_average() -> None:
    for name in ("baseline", "tmkt", "tsm", "knowledge_transfer"):
        for tier in (None, "smoke", "small"):
            assert load_recipe(find_recipe(f"folder/{name}"), tier=tier).data.antialias is Folder.averages is True
    assert not any(entry.averages for name, entry in DATASETS.items() if name != "folder")
    recipe = load_recipe(find_recipe("folder/baseline"))
    old = with_overrides(recipe, ["data.antialias=false"])  # as before there was the choice
    assert recipe_hash(old) != recipe_hash(recipe)


def test_a_run_says_what_it_left_out_and_keeps_it_in_its_record(tmp_path: Path, monkeypatch, capsys) -> None:
    folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    place = ["folder", "--root", "mine", "--steps", "3", "--workers", "1"]
    assert main(["data", "prepare", *place]) == 0
    sentence = "stray events, far from all others, are left out of 2 of 12 recordings, as events/"
    assert f"note: {sentence}" in capsys.readouterr().out
    command = ["train", "folder/baseline", "--tier", "smoke", "data.root=mine"]
    assert main([*command, "data.sensor=[24, 32]"]) == 2
    assert "b.npy has 1 of 400 events beyond the sensor" in capsys.readouterr().err
    assert main(command) == 0
    assert sentence in capsys.readouterr().out  # from the cache: the frames are those of `data prepare`
    assert len([path for path in (tmp_path / "cache").glob("folder-*/about.json") if ".partial" not in str(path)]) == 1
    (record,) = read_records([tmp_path / "runs"])
    assert record["data"]["remarks"][0].startswith(sentence)
