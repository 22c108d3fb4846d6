"""Architectures: sizes, parameter counts, what they return in training and in evaluation."""

import pytest
import torch
from torchvision.models.segmentation import deeplabv3_resnet50

from models import build_model, parameter_count


@pytest.fixture(scope="module")
def deeplab():
    torch.manual_seed(0)
    return build_model("deeplabv3", 2)


def test_the_unet_has_the_studys_parameter_count():
    assert parameter_count(build_model("unet", 2)) == 17_263_042


def test_the_deeplab_has_both_heads_for_the_same_classes(deeplab):
    assert parameter_count(deeplab) == 41_994_308
    assert len(deeplab.classifier[-1].weight) == len(deeplab.aux_classifier[-1].weight) == 2


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 50), (47, 64), (30, 53)])
def test_the_unet_takes_any_size_from_16_pixels(size):
    model = build_model("unet", 3, base_channels=2).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_the_unet_says_why_a_smaller_frame_does_not_fit():
    with pytest.raises(ValueError, match="16 pixels"):
        build_model("unet", 2, base_channels=1)(torch.rand(1, 3, 15, 40))


def test_the_unet_sees_all_of_an_odd_frame():
    torch.manual_seed(0)
    model = build_model("unet", 2, base_channels=2).eval()
    frame = torch.rand(1, 3, 19, 35)
    changed = frame.clone()
    changed[..., -1, -1] += 5
    assert not torch.equal(model(frame)[..., -1, -1], model(changed)[..., -1, -1])


@pytest.mark.parametrize("size", [(33, 47), (40, 64)])
def test_the_deeplab_returns_logits_alone_in_evaluation(deeplab, size):
    out = deeplab.eval()(torch.rand(1, 3, *size))
    assert isinstance(out, torch.Tensor) and out.shape == (1, 2, *size)


def test_the_deeplab_returns_both_heads_in_training(deeplab):
    out = deeplab.train()(torch.rand(2, 3, 33, 47))
    assert {key: tuple(value.shape) for key, value in out.items()} == {"out": (2, 2, 33, 47), "aux": (2, 2, 33, 47)}


def test_the_deeplab_computes_what_torchvisions_does(deeplab):
    published = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=True).eval()
    published.load_state_dict(deeplab.state_dict())
    frames = torch.rand(1, 3, 40, 56)
    torch.testing.assert_close(deeplab.eval()(frames), published(frames)["out"])


def test_a_deeplab_without_auxiliary_head_returns_logits_in_training_too():
    model = build_model("deeplabv3", 2, aux=False).train()
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 2, 32, 32)
