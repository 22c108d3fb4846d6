"""Weights files: what they hold, what is refused, what is kept."""

import json
import pickle
import re
from pathlib import Path

import pytest
import torch

from models import build_model
from surgseg.checkpoint import (
    Checkpoint,
    default_threshold,
    init_from,
    load_checkpoint,
    load_strictly,
    save_checkpoint,
)
from surgseg.files import UserError, file_sha256
from surgseg.labels import SCHEMES

FRAMES = torch.rand(2, 3, 21, 34, generator=torch.Generator().manual_seed(0))


def small(seed=0, scheme="binary", **fields):
    torch.manual_seed(seed)
    scheme = SCHEMES[scheme]
    model = build_model("unet", scheme.num_classes, base_channels=2).eval()
    return Checkpoint(model, "unet", {"base_channels": 2}, scheme, (32, 48), **fields)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def repacked(path, **changes):
    """Write `path` again with some of its entries changed (None: left out)."""
    value = {**torch.load(path, weights_only=True), **changes}
    torch.save({key: item for key, item in value.items() if item is not None}, path)
    return path


def refusal(path, arch=None):
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, arch)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["binary", "grasper-hook"])
def test_a_saved_model_computes_the_same_after_loading(path, scheme):
    facts = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "metrics": {"val_iou": 0.5}}
    saved = small(scheme=scheme, threshold=0.3, training={"data": "synthetic", "epochs": 3}, **facts)
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    assert not loaded.model.training
    assert torch.equal(loaded.model(FRAMES), saved.model(FRAMES))
    for name in ("arch", "model_args", "scheme", "image_size", "mean", "std", "threshold", "metrics", "training"):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert loaded.sha256 == file_sha256(path)


def test_a_weights_file_holds_plain_values_and_its_metadata_stands_beside_it(path):
    save_checkpoint(path, small(metrics={"val_iou": float("nan")}))
    value = torch.load(path, weights_only=True)
    keys = {
        "format_version",
        "arch",
        "model_args",
        "classes",
        "image_size",
        "mean",
        "std",
        "threshold",
        "temperature",
        "view",
        "metrics",
    }
    assert set(value) == keys | {"training", "state_dict"}
    beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert set(beside) == keys | {"training"}
    assert beside["metrics"] == {"val_iou": None}
    assert [row["name"] for row in beside["classes"]["classes"]] == ["background", "instrument"]


def test_saving_again_keeps_the_earlier_file_whole(path):
    for seed in (1, 2, 3):
        save_checkpoint(path, small(seed))
        if seed == 2:
            second = path.read_bytes()
    assert path.with_name("weights.pth.prev").read_bytes() == second
    assert torch.equal(load_checkpoint(path).model(FRAMES), small(3).model(FRAMES))
    assert sorted(item.name for item in path.parent.iterdir()) == ["weights.json", "weights.pth", "weights.pth.prev"]


def test_nothing_is_kept_where_that_is_asked(path):
    for seed in (1, 2):
        save_checkpoint(path, small(seed), keep_previous=False)
    assert not path.with_name("weights.pth.prev").exists()


def test_a_failed_save_leaves_the_earlier_file_and_nothing_else(path, monkeypatch):
    save_checkpoint(path, small())
    before = path.read_bytes()

    def full_disk(value, target):
        Path(target).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed\nmore")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(path, small(1))
    assert path.read_bytes() == before
    assert sorted(item.name for item in path.parent.iterdir()) == ["weights.json", "weights.pth"]


def test_a_missing_file_names_where_training_writes(path):
    message = refusal(path)
    assert str(path) in message and "instrument_segmentation.py" in message and "outputs" in message


class Payload:
    """Creates a file when it is unpickled by a loader that runs code."""

    def __init__(self, victim):
        self.victim = str(victim)

    def __reduce__(self):
        return (open, (self.victim, "w"))


@pytest.mark.parametrize("protocol", [None, 2, 4])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_with_code_in_it_is_refused_and_the_code_does_not_run(path, protocol):
    victim = path.parent / "ran"
    value = {"format_version": 1, "arch": "unet", "state_dict": Payload(victim)}
    if protocol is None:
        torch.save(value, path)
    else:
        path.write_bytes(pickle.dumps(value, protocol))
    message = refusal(path)
    assert str(path) in message and ("code" in message or protocol == 4)  # torch does not read protocol 4 at all
    assert not victim.exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.4, 0.95])
def test_a_truncated_file_is_called_damaged(path, share):
    save_checkpoint(path, small())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    message = refusal(path)
    assert str(path) in message and "damaged" in message


@pytest.mark.parametrize(
    "data",
    [b"hello, these are no weights", b'{"a": 1}', b"\x89PNG\r\n\x1a\n" + bytes(50)],
    ids=["text", "json", "png"],
)
def test_a_foreign_file_is_no_weights_file_and_not_accused_of_code(path, data):
    path.write_bytes(data)
    message = refusal(path)
    assert "no weights file" in message and "code" not in message


