"""The peak of a process's memory, watched anew."""

import numpy as np
import pytest
import torch

from surgseg.training.memory import PROCESS, peak_memory, reset_peak

CPU = torch.device("cpu")


def test_the_peak_is_that_since_the_watch_began():
    if not reset_peak(CPU):
        pytest.skip("this system keeps no peak that can be begun anew")
    before = peak_memory(CPU)["mb"]
    np.ones(40_000_000 // 8).sum()  # 40 MB, given back at once
    after = peak_memory(CPU)
    assert 35 < after["mb"] - before < 60 and after["of"] == PROCESS
    assert reset_peak(CPU) and peak_memory(CPU)["mb"] < after["mb"] - 30


def test_a_device_without_a_peak_is_not_watched():
    assert not reset_peak(torch.device("mps"))
