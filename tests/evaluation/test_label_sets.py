"""Two sets of labels of the same frames, by hand and through compare_labels.py."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import analyze_model
import compare_labels
from surgseg.evaluation.label_sets import KINDS, common_scheme, disagreement
from surgseg.figures import analysis, style
from surgseg.files import read_csv, write_bytes, write_json
from surgseg.frames import encode_frame
from surgseg.labels import SCHEMES, numbered_scheme, write_scheme
from surgseg.masks import write_mask
from tests.helpers import noise_frame

BINARY = SCHEMES["binary"]
ARGV = ["--mask-dir", "one", "--second-mask-dir", "two", "--output-dir", "out"]


def columns(*ranges, void=None, width=20) -> np.ndarray:
    """(3, width) uint8 ids: 1 in the columns of the ranges (first, last), 255 in the column `void`."""
    mask = np.zeros((3, width), np.uint8)
    for first, last in ranges:
        mask[:, first : last + 1] = 1
    if void is not None:
        mask[:, void] = 255
    return mask


NAMES = [f"video{video}_00000{frame}" for video in range(6) for frame in range(2)]
FIRST, SECOND = columns((0, 3), (12, 12), (19, 19)), columns((2, 9), void=12)


@pytest.fixture(autouse=True)
def two_sets(tmp_path, monkeypatch):
    """Six videos of two frames: the masks above in each, but equal masks in the first video."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        write_mask(Path(f"one/{name}.png"), FIRST, BINARY)
        write_mask(Path(f"two/{name}.png"), FIRST if name.startswith("video0") else SECOND, BINARY)


def compared(*options, status=0) -> dict:
    assert compare_labels.main([*ARGV, *options, *([] if "--examples" in options else ["--examples", "0"])]) == status
    return json.loads(Path("out/label_comparison.json").read_text(encoding="utf-8"))


def refused(capsys, *options) -> str:
    assert compare_labels.main([*ARGV, *options]) == 2 and not Path("out").exists()
    return capsys.readouterr().err


def test_a_pixel_of_one_set_only_is_border_missing_or_extra_by_its_distance():
    row = [KINDS[value] if value < 255 else "void" for value in disagreement(FIRST, SECOND, BINARY, 2)[1]]
    assert row[:4] == ["border", "border", "both", "both"]  # columns 0 and 1 are 2 and 1 pixels from column 2
    assert row[4:10] == ["border", "border", "extra", "extra", "extra", "extra"]
    assert row[12] == "void" and row[19] == "missing"
    assert set(row[10:12] + row[13:19]) == {"neither"}
    alone = disagreement(FIRST, columns(), BINARY, 5)
    assert set(alone[FIRST == 1]) == {KINDS.index("missing")}


def test_scores_and_shares_are_given_over_pixels_frames_and_videos(capsys):
    found = compared("--border", "2")
    shares = {kind: row["pooled"] for kind, row in found["disagreement"].items()}
    # columns of a frame of each video: 6 + 5 x 2 in both, 5 x 4 border, 5 x 1 missing, 5 x 4 extra
    assert shares == pytest.approx({"both": 16 / 61, "border": 20 / 61, "missing": 5 / 61, "extra": 20 / 61})
    labels = found["scores"]["labels"]
    assert labels["instrument_union"]["iou"] == pytest.approx(shares["both"])
    assert labels["per_video"]["video1"]["iou"] == pytest.approx(2 / 11)
    assert labels["per_frame"]["mean_iou"] == pytest.approx((1 + 5 * 2 / 11) / 6)
    assert labels["video_intervals"]["iou"]["interval"] and "nsd_2" in labels["frame_distribution"]
    assert found["disagreement"]["border"]["video_interval"]["mean"] == pytest.approx(5 * 4 / 11 / 6)
    assert (found["equal_frames"], found["frames_with_instrument"]) == (2, 12)
    row = read_csv("out/label_comparison_frames.csv")[3]
    assert (row["name"], row["border_pixels"], row["extra_pixels"]) == ("video1_000001", "12", "12")
    printed = capsys.readouterr().out
    assert "Equal in every pixel: 2 of 12" in printed and "second labels against first, Dice" in printed


