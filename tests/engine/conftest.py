import pytest

from .toys import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The frames that all started processes share."""
    return tmp_path_factory.mktemp("cache")
