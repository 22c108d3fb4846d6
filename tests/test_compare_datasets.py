"""The transfer matrix: what is scored, what counts as an instrument, what is shared, and how it is told."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

import compare_datasets
from surgseg.checkpoint import save_checkpoint
from surgseg.data.dataset import Prepared, Sample
from surgseg.data.likeness import BITS, pack
from surgseg.data.seen import find_seen
from surgseg.evaluation.samples import predict_and_score
from surgseg.figures import transfer as figure_module
from surgseg.files import write_json
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.scores.metrics import summarise
from surgseg.study import transfer
from surgseg.study.transfer import ALL, MANIFEST, OWN, DataSet, own_set, part_to_score, videos_in_both
from surgseg.study.transfer_report import transfer_markdown
from tests.data.test_leaks import samples_of
from tests.helpers import frame_scores, noise_frame, save_image
from tests.test_checkpoint import small

BINARY, TOOLS, PARTS = SCHEMES["binary"], SCHEMES["grasper-hook"], SCHEMES["parts"]
TRAINED = {"name": "video", "by": "video", "hash": "h", "assignment": {"a": "train", "b": "test"}}


def hashes_of(seed, count):
    return [np.random.default_rng([seed, i]).choice([-1.0, 1.0], (1, BITS)).astype(np.float32) for i in range(count)]


def set_of(name, videos, hashes):
    return DataSet(name, Prepared(None, samples_of(videos), BINARY, "real"), hashes)


def weights_of(split, hashes=None):
    trained = None if hashes is None else torch.from_numpy(pack(np.concatenate(hashes)))
    return SimpleNamespace(training={"split": split}, trained_frames=trained)


def test_the_union_of_the_instrument_classes_of_each_scheme_is_scored(tmp_path):
    """Shaft and grasper are both instrument: of three valid pixels one is right, one too many, one missed."""
    save_image(tmp_path / "f.png", noise_frame(0, (1, 4)))
    write_mask(tmp_path / "m.png", np.array([[2, 0, 1, 255]], np.uint8), PARTS)
    ids, none = np.array([[[1, 2, 0, 0]]], np.uint8), SimpleNamespace(uncertainty=np.zeros(1))
    found = SimpleNamespace(result=lambda: SimpleNamespace(ids=ids, measures=none, probability=None))
    predictor = SimpleNamespace(scheme=TOOLS, batch_size=1, submit=lambda frames, view: found, keep_probability=False)
    sample = Sample("f", tmp_path / "f.png", tmp_path / "m.png", "v")
    scored = predict_and_score(predictor, [sample], None, "ignore", truth=PARTS)
    assert scored.counts.tolist() == [[[0, 1], [1, 1], [1, 0]]]
    assert scored.frames["dice"] == [0.5] and set(scored.frames) == {"iou", "dice"}


def test_the_own_test_part_comes_before_that_of_the_set_and_this_before_all_frames():
    with_part, without = samples_of({"a": 1, "b": 2}, ["test", "train", "train"]), samples_of({"a": 1, "b": 2})
    assert part_to_score(with_part, TRAINED) == ([1, 2], OWN)
    assert part_to_score(with_part, None) == ([0], MANIFEST)
    assert part_to_score(without, None) == ([0, 1, 2], ALL)
    assert part_to_score(without, {**TRAINED, "assignment": {"a": "train", "b": "train"}}) == ([0, 1, 2], ALL)


def test_a_set_that_only_uses_the_same_names_is_not_the_own_one():
    sets = [set_of("x", {"a": 3}, hashes_of(1, 3)), set_of("y", {"a": 2, "c": 1}, hashes_of(2, 3))]
    assert own_set(weights_of(TRAINED, hashes_of(2, 2)), sets) == "y"
    assert own_set(weights_of(TRAINED, hashes_of(3, 2)), sets) is None
    assert own_set(weights_of(TRAINED), sets) == "x"  # an earlier file: by names alone
    assert own_set(weights_of(None, hashes_of(2, 2)), sets) is None


def test_videos_that_are_in_two_sets_under_other_names_are_found():
    first, second = hashes_of(1, 4), hashes_of(2, 3)
    second[1] = -first[3]  # no near copy
    second[2] = first[2]
    sets = [set_of("x", {"a": 1, "b": 3}, first), set_of("y", {"k": 1, "m": 2}, second)]
    sets[0].hashes[1] = first[1][:0]  # blank
    row = {"set": "x", "video": "b", "frames": 1, "of": 2, "other_set": "y", "other_video": "m"}
    assert videos_in_both(sets) == [row]


def test_a_training_video_that_another_set_holds_under_another_name_is_marked():
    def cells():
        return {name: {"marked": False, "scored": {"warnings": {}}} for name in "xyz"}

    shared = [{"set": "z", "video": "b", "other_set": "x", "other_video": "a"}]
    shared += [{"set": "x", "video": "c", "other_set": "y", "other_video": "k"}]
    row = cells()
    transfer.mark_shared(row, "x", {"a"}, shared)  # c did not train
    assert {name: cell["marked"] for name, cell in row.items()} == {"x": False, "y": False, "z": True}
    assert row["z"]["scored"]["warnings"] == {
        "video b trained the weights": "video b looks like video a of x, of which frames trained the weights"
    }
    row = cells()
    transfer.mark_shared(row, None, {"a"}, shared)  # the a of x is not known to be the one that trained
    assert not any(cell["marked"] for cell in row.values())


def test_equal_names_alone_are_told_as_what_they_are():
    samples, hashes = samples_of({"a": 2}), np.concatenate(hashes_of(1, 2))

    def told(trained, own):
        seen = find_seen(samples, {"split": TRAINED}, trained, hashes)
        return "".join(transfer.cell_warnings({"seen": seen, "warnings": {"k": "memory"}}, own).values())

    other, same = (pack(np.concatenate(hashes_of(seed, 2))) for seed in (5, 1))
    assert "none looks like a training frame" in told(other, False)
    assert told(same, False) == told(other, True) == told(None, True) == "memory"


def test_models_are_also_compared_on_the_frames_that_all_were_scored_on():
    right, wrong = np.array([[5, 0], [0, 5], [0, 0]]), np.array([[5, 0], [5, 0], [0, 0]])
    scored = {
        "m": SimpleNamespace(names=["f1", "f2"], counts=np.stack([right, wrong])),
        "n": SimpleNamespace(names=["f1"], counts=wrong[None]),
    }
    assert transfer._common(scored, "ignore") == {"frames": 1, "dice": {"m": 1, "n": 0}, "iou": {"m": 1, "n": 0}}


# ------------------------------------------------------------------------------------------------- the report


def result_of(videos=3, data="real", **changes):
    """A model m that was trained on x, scored on x and on y of as many videos; the instrument is 3 of 4 pixels."""
    names = [f"v{index}" for index in range(videos)]
    counts = np.repeat([[[6, 0], [1, 3], [0, 0]]], videos, 0)
    body = summarise(names, counts, frame_scores(counts, BINARY), BINARY, "ignore", {"warnings": {"k": "seen"}})
    cells = {"m": {"x": {**body, "rule": OWN, "marked": True}, "y": {**body, "rule": ALL, "marked": False}}}
    cells["m"]["y"]["scored"] = {**body["scored"], "warnings": {}}
    codes = {"x": {"instrument": [31, 32]}, "y": {"shaft": [160]}}
    return {
        "models": {"m": {"own": "x", "data": "real", "instrument": codes["x"]}},
        "sets": {name: {"data": data, "instrument": codes[name]} for name in "xy"},
        "cells": cells,
        "common": {name: {"frames": videos, "dice": {"m": 0.5}} for name in "xy"},
        "shared_videos": [],
        **changes,
    }


def test_the_table_shows_the_own_set_in_bold_and_marks_what_was_seen():
    text = transfer_markdown(result_of())
    assert "| m | **0.857†** | 0.857 |" in text and "| m | **0.750†** | 0.750 |" in text  # Dice 6/7, IoU 3/4
    assert "WARNING: m on x: seen." in text and "WARNING: m on y" not in text and "SYNTHETIC" not in text
    assert "y has no test part" in text and "x has no test part" not in text
    assert "x, model m: instrument (codes 31, 32); y: shaft (codes 160)" in text
    assert "all models were scored on" not in text and "No frame of one set looks like" in text


def test_a_mean_over_videos_has_an_interval_from_six_videos_on():
    assert "| 0.857: v0 0.857, v1 0.857, v2 0.857 | 0.750: v0" in transfer_markdown(result_of(3))
    assert "| 0.857 (0.857 to 0.857), 6 videos | 0.750 (" in transfer_markdown(result_of(6))
    assert "not reliable" in transfer_markdown(result_of(5)) and "not reliable" not in transfer_markdown(result_of(6))


def test_a_video_in_two_sets_and_the_scores_of_common_frames_are_told():
    row = {"set": "x", "video": "v1", "frames": 4, "of": 5, "other_set": "y", "other_video": "k"}
    common = {"x": {"frames": 1, "dice": {"m": None}}, "y": {"frames": 3, "dice": {"m": 0.25}}}
    text = transfer_markdown(result_of(shared_videos=[row], common=common))
    assert "4 of 5 frames of x, video v1, look like frames of y, video k" in text
    assert "|  | x (1 frames) | y (3 frames) |" in text and "| m | n/a | 0.250 |" in text


def test_the_heat_map_frames_the_own_set(keep_transfer, tmp_path):
    figure_module.draw_transfer(result_of(6, data="synthetic"), tmp_path / "x.png")
    (figure,) = keep_transfer
    pooled, mean = figure.axes
    assert [text.get_text() for text in pooled.texts] == ["0.857†", "0.857"]
    assert [text.get_text() for text in mean.texts] == ["0.857†\n0.86 to 0.86", "0.857\n0.86 to 0.86"]
    frames = [patch for patch in pooled.patches if isinstance(patch, Rectangle)]
    assert [patch.get_xy() for patch in frames] == [(0, 0)]
    assert "SYNTHETIC" in [text.get_text() for text in figure.texts]


@pytest.fixture
def keep_transfer(monkeypatch):
    import matplotlib.pyplot as plt

    figures = []
    monkeypatch.setattr(figure_module, "save_figure", lambda figure, path: figures.append(figure) or path)
    yield figures
    plt.close("all")


# ------------------------------------------------------------------------------------------------- the script


@pytest.fixture
def sets(tmp_path, make_prepared, monkeypatch):
    """Two models, one of other classes; two sets with a video b, one of other classes and without a test part."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint("m.pth", small(training={"split": TRAINED, "data": "real"}))
    save_checkpoint("n.pth", small(scheme="grasper-hook"))
    make_prepared(tmp_path / "x", {"a": "train", "b": "test"}, frames=2, size=(24, 32))
    make_prepared(tmp_path / "y", {"b": "", "c": ""}, frames=2, size=(24, 32), scheme=PARTS)
    return tmp_path