def test_a_model_like_the_second_set_is_wrong_only_where_the_labels_differ():
    for name in NAMES:
        write_mask(Path(f"preds/{name}.png"), columns((2, 9)), BINARY)
    found = compared("--pred-dir", "preds")
    assert found["scores"]["model_second"]["per_video"]["video1"]["dice"] == 1
    assert found["scores"]["model_agreed"]["per_video"]["video1"]["dice"] == 1  # columns 2 and 3 of both
    # 9 columns of five videos, and 10 of the first one, where both sets contradict the model
    assert found["model_errors"]["first"] == {"wrong": 6 * 55, "disputed": 6 * 45, "share": pytest.approx(45 / 55)}
    assert found["model_errors"]["second"]["disputed"] == 0


def test_classes_are_compared_where_both_sets_name_them():
    scheme, tables, notes = common_scheme(SCHEMES["grasper-hook"], SCHEMES["full13"])
    assert scheme.names == ["background", "grasper", "other instruments"] and notes == []
    assert tables[0][[0, 1, 2, 255]].tolist() == [0, 1, 2, 255]
    assert tables[1][[0, 2, 5, 9]].tolist() == [0, 0, 1, 2]
    assert common_scheme(BINARY, SCHEMES["grasper-hook"])[0].names == ["background", "instrument"]
    clip = numbered_scheme(3, ["background", "grasper", "clip"], ["grasper", "clip"])
    tissue = numbered_scheme(3, ["background", "grasper", "clip"], ["grasper"])
    assert common_scheme(clip, tissue)[2] == ["an instrument in the first set only: clip"]


def test_other_classes_of_the_same_pixels_are_counted():
    for folder in ("one", "two"):
        shutil.move(folder, f"{folder}_root/masks")
        write_scheme(Path(f"{folder}_root/classes.json"), SCHEMES["grasper-hook"])
    write_mask(Path("two_root/masks/video0_000001.png"), FIRST * 2, SCHEMES["grasper-hook"])
    found = compared("--mask-dir", "one_root", "--second-mask-dir", "two_root")
    assert found["compared_classes"] == ["grasper", "l-hook"] and found["other_class_pixels"] == 3 * 6
    assert found["scores"]["labels"]["classes"]["l-hook"]["dice"] == 0


def test_frames_of_one_set_only_are_named(capsys):
    Path("two/video5_000001.png").unlink()
    write_mask(Path("two/video7_000001.png"), SECOND, BINARY)
    assert compared(status=3)["frames"] == 11
    printed = capsys.readouterr().out
    assert (
        "1 frames of the first set (video5_000001)" in printed
        and "1 frames of the second set (video7_000001)" in printed
    )


def copies():
    shutil.rmtree("two")
    shutil.copytree("one", "two")


def links():
    shutil.rmtree("two")
    Path("two").mkdir()
    for path in Path("one").glob("*.png"):
        os.link(path, Path("two", path.name))


def sizes():
    write_mask(Path("two/video3_000001.png"), columns(width=21), BINARY)
    write_mask(Path("two/video4_000001.png"), columns(width=22), BINARY)


def ids():
    write_mask(Path("two/video3_000001.png"), np.full((3, 20), 31, np.uint8), BINARY)


def predictions():
    write_json(Path("two/predictions.json"), {"names": ["video3_000001"]})


def other_names():
    for path in Path("two").glob("*.png"):
        path.rename(path.with_name(f"x_{path.name}"))


def void_prediction():
    shutil.copytree("two", "preds")


def copied_prediction():
    shutil.copytree("one", "preds")


