"""Inference on a CUDA device: the host never waits while a batch is sent, and the masks are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import build_model
from surgseg.checkpoint import Checkpoint
from surgseg.labels import SCHEMES
from surgseg.predict import Predictor
from tests.helpers import noise_frame

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def predictor(device, scheme="binary", **options):
    torch.manual_seed(0)
    model = build_model("unet", SCHEMES[scheme].num_classes, base_channels=4)
    checkpoint = Checkpoint(model, "unet", {"base_channels": 4}, SCHEMES[scheme], (64, 96), threshold=0.5)
    return Predictor(checkpoint, torch.device(device), keep_probability=True, **options)


@pytest.mark.parametrize("scheme", ["binary", "grasper-hook"])
def test_sending_a_batch_never_waits_for_the_device(scheme):
    gpu = predictor("cuda", scheme)
    frames = [noise_frame(seed, (120, 160)) for seed in range(4)]
    gpu.submit(frames).result()  # constants and buffers are made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        pending = [gpu.submit(frames) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    results = [item.result() for item in pending]
    for result in results[1:]:
        np.testing.assert_array_equal(result.ids, results[0].ids)


def test_masks_and_measures_are_those_of_the_cpu():
    frames = np.stack([noise_frame(seed, (120, 160)) for seed in range(5)])
    gpu, cpu = predictor("cuda").predict(frames), predictor("cpu").predict(frames)
    assert (np.abs(gpu.probability.astype(int) - cpu.probability) <= 8).mean() > 0.99  # of 255, bf16
    np.testing.assert_allclose(gpu.measures[1:], cpu.measures[1:], atol=0.02)


def test_a_repeated_batch_is_repeated_exactly():
    frames = [noise_frame(seed, (120, 160)) for seed in range(3)]
    first, second = (predictor("cuda").submit(frames).result() for _ in range(2))
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.measures, second.measures)
