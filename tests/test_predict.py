"""What a predicted mask says of its frame, by hand; classes, thresholds and kept probabilities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from surgseg.checkpoint import Checkpoint
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.predict import Predictor, TorchNetwork, measure
from surgseg.view import View
from tests.films import bright_checkpoint, draw

CPU = torch.device("cpu")
TOOLS = SCHEMES["grasper-hook"]


class Given:
    """A network that answers with given probabilities (K, h, w), the same for every frame."""

    def __init__(self, probability):
        self.probability = torch.tensor(np.array(probability), dtype=torch.float32)

    def __call__(self, frames):
        return self.probability.expand(len(frames), *self.probability.shape)


def predictor(probability, scheme, stored, **options):
    """Frames, model and probabilities have one size: nothing is resized."""
    size = np.shape(probability)[1:]
    loaded = Checkpoint(torch.nn.Identity(), "unet", {}, scheme, size, threshold=stored)
    return Predictor(loaded, CPU, network=Given(probability), **options), np.zeros((1, *size, 3), np.uint8)


def test_frames_are_normalised_as_the_weights_file_says():
    class Seeing(torch.nn.Module):
        def forward(self, inputs):
            self.inputs = inputs
            return inputs[:, :2]

    model = Seeing()
    facts = {"mean": (0.2, 0.4, 0.6), "std": (0.5, 0.25, 0.2)}
    TorchNetwork(Checkpoint(model, "unet", {}, SCHEMES["binary"], (1, 2), **facts), CPU)(
        torch.full((1, 3, 1, 2), 51, dtype=torch.uint8)
    )
    assert model.inputs[0, :, 0, 1].tolist() == pytest.approx([0.0, -0.8, -2.0])


def entropy(p):
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def test_measures_by_hand():
    ids = torch.zeros((2, 4, 5), dtype=torch.uint8)
    ids[0, 0, :3] = 1
    probability = torch.full((2, 4, 5), 0.5)
    probability[0, :2] = 1.0
    probability[1] = 0.2
    found = measure(ids, probability, [1])
    assert found.dtype == torch.float64 and found.shape == (2, 3)
    assert found[0].tolist() == pytest.approx([3 / 20, 0.75, 0.5])
    assert found[1].tolist() == pytest.approx([0.0, 0.8, entropy(0.2)], abs=1e-5)


@pytest.mark.parametrize("typical", [0.0, 7e-6, 0.01, 0.5, 0.97])
def test_a_cpu_measures_nearly_what_each_pixel_says(typical):
    noise = torch.randn((2, 30, 40), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = (typical * (1 + 0.1 * noise)).clamp(1e-12, 1 - 1e-12)
    found = measure((p >= 0.5).to(torch.uint8), p.float(), [1])
    exact = [torch.maximum(p, 1 - p), -(p * p.log2() + (1 - p) * (1 - p).log2())]
    assert torch.equal(found[:, 0], (p >= 0.5).double().mean((1, 2)))
    for values, expected in zip(found[:, 1:].T, exact):
        assert values.tolist() == pytest.approx(expected.mean((1, 2)).tolist(), abs=2e-4)


def test_certain_pixels_have_no_uncertainty():
    probability = torch.tensor([[[0.0, 1.0, 1.0000001, -1e-7]]])  # rounding may leave 0..1
    found = measure(torch.zeros((1, 1, 4), dtype=torch.uint8), probability, [1])
    assert found[0].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)
    assert all(0 <= value <= 1 for value in found[0].tolist())


def test_coverage_joins_all_instrument_classes():
    ids = torch.tensor([[[0, 1, 2, 3]]], dtype=torch.uint8)
    assert measure(ids, torch.zeros((1, 1, 4)), [1, 2])[0, 0] == 0.5


def test_measuring_leaves_its_arguments_alone():
    ids, probability = torch.zeros((1, 2, 2), dtype=torch.uint8), torch.full((1, 2, 2), 0.3)
    measure(ids, probability, [1])
    assert probability.unique().tolist() == pytest.approx([0.3]) and not ids.any()


def test_two_classes_reach_the_threshold_or_not():
    instrument = np.array([[0.0, 0.49, 0.5, 0.51, 1.0]])
    made, frame = predictor([1 - instrument, instrument], SCHEMES["binary"], 0.5, keep_probability=True)
    found = made.predict(frame)
    assert found.ids.tolist() == [[[0, 0, 1, 1, 1]]] and found.ids.dtype == np.uint8
    assert found.probability.tolist() == [[[0, 125, 128, 130, 255]]]  # 124.95, 127.5, 130.05
    assert list(found.measures.of_frame(0)) == pytest.approx(
        [3 / 5, (1 + 0.51 + 0.5 + 0.51 + 1) / 5, (2 * entropy(0.49) + 1) / 5], abs=1e-5
    )


def test_probabilities_are_kept_only_on_demand():
    made, frame = predictor(np.full((2, 1, 4), 0.5), SCHEMES["binary"], 0.5)
    assert made.predict(frame).probability is None


def test_several_classes_take_the_most_probable_one():
    probability = np.array([[[0.4, 0.2, 0.1]], [[0.3, 0.5, 0.2]], [[0.3, 0.3, 0.7]]])
    made, frame = predictor(probability, TOOLS, None, keep_probability=True)
    found = made.predict(frame)
    assert found.ids.tolist() == [[[0, 1, 2]]]
    assert found.probability.tolist() == [[[153, 204, 230]]]  # of the tools together: 0.6, 0.8, 0.9
    assert list(found.measures.of_frame(0)) == pytest.approx(
        [2 / 3, (0.6 + 0.8 + 0.9) / 3, (entropy(0.6) + entropy(0.8) + entropy(0.9)) / 3], abs=1e-5
    )


def test_several_classes_with_a_threshold_ask_for_the_tools_together():
    probability = np.array([[[0.4, 0.2, 0.1]], [[0.3, 0.5, 0.2]], [[0.3, 0.3, 0.7]]])
    made, frame = predictor(probability, TOOLS, None, threshold=0.55)
    assert made.predict(frame).ids.tolist() == [[[1, 1, 2]]]
    made, frame = predictor(probability, TOOLS, None, threshold=0.85)
    assert made.predict(frame).ids.tolist() == [[[0, 0, 2]]]


@pytest.mark.parametrize(("scheme", "stored"), [("binary", 0.5), ("grasper-hook", None)])
def test_outside_the_view_pixels_are_background_with_certainty(scheme, stored):
    """2x2 pixels of probability 0.8 in a frame of 4x5."""
    scheme = SCHEMES[scheme]
    probability = np.zeros((scheme.num_classes, 2, 2))
    probability[0], probability[1] = 0.2, 0.8
    made, _ = predictor(probability, scheme, stored, keep_probability=True)
    frames, view = np.zeros((3, 4, 5, 3), np.uint8), View(2, 2, 1, 2, (4, 5))
    found = made.predict(frames, view)
    marked = np.zeros((3, 4, 5))
    marked[:, 1:3, 2:4] = 1
    assert (found.ids == marked).all() and (found.probability == 204 * marked).all()
    assert found.measures.coverage == pytest.approx([4 / 20] * 3)
    assert found.measures.mean_confidence == pytest.approx([(4 * 0.8 + 16) / 20] * 3, abs=1e-4)
    assert found.measures.uncertainty == pytest.approx([4 * entropy(0.8) / 20] * 3, abs=1e-4)
    whole = made.probabilities(frames, view)
    assert whole.shape == (3, scheme.num_classes, 4, 5) and whole.sum(1) == pytest.approx(np.ones((3, 4, 5)))
    assert whole[:, 1].numpy() == pytest.approx(0.8 * marked)


def test_a_frame_of_another_size_than_its_view_is_refused():
    made, frames = predictor(np.full((2, 4, 5), 0.5), SCHEMES["binary"], 0.5)
    with pytest.raises(UserError, match="a frame is 4x5, the view belongs to frames of 4x6"):
        made.predict(frames, View.whole((4, 6)))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, float("nan")])
def test_a_threshold_lies_between_0_and_1(threshold):
    with pytest.raises(UserError, match="--threshold"):
        Predictor(bright_checkpoint(), CPU, threshold)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_results_do_not_depend_on_the_batch(batch_size):
    frames = np.stack([draw(index, 90, 122) for index in range(7)])
    loaded = replace(bright_checkpoint(), image_size=(48, 64))
    whole = Predictor(loaded, CPU, batch_size=7, keep_probability=True).submit(list(frames)).result()
    parts = Predictor(loaded, CPU, batch_size=batch_size, keep_probability=True).predict(frames)
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts))
    assert whole.ids.shape == (7, 90, 122) and whole.ids.any()


def test_a_single_channel_says_the_same_as_all_classes(monkeypatch):
    """The short way for two classes against the general one."""
    frames = np.stack([draw(index, 90, 122) for index in range(2)])
    short = Predictor(replace(bright_checkpoint(), image_size=(48, 64)), CPU, 0.5).predict(frames)
    general = Predictor(replace(bright_checkpoint(), image_size=(48, 64), threshold=None), CPU).predict(frames)
    assert np.array_equal(short.ids, general.ids)
    np.testing.assert_allclose(short.measures, general.measures, atol=1e-6)


def test_instruments_may_be_the_first_class():
    scheme = SCHEMES["binary"]
    classes = [replace(scheme.classes[0], name="tool", instrument=True), replace(scheme.classes[1], instrument=False)]
    first = replace(scheme, classes=tuple(classes))
    instrument = np.array([[0.2, 0.9]])
    made, frame = predictor([instrument, 1 - instrument], first, 0.5)
    found = made.predict(frame)
    assert first.instrument_ids == [0]
    assert found.ids.tolist() == [[[1, 0]]] and found.measures.coverage[0] == 0.5


def test_evaluation_reads_the_same_masks():
    """Scores of a model and masks of a video come from one predictor: `predict` is `submit`, batch by batch."""
    frames = np.stack([draw(index) for index in range(3)])
    made = Predictor(bright_checkpoint(), CPU, batch_size=2)
    found = made.predict(frames)
    for index in range(3):
        single = made.submit([frames[index]]).result()
        assert np.array_equal(single.ids[0], found.ids[index])
        assert single.measures.of_frame(0) == found.measures.of_frame(index)
        assert found.measures.coverage[index] == (found.ids[index] == 1).mean()


def test_probabilities_are_those_that_the_masks_are_read_from():
    probability = np.array([[[0.4, 0.2, 0.1]], [[0.3, 0.5, 0.2]], [[0.3, 0.3, 0.7]]])
    made, frame = predictor(probability, TOOLS, None)
    found = made.probabilities(frame)
    assert found.shape == (1, 3, 1, 3) and found[0].numpy() == pytest.approx(probability)
    large = made.probabilities(np.zeros((2, 2, 6, 3), np.uint8))
    assert large.shape == (2, 3, 2, 6) and large[0, 0, 0, 0] == pytest.approx(0.4), "at the frames' own size"
