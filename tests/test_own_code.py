"""A user's own code is part of a run: an edit makes another run, and a run keeps what it was trained with."""

import json
import os
import py_compile
import re
import shutil
import sys
from pathlib import Path
from zlib import crc32

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from braincog_tmkt.cli import main
from braincog_tmkt.data.cache import prepare
from braincog_tmkt.data.sets import DATASETS
from braincog_tmkt.data.types import FrameSpec
from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.own_code import digests, find_code, import_own, load_code, pack, read_copy
from braincog_tmkt.recipe import load_recipe, recipe_hash
from tests.children import run

METHOD = """
import os, signal
from braincog_tmkt.losses import tet
from braincog_tmkt.methods import METHODS, Method
from own_helpers import scale

@METHODS.register("own")
class Own(Method):
    needs_static = False

    def forward(self, batch, progress):
        if progress >= float(os.environ.get("STOP_AT", 2)):
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": scale(tet(self.predict(batch.events), batch.target))}
"""
NODE = "from braincog_tmkt.bridge import node_classes\n\nclass Calm(node_classes()['LIFNode']):\n    pass\n"
RECIPE = {
    "imports": ["own_method"],
    "data": {"name": "digits", "steps": 2, "size": 28, "train_per_class": 4, "val_portion": 0.0},
    "model": {"name": "tmkt_scnn", "act_fun": "BackEIGateGrad", "width": 0.2, "node_type": "own_nodes.calm.Calm"},
    "method": {"name": "own"},
    "optim": {"lr": 1e-3, "lr_scale_base": None, "warmup_epochs": 0},
    "train": {"epochs": 2, "batch": 16, "seeds": [0], "threads": 1},
}


@pytest.fixture
def place(tmp_path):
    """A folder `lab` with a recipe, and beside it a method with a helper, and a package with a node."""
    lab = tmp_path / "lab"
    (lab / "own_nodes").mkdir(parents=True)
    (lab / "own.yaml").write_text(yaml.safe_dump(RECIPE))
    (lab / "own_method.py").write_text(METHOD)
    (lab / "own_helpers.py").write_text("def scale(loss):\n    return 1.0 * loss\n")
    (lab / "own_nodes" / "__init__.py").touch()
    (lab / "own_nodes" / "calm.py").write_text(NODE)
    return tmp_path


def command(place, *words, **environment):
    """What `tmkt` prints, and how it ends."""
    done = run(main, list(words), cwd=place, env={**os.environ, **environment})
    assert "Traceback" not in done.stderr, done.stderr
    return done


def trained(place):
    return {file.parent for file in place.glob("runs/lab/own/*/seed0/record.json")}


def edit(file, old, new):
    """Replace words, and keep the time of the file."""
    before, text = file.stat(), file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_edit_makes_another_run_and_the_first_one_still_evaluates(place):
    lab, train = place / "lab", ("train", "lab/own.yaml")
    assert command(place, *train).returncode == 0
    (first,) = trained(place)
    code = json.loads((first / "record.json").read_text())["recipe"]["code"]
    assert set(code) == {"own_method.py", "own_helpers.py", "own_nodes/__init__.py", "own_nodes/calm.py"}
    (lab / "own_method.py").write_bytes(METHOD.replace("\n", "\r\n").encode())
    os.utime(lab / "own_helpers.py", (1, 1))
    assert "finished already" in command(place, *train).stdout
    edit(lab / "own_helpers.py", "1.0", "2.0")
    said = command(place, *train).stdout
    assert f"own_helpers.py changed since {first.relative_to(place)} was trained, so this is a new run" in said
    (second,) = trained(place) - {first}
    losses = [json.loads((each / "record.json").read_text())["history"][0]["train"]["loss"] for each in (first, second)]
    assert losses[1] > 1.5 * losses[0]
    edit(lab / "own_helpers.py", "2.0", "1.0")
    assert "finished already" in command(place, *train).stdout
    edit(lab / "own_helpers.py", "1.0", "3.0")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(lab / "own_helpers.py", elsewhere)  # not the one of the run
    assert command(elsewhere, "eval", str(first)).stdout.count("as recorded") == 2
    shutil.rmtree(lab)
    assert command(elsewhere, "eval", str(second)).stdout.count("as recorded") == 2
    assert command(elsewhere, "figure", "confusion", str(first)).returncode == 0
    both = command(elsewhere, "figure", "confusion", str(first), str(second))
    assert "which this process has imported under the same name" in both.stderr
    assert "finished already" in command(place, "train", str(first / "recipe.yaml")).stdout
    shutil.copy(second / "code.zip", first)
    for words in (("eval", str(first)), ("train", str(first / "recipe.yaml"))):
        refused = command(elsewhere, *words)
        assert "not the code that the run was trained with (own_helpers.py)" in refused.stderr
        assert refused.returncode == 2


