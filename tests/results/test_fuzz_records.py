"""Real records with something changed at random: every verb that reads records answers with a sentence at most."""

import copy
import json
import random
import warnings

import pytest

from braincog_tmkt.cli import main
from braincog_tmkt.results.pack import as_line
from braincog_tmkt.results.store import read_records
from tests.made_records import STUDIES

REAL = [
    *random.Random(0).sample(read_records([STUDIES / "nmnist"]), 3),
    *random.Random(0).sample(read_records([STUDIES / "hsd"]), 7),
    *random.Random(0).sample(read_records([STUDIES / "leakage"]), 2),
]
ALIKE = [  # of the same test recordings, tested after several epochs: `figure epochs` can draw them
    record
    for record in read_records([STUDIES / "hsd"])
    if record["name"] in ("nmnist/hsd", "nmnist/kd") and record["data"]["split"].startswith("a3a532")
]
VERBS = (
    ["table", "PLACE"],
    ["table", "PLACE", "--select", "best_val", "--format", "tex"],
    ["table", "1", "PLACE", "--on", "nmnist"],
    ["table", "hsd2", "PLACE", "--select", "best_test", "--format", "json"],
    ["figure", "timesteps", "PLACE", "--out", "OUT"],
    ["figure", "epochs", "PLACE", "--out", "OUT"],
    ["report", "PLACE", "--out", "OUT/page.html"],
)
WORDS = ("", "x", "10", "名前", "[x", "$\\alpha_$", "% & # _ {", "n" * 300, "nmnist/tmkt", "hsd")
VALUES = (
    *(None, True, False, 0, 1, -1, 7, 10**9, 10**18, 10**400, 0.5, 50.0, -0.0, 1e99, 1e300, float("nan"), float("inf")),
    *("last", "a\nb", "\ud800", "../x", *WORDS),
    *([], [0.5], [[]], ["a"], {}, {"a": 1}, {"name": "tmkt"}, [None] * 3),
)
STEPS = "steps,accuracy,loss,firing_rate,synaptic_operations\n1,0.5,1.5,0.02,100\n2,0.75,1.25,0.03,200.5\n"


def places(value, here=()):
    """All places in a value, as the keys that lead there; of long lists the first and the last item."""
    if here:
        yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:60]:
        if not (isinstance(value, list) and 1 < key < len(value) - 1):
            yield from places(item, (*here, key))


def change(record, draw, mild):
    """Something else at a random place: another value, nothing, a neighbour's; mildly: what may pass for right."""
    *way, key = draw.choice(list(places(record)))
    section = record
    for step in way:
        section = section[step]
    old = section[key]
    kind = 5 if mild else draw.randrange(6)
    if kind == 0:
        del section[key]
    elif kind == 1 and isinstance(section, dict):
        section[draw.choice(list(section))] = old
    elif kind == 2 and isinstance(section, dict):
        section[draw.choice(["x", "", "名前", "a\nb", "*", key.upper()])] = section.pop(key)
    elif kind < 5:
        section[key] = draw.choice(VALUES)
    elif isinstance(old, list) and len(old) > 1:
        section[key] = old[: draw.randrange(1, len(old))]
    elif isinstance(old, str):
        section[key] = draw.choice(WORDS)
    elif isinstance(old, int | float) and not isinstance(old, bool):
        section[key] = draw.choice([0, 1, 10**9, *((0.5, 1e99) if isinstance(old, float) else (7, 2))])
    elif isinstance(old, dict) and draw.random() < 0.3:
        section[key] = {}


def damaged(text, draw):
    """The file itself, cut or with a wrong byte."""
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw.random() < 0.5:
        return bytes(content[: draw.randrange(len(content))])
    content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def fill(folder, draw):
    """One to four records in a folder, one of them at least with something wrong in it."""
    folder.mkdir()
    mild = draw.random() < 0.7
    for number, real in enumerate(draw.sample(draw.choice([REAL, ALIKE]), draw.randint(1, 4))):
        record = copy.deepcopy(real)
        record["history"] = [entry for entry in record["history"] if "test" in entry][-4:]
        kept = draw.random() < 0.4
        record = as_line(record) if kept else record
        for _ in range(draw.randint(not number, 3)):
            change(record, draw, mild)
        text = json.dumps(record)
        content = damaged(text, draw) if draw.random() < 0.06 and not mild else text.encode("utf-8", "surrogatepass")
        (folder / f"r{number}.json{'l' * kept}").write_bytes(content)
        if draw.random() < 0.2:
            steps = damaged(STEPS, draw) if draw.random() < 0.7 and not mild else STEPS.encode()
            (folder / f"r{number}.steps.csv").write_bytes(steps)


def try_verbs(start, count, each, tmp_path, capsys):
    """Some verbs on each of `count` folders; how often they ended well."""
    well = dict.fromkeys(map(" ".join, VERBS), 0)
    for seed in range(start, start + count):
        folder = tmp_path / str(seed)
        draw = random.Random(seed)
        fill(folder, draw)
        for verb in draw.sample(VERBS, each):
            words = {"PLACE": str(folder), "OUT": str(tmp_path / "out"), "OUT/page.html": str(tmp_path / "page.html")}
            argv = [words.get(word, word) for word in verb]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    status = main(argv)
            except BaseException as error:
                raise AssertionError(f"seed {seed}: tmkt {' '.join(verb)}: {error!r}") from error
            out, err = capsys.readouterr()
            assert status in (0, 1, 2), (seed, verb)
            assert status != 2 or (err.startswith("error: ") and err.count("\n") == 1), (seed, verb, err)
            assert not {"nan", "inf"} & set(out.lower().replace("|", " ").split()), (seed, verb, out)
            well[" ".join(verb)] += status == 0
    return well


def test_no_record_file_ends_in_a_traceback(tmp_path, capsys):
    well = try_verbs(0, 5, 3, tmp_path, capsys)
    assert sum(well.values()) > 2, well  # some get through to the tables


@pytest.mark.slow
def test_no_record_file_ends_in_a_traceback_however_many(tmp_path, capsys):
    well = try_verbs(1000, 400, len(VERBS), tmp_path, capsys)
    assert min(well.values()) > 10, well
