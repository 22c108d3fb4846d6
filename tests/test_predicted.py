"""Masks that a model predicted are told from ground truth by a stored hash of their pixels."""

import json

import numpy as np
import pytest
from PIL import Image

import analyze_model
import prepare_cholecseg8k_assets
from surgseg.analysis.ground_truth import match_ground_truth
from surgseg.data.dataset import load_folders, load_prepared, mark_predicted
from surgseg.figures import analysis
from surgseg.files import UserError
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.predicted import mask_hash, predicted_masks
from surgseg.training.split import SplitConfig, choose_split, describe_split, pseudo_labels
from tests.folders import pixels, write_folder
from tests.helpers import save_image

COUNTS = (5, 10, 15, 20)


@pytest.fixture()
def generated(tmp_path):
    return write_folder(tmp_path / "g", COUNTS, images=[np.full((10, 10, 3), 9 * i, np.uint8) for i in range(4)])


def masks_of(folder):
    return sorted((folder / "masks").glob("*.png"))


def correct(path, count=50):
    write_mask(path, pixels(count), SCHEMES["binary"])


def drop_columns(table, *names):
    """What a folder of an earlier version looks like."""
    lines = [line.split(",") for line in table.read_text().splitlines()]
    kept = [place for place, name in enumerate(lines[0]) if name not in names]
    table.write_text("".join(",".join(line[place] for place in kept) + "\n" for line in lines))


def test_masks_of_a_generated_folder_are_predicted_until_they_are_corrected(generated):
    masks = masks_of(generated)
    assert predicted_masks(masks) == set(masks)
    correct(masks[1])
    assert predicted_masks(masks) == set(masks) - {masks[1]}


@pytest.mark.parametrize("mode", ["L", "0/255", "RGB", "deflated"])
def test_equal_pixels_saved_by_another_program_are_still_predicted(generated, mode):
    mask = masks_of(generated)[2]
    ids = np.asarray(Image.open(mask))
    if mode == "deflated":
        Image.open(mask).save(mask, optimize=True)
    else:
        save_image(mask, {"L": ids, "0/255": ids * 255, "RGB": np.stack([ids] * 3, 2)}[mode])
    assert mask in predicted_masks([mask])


def test_a_hash_depends_on_pixels_and_shape():
    ids = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    assert mask_hash(ids) == mask_hash(ids * 255) != mask_hash(ids.reshape(3, 2))
    assert mask_hash(ids) != mask_hash(ids * 2)
    void_added = np.array([[0, 1, 255], [0, 0, 1]], np.uint8)
    assert mask_hash(ids) != mask_hash(void_added)


def test_a_generated_folder_without_hashes_counts_as_predicted_and_can_still_be_read(generated):
    drop_columns(generated / "frames.csv", "mask_hash", "trained")
    masks = masks_of(generated)
    correct(masks[0])
    assert predicted_masks(masks) == set(masks)
    assert [row.mask_hash for row in read_generated(generated).rows] == [""] * 4


def test_masks_that_a_killed_run_left_without_a_row_are_predicted(generated):
    table = generated / "frames.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
    assert len(predicted_masks(masks_of(generated))) == 4


def test_predictions_are_listed_with_or_without_hashes_also_below_folders(tmp_path):
    for name in ("v1/0", "v2/0", "other"):
        write_mask(save_image(tmp_path / f"{name}.png", pixels(3)), pixels(3), SCHEMES["binary"])
    listing = tmp_path / "predictions.json"
    listing.write_text(json.dumps({"names": ["v1/0", "v2/0"], "hashes": {"v2/0": "00000000"}}))
    assert predicted_masks(tmp_path.rglob("*.png")) == {tmp_path / "v1" / "0.png"}


def test_masks_of_no_record_are_true(tmp_path):
    save_image(tmp_path / "masks" / "a.png", pixels(3))
    assert predicted_masks((tmp_path / "masks").glob("*.png")) == set()


def test_predicted_masks_are_not_scored_and_a_split_without_truth_is_refused(generated):
    prepared = mark_predicted(load_folders(generated / "frames", generated / "masks"))
    with pytest.raises(UserError, match=r"predictions of a model.+--masks-reviewed"):
        choose_split(SplitConfig(split="random"), prepared.samples)


