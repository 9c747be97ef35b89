"""`tmkt eval --norms`: statistics of batch norms, estimated again from the training recordings."""

import re

import pytest
import torch

from braincog_tmkt.cli import main
from braincog_tmkt.engine import checkpoint
from braincog_tmkt.errors import RecipeError
from braincog_tmkt.inspect.export import export_run
from braincog_tmkt.inspect.norms import batches, estimate, evaluate_rule, with_rule
from braincog_tmkt.inspect.reload import load_run
from braincog_tmkt.launch.plan import plan, train

VGG = ("model.name=tmkt_vggsnn", "model.act_fun=QGateGrad", "model.width=0.05", "train.epochs=12", "optim.lr=0.01")


@pytest.fixture
def trained(recipes, tmp_path):
    """The folder of a short run."""

    def make(*overrides):
        (cell,) = plan(recipes[:1], [*VGG, *overrides], seeds=[1])
        train([cell], tmp_path / "runs")
        return cell.folder(tmp_path / "runs")

    return make


def spoil(folder):
    """Make running statistics of both checkpoints that leave no accuracy."""
    for name in ("last.pt", "best.pt"):
        state = checkpoint.load(folder / "checkpoints" / name)
        for key, value in state["method"].items():
            if "running_" in key or "step_" in key:
                value.add_(1e4)
        checkpoint.save(folder / "checkpoints" / name, state)


@pytest.mark.parametrize("norm", ["step", "step_own"])
def test_spoilt_statistics_are_made_good(trained, capsys, norm):
    folder = trained(f"model.norm={norm}", "model.momentum=0.5")  # 36 steps are few for 0.1 and a move a step
    good = {rule: evaluate_rule(load_run(folder), rule).accuracy for rule in ("one", "own")}
    assert good["own"] > 0.6  # of three classes
    spoil(folder)
    assert main(["eval", str(folder), "data.root=elsewhere"]) == 1
    assert "the record has" in capsys.readouterr().out
    for rule, expected in good.items():
        assert main(["eval", str(folder), "--norms", rule, "data.root=elsewhere"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in said] == ["last.pt", "best.pt"]
        assert float(re.search(r"([\d.]+)% of 6 test recordings", said[0])[1]) == pytest.approx(
            100 * expected, abs=0.01
        )
        assert "estimated again from 15 training recordings" in said[0]


@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        ((), True),
        (("model.name=braincog_tmkt.models.vggsnn.TwoStreamVGGSNN",), True),
        (("model.norm=shared",), False),
        (("model.norm=step_own",), False),
    ],
)
def test_after_a_training_with_one_running_set_the_command_is_offered_and_works(recipes, capsys, settings, offered):
    assert main(["train", str(recipes[0]), *VGG, "train.epochs=1", *settings, "--seeds", "1"]) == 0
    advice = capsys.readouterr().out.partition("Next:")[2].splitlines()
    found = [line.partition("#")[0].split()[1:] for line in advice if "--norms" in line]
    assert len(found) == offered
    for argv in found:
        assert main(argv) == 0
        assert "estimated again" in capsys.readouterr().out


def test_own_statistics_are_those_that_each_step_has_over_the_training_recordings(trained):
    run = load_run(trained("model.norm=step"))
    own = with_rule(run, "own")
    estimate(own)
    network, first = own.method.backbone, own.method.backbone.norms[0]
    events = torch.cat([own.task.pairs.events(rows)[0] for rows in batches(own)])
    assert len(events) == 15
    with torch.no_grad():
        currents = network.feature[0].conv(events.flatten(0, 1)).unflatten(0, (15, -1))
    torch.testing.assert_close(first.step_mean, currents.mean((0, 3, 4)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.step_var, currents.transpose(0, 2).flatten(2).var(2).T, rtol=0.02, atol=1e-3)


def test_the_batches_have_all_training_recordings_and_mix_the_classes(trained):
    pairs, parts = (run := load_run(trained("model.norm=step", "train.batch=5"))).task.pairs, batches(run)
    assert sorted(torch.cat(parts).tolist()) == sorted(pairs.rows("train").tolist())
    assert all(len(pairs.events(rows)[1].unique()) > 1 for rows in parts)
    assert [rows.tolist() for rows in batches(run)] == [rows.tolist() for rows in parts]


def test_a_network_of_the_one_norm_is_one_of_the_other(trained):
    run = load_run(trained("model.norm=step_own"))
    one = with_rule(run, "one")
    state = run.method.state_dict()
    assert {key: value.tolist() for key, value in one.method.state_dict().items()} == {
        key: value.tolist() for key, value in state.items() if "step_" not in key
    }
    assert with_rule(one, "one") is one
    again = with_rule(one, "own").method.backbone.norms[0]
    assert torch.equal(again.step_mean, again.running_mean.expand_as(again.step_mean))


def test_a_checkpoint_is_estimated_from_the_recordings_it_was_trained_on(trained, tmp_path, capsys):
    folder = trained("model.norm=step")
    file = export_run(folder, tmp_path / "out")
    capsys.readouterr()
    assert main(["eval", str(file), "--norms", "own", "data.root=elsewhere"]) == 0
    assert "estimated again from 15 training recordings" in capsys.readouterr().out


def test_what_has_no_statistics_of_single_steps_is_refused(trained, recipes, tmp_path, capsys):
    shared = trained("model.norm=shared")
    assert evaluate_rule(load_run(shared), "one").count == 6
    with pytest.raises(RecipeError, match=r"over all time steps together in training, too.*--norms one"):
        evaluate_rule(load_run(shared), "own")
    with pytest.raises(RecipeError, match="no batch norms of this package"):
        evaluate_rule(load_run(trained("model.name=tmkt_scnn", "model.act_fun=BackEIGateGrad")), "own")
    assert main(["eval", str(shared), "--norms", "one", "--steps", "1"]) == 2
    assert "give one of them" in capsys.readouterr().err
