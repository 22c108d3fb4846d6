"""The ranking of labels by confident disagreement: by hand, and with a trained model."""

import shutil

import numpy as np

import audit_labels
from surgseg.checkpoint import load_checkpoint, save_checkpoint
from surgseg.data.dataset import Sample
from surgseg.files import read_csv
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.study.label_audit import rank_labels
from tests.test_checkpoint import small


def counts(background: dict, instrument: dict) -> np.ndarray:
    """(2, 256): pixels by label, from {probability in 255ths: pixels}."""
    found = np.zeros((2, 256), np.int64)
    for row, pixels in zip(found, (background, instrument)):
        row[list(pixels)] = list(pixels.values())
    return found


def test_only_pixels_as_sure_as_those_of_the_other_label_count():
    """Mean p of all instrument pixels: 181 / 255; mean 1 - p of all background pixels: 251 / 255."""
    usual = counts({0: 980}, {200: 100})
    forgotten = counts({0: 880, 199: 30, 210: 50}, {})
    unsure = counts({0: 980}, {200: 80, 100: 20})
    drawn = counts({0: 980}, {200: 100, 2: 20})
    samples = [Sample(name, None, None, "v") for name in ("usual", "forgotten", "unsure", "drawn")]
    rows = {row.name: row for row in rank_labels(samples, np.stack([usual, forgotten, unsure, drawn]))}
    assert {name: (row.missing, row.extra, row.labelled) for name, row in rows.items()} == {
        "forgotten": (80, 0, 0), "drawn": (0, 20, 120), "unsure": (0, 0, 100), "usual": (0, 0, 100),
    }  # fmt: skip
    assert next(iter(rows)) == "forgotten"
    assert rows["forgotten"].score == 80 / 960 and rows["usual"].score == 0


def test_without_a_labelled_instrument_no_probability_is_sure():
    rows = rank_labels([Sample("a", None, None, "v")], np.stack([counts({0: 90, 255: 10}, {})]))
    assert (rows[0].missing, rows[0].score) == (0, 0)


def audited(tmp_path, capsys, data, *models, status=3):
    argv = ["--data-root", str(data), "--output-dir", str(tmp_path / "out"), "--device", "cpu", "--models"]
    assert audit_labels.main([*argv, *map(str, models)]) == status
    return capsys.readouterr()


def test_an_erased_label_leads_the_frames_that_the_model_did_not_learn(tiny_run, tmp_path, capsys):
    data = shutil.copytree(tiny_run.data, tmp_path / "data")
    path = data / "masks" / "video04_000002.png"
    write_mask(path, np.where(read_mask(path, 2) == 1, 0, read_mask(path, 2)).astype(np.uint8), SCHEMES["binary"])
    shown = audited(tmp_path, capsys, data, tiny_run.weights, tiny_run.weights, status=2)
    assert "is a model given twice?" in shown.err and not (tmp_path / "out").exists()
    shown = audited(tmp_path, capsys, data, tiny_run.weights)
    rows = read_csv(tmp_path / "out" / "label_audit.csv")
    assert len(rows) == 6 and rows[0]["name"] == "video04_000002" and int(rows[0]["missing"]) > 0
    assert (tmp_path / "out" / "label_audit.png").is_file()
    assert "of this model" not in shown.out
    assert "WARNING: 18 frames are in the test part of no model" in shown.out


def test_a_model_that_may_have_learned_the_labels_is_refused_or_told_of(tiny_run, tmp_path, capsys):
    checkpoint = load_checkpoint(tiny_run.weights)
    checkpoint.training["split"] = None
    save_checkpoint(tmp_path / "bare.pth", checkpoint)
    save_checkpoint(tmp_path / "tools.pth", small(scheme="grasper-hook"))
    error = audited(tmp_path, capsys, tiny_run.data, tmp_path / "bare.pth", tmp_path / "tools.pth", status=2).err
    assert "bare.pth stores no split" in error and "tools.pth: the weights know the classes" in error


def test_labels_without_an_instrument_are_told_of(tiny_run, tmp_path, capsys):
    data = shutil.copytree(tiny_run.data, tmp_path / "data")
    for path in (data / "masks").glob("*.png"):
        write_mask(path, 0 * read_mask(path, 2), SCHEMES["binary"])
    assert "no tested frame is labelled instrument" in audited(tmp_path, capsys, data, tiny_run.weights).out


def test_a_model_that_has_not_learned_the_instrument_is_reported(tiny_run, tmp_path, capsys):
    checkpoint = load_checkpoint(tiny_run.weights)
    checkpoint.threshold = 1.0  # it marks nothing
    save_checkpoint(tmp_path / "blind.pth", checkpoint)
    assert (
        "blind.pth: Dice 0.000 on its tested frames"
        in audited(tmp_path, capsys, tiny_run.data, tmp_path / "blind.pth").out
    )
