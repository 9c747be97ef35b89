"""What `tmkt data check` shows of a user's own recordings, and the settings that say how to read them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from braincog_tmkt.cli import main
from braincog_tmkt.data import commands
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.readers import READERS, read_events
from braincog_tmkt.data.readers.atis import write_atis
from braincog_tmkt.data.sets import DATASETS, build_dataset
from braincog_tmkt.data.sheet import OFF, ON, choose, coloured
from braincog_tmkt.data.survey import look_at
from braincog_tmkt.data.turn import TURNS, turned
from braincog_tmkt.data.types import EVENT_DTYPE, FrameSpec, Item
from braincog_tmkt.errors import DataError, RecipeError

from .trees import picture, recording
from .writers import write_expelliarmus


def mixed(root: Path, images: bool = True) -> Path:
    """Three `.bin` recordings and two `.npy`, in two classes."""
    for number, name in enumerate(("cat/a.bin", "cat/b.npy", "dog/a.bin", "dog/b.npy", "dog/c.bin")):
        path = root / "events" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        events = recording(number, 60, 50)
        write_atis(path, events) if path.suffix == ".bin" else np.save(path, events)
        if images:
            image = root / "static" / Path(name).with_suffix(".png")
            image.parent.mkdir(parents=True, exist_ok=True)
            picture(number, 20, 24, 3).save(image)
    return root


def rows_of(printed: str) -> dict[str, list[str]]:
    """First word of each row of the table -> its cells."""
    lines = [line.split("  ") for line in printed.splitlines() if "  " in line]
    return {cells[0].split(" ")[0]: [cell.strip() for cell in cells if cell.strip()] for cells in lines}


def test_each_format_has_a_row_with_what_it_contains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mixed(tmp_path / "mine")
    assert main(["data", "check", "folder", "--root", str(root)]) == 0
    rows = rows_of(capsys.readouterr().out)
    every = [recording(number, 60, 50) for number in range(5)]
    for first, members in (("ATIS", [0, 2, 4]), ("NumPy", [1, 3])):
        some = [every[number] for number in members]
        cells = rows[first]
        assert cells[1:4] == [str(len(members)), str(len(members)), "400"]
        width, height = (max(int(events[axis].max()) for events in some) + 1 for axis in "xy")
        assert cells[4:6] == [str(width), str(height)]
        assert cells[-1] == f"{np.mean([events['p'].mean() for events in some]):.0%}"
    look = look_at(dataset := build_dataset("folder", root), dataset.index().recordings[0])
    assert look.seconds == pytest.approx((every[0]["t"][-1] - every[0]["t"][0]) / 1e6)


def test_files_limits_what_is_read_of_each_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mixed(tmp_path)
    (root / "events/dog/a.bin").write_bytes(b"shorts")  # the second of three: neither the first nor the last
    assert main(["data", "check", "folder", "--root", str(root), "--files", "2"]) == 0
    assert rows_of(capsys.readouterr().out)["ATIS"][1:3] == ["3", "2"]
    assert main(["data", "check", "folder", "--root", str(root), "--files", "all"]) == 1
    out = capsys.readouterr().out
    assert rows_of(out)["ATIS"][1:3] == ["3", "2"]
    assert out.count(f"{root / 'events/dog/a.bin'} ") == 1


def test_after_a_download_no_more_is_read_than_by_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build_dataset("folder", mixed(tmp_path))
    seen: list[int | None] = []
    monkeypatch.setattr(type(dataset), "download", lambda self: None)
    monkeypatch.setattr(commands, "print_survey", lambda dataset, index, most: seen.append(most) or True)
    commands.download(dataset)
    assert seen == [commands.FILES]


def test_a_thousandfold_duration_and_a_lone_polarity_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = mixed(tmp_path)
    for path in root.rglob("*.npy"):
        events = np.load(path)
        events["t"] = 1000 * events["t"] + 7
        events["p"] = True
        np.save(path, events)
    main(["data", "check", "folder", "--root", str(root)])
    out = capsys.readouterr().out
    assert "is the unit of time right in both? data.time_unit says it" in out
    assert "one polarity" in out
    for path in root.rglob("*.npy"):  # no setting says the unit of these two
        events = read_events(path)
        path.unlink()
        write_expelliarmus(path.with_suffix(".dat"), events, "dat")
    main(["data", "check", "folder", "--root", str(root)])
    assert "unit of time" not in capsys.readouterr().out


@pytest.mark.parametrize("images", [True, False])
def test_the_sheet_is_drawn_with_and_without_images(
    tmp_path: Path, images: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root, sheet = mixed(tmp_path / "mine", images), tmp_path / "new" / "sheet.png"
    assert main(["data", "check", "folder", "--root", str(root), "--figure", str(sheet)]) == 0
    with Image.open(sheet) as drawn:
        pixels = np.asarray(drawn.convert("RGB"), dtype=int)
    red = (pixels[..., 0] > pixels[..., 2] + 100).sum()
    blue = (pixels[..., 2] > pixels[..., 0] + 80).sum()
    assert min(red, blue) > 100
    assert main(["data", "check", "folder", "--root", str(root), "--figure", str(sheet.with_suffix(".pgn"))]) != 0
    assert "sheet.pgn has a suffix that no picture has: take .png" in capsys.readouterr().err
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


def test_a_sheet_shows_every_format_and_several_classes() -> None:
    items = tuple(
        Item(f"{name}/{number}{suffix}", name, Path(f"{number}{suffix}"))
        for name in "abc"
        for suffix in (".bin", ".npy")
        for number in range(9)
    )
    chosen = choose(items, 6)
    assert {(item.class_name, item.file.suffix) for item in chosen} == {(c, s) for c in "abc" for s in (".bin", ".npy")}
    every = tuple(Item(f"a/{suffix}", "a", Path(f"1{suffix}")) for suffix in READERS)
    assert choose(every * 2, 6) == list(every)


def test_colours_tell_the_polarities_apart() -> None:
    frame = np.zeros((2, 1, 3), dtype=np.float32)
    frame[0, 0, 0], frame[1, 0, 1] = 9, 9
    off, on, nothing = coloured(frame)[0]
    np.testing.assert_allclose([off, on], [OFF, ON], atol=0.2)
    np.testing.assert_array_equal(nothing, 1)


ROTATE = {("transpose", "flip_x"): -1, ("transpose", "flip_y"): 1, ("flip_x", "flip_y"): 2}


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1), st.lists(st.sampled_from(TURNS)))
def test_turning_is_what_numpy_does_to_a_picture(places: set[tuple[int, int]], turn: list[str]) -> None:
    events = np.array([(0, x, y, True) for y, x in sorted(places)], dtype=EVENT_DTYPE)
    shown = np.zeros((5, 7))
    shown[tuple(np.array(sorted(places)).T)] = 1
    for word in turn:
        shown = {"transpose": shown.T, "flip_x": shown[:, ::-1], "flip_y": shown[::-1]}[word]
    after = turned(events, turn, (7, 5))
    found = np.zeros_like(shown)
    found[after["y"], after["x"]] = 1
    np.testing.assert_array_equal(found, shown)


@pytest.mark.parametrize(("turn", "quarters"), ROTATE.items())
def test_quarter_turns_are_as_documented(turn: tuple[str, ...], quarters: int) -> None:
    events = np.array([(0, 6, 1, True)], dtype=EVENT_DTYPE)
    shown = np.zeros((5, 7))
    shown[1, 6] = 1
    after = turned(events, turn, (7, 5))
    assert np.rot90(shown, quarters)[after["y"][0], after["x"][0]] == 1


@pytest.mark.parametrize("sensor", [None, [50, 60]])
def test_a_turned_folder_has_turned_frames(tmp_path: Path, sensor: list[int] | None) -> None:
    root = mixed(tmp_path)
    known = {} if sensor is None else {"sensor": sensor}
    spec = FrameSpec(2, 64, "number", antialias=True)
    plain, upright = build_dataset("folder", root, **known), build_dataset("folder", root, turn=["transpose"], **known)
    for item in plain.index().recordings:
        first, second = plain.frames(item, spec), upright.frames(item, spec)
        np.testing.assert_allclose(first.swapaxes(2, 3), second, atol=1e-4)
        assert not np.allclose(first, second)


def test_settings_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    for own, words in (
        ({"turn": ["left"]}, "data.turn has 'left'"),
        ({"time_unit": "min"}, "one of s, ms, us, ns"),
        ({"camera": "dvs1"}, "one of dvs128"),
        ({"columns": {"time": 0}}, "letters t, x, y, p"),
        ({"columns": {"t": 0.5}}, "letters t, x, y, p"),
        ({"set": "ASLDVS"}, "data.name=tonic"),
    ):
        with pytest.raises(RecipeError, match=words):
            build_dataset("folder", tmp_path, **own)
    for name in set(DATASETS) - {"folder", "moving", "still", "tonic"}:
        with pytest.raises(RecipeError, match=r"leave out data\.group"):
            build_dataset(name, tmp_path, group="events")


def test_a_setting_that_no_format_takes_is_refused(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    build_dataset("folder", root, time_unit="us").index()  # .npy takes it, .bin needs none
    with pytest.raises(DataError, match=r"data\.camera says nothing about \.bin \.npy.* it is for \.aedat \.aedat2$"):
        build_dataset("folder", root, camera="dvs128").index()


def test_formats_have_settings_of_their_own(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    own = {"turn": ["flip_x"], "formats": {"npy": {"turn": ["transpose"]}, ".bin": {"turn": []}}}
    plain, told = build_dataset("folder", root), build_dataset("folder", root, **own)
    for item in told.index().recordings:
        turn = ["transpose"] if item.file.suffix == ".npy" else []
        events = plain.events(item)
        np.testing.assert_array_equal(told.events(item), turned(events, turn, (1, 1)) if turn else events)


def test_formats_are_checked(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    for formats, words in (
        ({"np": {}}, "no format 'np': did you mean 'np[yz]'"),
        ({"bin": {"time_unit": "s"}}, "bin takes turn, .*not 'time_unit'"),
        ({"npy": "ms"}, "npy takes columns, time_unit, turn, .*not 'ms'"),
        ({"npy": {"time_unit": "h"}}, "one of s, ms, us, ns"),
        ({"npy": {"time_unit": ["ms"]}}, "one of s, ms, us, ns"),
        ({"npy": {"columns": ["t", "x", "y", "p"]}}, r"data\.columns is \['t', 'x', 'y', 'p'\], but must be as"),
        ({"npz": {"group": 1}}, r"data\.group is 1, but must be a text"),
        ({"npy": {"turn": "transpose"}}, r"data\.turn is 'transpose', but must be a list"),
        ({"npy": {"turn": None}}, r"data\.turn is None, but must be a list"),
        ({"npy": {"turn": ["transpose"]}}, "all formats are transposed or none"),
    ):
        with pytest.raises(RecipeError, match=words):
            build_dataset("folder", root, sensor=[50, 60], formats=formats)
    with pytest.raises(DataError, match=r"data\.formats has csv, but .* are \.bin \.npy: leave it out"):
        build_dataset("folder", root, formats={"csv": {"time_unit": "ms"}}).index()
    assert main(["data", "check", "folder", "--root", str(root), "data.formats={npy: {time_unit: us}}"]) == 0


def test_settings_belong_to_the_key_of_the_cache(tmp_path: Path) -> None:
    root = mixed(tmp_path / "mine")
    for own in ({}, {"turn": ["flip_x"]}, {"turn": ["flip_y"]}, {"time_unit": "us"}):
        dataset = build_dataset("folder", root, **own)
        prepare(dataset, dataset.index(), FrameSpec(2, 8), tmp_path / "cache", progress=False)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 4


def test_the_data_commands_take_keys_of_the_section_data_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", "digits", "train.epochs=1"]) == 2
    assert "takes keys of the section data" in capsys.readouterr().err
    assert main(["data", "prepare", "folder", "--root", str(mixed(tmp_path / "mine")), "--cache", str(tmp_path / "c"),
                 "data.steps=3", "data.size=[8, 9]"]) == 0  # fmt: skip
    assert "(5, 3, 2, 8, 9)" in capsys.readouterr().out
    prepared = [main(["data", "prepare", "folder", "--root", str(tmp_path / "mine"), "--cache", str(tmp_path / "a"),
                      "--steps", "2", "--size", "8", *how])
                for how in ([], ["data.antialias=true"], ["data.antialias=false"], ["--no-antialias"])]  # fmt: skip
    assert prepared == [0, 0, 0, 0]
    assert len([path for path in (tmp_path / "a").iterdir() if path.is_dir()]) == 2  # a folder averages by default
    capsys.readouterr()
    assert main(["data", "audit", "digits", "data.train_portion=0.5"]) == 0
    assert "270 training, 30 validation and 300 test recordings" in capsys.readouterr().out


def test_files_of_another_format_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{name: recording(1, 60, 50)[name] for name in "txyp"})
    for suffix in set(READERS) - {".npz"}:
        path = tmp_path / f"a{suffix}"
        path.write_bytes((tmp_path / "a.npz").read_bytes())
        with pytest.raises(DataError, match=r"is not a .* file but a zip archive: give it the suffix \.npz"):
            read_events(path, None)
    (tmp_path / "b.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match="git lfs pull"):
        read_events(tmp_path / "b.bin")
