"""Dspike's search through the engine: a run that was stopped ends as one that was not."""

import itertools

import pytest
import torch

from braincog_tmkt.engine.signals import Stopped
from braincog_tmkt.inspect.reevaluate import re_evaluate
from braincog_tmkt.methods import dspike
from braincog_tmkt.methods.dspike import DspikeTraining
from braincog_tmkt.results.store import read_record

from .command import weights
from .test_hsd_runs import run
from .toys import equal

OF = [
    *("model.act_fun=Dspike", "model.temperature=3.0", "model.threshold=0.05", "train.epochs=3"),
    "method={name: dspike, searches: 3, search_weights: 4, search_epsilon: 0.1}",
]


def test_a_run_stopped_after_a_search_ends_with_the_same_weights(recipes, tmp_path, monkeypatch):
    """The temperature rises at every search, since the second one tried is called the best."""
    likes = itertools.cycle([torch.tensor(like) for like in (0.0, 1.0, 0.5)])
    monkeypatch.setattr(dspike, "cosine_similarity", lambda *_, **__: next(likes))
    whole = run(recipes, tmp_path / "whole", of=OF)
    record = read_record(whole)
    searched = [entry["train"]["temperature"] for entry in record["history"]]
    assert searched == pytest.approx([3.2, 3.4, 3.6])  # of the three epochs
    forward, seen = DspikeTraining.forward, []

    def stops(self, batch, progress):
        seen.append(progress)
        if len(seen) == 6:
            raise Stopped("stopped by a test", 15)
        return forward(self, batch, progress)

    with monkeypatch.context() as patched:
        patched.setattr(DspikeTraining, "forward", stops)
        with pytest.raises(Stopped):
            run(recipes, tmp_path / "parts", of=OF)
    parts = run(recipes, tmp_path / "parts", of=OF, resume=True)
    assert equal(weights(whole), weights(parts))
    assert weights(whole)["backbone.node1.act_fun.temperature"].item() == pytest.approx(searched[-1])
    assert [entry["train"] for entry in read_record(parts)["history"]] == [
        entry["train"] for entry in record["history"]
    ]
    assert re_evaluate(parts) is True
