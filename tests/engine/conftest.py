import pytest
import yaml

from braincog_tmkt.data.sets import DATASETS

from .moving import Moving
from .toys import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The frames that all started processes share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "moving", Moving)
    common = {
        "data": {"name": "moving", "steps": 3, "size": 28, "train_portion": 0.75, "cache": str(tmp_path / "cache")},
        "model": {"name": "tmkt_scnn", "act_fun": "BackEIGateGrad", "width": 0.2},
        "optim": {"lr": 2e-3, "lr_scale_base": None, "warmup_epochs": 0},
        "train": {"epochs": 2, "batch": 4, "seeds": [1, 2]},
    }
    files = []
    for name in ("baseline", "knowledge_transfer"):
        path = tmp_path / "moving" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({**common, "method": {"name": name}}))
        files.append(str(path))
    return files
