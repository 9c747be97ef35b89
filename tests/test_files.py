"""Files that are whole or not there."""

import os

import pytest

from braincog_tmkt.errors import TrainingError
from braincog_tmkt.files import write_whole


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_left_alone(tmp_path, make):
    make(tmp_path / "special")
    with pytest.raises(TrainingError, match=r"special cannot be written \(it is not a regular file\)"):
        write_whole(tmp_path / "special", b"new")
    assert [(path.name, path.is_file()) for path in tmp_path.iterdir()] == [("special", False)]