def test_corrected_masks_are_scored_and_the_others_train_as_pseudo_labels(tmp_path):
    made = write_folder(tmp_path / "g", [5 + i for i in range(20)], images=[np.zeros((10, 10, 3), np.uint8)] * 20)
    for path in masks_of(made)[15:18]:
        correct(path)
    samples = mark_predicted(load_folders(made / "frames", made / "masks")).samples
    split = choose_split(SplitConfig(split="time"), samples)
    scored = {samples[index].name for part in ("val", "test") for index in split.parts[part]}
    assert scored == {masks_of(made)[index].stem for index in (15, 17)}
    assert pseudo_labels(split, samples) == 14 == len(split.parts["train"])
    text = describe_split(split, samples)
    assert "14 of 14 training masks are predictions of a model (pseudo-labels)" in text
    assert f"{len(split.left_out)} frames of val and test are left out" in text
    for sample in samples:
        object.__setattr__(sample, "predicted", False)
    assert choose_split(SplitConfig(split="time"), samples).hash != split.hash  # another run


def test_videos_of_predicted_masks_train_if_two_true_ones_are_left():
    from tests.data.test_leaks import samples_of

    samples = samples_of({"a": 4, "b": 4, "c": 2})
    for sample in samples:
        object.__setattr__(sample, "predicted", sample.video == "c")
    assert choose_split(SplitConfig(split="video"), samples).assignment == {"a": "test", "b": "train", "c": "train"}


def test_a_preparation_remembers_predicted_masks(generated, tmp_path):
    correct(masks_of(generated)[3])
    root = tmp_path / "data"
    given = f"--frame-dir {generated}/frames --mask-dir {generated}/masks --output-root {root} --instrument-codes 1"
    options = [*given.split(), "--void-codes"]
    assert prepare_cholecseg8k_assets.main(options) == 0
    names = [path.stem for path in masks_of(generated)]
    assert list(json.loads((root / "audit.json").read_text())["predicted_masks"]) == names[:3]
    marked = [sample.predicted for sample in mark_predicted(load_prepared(root)).samples]
    assert marked == [True, True, True, False]
    correct(root / "masks" / f"{names[0]}.png")  # in the prepared folder
    assert [s.predicted for s in mark_predicted(load_prepared(root)).samples] == [False, True, True, False]
    assert prepare_cholecseg8k_assets.main([*options, "--masks-reviewed"]) == 0
    assert not any(sample.predicted for sample in mark_predicted(load_prepared(root)).samples)
    assert prepare_cholecseg8k_assets.main(options) == 0  # no longer said to be reviewed
    assert [s.predicted for s in mark_predicted(load_prepared(root)).samples] == [False, True, True, False]


def test_predictions_are_not_scored_against_predictions(generated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(analysis, "write_figures", lambda *given, **options: ([], [], True))
    mask_dir = generated / "masks"
    for path in masks_of(generated):
        write_mask(tmp_path / "preds" / path.name, pixels(5), SCHEMES["binary"])
    given = ["--mask-dir", str(mask_dir), "--pred-dir", str(tmp_path / "preds"), "--output-dir", str(tmp_path / "out")]
    assert analyze_model.main([*given, "--examples", "0"]) == 2
    assert "all 4 masks" in capsys.readouterr().err
    correct(masks_of(generated)[2], 10)
    assert analyze_model.main([*given, "--examples", "0"]) == 0
    metrics = json.loads((tmp_path / "out" / "analysis_metrics.json").read_text())
    assert metrics["frames"] == 1 and metrics["mean_instrument"]["iou"] == 0.5
    assert "3 masks" in capsys.readouterr().out
    assert analyze_model.main([*given, "--examples", "0", "--masks-reviewed"]) == 0
    assert json.loads((tmp_path / "out" / "analysis_metrics.json").read_text())["frames"] == 4


def test_a_generated_folder_is_not_compared_with_itself_or_another_models_masks(generated, tmp_path):
    first = read_generated(generated)
    correct(masks_of(generated)[0])
    with pytest.raises(UserError, match="itself"):
        match_ground_truth(first, generated / "masks")
    other = write_folder(tmp_path / "other", COUNTS)
    with pytest.raises(UserError, match="predictions of a model"):
        match_ground_truth(first, other / "masks")
    correct(masks_of(other)[1])
    assert list(match_ground_truth(first, other / "masks").values()) == [masks_of(other)[1]]
    assert len(match_ground_truth(first, other / "masks", reviewed=True)) == 4
