"""A batch in portions: what the loop sees of them, a stop between two steps, and two processes."""

import os
import signal
import warnings
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from braincog_tmkt.data.batch import BatchRNG
from braincog_tmkt.engine.devices import make_fabric
from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.engine.step import Trainer
from braincog_tmkt.methods import METHODS
from braincog_tmkt.methods.sltt import SLTT
from braincog_tmkt.models import build_backbone
from braincog_tmkt.models.sltt import LIF
from braincog_tmkt.recipe import OptimConfig, Recipe
from tests.children import together
from tests.models.test_sltt import case_of

from .toys import SIZE, STEPS, equal, make_recipe

OPTIM = OptimConfig(name="momentum", lr=0.1, lr_scale_base=None, weight_decay=0.0, warmup_epochs=0)


class Watched(SLTT):
    """SLTT-K with dropout on the toys' frames; tells what it is asked for."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        settings = {**LIF, "plan": "4-AP-4", "execution": "step", "dropout": 0.3}
        super().__init__(build_backbone("sltt_vgg11", 3, STEPS, SIZE, **settings), k=2)
        self.asked, self.losses = [], []
        self.before = lambda call: None

    def forward(self, batch, progress, portion=None):
        self.asked.append(portion)
        self.before(len(self.asked))
        parts = super().forward(batch, progress, portion)
        self.losses.append(parts["loss"].item())
        return {**parts, "twice": 2 * parts["loss"]}


def test_the_loop_sees_sums_and_a_stopped_run_goes_on_to_the_same_weights(bench):
    bench.make = lambda recipe, seed: Watched(seed)
    bench.recipe = make_recipe(epochs=2)
    record = bench.fit()
    weights, asked, losses = bench.weights(), bench.method.asked, bench.method.losses
    assert asked == [0, 1] * 10  # 5 steps in each of 2 epochs
    for number, entry in enumerate(record["history"]):
        mean = sum(losses[10 * number : 10 * number + 10]) / 5
        assert entry["train"] == pytest.approx({"loss": mean, "twice": 2 * mean}, rel=1e-5)
    for call in (7, 14):  # in the first and in the second portion of a step
        stop = lambda n, call=call: os.kill(os.getpid(), signal.SIGTERM) if n == call else None  # noqa: E731
        with pytest.raises(Stopped):
            bench.fit(prepare=lambda method, stop=stop: setattr(method, "before", stop), folder=str(call))
        assert len(bench.method.asked) == call + call % 2  # the step is finished
        bench.fit(resume=True, folder=str(call))
        assert equal(weights, bench.weights())


def step_of(start, rows, fabric):
    """Loss, weights and statistics after a step of SLTT-K on rows of the published batch."""
    net, _, batch = case_of("resnet18_small", "step")
    net.synchronise_norms()
    share = replace(
        batch,
        **{name: getattr(batch, name)[start : start + rows] for name in ("static", "events", "label", "target")},
        rng=BatchRNG(0, start, rows, 4),
    )
    method, parts = METHODS.build("sltt", net, k=2), {}
    assert method.steps_with_loss(share) == [0, 1]  # the last step runs behind the last backward pass
    Trainer(method, Recipe(name="r", optim=OPTIM), fabric).step(share, 0.5, parts.update)
    return parts["loss"], method.state_dict()


def worker(rank, folder):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    fabric = make_fabric()
    fabric.launch()
    loss, state = step_of(2 * rank, 2, fabric)
    dist.all_reduce(loss)
    torch.save((loss / 2, state), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_take_the_step_of_one(tmp_path):
    assert together(worker, str(tmp_path)) == [0, 0]
    expected_loss, expected = step_of(0, 4, make_fabric())
    before = case_of("resnet18_small", "step")[0].state_dict()
    for rank in range(2):
        loss, state = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(loss, expected_loss)
        moved = 0
        for name, value in expected.items():
            change = value.double() - before[name.removeprefix("backbone.")].double()
            moved += bool(change.norm() > 1e-5)
            off = (state[name].double() - value.double()).norm()
            assert off <= 1e-3 * change.norm() + 1e-6, name
        assert moved > 90
