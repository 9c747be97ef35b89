"""The papers' numbers against the papers' own texts, and the recipes they name against those that exist."""

import re

import pytest
import timm
import torchvision

from braincog_tmkt.bridge import brain_cog_module
from braincog_tmkt.engine.task import build_method
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.models.parts import node_class
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import known_recipes
from braincog_tmkt.results.paper import PaperRow, find_table, paper_tables, read_tables

TMKT, HSD = "000_fcea3fd324d25212.txt", "003_5d5a5f6b91815058.txt"


def text_of(shared, name):
    return re.sub(r"(?<=\d) (?=\d\.)|(?<=\.) ?(\d) (?=\d)", r"\1", (shared / "papers" / name).read_text())


@pytest.fixture(scope="module")
def tmkt(shared):
    """The lines of TMKT's tables, as cells, with the blemishes of the scan mended."""
    lines = text_of(shared, TMKT).splitlines()
    return [[re.sub(r"[⁻¯]|^- |^_|_$|</?u>", "", cell).strip() for cell in line.split("\t")] for line in lines]


@pytest.mark.data
def test_table_1_is_the_papers(tmkt):
    rows = [row for row in find_table("1").rows if row.accuracy is not None]
    lines = [cells for cells in tmkt if len(cells) >= 4 and re.fullmatch(r"[<u>/\d.]+", cells[-1])]
    numbers = sorted(float(cells[-1].replace("<u>", "").replace("</u>", "")) for cells in lines if cells[-2].isdigit())
    assert sorted(row.accuracy for row in rows) == numbers
    assert len(numbers) == 17


@pytest.mark.data
@pytest.mark.parametrize(("number", "count"), [("2", 10), ("3", 5), ("4", 4)])
def test_the_numbers_of_the_other_tables_are_in_the_paper_in_this_order(shared, number, count):
    text = (shared / "papers" / TMKT).read_text()
    start = {"2": "Network\tTSM", "3": "Network\tDataset\tMixup ratio", "4": "Network\tMixup strategy"}[number]
    part = text[text.index(start) :]
    part = part[: part.index(f"Table {number}:")]
    found = [float(value) for value in re.findall(r"\b\d\d\.\d\d\b", part)]
    assert [row.accuracy for row in find_table(number).rows] == found
    assert len(found) == count


@pytest.mark.data
@pytest.mark.parametrize(("number", "count"), [("hsd1", 8), ("hsd2", 9)])
def test_the_numbers_of_hsd_are_in_the_paper_in_this_order(shared, number, count):
    text = (shared / "papers" / HSD).read_text()
    start = {"hsd1": "Method Type Method Venue", "hsd2": "Method Model Time Steps"}[number]
    lines = text[text.index(start) :].splitlines()[1:]
    rows = find_table(number).rows
    found = [line for line in lines if re.search(r"\d\d\.\d+$", line)][:count]
    assert [f"{row.accuracy:g}" for row in rows] == [f"{float(line.split()[-1]):g}" for line in found]
    for row, line in zip(rows, found, strict=True):
        assert row.architecture.replace(" ", "") in line.replace(" ", "")
        assert str(row.steps) in line.split()


@pytest.mark.data
def test_the_contradictions_are_kept_as_data(shared):
    others = {
        (row.dataset, row.method): [o["accuracy"] for o in row.others] for row in find_table("1").rows if row.others
    }
    assert others[("ncaltech101", "Knowledge-Transfer")][0] == 93.45
    assert others[("nomniglot", "Knowledge-Transfer")] == [60.69]
    assert others[("cepdvs", "CKD")] == [40.20]
    text = (shared / "papers" / TMKT).read_text()
    assert "60.69" in text
    assert "40.20" not in text  # TMKT leaves it out


def test_every_recipe_that_a_table_names_exists():
    named = {row.recipe_name() for table in paper_tables().values() for row in table.rows if row.recipe}
    assert named <= known_recipes().keys()
    assert len(named) == 54