def test_the_script_scores_models_and_sets_of_other_classes(sets, capsys):
    for path in (sets / "y" / "masks").glob("*.png"):
        write_mask(path, np.zeros((24, 32), np.uint8), PARTS)
    options = ["--models", "m.pth", "n.pth", "--data-roots", "x", "y", "--device", "cpu", "--output-dir", "o"]
    assert compare_datasets.main(options) == 0
    found = json.loads((sets / "o" / "transfer.json").read_text())
    assert {m: row["own"] for m, row in found["models"].items()} == {"m": "x", "n": None}
    rules = {(m, s): (cell["rule"], cell["frames"]) for m, row in found["cells"].items() for s, cell in row.items()}
    assert rules == {("m", "x"): (OWN, 2), ("m", "y"): (ALL, 4), ("n", "x"): (MANIFEST, 2), ("n", "y"): (ALL, 4)}
    assert found["sets"]["y"]["instrument"] == {"shaft": [160], "manipulator": [70]}
    text = (sets / "o" / "transfer.md").read_text()
    assert "WARNING: m on y: no scored frame shows an instrument" in text and "on x: no scored" not in text
    assert text in capsys.readouterr().out and (sets / "o" / "figures" / "transfer.png").is_file()


@pytest.mark.parametrize(
    ("models", "roots", "more", "told"),
    [
        (["m.pth"], ["x", "link"], [], "--data-roots names"),
        (["m.pth", "m.pth"], ["x", "y"], [], "--models names"),
        (["m.pth", "copy.pth", "n.pth"], ["x", "y"], [], "m and copy are the same weights"),
        (["m.pth"], ["x"], [], "two folders or more"),
        (["m.pth"], ["x", "y"], [], "y: all 4 masks are predictions of a model"),
        (["m.pth"], ["x", "y"], ["--names", "x"], "1 names for 2"),
        (["m.pth"], ["x", "y"], ["--names", "s", "s"], "called s"),
        (["no.pth"], ["x", "none"], [], "no weights file no.pth"),
        (["no.pth"], ["x", "none"], [], "none is no prepared folder"),  # both in one message
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(sets, capsys, models, roots, more, told):
    (sets / "link").symlink_to("x")
    shutil.copy("m.pth", "copy.pth")
    if "predictions" in told:
        write_json(Path("y/masks/predictions.json"), {"names": [path.stem for path in Path("y/masks").glob("*.png")]})
    assert compare_datasets.main(["--models", *models, "--data-roots", *roots, "--output-dir", "o", *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and not (sets / "o").exists()
