"""What is known of scored frames: measured in drawn frames, read from a preparation's journal and from phase files."""

import json
from pathlib import Path

import numpy as np
import pytest

from surgseg.data.dataset import Sample
from surgseg.data.manifest import JOURNAL
from surgseg.evaluation.folders import evaluate_folders
from surgseg.evaluation.traits import measure_with, named_traits
from surgseg.files import UserError, read_csv
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.view import View
from tests.folders import write_phases
from tests.helpers import save_image

BINARY = SCHEMES["binary"]
RECORD = {"video": "v", "clip": "", "frame": 0, "width": 4, "height": 4, "mode": "L", "digest": "", "bytes": 1} | {
    "mask_digest": "", "sources": [],
}  # fmt: skip


def journal(root, codes, **more):
    lines = [json.dumps({**RECORD, "name": name, "codes": found, **more}) for name, found in codes.items()]
    (root / JOURNAL).write_text("\n".join(lines))


def samples(*names):
    return [Sample(name, Path(name), Path(name), name.partition("_")[0]) for name in names]


def test_a_frame_has_its_brightness_sharpness_and_the_median_distance_of_its_instrument():
    frame, truth = np.full((100, 200, 3), 255, np.uint8), np.zeros((100, 200), np.uint8)
    truth[:20, 50] = 1  # 1 to 20 pixels from the upper border
    truth[60:] = 255
    measure = measure_with(lambda sample, frame: View.whole(frame.shape[:2]), BINARY)
    found = measure(samples("a_1")[0], frame, truth)
    assert found["border_distance"] == pytest.approx(0.105) and found["sharpness"] == 0
    assert found["brightness"] == pytest.approx(100, abs=0.1)
    assert np.isnan(measure(samples("a_1")[0], frame, truth * 0)["border_distance"])


def test_the_preparation_tells_the_classes_that_one_class_of_the_masks_holds(tmp_path):
    names = samples("v_1", "v_2", "v_3", "v_4")
    assert "source codes" in named_traits(names, tmp_path, BINARY)[1]["class of the instrument"]
    journal(tmp_path, {"v_1": {"50": 9, "31": 1}, "v_2": {"31": 1, "32": 4}, "v_3": {"50": 16}})
    found, unknown = named_traits(names, tmp_path, BINARY)
    assert found["source_class"].tolist() == ["grasper only", "both", "", ""] and list(unknown) == ["phase"]
    assert "source_class" not in named_traits(names, tmp_path, SCHEMES["grasper-hook"])[0], "its masks tell it"


def test_phases_are_those_of_the_frame_in_the_film_and_what_has_none_is_refused(tmp_path):
    (tmp_path / "phases").mkdir()
    write_phases(tmp_path / "phases" / "Video01-phase.txt", ["cut"] * 3 + ["sew"] * 4)
    write_phases(tmp_path / "phases" / "v2.txt", ["cut"] * 9)

    def phases(*names):
        return named_traits(samples(*names), tmp_path, BINARY, tmp_path / "phases")[0]["phase"].tolist()

    assert phases("video01_000002", "video01_000003", "v2_000008") == ["cut", "sew", "cut"]
    with pytest.raises(UserError, match=r"no file of video10, video11: video10-phase.txt or video10.txt"):
        phases("video01_000002", "video11_1", "video10_1")
    with pytest.raises(UserError, match=r"Video01-phase.txt does not list frame 900, of video01_000900 \(1 of 2"):
        phases("video01_000001", "video01_000900")
    journal(tmp_path, {"video01_000001": {}}, numbered_by_order=True)
    with pytest.raises(UserError, match="video01_000001 are their order, not frames of the film"):
        phases("video01_000001")
    with pytest.raises(UserError, match=r"no number .* ends the name of video01_a"):
        phases("video01_a", "video01_000002", "video01_2_endo_mask")
    with pytest.raises(UserError, match="is not a folder"):
        named_traits(samples("v_1"), tmp_path, BINARY, tmp_path / "none")


def evaluated(root, **options):
    return evaluate_folders(root / "masks", root / "preds", BINARY, root / "m.json", "ignore", **options)


def test_masks_alone_are_scored_and_frames_that_cannot_be_read_are_said(tmp_path):
    for number in range(3):
        mask = np.eye(20, dtype=np.uint8)
        write_mask(tmp_path / "masks" / f"v_{number}.png", mask, BINARY)
        write_mask(tmp_path / "preds" / f"v_{number}.png", mask.T * (number > 0), BINARY)
    key = "brightness, sharpness and distance to the border"
    assert evaluated(tmp_path)["strata_unknown"][key] == "no frames beside the masks"
    for number in range(2):
        save_image(tmp_path / "frames" / f"v_{number}.png", np.full((20, 20 + number, 3), 100, np.uint8))
    found = evaluated(tmp_path)
    assert found["strata_unknown"][key] == "2 of 3 frames, which cannot be read (v_1, v_2)"
    assert [group["frames"] for group in found["strata"]["brightness"]] == [1]
    rows = read_csv(tmp_path / "m_frames.csv")
    assert rows[0]["border_distance"] and not rows[1]["border_distance"]
    assert evaluated(tmp_path, read_frames=False)["strata_unknown"][key] == "--skip-frames"