@pytest.mark.parametrize("number", ["1", "2", "3", "4", "hsd1", "hsd2", "hsd-figure1"])
def test_every_row_has_a_recipe(number):
    assert all(row.recipe for row in find_table(number).rows)


def millions(net):
    return sum(one.numel() for one in net.parameters() if one.requires_grad) / 1e6


def test_the_numbers_of_parameters_are_those_of_the_networks_of_the_recipes():
    counted = {}
    for row in (row for number in ("hsd1", "hsd2") for row in find_table(number).rows):
        recipe = load_recipe(known_recipes()[row.recipe_name()])
        network = recipe.model["name"], recipe.data.name
        if network not in counted:
            counted[network] = millions(build_method(recipe, 10, 0).backbone)
        assert row.computed == pytest.approx(counted[network], abs=0.01), row.method
    # BrainCog's own networks of these names.
    brain_cog_module("model_zoo.vgg_snn")  # registers them
    theirs = {"node_type": node_class("LIFNode"), "layer_by_layer": True, "threshold": 0.5, "encode_type": "direct"}
    for name, dataset, count in (
        ("VGG_SNN", "dvsc10", 9.27),
        ("resnet18", "dvsc10", 11.17),
        ("resnet19", "cifar10", 12.70),
    ):
        built = millions(timm.create_model(name, num_classes=10, step=4, dataset=dataset, **theirs))
        assert built == pytest.approx(count, abs=0.01)
    # What the footnotes say of other networks.
    imagenet = {"VGG-11": torchvision.models.vgg11, "ResNet-18": torchvision.models.resnet18}
    for row in find_table("hsd2").rows:
        if row.architecture in imagenet:
            whole = sum(one.numel() for one in imagenet[row.architecture]().parameters()) / 1e6
            assert row.parameters == pytest.approx(whole, abs=0.05)
            assert "ImageNet" in " ".join(row.notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("tables: 3", "source is missing"),
        ("source: x\ntables: {'9': {title: t, rows: [{colour: red}]}}", r"tables\.9\.rows\[0\]"),
        ("a: [", "line 2, column 1"),
        ("", "it must be a section"),
        ("\ufdd0\x00", "yaml"),
    ],
)
def test_a_file_that_holds_no_tables_is_left_out_and_named(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments" / "paper"
    folder.mkdir(parents=True)
    before = list(paper_tables())
    (folder / "mine.yaml").write_text(content)
    tables, (why,) = read_tables()
    assert list(tables) == before
    assert re.match(r"\S+mine\.yaml holds no tables: ", why)
    assert re.search(words, why)
    assert "\n" not in why
    if "'9'" in content:
        with pytest.raises(RecipeError, match=re.escape(why)):
            find_table("9")
    with pytest.raises(RecipeError, match=r"there is no table '8'.*mine\.yaml holds no tables"):
        find_table("8")
    assert find_table("2").title == "Parts of TMKT"


def test_a_damaged_table_does_not_fall_back_to_the_papers_of_its_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "paper").mkdir(parents=True)
    (tmp_path / "experiments/paper/mine.yaml").write_text("source: x\ntables: {1: {title: t, rows: [{colour: red}]}}")
    assert "1" not in paper_tables()
    with pytest.raises(RecipeError, match=r"mine\.yaml holds no tables"):
        find_table("1")


def test_a_users_own_table_stands_beside_the_papers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "paper").mkdir(parents=True)
    row = "{dataset: digits, method: m, architecture: SCNN, steps: 6, accuracy: 70, recipe: tmkt}"
    (tmp_path / "experiments/paper/mine.yaml").write_text(
        f"source: me\ntables: {{mine: {{title: t, rows: [{row}]}}}}\n"
    )
    assert find_table("mine").rows == (PaperRow("digits", "m", "SCNN", 6, accuracy=70, recipe="tmkt"),)
    with pytest.raises(RecipeError, match="no table 'mina': did you mean 'mine'"):
        find_table("mina")
