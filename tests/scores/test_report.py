"""The printed blocks."""

import math
import re

import numpy as np
import pytest

from surgseg.labels import SCHEMES
from surgseg.scores.intervals import CAUTION
from surgseg.scores.metrics import summarise
from surgseg.scores.report import epoch_block, metrics_block, number
from tests.helpers import frame_scores


def metrics(scheme="binary", videos=("a", "b"), void="ignore"):
    classes = SCHEMES[scheme].num_classes
    counts = np.zeros((2, classes + 1, classes), np.int64)
    counts[0, 0, 0], counts[0, 1, 1], counts[0, 0, 1] = 1_000_000, 600, 200
    counts[1, 0, 0], counts[1, 1, 1], counts[1, 1, 0], counts[1, -1, 1] = 500, 150, 50, 100
    return summarise(list(videos), counts, frame_scores(counts, SCHEMES[scheme], void), SCHEMES[scheme], void)


def test_the_block_states_what_the_study_states():
    text = metrics_block("EVALUATION METRICS", metrics())
    lines = text.splitlines()
    assert lines[2] == "EVALUATION METRICS"
    assert "Frames analyzed:  2" in text
    assert f"Overall accuracy: {(1_000_000 + 600 + 500 + 150) / 1_001_500:7.4f}" in text
    for name, value in (("IoU", "0.7500"), ("Dice", "0.8571")):
        assert re.search(rf"Mean {name} .*instrument classes.*{value}", text), name
    assert re.search(r"mean of 2 frames with .*: IoU +0\.7500", text) and re.search(r"of videos: IoU +0\.7500", text)
    head = next(line for line in lines if line.startswith("Class"))
    assert head.split()[1:5] == ["IoU", "Dice", "Precision", "Recall"] and "n (pixels)" in head
    row = next(line for line in lines if line.startswith("instrument"))
    assert row.split() == ["instrument", "0.7500", "0.8571", "0.7895", "0.9375", "800"]
    assert next(line for line in lines if line.startswith("background")).split()[-1] == "1,000,700"


def test_the_block_reports_void_both_ways():
    assert "Void pixels: ignore; as background: IoU  0.6818" in metrics_block("X", metrics())
    assert "Void pixels: background; as ignore: IoU  0.7500" in metrics_block("X", metrics(void="background"))


def test_videos_are_listed_where_there_are_several():
    assert ["b", "1", "0.7500", "0.8571"] in [line.split() for line in metrics_block("X", metrics()).splitlines()]
    assert "\nVideo" not in metrics_block("X", metrics(videos=("a", "a")))


def test_below_the_block_stand_detection_distribution_and_intervals():
    counts = np.zeros((8, 3, 2), np.int64)
    counts[:, 0, 0], counts[:, 1, 1], counts[:, 1, 0] = 96, 2, range(8)  # IoU 2 / (2 + number of the frame)
    counts[7, 1] = 0  # without instrument
    frames = {**frame_scores(counts, SCHEMES["binary"]), "nsd_2": np.linspace(0, 0.7, 8), "hd95": np.arange(8.0)}
    summary = summarise(list("abcdefgg"), counts, frames, SCHEMES["binary"])
    lines = [" ".join(line.split()) for line in metrics_block("X", summary).splitlines()]
    assert "Specificity of pixels (pooled, all instruments together): 1.0000" in lines
    found = "Detection of frames, instruments: sensitivity 1.0000 (7 frames with), specificity 1.0000 (1 without); "
    assert f"{found}by predicted coverage: AUROC 1.0000 (by chance 0.5), AUPRC 1.0000 (by chance 0.8750)" in lines
    assert "IoU 7 0.4908 0.4000 0.3095 to 0.5833 0.2607 g (0.2500)" in lines
    assert "HD95 (px) 8 3.50 3.50 1.75 to 5.25 6.65 g (6.50)" in lines, "the highest distance is the worst"
    assert "NSD 2 px, frames 7 0.3071 0.2281 0.0962 to 0.5181" in lines
    assert "IoU, pooled 7 0.4908 0.2656 0.2451 to 0.7365" in lines and lines[-1] == CAUTION
    sizes = lines[next(number for number, line in enumerate(lines) if line.startswith("Size of the instrument")) + 1 :]
    assert sizes[0].startswith("2.04 to ") and sizes[2].split()[2] == "7.69"
    few = metrics_block("X", metrics("grasper-hook"))
    assert "n/a: with fewer than 6 videos" in few and "Detection of frames, grasper: " in few
    assert metrics_block("X", metrics(videos=("a", "a"))).endswith("One video: neither SD nor interval over videos.")


@pytest.mark.parametrize("scheme", ["grasper-hook", "endovit8", "full13"])
def test_every_class_has_its_row(scheme):
    text = metrics_block("X", metrics(scheme))
    for name in SCHEMES[scheme].names:
        assert f"\n{name[:23]}" in text
    assert "n/a: no pixel" in text and "nan" not in text


def test_several_instrument_classes_do_not_pass_the_union_off_as_their_mean():
    """The mean is over the classes; scores per frame and per video are of all instruments together, and say so."""
    summary = metrics("grasper-hook")
    summary["mean_instrument"]["iou"], summary["per_frame"]["mean_iou"] = 0.1234, 0.5678
    lines = metrics_block("X", summary).splitlines()
    assert "together" in next(line for line in lines if "0.5678" in line)
    assert "together" not in next(line for line in lines if "0.1234" in line)


@pytest.mark.parametrize("value", [None, math.nan])
def test_undefined_is_written_na(value):
    assert number(value) == "    n/a" and number(value, ".4f") == "n/a"
    assert number(0.5) == " 0.5000"
    assert number(value, "+.4f") == "n/a" and number(0.5, "+.4f") == "+0.5000"


def test_an_epochs_lines_read_as_the_studys():
    row = {"epoch": 2, "train_loss": 0.51234}
    assert epoch_block(row, 15) == "Epoch 2/15 - Average Loss: 0.5123"
    row.update(val_loss=0.4, val_iou=math.nan, val_dice=0.75, val_accuracy=0.98765)
    first, second = epoch_block(row, 15).splitlines()
    assert first == "Epoch 2/15 - Average Loss: 0.5123"
    assert second == "Epoch 2 Validation: Loss 0.4000, IoU n/a, Dice 0.7500, Accuracy 0.9877"


def test_an_undefined_score_says_why():
    summary = metrics("grasper-hook")
    assert "n/a: no pixel in truth or prediction: l-hook" in metrics_block("X", summary).splitlines()
    counts = np.zeros((2, 3, 2), np.int64)
    counts[:, -1, 0] = 5
    counts[1] += [[4, 0], [0, 0], [0, 0]]
    scheme = SCHEMES["binary"]
    found = summarise(["all_void", "empty"], counts, frame_scores(counts, scheme), scheme)
    lines = metrics_block("X", found).splitlines()
    assert "n/a: no pixel in truth or prediction: instrument" in lines
    assert [line.split("  ")[-1] for line in lines if line.startswith(("all_void", "empty"))] == [
        "all void", "no instrument in truth or prediction",
    ]  # fmt: skip
    void = summarise(["v"], counts[:1], frame_scores(counts[:1], scheme), scheme)
    assert "n/a: every pixel is void" in metrics_block("X", void)
    assert "1 frames of void alone" in metrics_block("X", void)
