"""Which process this is, as torchrun says."""

from __future__ import annotations

import pytest
import torch

import surgseg.devices
from surgseg.console import resolve_device
from surgseg.files import UserError
from surgseg.launch import Launch, launched


def test_torchrun_says_rank_and_count():
    assert launched({}) == Launch(0, 0, 1, False)
    assert launched({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}) == Launch(3, 1, 4, True)


def test_each_process_of_torchrun_takes_its_own_gpu(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(surgseg.devices, "missing_code", lambda device: "")
    assert resolve_device("auto") == torch.device("cuda") and current == []
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert resolve_device("auto") == torch.device("cuda", 1) and current == [1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="more processes than GPUs"):
        resolve_device("cuda")
