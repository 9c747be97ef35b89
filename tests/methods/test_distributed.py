"""Two gloo processes on halves of a batch give the loss and the gradients of one process on the whole batch."""

import os
import warnings

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from braincog_tmkt.losses import cka
from braincog_tmkt.methods import METHODS
from tests.children import together
from tests.methods.toys import make_backbone, make_batch

CASES = [
    ("tmkt", "tmkt_vggsnn", {"mix_ratio": 0.4}),
    ("tmkt", "tmkt_scnn", {"mix_ratio": 0.4}),
    ("knowledge_transfer", "tmkt_resnet18", {}),
    ("r2etl", "r2etl_vggsnn", {"feature": "mmd"}),
]


def train_step(case, start, rows, wrap=lambda method: method):
    method_name, net_name, arguments = case
    net = make_backbone(net_name, width=0.125)
    torch.manual_seed(3)
    method = METHODS.build(method_name, net, **arguments)
    batch = make_batch(rows=rows, total=8, start=start, size=net.img_size)
    wrapped = wrap(method)  # DDP must live until the backward pass is over
    parts = wrapped(batch, 0.5)
    parts["loss"].backward()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return parts["loss"].detach(), gradients, dict(method.named_buffers())


def worker(rank, folder):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = []
    for case in CASES:
        loss, gradients, buffers = train_step(
            case, 4 * rank, 4, lambda method: DistributedDataParallel(method, find_unused_parameters=True)
        )
        dist.all_reduce(loss)
        results.append((loss / 2, gradients, buffers))
    if rank == 0:
        torch.save(results, f"{folder}/results.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_follow_the_objective_of_one(tmp_path):
    assert together(worker, str(tmp_path)) == [0, 0]
    for case, (loss, gradients, buffers) in zip(CASES, torch.load(tmp_path / "results.pt"), strict=True):
        expected_loss, expected_gradients, expected_buffers = train_step(case, 0, 8)
        torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-6)
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in gradients.items():
            expected = expected_gradients[name]
            assert (gradient - expected).norm() <= 1e-3 * expected.norm() + 1e-7, (case, name)
        for name, value in buffers.items():
            torch.testing.assert_close(value, expected_buffers[name], rtol=1e-4, atol=1e-6, msg=name)


def test_cka_of_parts_is_another_objective():
    """Why the losses gather: the mean of the ranks' own CKA is not the CKA of the batch."""
    net = make_backbone("tmkt_scnn")
    batch = make_batch(rows=8)
    mixed, events = net.streams(batch.static, batch.events)
    whole = cka(mixed.aligned, events.aligned)
    halves = [cka(mixed.aligned[:, part], events.aligned[:, part]) for part in (slice(0, 4), slice(4, 8))]
    assert (torch.stack(halves).mean(0) - whole).abs().max() > 0.02