def no_instrument():
    for name in NAMES:
        write_mask(Path(f"one/{name}.png"), columns(void=3), BINARY)
        write_mask(Path(f"two/{name}.png"), columns(void=4), BINARY)


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (copies, [], ["equal in every pixel of all 12 frames"]),
        (links, [], ["same file"]),
        (None, ["--second-mask-dir", "one"], ["same file"]),
        (sizes, [], ["2 of 12", "video3_000001.png is 21x3", "video4_000001.png is 22x3"]),
        (ids, [], ["video3_000001.png", "31 (60 pixels)"]),
        (predictions, [], ["1 of 12 masks of two (video3_000001.png)", "--masks-reviewed"]),
        (other_names, [], ["no frame has a mask in each", "x_video0_000000"]),
        (void_prediction, ["--pred-dir", "preds"], ["cannot hold void"]),
        (copied_prediction, ["--pred-dir", "preds"], ["one and preds are equal in every pixel of all 12 frames"]),
        (no_instrument, [], ["no pixel that both one and two label is an instrument"]),
        (None, ["--second-mask-dir", "nowhere"], ["nowhere is not a folder"]),
        (None, ["--border", "-1"], ["--border -1"]),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(capsys, spoil, options, words):
    if spoil:
        spoil()
    text = refused(capsys, *options)
    assert all(word in text for word in words), text


def test_labels_that_are_shifted_by_one_frame_are_noted(capsys):
    for video in range(6):
        for frame in range(5):
            name = f"video{video}_{frame:06d}.png"
            write_mask(Path("one", name), columns((4 * frame, 4 * frame + 3)), BINARY)
            write_mask(Path("two", name), columns((4 * frame - 4, 4 * frame - 2)), BINARY)  # drawn smaller, one late
    (note,) = compared()["notes"]
    assert "fits the frame before each frame better than the frame itself (IoU 0.75 and 0.00" in note
    assert f"WARNING: {note}" in capsys.readouterr().out


def test_a_set_without_any_instrument_is_noted():
    for name in NAMES:
        write_mask(Path(f"two/{name}.png"), columns(), BINARY)
    assert compared()["notes"] == ["the second set shows no instrument in any frame: are its codes or classes right?"]


def test_predictions_that_a_person_has_checked_are_labels():
    predictions()
    assert compared("--masks-reviewed")["frames"] == 12


def test_analyze_model_compares_the_labels_and_draws_the_worst_frames(capsys, monkeypatch):
    monkeypatch.setattr(style, "DPI", 30)
    monkeypatch.setattr(analysis, "write_figures", lambda *given, **options: ([], [], True))
    shutil.move("one", "root/masks")
    shutil.copytree("root/masks", "preds")
    for name in NAMES:
        write_bytes(Path(f"root/frames/{name}.png"), encode_frame(noise_frame(1, (3, 20)), ".png"))
        write_mask(Path(f"preds/{name}.png"), columns((2, 9)), BINARY)
    argv = ["--mask-dir", "root/masks", "--pred-dir", "preds", "--output-dir", "out", "--examples", "1"]
    assert analyze_model.main([*argv, "--second-mask-dir", "two"]) == 0
    assert "TWO SETS OF LABELS" in capsys.readouterr().out
    assert Path("out/label_comparison.png").is_file() and Path("out/label_comparison.json").is_file()
    copies_of_truth = ["--second-mask-dir", shutil.copytree("root/masks", "three"), "--output-dir", "none"]
    assert analyze_model.main([*argv, *copies_of_truth]) == 2 and not Path("none").exists()
    assert analyze_model.main(["--mode", "model", "--second-mask-dir", "two"]) == 2
    assert "--save-preds DIR is needed" in capsys.readouterr().err


def test_labels_that_do_not_fit_are_refused_before_a_model_is_scored(tiny_run, capsys):
    argv = ["--mode", "model", "--model-path", str(tiny_run.weights), "--data-root", str(tiny_run.data)]
    argv += ["--second-mask-dir", "two", "--save-preds", "preds", "--output-dir", "out", "--device", "cpu"]
    assert analyze_model.main(argv) == 2 and "no frame has a mask in each" in capsys.readouterr().err
    assert not Path("out").exists() and not Path("preds").exists()
