"""Which process this is, as torchrun says."""

from __future__ import annotations

from surgseg.launch import Launch, launched


def test_torchrun_says_rank_and_count():
    assert launched({}) == Launch(0, 0, 1, False)
    assert launched({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}) == Launch(3, 1, 4, True)
