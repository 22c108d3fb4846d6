"""One video at several sampling rates, against numbers worked out by hand."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest

import analyze_mask_statistics as script
import compare_videos
from surgseg.analysis.rates import check_rates
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from tests.folders import columns, read_folder, write_folder, write_phases


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("surgseg.figures.mask_statistics.draw_mask_statistics", lambda path, *rest: path)


def measured(folder, *options):
    assert script.main(["--generated-dir", str(folder), "--flow-pairs", "0", *map(str, options)]) == 0
    return json.loads((folder / "mask_statistics.json").read_text())


def cut_list(path, *frames):
    path.write_text("\n".join(["frame", *map(str, frames)]))
    return path


def moving(step: int):
    """Four columns that move to the right by `step` columns a frame, for seven frames."""
    return [columns(step * i, step * i + 4, (10, 20)) for i in range(7)]


def test_each_rate_has_the_mean_of_its_samples_and_their_extremes(tmp_path, capsys):
    masks = moving(1)
    masks[3] = columns(0, 0, (10, 20))  # a one-frame gap
    folder = write_folder(tmp_path / "out", masks, step=1)
    one, two, seldom = measured(folder, "--rates", 25, 12.5, 8)["rates"]["rates"]
    assert [rate["frame_step"] for rate in (one, two, seldom)] == [1, 2, 3] and two["rate"] == pytest.approx(12.5)
    iou = {"mean": 0.4, "min": 0.4, "max": 0.4}  # 3/5 in four pairs, 0 in two
    assert one["all"]["predicted"]["iou"] == pytest.approx(iou)
    # frames 0 2 4 6: 2/6 in all three pairs; frames 1 3 5: the gap, 0
    assert two["all"]["predicted"]["iou"] == pytest.approx({"mean": 1 / 6, "min": 0, "max": 1 / 3})
    assert one["all"]["predicted"]["one_frame_changes"]["mean"] == 1
    assert two["all"]["predicted"]["one_frame_changes"] == {"mean": 0.5, "min": 0, "max": 1}
    assert two["all"]["predicted"]["segments"] == {"mean": 1.5, "min": 1, "max": 2}
    assert two["all"]["predicted"]["detection_rate"] == pytest.approx({"mean": 5 / 6, "min": 2 / 3, "max": 1})
    shown = capsys.readouterr().out
    assert "0.167 (0-0.333)" in shown and "nan" not in shown and (folder / "figures" / "sampling_rate.png").exists()


def test_below_five_frames_a_second_only_presence_and_coverage_are_measured(tmp_path):
    folder = write_folder(tmp_path / "out", [10] * 14, step=1)
    (found,) = measured(folder, "--rates", 4)["rates"]["rates"]
    found = found["all"]["predicted"]
    assert found["iou"]["mean"] is found["flicker"]["mean"] is found["jitter"]["mean"] is None
    assert found["segments"]["mean"] == 1 and found["coverage"]["mean"] == pytest.approx(0.1)


def test_no_pair_spans_a_cut_at_any_rate(tmp_path):
    masks = moving(0)[:4] + [columns(10, 14, (10, 20))] * 4
    folder, cuts = write_folder(tmp_path / "out", masks, step=1), cut_list(tmp_path / "cuts.csv", 4)
    for options, iou in (([], 6 / 7), (["--cuts", cuts], 1)):
        result = measured(folder, "--rates", 25, 12.5, *options)
        assert result["stability"]["iou"]["mean"] == pytest.approx(iou)
        assert result["presence"]["count"] == 1 + bool(options)
        assert result["stability"]["pairs_across_cuts"] == bool(options)
        for rate, unlike in zip(result["rates"]["rates"], (1 / 7, 1 / 3)):
            assert rate["all"]["predicted"]["iou"]["mean"] == pytest.approx(1 if options else 1 - unlike)


def test_a_gap_of_one_frame_at_a_cut_is_no_flicker(tmp_path):
    folder = write_folder(tmp_path / "out", [10, 10, 0, 10, 10], step=1)
    assert measured(folder)["stability"]["flicker"]["one_frame_gaps"] == 1
    assert measured(folder, "--cuts", cut_list(tmp_path / "cuts.csv", 3))["stability"]["flicker"]["one_frame_gaps"] == 0


def test_ground_truth_and_phases_stand_beside_the_predictions(tmp_path, capsys):
    folder = write_folder(tmp_path / "out", moving(1), step=1)
    for frame, mask in enumerate(moving(2)[:6]):
        write_mask(tmp_path / "truth" / f"t_{frame:06d}.png", mask, SCHEMES["binary"])
    phases = write_phases(tmp_path / "p.txt", ["A"] * 4 + ["B"] * 3)
    found = measured(folder, "--rates", 12.5, "--mask-dir", tmp_path / "truth", "--phase-file", phases)
    of_phase, found = found["ground_truth"]["phases"]["A"], found["rates"]
    assert of_phase["stability"]["iou"]["mean"] == pytest.approx(1 / 3) and of_phase["stability"]["iou"]["n"] == 3
    assert of_phase["predicted_stability_same_frames"]["iou"]["mean"] == pytest.approx(3 / 5)
    assert found["frames"] == {"predicted": 7, "predicted_same_frames": 6, "truth": 6}
    (rate,) = found["rates"]
    assert rate["all"]["truth"]["iou"]["mean"] == 0 and rate["all"]["predicted"]["iou"]["mean"] == pytest.approx(1 / 3)
    assert rate["phases"]["A"]["predicted_same_frames"]["iou"]["mean"] == pytest.approx(1 / 3)
    assert rate["phases"]["B"]["truth"]["segments"]["mean"] == 1
    assert rate["phases"]["A"]["truth"]["pairs"] == {"mean": 1, "min": 1, "max": 1}
    shown = capsys.readouterr().out
    assert "A, ground truth" in shown and "0.333 of 3 pairs     0.600 of 3 pairs" in shown


@pytest.mark.parametrize(
    "options, step, said",
    [
        (["--rates", 5], 2, "does not hold every frame"),
        (["--rates", 30], 1, "--rates 30: this video can be sampled at 8.33 to 25"),
        (["--rates", 0], 1, "--rates 0"),
        (["--rates", 5], 1, "--rates 5"),
    ],
)
def test_rates_that_a_folder_cannot_give_are_refused(tmp_path, capsys, options, step, said):
    folder = write_folder(tmp_path / "out", [10] * 6, step=step)
    assert script.main(["--generated-dir", str(folder), *map(str, options)]) == 2
    assert said in capsys.readouterr().err and not (folder / "mask_statistics.json").exists()


@pytest.mark.parametrize("lengths, fits", [([1, 1, 3, 1, 1, 3, 1, 1, 3], False), ([1, 1.2, 0.8] * 8, True)])
def test_a_variable_frame_rate_has_no_lower_rates(tmp_path, lengths, fits):
    times = np.cumsum([0, *lengths]) / 25
    found = read_folder(tmp_path, [10] * len(times), step=1)
    found = replace(found, rows=[replace(row, time_s=time) for row, time in zip(found.rows, times)])
    with contextlib.nullcontext() if fits else pytest.raises(UserError, match=r"33% of the steps .* far from 0.04 s"):
        assert check_rates(found, [5]) == {5: pytest.approx(5)}


def test_lost_frames_do_not_make_the_rate_variable(tmp_path):
    found = read_folder(tmp_path, [10] * 8, step=1, numbers=[0, 1, 3, 4, 6, 7, 9, 10])
    assert check_rates(found, [12.5]) == {2: pytest.approx(12.5)}


def test_videos_are_compared_without_the_pairs_across_their_cuts(tmp_path, monkeypatch):
    monkeypatch.setattr("surgseg.figures.videos.draw_video_comparison", lambda *rest: None)
    masks = [columns(0, 4), columns(0, 4), columns(5, 9), columns(5, 9)]
    folders = [str(write_folder(tmp_path / name, masks, step=1)) for name in "ab"]
    lists = [str(cut_list(tmp_path / "a.csv", 2)), str(cut_list(tmp_path / "b.csv"))]
    options = ["--generated-dirs", *folders, "--cut-files", *lists, "--output-dir", str(tmp_path / "o")]
    assert compare_videos.main(options) == 0
    first, second = json.loads((tmp_path / "o" / "video_comparison.json").read_text())["videos"]
    assert first["stability"]["iou"]["mean"] == 1 and second["stability"]["iou"]["mean"] == pytest.approx(2 / 3)
    assert first["cuts"] == {"source": "file", "reason": None, "frames": [2], "after_the_end": 0}