def test_a_stopped_run_goes_on_with_its_own_code_alone(place):
    resume = ("train", "lab/own.yaml", "--resume")
    assert command(place, *resume, STOP_AT="0.6").returncode == 143
    (stopped,) = (place / "runs").rglob("seed0")
    edit(place / "lab" / "own_nodes" / "calm.py", "pass", "rate = 2")
    said = command(place, *resume).stdout
    assert f"own_nodes/calm.py changed since {stopped.relative_to(place)} was begun, so this is a new run" in said
    assert "going on" not in said
    assert stopped not in trained(place)
    shutil.rmtree(place / "lab")
    again = re.search(r"to go on with that one: tmkt (.*)", said)[1].split()
    assert "going on at epoch 2" in command(place, *again).stdout
    assert stopped in trained(place)


@pytest.mark.slow
def test_runs_side_by_side_find_the_code(place):
    assert command(place, "train", "lab/own.yaml", "--jobs", "2", "--seeds", "0", "1").returncode == 0
    assert len(trained(place)) == 1
    serial = command(place, "train", "lab/own.yaml", "--runs", "others")
    (one,), (other,) = (place.glob(f"{runs}/lab/own/*/seed0/log.csv") for runs in ("runs", "others"))
    assert serial.returncode == 0
    assert [line.split(",")[:5] for line in one.read_text().split()] == [
        line.split(",")[:5] for line in other.read_text().split()
    ]


