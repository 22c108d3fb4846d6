"""Losses against hand-computed values; void and empty images; measured class weights."""

import math

import numpy as np
import pytest
import torch

from surgseg.files import UserError
from surgseg.training.losses import cross_entropy, measure_class_weights, segmentation_loss, soft_dice

LN = math.log


def logits_of(*pixels):
    """One image of one row: pixels as (logit of class 0, of class 1, ...)."""
    return torch.tensor(pixels, dtype=torch.float32).T[None, :, None, :]


def ids(*values):
    return torch.tensor(values)[None, None, :]


TWO = logits_of((0, 0), (0, LN(3)))  # probabilities of class 1: 1/2, 3/4


def test_cross_entropy_by_hand():
    assert cross_entropy(TWO, ids(1, 1), None).tolist() == pytest.approx([(LN(2) + LN(4 / 3)) / 2])
    assert cross_entropy(TWO, ids(0, 1), None).tolist() == pytest.approx([(LN(2) + LN(4 / 3)) / 2])
    assert cross_entropy(TWO, ids(0, 0), None).tolist() == pytest.approx([(LN(2) + LN(4)) / 2])


def test_weighted_cross_entropy_is_a_weighted_mean():
    weights = torch.tensor([1.0, 3.0])
    assert cross_entropy(TWO, ids(0, 1), weights).tolist() == pytest.approx([(LN(2) + 3 * LN(4 / 3)) / 4])
    assert cross_entropy(TWO, ids(255, 1), weights).tolist() == pytest.approx([LN(4 / 3)])


def test_soft_dice_by_hand():
    overlap, total = 1 / 2 + 3 / 4, 1 / 2 + 3 / 4 + 2
    assert soft_dice(TWO, ids(1, 1)).tolist() == pytest.approx([1 - (2 * overlap + 1) / (total + 1)])
    assert soft_dice(TWO, ids(0, 1)).tolist() == pytest.approx([1 - (2 * 0.75 + 1) / (1.25 + 1 + 1)])
    assert soft_dice(TWO, ids(255, 1)).tolist() == pytest.approx([1 - (1.5 + 1) / (0.75 + 1 + 1)])


def test_soft_dice_is_the_mean_of_the_classes_but_the_background():
    three = logits_of((0, 0, 0), (0, 0, 0))
    each = 1 - (2 / 3 + 1) / (2 / 3 + 1 + 1)
    assert soft_dice(three, ids(1, 2)).tolist() == pytest.approx([each])


def test_a_perfect_prediction_has_hardly_any_loss():
    logits = logits_of((40, 0), (0, 40))
    assert segmentation_loss(logits, ids(0, 1)).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_is_the_sum_of_its_parts_and_the_auxiliary_heads():
    target = ids(0, 1).to(torch.uint8)
    both = cross_entropy(TWO, target.long(), None) + soft_dice(TWO, target.long())
    torch.testing.assert_close(segmentation_loss(TWO, target), both)
    torch.testing.assert_close(segmentation_loss(TWO, target, "ce"), cross_entropy(TWO, target.long(), None))
    torch.testing.assert_close(segmentation_loss({"out": TWO, "aux": TWO}, target), 1.4 * both)


def test_an_image_of_void_alone_adds_nothing_to_loss_or_gradient():
    logits = torch.cat([TWO, TWO]).requires_grad_()
    target = torch.cat([ids(255, 255), ids(1, 0)])
    for weights in (None, torch.tensor([1.0, 3.0])):
        losses = segmentation_loss(logits, target, class_weights=weights)
        assert losses[0] == 0 < losses[1]
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert (gradient[0] == 0).all() and gradient.isfinite().all() and gradient[1].abs().sum() > 0


def test_void_pixels_do_not_count():
    wild = logits_of((0, 0), (0, LN(3)), (50, -50))
    tame = logits_of((0, 0), (0, LN(3)), (0, 0))
    for target in (ids(1, 1, 255), ids(0, 1, 255)):
        torch.testing.assert_close(segmentation_loss(wild, target), segmentation_loss(tame, target))


def test_an_image_without_instrument_is_punished_for_predicting_one():
    quiet, loud = logits_of((9, 0), (9, 0)), logits_of((0, 9), (9, 0))
    assert segmentation_loss(quiet, ids(0, 0)) < 0.01 < 1 < segmentation_loss(loud, ids(0, 0))


def test_each_image_has_its_own_loss_whatever_stands_beside_it():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 6, 7, generator=rng)
    target = torch.randint(0, 3, (4, 6, 7), generator=rng)
    target[0, :3], target[2] = 255, 255
    together = segmentation_loss(logits, target)
    alone = torch.cat([segmentation_loss(logits[i : i + 1], target[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_half_precision_logits_are_reduced_in_float32():
    assert segmentation_loss(TWO.to(torch.bfloat16), ids(0, 1)).dtype == torch.float32


class TestClassWeights:
    masks = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 255]], [[1, 1, 1, 1]]], np.uint8)

    def test_none_measures_nothing(self):
        assert measure_class_weights(self.masks, [0, 1], 2, "none") is None

    def test_weights_follow_the_frequencies_of_the_training_part(self):
        """Rows 0 and 1 hold 6 pixels of class 0 and 1 of class 1; row 2 is not of the training part."""
        inverse = np.array([7 / 6, 7])
        assert measure_class_weights(self.masks, [0, 1], 2, "inverse") == pytest.approx(inverse / inverse.mean())
        root = np.sqrt(inverse)
        assert measure_class_weights(self.masks, [0, 1], 2, "sqrt") == pytest.approx(root / root.mean())

    def test_a_class_that_is_never_shown_gets_the_largest_weight(self):
        weights = measure_class_weights(self.masks, [0, 1], 3, "sqrt")
        assert weights[2] == weights[1] > weights[0] and np.mean(weights) == pytest.approx(1)


def test_an_unknown_loss_or_class_weighting_is_refused_and_never_another():
    with pytest.raises(UserError, match=r"unknown loss 'focal': use ce, ce\+dice"):
        segmentation_loss(TWO, ids(0, 1), "focal")
    with pytest.raises(UserError, match="unknown class weights 'log': use none, sqrt, inverse"):
        measure_class_weights(np.zeros((1, 2, 2), np.uint8), [0], 2, "log")
