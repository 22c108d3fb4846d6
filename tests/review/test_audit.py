import dataclasses
import json

import cv2
import numpy as np
import pytest

import audit_video
from surgseg.data.likeness import frame_hashes, pack
from surgseg.files import UserError, read_json
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.review import audit as module
from surgseg.review.audit import audit_counts, expected_counts, measure_model, read_audit
from surgseg.review.sample import draw_audit, inclusion, population_of, strata_of
from surgseg.reviews import Review, read_reviews, reviewed_path, write_audit_sample, write_reviews
from tests.films import bright_checkpoint
from tests.folders import columns, texture, write_folder

SIZE = (24, 32)


def images(count):
    """Dim textures with a bright block, which the model marks, in columns 8 to 15."""
    found = [np.repeat(texture(SIZE, seed)[..., None] // 3, 3, axis=2) for seed in range(count)]
    for image in found:
        image[:, 8:16] = 255
    return found


def write_audit(folder, drawn, truth=lambda place: columns(8, 16, SIZE), count=8, **run):
    """A folder of `count` frames with an audit of `drawn`, reviewed with the mask `truth` gives for each place."""
    write_folder(folder, [columns(8, 16, SIZE)] * count, images=images(count), **run)
    generated = read_generated(folder)
    sample = draw_audit(population_of(generated), drawn, 0)
    write_audit_sample(folder, sample)
    drawn_as = inclusion(sample, strata_of(generated, sample))
    reviews = [Review(name, "audit", 0, "", *drawn_as[name], status="corrected") for name in sample.names]
    for review in reviews:
        write_mask(reviewed_path(folder, review.name), truth(int(review.name[-6:]) // 30), SCHEMES["binary"])
    write_reviews(folder, reviews)
    return folder


def change(folder, place, **values):
    """Change the row of one frame of the audit."""
    reviews = list(read_reviews(folder).values())
    reviews[place] = dataclasses.replace(reviews[place], **values)
    write_reviews(folder, reviews)


@pytest.fixture
def models(monkeypatch):
    """Weights files by name: `whole` marks the block, `blind` marks nothing."""
    found = {
        name: dataclasses.replace(bright_checkpoint(), image_size=SIZE, sha256=name) for name in ("whole", "blind")
    }
    found["blind"].model.scale.data.fill_(0)
    found["blind"].threshold = 0.9
    monkeypatch.setattr("surgseg.checkpoint.load_checkpoint", lambda path: found[path.name])
    return found


def test_the_counts_of_a_frame_leave_void_out():
    predicted, truth = columns(0, 4) > 0, columns(2, 6)
    truth[:5] = 255
    assert audit_counts(predicted, truth, [1]) == (2 * 10, 40, 0.4, 0.4, True)
    assert audit_counts(predicted, np.full((10, 10), 255, np.uint8), [1]) == (0, 0, 0, 0, False)
    assert expected_counts(predicted, columns(0, 2) * 255) == (2 * 20, 20 + 40)


def test_a_census_gives_the_score_of_the_folder(tmp_path, models, capsys):
    write_audit(tmp_path / "v", 8, truth=lambda place: columns(8, (24, 16, 8)[(place > 3) + (place > 5)], SIZE))
    assert audit_video.main(["--generated-dir", str(tmp_path / "v"), "--models", "whole", "blind",
                             "--json", str(tmp_path / "a.json")]) == 0  # fmt: skip
    result = read_json(tmp_path / "a.json")
    whole, blind = result["models"]
    dice = 2 * 6 * 8 / (8 * 8 + 4 * 16 + 2 * 8)  # of columns; the last two frames show none
    assert whole["dice"]["interval"] == pytest.approx([dice, dice]) and whole["sensitivity"]["value"] == 1
    assert blind["sample_dice"]["value"] == 0 and blind["sensitivity"]["value"] == 0
    assert (whole["specificity"]["value"], blind["specificity"]["value"]) == (0, 1)
    assert result["differences"][0]["dice"]["value"] == pytest.approx(-dice)
    told = capsys.readouterr().out
    assert "8 of 8 frames reviewed" in told and "review of all 8 frames" in told


def test_unusable_frames_do_not_count(tmp_path, models):
    write_audit(tmp_path / "v", 8)
    change(tmp_path / "v", 0, status="unusable")
    measured = measure_model(read_audit(tmp_path / "v"), models["whole"], "whole", models["whole"].model.scale.device)
    assert measured.above.tolist() == [0] + [2 * 8 * 24] * 7 and measured.known.tolist() == [False] + [True] * 7


def test_open_frames_make_a_partial_result_or_none(tmp_path, models, capsys):
    command = ["--generated-dir", str(write_audit(tmp_path / "v", 6)), "--models", "whole"]
    change(tmp_path / "v", 0, status="open")
    assert audit_video.main(command) == 3
    told = capsys.readouterr()
    assert "not reviewed yet: 1" in told.err and "no such frame" in told.out and "fewer than 20" in told.out
    for place in range(1, 5):
        change(tmp_path / "v", place, status="open")
    assert audit_video.main(command) == 2
    assert "review_masks.py" in capsys.readouterr().err


def test_a_folder_without_an_audit_says_how_to_draw_one(tmp_path, models, capsys):
    write_folder(tmp_path / "v", [3, 4])
    assert audit_video.main(["--generated-dir", str(tmp_path / "v"), "--models", "whole"]) == 2
    assert "select_frames.py" in capsys.readouterr().err


def test_a_model_that_frames_of_the_audit_trained_is_refused(tmp_path, models):
    folder, model = write_audit(tmp_path / "v", 4), models["whole"]
    drawn = sorted(int(name[-6:]) // 30 for name in read_audit(folder).reviews)
    others = [place for place in range(8) if place not in drawn]
    for place, told in ((drawn[0], "measure memory"), (others[0], None)):
        model.trained_frames = pack(frame_hashes([images(8)[place]])[0])
        model.training = {"split": {"name": "manifest", "by": "video", "hash": "h", "assignment": {"v": "train"}}}
        work = lambda: measure_model(read_audit(folder), model, "weights.pth", model.model.scale.device)  # noqa: E731
        if told:
            with pytest.raises(UserError, match=f"weights.pth.*{told}"):
                work()
        else:
            assert work().notes == ["other frames of this video trained it, so its numbers hold for this video alone"]


def test_masks_and_probabilities_of_the_same_model_are_read_not_predicted(tmp_path, models, monkeypatch):
    folder = write_audit(tmp_path / "v", 4, weights_sha256="whole")
    (folder / "probabilities").mkdir()
    for path in (folder / "masks").iterdir():
        cv2.imwrite(str(folder / "probabilities" / path.name), np.full(SIZE, 51, np.uint8))
    run = read_json(folder / "run.json")
    run["parts"]["probabilities"] = "png"
    (folder / "run.json").write_text(json.dumps(run))
    monkeypatch.setattr(module, "Predictor", None)
    measured = measure_model(read_audit(folder), models["whole"], "whole", None)
    assert measured.expected_above == pytest.approx(np.full(8, 2 * 0.2 * 8 * 24))
    assert measured.expected_below == pytest.approx(np.full(8, 0.2 * 24 * 32 + 8 * 24))


@pytest.mark.parametrize("fault", ["size", "classes"])
def test_masks_of_another_size_and_models_of_other_classes_are_refused_by_name(tmp_path, models, fault):
    folder = write_audit(tmp_path / "v", 4)
    if fault == "size":
        name = next(iter(read_reviews(folder)))
        write_mask(reviewed_path(folder, name), columns(0, 2, (12, 16)), SCHEMES["binary"])
        told = f"{name}.png is 16x12, its frame 32x24"
    else:
        models["whole"].scheme = SCHEMES["grasper-hook"]
        told = "whole knows the classes background, grasper"
    with pytest.raises(UserError, match=told):
        measure_model(read_audit(folder), models["whole"], "whole", models["whole"].model.scale.device)
