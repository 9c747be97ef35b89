"""TKS against the numbers of its public code (Brain-Cog-Lab/TKS @52401db)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from braincog_tmkt.errors import RecipeError
from braincog_tmkt.losses import build_loss

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "tks.npz")


@pytest.mark.parametrize("case", ["steps/K1", "steps/K3", "steps/K4", "mid/K3", "all_wrong/K3"])
@pytest.mark.parametrize("detach", [False, True])
def test_it_is_the_loss_of_the_public_code(case, detach):
    name, _, temperature = case.partition("/K")
    logits, label = (
        torch.from_numpy(GOLDEN[f"{name}/logits"]).requires_grad_(),
        torch.from_numpy(GOLDEN[f"{name}/label"]),
    )
    loss = build_loss({"name": "tks", "alpha": 0.7, "temperature": float(temperature), "detach": detach})
    parts = loss(logits, label, 0.5)
    first, second = GOLDEN[f"{case}/L1"].item(), GOLDEN[f"{case}/L2"].item()
    assert parts["classification"].item() == pytest.approx(first, rel=1e-5)
    assert parts["sharing"].item() == pytest.approx(second, rel=1e-5)
    assert parts["loss"].item() == pytest.approx(0.65 * first + 0.35 * second, rel=1e-5)  # epoch 300 of 600
    assert loss(logits, label, 0.0)["loss"].item() == pytest.approx(first, rel=1e-5)
    parts["sharing"].backward()
    expected = torch.from_numpy(GOLDEN[f"{case}/{'teacher_detached' if detach else 'published'}/grad_L2"])
    assert (logits.grad - expected).norm() <= 2e-4 * expected.norm()


def test_settings_out_of_range_are_refused():
    for settings in ({"alpha": 1.5}, {"temperature": 0.0}):
        with pytest.raises(RecipeError, match="alpha must be from 0 to 1"):
            build_loss({"name": "tks", **settings})