@pytest.mark.parametrize("data", [b"\x80\x02a.", b"\x80\x02R.", b"\x80\x02(.", b"\x80\x02}K\x01Q."])
def test_a_malformed_pickle_is_a_users_error(path, data):
    path.write_bytes(data)
    assert str(path) in refusal(path)


def test_a_file_of_a_newer_version_says_so(path):
    save_checkpoint(path, small())
    message = refusal(repacked(path, format_version=2))
    assert "format 2" in message and "reads 1" in message


def test_a_file_without_a_view_trained_on_whole_frames(path):
    save_checkpoint(path, small(view="auto"))
    assert load_checkpoint(path).view == "auto"
    assert "unknown view 'round': use auto, full" in refusal(repacked(path, view="round"))
    value = torch.load(path, weights_only=True)
    del value["view"]
    torch.save(value, path)
    assert load_checkpoint(path).view == "full"


def test_an_architecture_that_is_not_here_is_named(path):
    save_checkpoint(path, small())
    assert "architecture 'pocket' is not in models/, which has unet, deeplabv3" in refusal(
        repacked(path, arch="pocket")
    )


@pytest.mark.parametrize("changes", [{"classes": None}, {"model_args": {"width": 3}}, {"format_version": "two"}])
def test_an_incomplete_or_altered_file_is_a_users_error(path, changes):
    save_checkpoint(path, small())
    assert str(path) in refusal(repacked(path, **changes))


def test_other_values_than_a_dict_are_no_weights(path):
    torch.save([1, 2], path)
    assert "list" in refusal(path)


def test_a_bare_state_dict_asks_for_its_architecture(path):
    torch.save(small().model.state_dict(), path)
    assert "--arch" in refusal(path)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
@pytest.mark.parametrize("nested", [False, True])
def test_a_bare_unet_state_dict_loads_with_any_known_prefix(path, prefix, nested):
    saved = small()
    state = {prefix + key: value for key, value in saved.model.state_dict().items()}
    torch.save({"state_dict": state} if nested else state, path)
    loaded = load_checkpoint(path, "unet")
    assert torch.equal(loaded.model(FRAMES), saved.model(FRAMES))
    assert (loaded.scheme, loaded.threshold, loaded.image_size) == (SCHEMES["binary"], 0.5, (256, 256))


def test_a_foreign_auxiliary_head_of_a_bare_deeplab_is_dropped(path):
    shapes = {key: value.shape for key, value in build_model("deeplabv3", 2).state_dict().items()}
    state = {f"module.{key}": torch.full((1,) * len(shape), 0.5).expand(shape) for key, shape in shapes.items()}
    state["module.aux_classifier.4.weight"] = torch.zeros(21, 256, 1, 1)
    state["module.aux_classifier.4.bias"] = torch.zeros(21)
    torch.save(state, path)
    loaded = load_checkpoint(path, "deeplabv3")
    assert loaded.model.aux_classifier is None and loaded.model_args == {"aux": False}
    assert (loaded.model.classifier[4].weight == 0.5).all() and (loaded.model.backbone.conv1.weight == 0.5).all()


def test_a_bare_state_dict_of_another_architecture_or_class_count_is_refused(path):
    state = small().model.state_dict()
    torch.save(state, path)
    assert "classifier.4.weight" in refusal(path, "deeplabv3")
    torch.save({**state, "head.weight": torch.zeros(5, 2, 1, 1)}, path)
    assert "5 output classes" in refusal(path, "unet")
    torch.save({1: torch.zeros(2), 2: torch.zeros(2)}, path)
    assert "holds no weights" in refusal(path, "unet")


def test_keys_that_do_not_match_are_listed(path):
    model = small().model
    state = dict(model.state_dict())
    del state["head.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["stem.0.weight"] = torch.zeros(2, 3, 5, 5)
    with pytest.raises(UserError) as caught:
        load_strictly(model, state, "here.pth")
    message = str(caught.value)
    assert re.search(r"1 missing: head\.bias", message) and re.search(r"1 unexpected: extra\.weight", message)
    assert "stem.0.weight (2, 3, 5, 5) for (2, 3, 3, 3)" in message and message.startswith("here.pth")


def test_init_from_starts_a_model_from_our_weights(path):
    saved = small(1, training={"data": "synthetic"})
    save_checkpoint(path, saved)
    model = small(2).model
    assert init_from(model, path) == {"data": "synthetic"}
    assert torch.equal(model.eval()(FRAMES), saved.model(FRAMES))


def test_init_from_refuses_a_backbones_file_and_other_shapes(path):
    torch.save(small().model.state_dict(), path)
    with pytest.raises(UserError, match="--weights"):
        init_from(small().model, path)
    save_checkpoint(path, small(scheme="grasper-hook"))
    with pytest.raises(UserError, match=r"head\.weight \(3, 2, 1, 1\) for \(2, 2, 1, 1\)"):
        init_from(small().model, path)


def test_two_classes_have_a_threshold_and_more_do_not():
    assert default_threshold(SCHEMES["binary"]) == 0.5
    assert default_threshold(SCHEMES["grasper-hook"]) is None
