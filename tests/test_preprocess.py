"""One resize and one normalisation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models import IMAGENET_MEAN as MEAN
from models import IMAGENET_STD as STD
from surgseg.preprocess import normalise, resize_frames, resize_masks, upsample


def noise(*shape, high=256):
    return torch.from_numpy(np.random.default_rng(0).integers(0, high, shape, dtype=np.uint8))


@pytest.mark.parametrize("size", [(20, 31), (90, 70), (40, 60)])
def test_uint8_and_float_resize_agree_within_one_level(size):
    frames = noise(2, 3, 53, 77)
    exact = F.interpolate(frames.float(), size=size, mode="bilinear", antialias=True)
    resized = resize_frames(frames, size)
    assert resized.dtype == torch.uint8 and resized.shape == (2, 3, *size)
    assert (resized.float() - exact).abs().max() <= 1


def test_a_device_without_the_kernel_resizes_on_the_cpu(monkeypatch):
    frames, interpolate = noise(1, 3, 20, 30), F.interpolate

    class OnMps(torch.Tensor):
        """Frames that say that they are on MPS."""

        device = torch.device("mps")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    def lacking(values, **options):
        if values.dtype == torch.float32:
            raise NotImplementedError("aten::_upsample_bilinear2d_aa.out is not implemented for the MPS device")
        return interpolate(values, **options)

    returned_to = []
    monkeypatch.setattr(F, "interpolate", lacking)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: returned_to.append(device) or tensor)
    resized = resize_frames(frames.as_subclass(OnMps), (10, 15))
    assert returned_to == [torch.device("mps")]
    monkeypatch.undo()
    assert torch.equal(resized, resize_frames(frames, (10, 15)))


def test_halving_averages_more_than_two_neighbours():
    """Antialiasing: a one-pixel line in a frame shrunk fourfold keeps a quarter of its brightness."""
    frames = torch.zeros(1, 3, 16, 64, dtype=torch.uint8)
    frames[..., 33] = 200
    small = resize_frames(frames, (4, 16)).float()
    assert small.sum(-1).sub(50).abs().max() <= 2


def test_frames_of_the_right_size_are_left_alone():
    frames, masks = noise(1, 3, 9, 11), noise(1, 9, 11)
    assert resize_frames(frames, (9, 11)) is frames
    assert resize_masks(masks, (9, 11)) is masks


def test_masks_take_the_nearest_pixel_and_no_new_ids():
    mask = torch.tensor([[[0, 1, 2, 255], [0, 1, 2, 255]]], dtype=torch.uint8)
    assert resize_masks(mask, (4, 8))[0, 0].tolist() == [0, 0, 1, 1, 2, 2, 255, 255]
    wide = torch.tensor([[[10, 11, 12, 13, 14, 15]]], dtype=torch.uint8)
    assert resize_masks(wide, (1, 2)).tolist() == [[[11, 14]]]  # the centre of each three


def test_normalise_removes_mean_and_deviation_per_channel():
    frames = torch.tensor([255, 0, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(1 - MEAN[0]) / STD[0], (0 - MEAN[1]) / STD[1], (0.2 - MEAN[2]) / STD[2]]
    assert normalise(frames, MEAN, STD).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert frames.flatten().tolist() == [255, 0, 51]


def test_normalise_takes_floats_as_0_to_1():
    frames = noise(2, 3, 4, 5)
    torch.testing.assert_close(normalise(frames.float() / 255, MEAN, STD), normalise(frames, MEAN, STD))


def test_upsampled_probabilities_stay_probabilities():
    probability = torch.rand(1, 3, 5, 7).softmax(1)
    large = upsample(probability, (13, 29))
    assert large.shape == (1, 3, 13, 29)
    torch.testing.assert_close(large.sum(1), torch.ones(1, 13, 29))
    assert upsample(probability, (5, 7)) is probability
