import random

import pytest
import torch

from mtl_seg_depth.system import tensors
from mtl_seg_depth.system.errors import UserError


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save({"weights": torch.arange(100.0), "step": 3}, path)
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Expects that a file of these bytes is refused by name."""

    def refused(content):
        path = tmp_path / "file.pt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"file\.pt is damaged or no file of tensors \(.+\)"):
            tensors.read(path)

    return refused


def test_a_file_cut_off_anywhere_is_refused(whole, refused):
    for length in range(0, len(whole), 37):
        refused(whole[:length])


@pytest.mark.parametrize(
    "content", [b"some text", b"\x80", b"\0" * 300, b"ustar" * 200, b"PK\x03\x04 no zip"], ids=repr
)
def test_any_other_file_is_refused(refused, content):
    refused(content)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_bytes_are_refused_or_do_no_harm(whole, tmp_path):
    chance, path = random.Random(0), tmp_path / "file.pt"
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            tensors.read(path)  # some bytes are padding
        except UserError as error:
            assert "file.pt is damaged" in str(error)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.pt"):
        tensors.read(tmp_path / "none.pt")
