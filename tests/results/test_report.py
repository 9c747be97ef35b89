"""The page, read back with an HTML parser, against numbers worked out from the records with numpy."""

import copy
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import t as student

from braincog_tmkt.errors import RecipeError, TrainingError
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import find_recipe
from braincog_tmkt.results.identity import OTHER_COLOURS
from braincog_tmkt.results.report import write_report
from tests.made_records import hsd, tet

VOID = {"meta", "link", "img", "br"}
SHARES = {
    "ncaltech101/knowledge_transfer": {1: 0.9012, 2: 0.9101, 3: 0.9187},
    "ncaltech101/tmkt": {1: 0.9304, 2: 0.9391, 3: 0.9505},
    "ncaltech101/tsm": {1: 0.9111},
}


def record(name, seed, share, kind="real", leaky=False, val=True):
    found = tet(2, seed, [share / 2, share])
    about = {"set": name.split("/")[0], "kind": kind, "leaky": leaky, "split": "5b" * 32, "complete": True}
    sizes = {"train": 1000, "val": 90, "test": 870, "pool": 1000}
    audit = {**sizes, "test_with_twin_in_pool": 101 * leaky, "val_with_twin_in_pool": 0, "in_two_parts": 0}
    test = {"accuracy": share, "loss": 1.0}
    return found | {
        "name": name,
        "recipe": load_recipe(find_recipe(name)).as_dict(),
        "recipe_hash": name,
        "data": found["data"] | about | sizes,
        "audit": {**audit, "leaks": leaky},
        "best_val": found["last"] if val else None,
        "firing_rates": {"a": 0.1, "b": 0.2},
        "synaptic_operations": 123456.0,
        "parameters": 4321,
        "history": [{"epoch": e, "train": {"loss": loss}, "test": test} for e, loss in enumerate((2.5, 1.25))],
        "seconds": 12.5,
        "peak_memory": {"host_mib": 99.5},
    }


