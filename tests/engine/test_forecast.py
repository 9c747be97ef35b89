"""A training step that cannot fit into the memory is refused before frames are made."""

from pathlib import Path

import pytest
import torch

from braincog_tmkt.cli import main
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.launch import forecast
from braincog_tmkt.launch.forecast import need_training_memory
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import find_recipe

FABRIC = make_fabric()


def needed(monkeypatch: pytest.MonkeyPatch, name: str, *overrides: str) -> float:
    """Bytes that a recipe is said to need where there is next to nothing."""
    said: list[int] = []
    monkeypatch.setattr(forecast, "memory_bytes", lambda: 1)
    monkeypatch.setattr(forecast, "bytes_in_words", lambda number: said.append(number) or str(number))
    with pytest.raises(RecipeError, match="for one training step"):
        need_training_memory(load_recipe(find_recipe(name), [*overrides]), FABRIC)
    return said[0]


@pytest.mark.skipif(FABRIC.device.type != "cpu", reason="what layers keep differs on a GPU")
def test_the_forecast_follows_every_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "MOST", 10**9)
    plain = needed(monkeypatch, "digits/tmkt", "data.steps=3", "train.batch=4")
    for change, factor in (("data.steps=6", 2), ("train.batch=12", 3), ("data.size=56", 4)):
        more = needed(monkeypatch, "digits/tmkt", *{"data.steps=3", "train.batch=4"} - {change}, change)
        assert more / plain == pytest.approx(factor, rel=0.25)


@pytest.mark.skipif(FABRIC.device.type != "cpu", reason="what layers keep differs on a GPU")
@pytest.mark.parametrize(("execution", "factor"), [("step", 1), ("multi_step", 4)])
def test_a_batch_in_portions_keeps_those_of_one_step(
    execution: str, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("train.batch=4", f"model.execution={execution}")
    kept = []
    for steps in (2, 8):
        frames = 4 * steps * 2 * 32 * 32 * 4
        kept.append(needed(monkeypatch, "digits/sltt", *given, f"data.steps={steps}") - frames)
    assert kept[1] / kept[0] == pytest.approx(factor, rel=0.02)


def test_small_steps_are_not_tried_and_others_are_refused_by_name(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(find_recipe("digits/tmkt"))
    tried: list[object] = []
    monkeypatch.setattr(forecast, "_kept", lambda *given: tried.append(given) or 10**9)
    monkeypatch.setattr(forecast, "memory_bytes", lambda: 10**11)
    need_training_memory(recipe, FABRIC)
    assert not tried
    monkeypatch.setattr(forecast, "memory_bytes", lambda: 10**9)
    assert main(["train", "digits/tmkt", "--tier", "smoke", "data.steps=10", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "data.steps=10 and data.size=28 with train.batch=16 and model.width=1.0 need at least 40 GB" in error
    assert "1 GB of memory" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["digits/hsd", "digits/baseline", "ncaltech101/kd"])
def test_every_kind_of_method_can_be_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert needed(monkeypatch, name, "model.width=0.125") > 0
    assert torch.is_grad_enabled()
