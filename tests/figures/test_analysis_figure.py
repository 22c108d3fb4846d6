"""Which figures of a scored set are drawn, and what is said of those that are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from surgseg.figures import analysis, examples
from surgseg.files import write_json
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask

BINARY = SCHEMES["binary"]
EXAMPLES = [f"{name}_segmentation_results" for name in ("best", "challenging", "impressive")]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Figures of scores are not drawn here; example figures become lists of what they would show."""

    def skip(*given, title):
        return next(item for item in given if isinstance(item, Path))

    def listed(found, scheme, path, **options):
        write_json(path, {"drawn": len(found), **options})

    for name in ("draw_comprehensive", "draw_full_dataset", "draw_strata", "draw_calibration", "draw_complete"):
        monkeypatch.setattr(analysis, name, skip)
    monkeypatch.setattr(examples, "draw_examples", listed)


@pytest.fixture
def data(tiny_run, tmp_path):
    return Path(shutil.copytree(tiny_run.data, tmp_path / "data"))


def figures(run, data, preds, tmp_path, **options):
    metrics = run.output / "metrics.json"
    written, notes, whole = analysis.write_figures(metrics, BINARY, data / "masks", preds, tmp_path / "f", **options)
    return [path.name for path in written], notes, whole


def test_all_is_drawn_where_all_is_there(tiny_run, data, tmp_path):
    write_json(data / "audit.json", {key: {"a": 1} for key in ("videos", "codes", "classes", "void")})
    names, notes, whole = figures(tiny_run, data, tiny_run.preds, tmp_path, examples=2)
    assert names[:5] == [
        "comprehensive_analysis.png", "full_dataset_analysis.png", "strata.png", "calibration.png",
        "full_dataset_complete_analysis.png",
    ]  # fmt: skip
    assert names[5:] == [f"{name}.{suffix}" for name in EXAMPLES for suffix in ("png", "json")]
    assert notes == [] and whole
    said = json.loads((tmp_path / "f" / "impressive_segmentation_results.json").read_text())
    coverage = [frame["coverage"] for frame in said["frames"]]
    assert len(coverage) == 2 and coverage == sorted(coverage, reverse=True)
    assert "true coverage (ground truth)" in said["words"]


def test_what_is_missing_is_said_in_a_line_each(tiny_run, data, tmp_path):
    names, notes, whole = figures(tiny_run, data, None, tmp_path)
    assert len(names) == 4 and whole
    assert "audit.json holds no tables" in notes[0] and "--save-preds" in notes[1] and len(notes) == 2
    shutil.rmtree(data / "frames")
    (data / "audit.json").unlink()
    _, notes, _ = figures(tiny_run, data, tiny_run.preds, tmp_path)
    assert "audit.json does not exist" in notes[0] and "neither sample_frames nor frames" in notes[1]
    assert figures(tiny_run, data, tiny_run.preds, tmp_path, examples=0)[1] == notes[:1]


def test_frames_that_are_gone_are_counted_and_not_chosen(tiny_run, data, tmp_path):
    for path in sorted((data / "frames").glob("video04_*"))[:4]:
        path.unlink()
    names, notes, whole = figures(tiny_run, data, tiny_run.preds, tmp_path)
    assert "4 of 6 scored frames are not in" in notes[1] and whole and len(names) == 10
    said = json.loads((tmp_path / "f" / "best_segmentation_results.json").read_text())
    assert [frame["name"] for frame in said["frames"]] == ["video04_000004"], "the last one shows no instrument"


def test_a_frame_of_another_size_is_said_and_the_result_partial(tiny_run, data, tmp_path):
    for path in (data / "frames").glob("video04_*"):
        write_mask(path, np.zeros((8, 8), np.uint8), BINARY)
    names, notes, whole = figures(tiny_run, data, tiny_run.preds, tmp_path)
    assert not whole and len(names) == 4 and "8x8 pixels" in notes[1] and "64x48" in notes[1]


def test_no_instrument_anywhere_leaves_no_example(tiny_run, data, tmp_path):
    table = "metrics_frames.csv"
    lines = (tiny_run.output / table).read_text().splitlines()
    rows = [",".join([*line.split(",")[:2], "", "", "0.000000", "0.000000"]) for line in lines[1:]]
    (tmp_path / table).write_text("\n".join([lines[0], *rows]) + "\n")
    shutil.copy(tiny_run.output / "metrics.json", tmp_path / "metrics.json")
    found = analysis.write_figures(tmp_path / "metrics.json", BINARY, data / "masks", tiny_run.preds, tmp_path / "f")
    assert [f"No {name}.png: no scored frame shows an instrument" for name in EXAMPLES] == found[1][1:]
    assert len(found[0]) == 4 and not (tmp_path / "f").exists()