class Page(HTMLParser):
    """Elements in order, and the text of each table's cells by row."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.tables, self.words = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" in self.open:
            return
        self.words.append(text)
        if "table" in self.open and "sup" not in self.open:
            if "caption" in self.open:
                self.tables[-1]["caption"] += text
            elif {"td", "th"} & set(self.open):
                self.tables[-1]["rows"][-1][-1] += text

    def rows(self, words):
        (table,) = [table for table in self.tables if words in table["caption"]]
        return {row[0].strip(): [" ".join(cell.split()) for cell in row] for row in table["rows"]}


def write(records, folder, **settings):
    return write_report(records, folder / "page.html", **settings).read_text(encoding="utf-8")


def numbers(text):
    return [float(word) for word in re.findall(r"[+-]?\d+\.\d+", text.replace("\N{MINUS SIGN}", "-"))]


def records():
    return [record(name, seed, share) for name, shares in SHARES.items() for seed, share in shares.items()]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write(records(), tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def paired_by_hand(one, other):
    seeds = sorted(one.keys() & other.keys())
    differences = np.array([100 * (one[seed] - other[seed]) for seed in seeds])
    reach = student.ppf(0.975, len(seeds) - 1) * differences.std(ddof=1) / len(seeds) ** 0.5
    # all 27 resamples of 3 seeds are equally likely: the bootstrap without its randomness
    means = [np.mean([a, b, c]) for a in differences for b in differences for c in differences]
    return differences.mean(), np.percentile(means, [2.5, 97.5], method="inverted_cdf"), differences.mean() - reach


def test_table_1_holds_the_records_numbers(page):
    (table, *_) = [table for table in page.tables if "arXiv 2509.12959" in table["caption"]]
    row = next(row for row in table["rows"] if row[0].strip() == "TMKT" and "±" in row[4])
    ours = 100 * np.array(list(SHARES["ncaltech101/tmkt"].values()))
    assert numbers(row[3]) == [97.93]
    assert numbers(row[4]) == pytest.approx([ours.mean(), ours.std(ddof=1)], abs=0.00501)
    assert "(3)" in row[4]
    assert numbers(row[5]) == pytest.approx([ours.mean() - 97.93], abs=0.00501)
    mean, ends, t_low = paired_by_hand(SHARES["ncaltech101/tmkt"], SHARES["ncaltech101/knowledge_transfer"])
    assert numbers(row[6]) == pytest.approx([mean, *ends], abs=0.00501)
    assert t_low > 0  # so the verdict is not open
    assert row[7].split()[-1] == "higher"


def test_orderings_are_counted(page):
    row = page.rows("Orderings of table 1")["TMKT > Knowledge-Transfer"]
    mean, ends, _ = paired_by_hand(SHARES["ncaltech101/tmkt"], SHARES["ncaltech101/knowledge_transfer"])
    assert numbers(row[2]) == [4.75]
    assert numbers(row[3]) == pytest.approx([mean, *ends], abs=0.00501)
    assert "Orderings of measured rows in the paper: 1; here 1 held, 0 reversed, 0 open" in " ".join(page.words)


def test_every_seed_every_step_and_every_loss_is_on_the_page(page):
    steps = [row for table in page.tables if "by time step" in table["caption"] for row in table["rows"][1:]]
    losses = [row for table in page.tables if "Training loss" in table["caption"] for row in table["rows"][1:]]
    for name, shares in SHARES.items():
        for seed, share in shares.items():
            assert [name, f"seed {seed}", f"{50 * share:.2f}", f"{100 * share:.2f}"] in steps
            assert [name, f"seed {seed}", "2.50", "1.25"] in losses
    cost = page.rows("Cost of a run")["ncaltech101/tmkt"]
    assert cost[1:] == ["3", "12.5", "99.5 host", "4,321", "123,456", "15.00"]
    assert page.rows("Splits, and what")["ncaltech101"][3:7] == ["1,000", "90", "870", "1,000"]


def test_the_page_is_well_made_and_stands_alone(text, page):
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == tags.count("main") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tags.count("caption") == tags.count("table") == len([t for t in page.tables if t["caption"].strip()])
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    assert all(
        attributes.get("aria-label") and attributes["role"] == "img"
        for tag, attributes in page.elements
        if tag == "svg"
    )
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for _, attributes in page.elements if "href" in attributes} - {"data:,"}
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert all(found in ids for found in re.findall(r"url\(#([^)]+)\)", text))
    assert "script" not in tags
    assert "http" not in text


def test_contrast_of_the_colours(text):
    for block in re.findall(r":root \{([^}]*--link[^}]*)\}", text):
        colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]+)", block))
        for words in ("ink", "quiet", "link", "good", "bad"):
            assert contrast(colours[words], colours["paper"]) >= 4.5, words
        assert contrast(colours["ink"], colours["warn-paper"]) >= 4.5
    (paper, *_) = re.findall(r"--paper: #([0-9a-f]+)", text)
    for colour in (*OTHER_COLOURS, *re.findall(r"--c: (#[0-9a-f]+)", text)):
        assert contrast(colour.removeprefix("#"), paper) >= 3, colour


def contrast(one, other):
    def light(colour):
        colour = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        shares = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_one_leaky_simulated_run_without_validation_and_with_an_odd_name(tmp_path):
    odd = record("digits/tmkt", 7, 0.625, kind="simulated", leaky=True, val=False)
    odd["name"] = "digits/<b>&\"$x^2$'"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "class_map.png").write_bytes(b"\x89PNG")
    (tmp_path / "figures" / "class_map.csv").write_text("run,loss\none,0.25\n")
    text = write([odd], tmp_path, pictures=tmp_path / "figures")
    page = Page(text)
    assert "<b>&" not in text
    assert page.rows("Runs by recipe")[odd["name"]][2] == "62.50 (1)"
    warnings = " ".join(word for word in page.words)
    assert "the split leaks" in warnings
    assert "The recordings are simulated: all runs." in warnings
    assert "101 of 960 held-out recordings have their own image" in warnings
    assert [a["alt"] for tag, a in page.elements if tag == "img"] == ["Picture class map"]
    assert page.rows("Picture class map: the numbers")["one"][1] == "0.25"
    with pytest.raises(RecipeError, match="best_val"):
        write([odd], tmp_path, select="best_val")
    assert "selected on the test set" in write([odd], tmp_path, select="best_test")


def test_runs_that_differ_within_a_recipe_leave_a_table_out_but_not_the_page(tmp_path):
    one, other = records()[:2]
    other = copy.deepcopy(other)
    other["recipe"]["train"]["epochs"] = 1
    other["recipe_hash"] = "another"
    page = Page(write([one, other], tmp_path))
    assert f"Table 1 is left out: runs of {one['name']} differ in train.epochs" in " ".join(page.words)
    assert {row[0] for row in next(t for t in page.tables if "Runs by recipe" in t["caption"])["rows"][1:]} == {
        one["name"]
    }


def test_a_run_with_two_references_says_why_it_is_compared_with_none(tmp_path):
    def named(name, accuracy, **method):
        one = tet(2, 1, [0.5, accuracy])
        one["name"] = f"mine/{name}"
        one["recipe"]["method"] |= {"name": name, **method}
        return one | {"recipe_hash": f"{name}{method}"}

    runs = [named("baseline", 0.6), named("baseline", 0.8, mse_weight=0.05), named("tmkt", 0.7)]
    rows = Page(write(runs, tmp_path)).rows("Runs by recipe")
    assert rows["mine/tmkt"][3].startswith("not compared: mine/baseline: mse_weight=")
    assert Page(write(runs[1:], tmp_path)).rows("Runs by recipe")["mine/tmkt"][3][1:].startswith("10.00")


def test_stages_and_remarks_are_shown_where_records_have_them(tmp_path, page):
    assert not [table for table in page.tables if "after each stage" in table["caption"]]
    ann, converted, distilled = [0.6, 0.7, 0.8], [0.3, 0.4], [0.61, 0.65]
    runs = [hsd(2, seed, ann, converted, distilled, remarks=["The weight is 0.5."]) for seed in (1, 2)]
    for number in (0, 1):
        runs[1]["stages"]["distil"]["last"]["accuracy_by_step"][number] += 0.02
    runs[1]["stages"]["distil"]["last"]["accuracy"] += 0.02
    runs[1]["last"] = runs[1]["stages"]["distil"]["last"]
    page = Page(write([*runs, *records()], tmp_path))
    (table,) = [table for table in page.tables if "after each stage" in table["caption"]]
    rows = {row[1]: row[2:] for row in table["rows"][1:]}
    assert table["rows"][0][3:6] == ["T 1", "T 2", "T 3"]
    assert rows["ANN"] == ["80.00 ± 0.00 (2)", "60.00", "70.00", "80.00", "0.500", "2.0", "1 of 2 taken over"]
    assert rows["converted"][:4] == ["40.00 ± 0.00 (2)", "30.00", "40.00", ""]
    assert rows["distilled"][:4] == ["66.00 ± 1.41 (2)", "62.00", "66.00", ""]
    assert page.rows("What the methods say")["nmnist/hsd"][1] == "The weight is 0.5."
    steps = [row for table in page.tables if "by time step" in table["caption"] for row in table["rows"]]
    assert ["nmnist/hsd, ANN", "seed 1", "60.00", "70.00", "80.00"] in steps
    tests = [
        row
        for table in page.tables
        if table["caption"].startswith("Test accuracy (%) by epoch")
        for row in table["rows"]
    ]
    assert ["nmnist/hsd, distilled", "seed 1", "61.00", "65.00"] in tests
    assert not any("converted" in row[0] for row in tests)


def test_what_cannot_be_shown_is_one_sentence_and_leaves_the_old_page(tmp_path):
    one = records()[0]
    (tmp_path / "page.html").write_text("old")
    for wrong, settings, words in (
        ([], {}, "no records"),
        ([one], {"select": "best"}, "select must be"),
        ([one], {"against": "tmktt"}, "row 'tmktt'"),
        ([one], {"on": "elsewhere"}, "elsewhere"),
        ([one], {"pictures": tmp_path}, "no pictures"),
    ):
        with pytest.raises(RecipeError, match=words):
            write(wrong, tmp_path, **settings)
    assert (tmp_path / "page.html").read_text() == "old"
    with pytest.raises(TrainingError, match=r"page\.html.*cannot be written.*another folder"):
        write_report([one], tmp_path / "page.html" / "page.html")


def test_an_unknown_reference_is_refused_where_no_table_of_a_paper_is_shown(tmp_path):
    runs = [tet(2, 1, [0.5, 0.6]) | {"name": "mine/tet"}]
    with pytest.raises(RecipeError, match="no record is of a recipe 'tte' to compare with: did you mean 'tet'"):
        write(runs, tmp_path, against="tte")