BROKEN = [
    ("import torch\nx = = 1\n", "{file}, line 2: SyntaxError: invalid syntax"),
    ("\n\nimport no_such_module\n", "{file}, line 3: ModuleNotFoundError: No module named 'no_such_module'"),
    ("def f():\n    raise ValueError('too\\nbad')\nf()\n", "{file}, line 2: ValueError: too bad"),
]
MISSING = ("imports=[{name}]", None, "and beside the recipe: ModuleNotFoundError: No module named '{name}'")


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [*((setting, *each) for setting in ("imports=[{name}]", "method.name={name}.Own") for each in BROKEN), MISSING],
)
def test_code_that_cannot_be_imported_is_named_with_file_and_line(
    place, monkeypatch, capsys, setting, text, words, request
):
    monkeypatch.chdir(place)
    name = f"bad{crc32(request.node.name.encode())}"  # a process imports a module once
    file = place / "lab" / f"{name}.py"
    if text is not None:
        file.write_text(text)
    assert main(["train", "lab/own.yaml", setting.format(name=name), "model.node_type=LIFNode"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: lab/own imports '{name}', which fails in ")
    assert words.format(file=file, name=name) in line
    if text is not None:
        file.write_text("VALUE = 1\n")
        load_code(find_code([name], [file.parent]))
        assert import_own(name).VALUE == 1


def test_code_is_found_here_beside_the_recipe_and_beside_what_it_extends(place, monkeypatch):
    lab, deep = place / "lab", place / "deep" / "er"
    deep.mkdir(parents=True)
    (deep / "child.yaml").write_text("extends: ../../lab/own.yaml\n")
    (lab / "code.zip").touch()  # of something else
    whole = load_recipe(lab / "own.yaml").code
    assert len(whole) == 4
    assert load_recipe(deep / "child.yaml").code == whole
    shutil.copy(lab / "own_method.py", place / "own_method.py")
    monkeypatch.chdir(place)
    assert load_recipe(lab / "own.yaml").code == whole
    assert load_recipe(lab / "own.yaml", ["imports=[]"]).code == {k: whole[k] for k in whole if "nodes" in k}
    edit(place / "own_method.py", "STOP", "HALT")
    with pytest.raises(RecipeError, match=rf"'own_method' is in {place} and {lab}, but own_method.py differs: remove"):
        load_recipe(lab / "own.yaml")
    (lab / "random.py").touch()
    with pytest.raises(RecipeError, match=r"'random' in .*lab has the name of a module of Python's own"):
        load_recipe(lab / "own.yaml", ["imports=[random]"])
    assert load_recipe(lab / "own.yaml", ["imports=[]", "model.node_type=LIFNode"]).code == {}
    assert find_code(["", ".", f"{lab}/own_method", "own_" * 99, "own method", "own\0", "own_method..x"], [lab]) == {}


NAMES = st.sampled_from(["one", "two", "three"])


@given(st.dictionaries(NAMES, st.text("ab\n #=1", max_size=20), min_size=1), st.data())
def test_the_hash_follows_the_text_of_every_file_and_nothing_else(tmp_path_factory, texts, data):
    places = [tmp_path_factory.mktemp("x") for _ in range(2)]

    def hash_of(place, texts):
        shutil.rmtree(place / "pack", ignore_errors=True)
        (place / "pack").mkdir()
        for name, text in {**texts, "__init__": ""}.items():
            (place / "pack" / f"{name}.py").write_bytes(text.encode())
        (place / "a.yaml").write_text(yaml.safe_dump({**RECIPE, "model": {}, "imports": ["pack"], "name": "a"}))
        return recipe_hash(load_recipe(place / "a.yaml"))

    before = hash_of(places[0], texts)
    assert hash_of(places[1], {name: text.replace("\n", "\r\n") for name, text in texts.items()}) == before
    name = data.draw(st.sampled_from(sorted(texts)))
    other = data.draw(st.text("ab\n #=1", max_size=20).filter(lambda text: text != texts[name]))
    assert hash_of(places[0], {**texts, name: other}) != before
    assert hash_of(places[0], {key: text for key, text in texts.items() if key != name}) != before


def test_the_text_that_was_read_is_what_is_imported_once_in_a_process(place):
    file = place / "stale_module.py"
    file.write_text("import types\nVALUE = 1\n")
    py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    edit(file, "1", "2")
    path = list(sys.path)
    load_code(find_code(["stale_module"], [place]))
    assert import_own("stale_module").VALUE == 2
    assert sys.path == path
    edit(file, "2", "3")
    with pytest.raises(RecipeError, match=r"stale_module.py changed since this process imported it"):
        load_code(find_code(["stale_module"], [place]))
    (place / "json.py").touch()
    with pytest.raises(RecipeError, match=r"differs from .*json/__init__.py, which this process has imported"):
        load_code({"json.py": next(iter(find_code(["stale_module"], [place]).values()))})


def test_an_installed_package_counts_by_its_contents_and_is_not_copied(tmp_path, monkeypatch):
    lab = tmp_path / "site-packages" / "tmkt_lab"
    lab.mkdir(parents=True)
    (lab / "__init__.py").touch()
    (lab / "net.py").write_text("import yaml")
    monkeypatch.syspath_prepend(lab.parent)
    code = find_code(["tmkt_lab.net.Net", "torch.nn.Linear"], [tmp_path])
    assert list(code) == ["site-packages/tmkt_lab"]
    (tmp_path / "code.zip").write_bytes(pack(code))
    assert digests(read_copy(tmp_path / "code.zip", digests(code))) == digests(code)
    (lab / "net.py").write_text("import json")
    assert digests(find_code(["tmkt_lab.net"], [])) != digests(code)
    with pytest.raises(TrainingError, match=r"site-packages/tmkt_lab is not the one that the run was trained with"):
        read_copy(tmp_path / "code.zip", digests(code))


DATA = """
import numpy as np
from braincog_tmkt.data.sets import Card, DataSet
from braincog_tmkt.data.types import EVENT_DTYPE, Index, Item

class Dots(DataSet):
    name, sensor = "dots", (32, 32)
    card = Card(source="made here", licence="CC0", tree="no files", counts={"recordings": 80})

    def index(self):
        return Index(("a",), tuple(Item(f"a/{number:02}", "a") for number in range(80)), ())

    def events(self, item):
        recording = np.zeros(COUNT, EVENT_DTYPE)
        recording["t"] = 10 * np.arange(COUNT)
        return recording

    def fingerprint(self, index):
        return "dots, version 1"
"""


def frames_of(count, cache):
    """Write the sum of all frames of a data set of one's own, made in two processes."""
    Path("own_dots.py").write_text(DATA.replace("COUNT", count))
    dataset = DATASETS.build("own_dots.Dots", "data", None)
    frames = prepare(dataset, dataset.index(), FrameSpec(1, 32), cache, workers=2, progress=False)
    Path(f"{count}.txt").write_text(str(frames.events.sum()))


def test_an_edited_data_set_gets_other_frames(tmp_path):
    for count in ("3", "6"):
        done = run(frames_of, count, "cache")
        assert done.returncode == 0, done.stderr
    few, many = (float((tmp_path / f"{count}.txt").read_text()) for count in ("3", "6"))
    assert many > few > 0


READER = """\
import numpy as np
import torch
from braincog_tmkt.data.frames import FRAMES
from braincog_tmkt.data.readers import READERS, Format
from braincog_tmkt.data.types import EVENT_DTYPE

def read(path, sensor, reading):
    events = np.zeros(4, EVENT_DTYPE)
    events["t"], events["x"] = range(4), [0, 1, 2, 3]
    return events

@FRAMES.register("flat")
def flat(view, steps, size):
    return torch.full((steps, 2, *size), VALUE, dtype=torch.float32)

READERS[".mine"] = Format("mine", read)
"""


def frames_of_folder(value, cache):
    """Write the sum of all frames of files in a format of one's own, made in two processes."""
    Path("own_reader.py").write_text(READER.replace("VALUE", value))
    import_own("own_reader")
    dataset = DATASETS.build("folder", "data", None)
    frames = prepare(dataset, dataset.index(), FrameSpec(1, 4, "flat"), cache, workers=2, progress=False)
    Path(f"{value}.txt").write_text(str(frames.events.sum()))


def test_an_edited_reader_or_kind_of_frames_gets_other_frames_in_all_processes(tmp_path):
    for number in range(80):
        file = tmp_path / f"data/events/{'ab'[number % 2]}/{number:02}.mine"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    for value in ("3", "6"):
        done = run(frames_of_folder, value, "cache")
        assert done.returncode == 0, done.stderr
    assert [float((tmp_path / f"{value}.txt").read_text()) for value in ("3", "6")] == [80 * 2 * 16 * n for n in (3, 6)]
