"""Predictions at native size and their scores; the predictor that makes them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models import build_model
from surgseg.checkpoint import Checkpoint
from surgseg.data.dataset import Prepared, load_prepared
from surgseg.evaluation.folders import claim_prediction_folder, facts_of_predictions, score_folders
from surgseg.evaluation.results import metrics_of
from surgseg.evaluation.samples import evaluate_samples, known_of_split, predict_and_score
from surgseg.files import UserError, file_sha256, read_csv, write_json
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.predict import Predictor, to_mask
from surgseg.predicted import mask_hash
from tests.helpers import noise_frame, save_image

CPU = torch.device("cpu")
BINARY, TOOLS = SCHEMES["binary"], SCHEMES["grasper-hook"]


class Brightness(nn.Module):
    """Instrument where the normalised frame is bright: what `tiny_prepared` shows, without training."""

    def forward(self, frames):
        bright = 4 * (frames.mean(1, keepdim=True) - 0.2)
        return torch.cat([-bright, bright], 1)


def whole(samples):
    """The samples as a prepared folder without a manifest."""
    return Prepared(samples[0].mask.parent.parent, samples, BINARY, "real")


def bright_checkpoint(**fields):
    values = {"model": Brightness(), "arch": "unet", "model_args": {}, "scheme": BINARY, "image_size": (24, 32)}
    return Checkpoint(**{**values, "sha256": "abc", **fields})


def unet_predictor(scheme=BINARY, size=(32, 48), **options):
    torch.manual_seed(0)
    model = build_model("unet", scheme.num_classes, base_channels=2)
    return Predictor(Checkpoint(model, "unet", {}, scheme, size, threshold=None), CPU, keep_probability=True, **options)


@pytest.fixture
def samples(tiny_prepared, tmp_path):
    return load_prepared(shutil.copytree(tiny_prepared, tmp_path / "prepared")).samples


def message(work, *args, **options):
    with pytest.raises(UserError) as caught:
        work(*args, **options)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- predictor


@pytest.mark.parametrize("size", [(31, 45), (48, 64), (17, 90)])
@pytest.mark.parametrize("scheme", [BINARY, TOOLS])
def test_predictions_have_the_frames_own_size(scheme, size):
    found = unet_predictor(scheme).predict(np.stack([noise_frame(i, size) for i in range(3)]))
    assert found.ids.shape == found.probability.shape == (3, *size)
    assert (found.ids.dtype, found.probability.dtype) == (np.uint8, np.uint8)
    assert found.ids.max() < scheme.num_classes and found.probability.min() < found.probability.max()
    measures = np.array(found.measures)
    assert measures.shape == (3, 3) and (measures >= 0).all() and (measures <= 1).all()


@pytest.mark.parametrize("scheme", [BINARY, TOOLS])
def test_the_batch_size_does_not_matter(scheme):
    frames = np.stack([noise_frame(i, (40, 50)) for i in range(5)])
    one, many = (unet_predictor(scheme, batch_size=size).predict(frames) for size in (1, 4))
    np.testing.assert_allclose(one.probability, many.probability, atol=1)
    np.testing.assert_allclose(one.measures, many.measures, atol=1e-3)
    assert (one.ids != many.ids).mean() < 1e-3


def test_the_model_is_used_in_evaluation_mode():
    checkpoint = bright_checkpoint(model=build_model("unet", 2, base_channels=2).train(), image_size=(32, 32))
    before = checkpoint.model.stem[1].running_mean.clone()
    Predictor(checkpoint, CPU).predict(noise_frame(0, (32, 32))[None])
    assert not checkpoint.model.training and torch.equal(before, checkpoint.model.stem[1].running_mean)


def test_two_classes_are_divided_by_the_threshold():
    frames = np.stack([noise_frame(0, (24, 32))])
    predictors = [Predictor(bright_checkpoint(), CPU, threshold, keep_probability=True) for threshold in (0.1, 0.9)]
    loose, strict = (predictor.predict(frames) for predictor in predictors)
    np.testing.assert_array_equal(loose.probability, strict.probability)
    np.testing.assert_array_equal(loose.ids, loose.probability >= 26)  # of 255
    np.testing.assert_array_equal(strict.ids, strict.probability >= 230)
    assert loose.ids.sum() > strict.ids.sum() > 0


@pytest.mark.parametrize("threshold", [0, 1, 1.5, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    assert "--threshold" in message(Predictor, bright_checkpoint(), CPU, threshold)


@pytest.mark.parametrize(
    ("probability", "threshold", "scheme", "expected"),
    [
        ((0.4, 0.35, 0.25), None, TOOLS, 0),  # the most probable of all
        ((0.4, 0.35, 0.25), 0.5, TOOLS, 1),  # both instruments together reach 0.5: the likelier of the two
        ((0.4, 0.25, 0.35), 0.59, TOOLS, 2),
        ((0.4, 0.35, 0.25), 0.7, TOOLS, 0),
        ((0.5, 0.5, 0.0), 0.5, TOOLS, 1),  # reaching is enough
        ((0.05, 0.1, 0.2, 0.05, 0.05, 0.05, 0.3, 0.2), 0.4, SCHEMES["endovit8"], 2),
        ((0.05, 0.1, 0.2, 0.05, 0.05, 0.05, 0.3, 0.2), 0.25, SCHEMES["endovit8"], 6),
    ],
)
def test_a_threshold_speaks_of_the_union_of_instruments(probability, threshold, scheme, expected):
    ids, union = to_mask(torch.tensor(probability).view(1, -1, 1, 1), scheme, threshold)
    assert ids.item() == expected and ids.dtype == torch.uint8
    assert union.item() == pytest.approx(sum(probability[index] for index in scheme.instrument_ids))


# ------------------------------------------------------------------------------------------------ evaluation


def test_predictions_are_written_at_native_size_as_indexed_masks(samples, tmp_path):
    scored = predict_and_score(Predictor(bright_checkpoint(), CPU), samples, tmp_path / "preds", "ignore")
    assert sorted(path.name for path in (tmp_path / "preds").glob("*.png")) == [f"{s.name}.png" for s in samples]
    with Image.open(tmp_path / "preds" / f"{samples[0].name}.png") as image:
        assert image.mode == "P" and image.size == (64, 48)
    metrics = metrics_of(scored, BINARY)
    assert metrics["mean_instrument"]["iou"] > 0.8, "the bright bars are found, and the images are not shuffled"
    assert list(metrics["per_video"]) == ["video01", "video02", "video03", "video04"]
    assert scored.counts.shape == (24, 3, 2) and (scored.counts.sum((1, 2)) == 48 * 64).all()


def test_saved_predictions_score_exactly_as_when_they_were_made(samples, tmp_path):
    made = predict_and_score(Predictor(bright_checkpoint(), CPU, batch_size=5), samples, tmp_path / "preds", "ignore")
    again, masks = score_folders(samples[0].mask.parent, tmp_path / "preds", BINARY, "ignore")
    assert masks == 24 and (again.names, again.videos) == (made.names, made.videos)
    np.testing.assert_array_equal(again.counts, made.counts)


def test_frames_of_several_sizes_keep_their_order(samples, tmp_path):
    for index, size in ((1, (30, 41)), (2, (30, 41)), (4, (50, 20))):
        save_image(samples[index].frame, noise_frame(index, size))
        write_mask(samples[index].mask, np.full(size, index % 2, np.uint8), BINARY)
    made = predict_and_score(
        Predictor(bright_checkpoint(), CPU, batch_size=4), samples[:7], tmp_path / "preds", "ignore"
    )
    again, _ = score_folders(samples[0].mask.parent, tmp_path / "preds", BINARY, "ignore")
    np.testing.assert_array_equal(again.counts, made.counts)
    assert made.counts.sum((1, 2)).tolist() == [48 * 64, 1230, 1230, 48 * 64, 1000, 48 * 64, 48 * 64]


def test_the_metrics_json_is_strict_and_says_what_was_scored(samples, tmp_path):
    path = tmp_path / "out" / "metrics.json"
    checkpoint = bright_checkpoint(
        training={"split": {"name": "video", "hash": "123", "by": "video", "assignment": {}}}
    )
    returned = evaluate_samples(
        checkpoint,
        samples[:6],
        CPU,
        metrics_path=path,
        void="background",
        prepared=whole(samples),
        part="test",
        run={"seed": 1},
    )
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert read["schema"] == returned["schema"] and read["frames"] == read["masks"] == 6
    assert read["void_policy"] == "background" and "void_ignore" in read
    assert read["classes"]["instrument"]["n"] == returned["classes"]["instrument"]["n"] > 0
    assert read["weights"] == {"sha256": "abc", "arch": "unet", "image_size": [24, 32]}
    assert read["run"]["split"] == {"name": "video", "hash": "123"} and read["threshold"] == 0.5
    assert (read["data"], read["part"], read["run"]["seed"]) == ("real", "test", 1)
    assert not list(path.parent.glob("*.png")), "no predictions where none were asked for"


def test_the_frame_table_agrees_with_the_summary(samples, tmp_path):
    path = tmp_path / "metrics.json"
    options = {"metrics_path": path, "void": "ignore", "prepared": whole(samples), "part": "test"}
    metrics = evaluate_samples(bright_checkpoint(), samples[:6], CPU, **options)
    rows = read_csv(tmp_path / "metrics_frames.csv")
    assert [row["name"] for row in rows] == [sample.name for sample in samples[:6]]
    scored = [float(row["iou"]) for row in rows if row["iou"]]
    assert len(scored) == metrics["per_frame"]["scored"]
    assert np.mean(scored) == pytest.approx(metrics["per_frame"]["mean_iou"], abs=1e-5)
    truth = read_mask(samples[0].mask, 2)
    assert float(rows[0]["coverage"]) == pytest.approx((truth == 1).sum() / (truth != 255).sum(), abs=1e-6)


def test_other_classes_than_the_weights_know_are_refused(samples, tmp_path):
    text = message(
        evaluate_samples,
        bright_checkpoint(),
        samples,
        CPU,
        metrics_path=tmp_path / "m.json",
        void="ignore",
        prepared=replace(whole(samples), scheme=TOOLS),
        part="test",
    )
    assert "l-hook" in text and "--class-scheme" in text and not (tmp_path / "m.json").exists()


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused(samples, tmp_path, batch_size):
    options = {"metrics_path": tmp_path / "m.json", "void": "ignore", "batch_size": batch_size}
    options.update(prepared=whole(samples), part="test")
    assert "--batch-size" in message(evaluate_samples, bright_checkpoint(), samples, CPU, **options)


def test_a_frame_of_another_size_than_its_mask_is_named(samples):
    save_image(samples[3].frame, noise_frame(0, (20, 30)))
    text = message(predict_and_score, Predictor(bright_checkpoint(), CPU), samples, None, "ignore")
    assert samples[3].name in text and "30" in text and "64" in text


# ----------------------------------------------------------------------------------------- folders of others


def test_an_earlier_runs_predictions_make_room(tmp_path):
    claim_prediction_folder(tmp_path / "preds", ["a_1", "a_2"], {"weights_sha256": "one"})
    write_mask(tmp_path / "preds" / "a_1.png", np.zeros((4, 5), np.uint8), BINARY)
    (tmp_path / "preds" / "notes.txt").write_text("mine")
    claim_prediction_folder(tmp_path / "preds", ["b_1"], {"weights_sha256": "two"})
    assert sorted(path.name for path in (tmp_path / "preds").iterdir()) == ["notes.txt", "predictions.json"]
    listing = json.loads((tmp_path / "preds" / "predictions.json").read_text())
    assert listing == {"weights_sha256": "two", "names": ["b_1"]}


@pytest.mark.parametrize("name", ["mine.png", "a_1.jpg", "corrected/a_1.png"])
def test_images_of_others_are_neither_removed_nor_replaced(tmp_path, name):
    claim_prediction_folder(tmp_path / "preds", ["a_1"], {})
    write_mask(tmp_path / "preds" / "a_1.png", np.zeros((4, 5), np.uint8), BINARY)
    foreign = save_image(tmp_path / "preds" / name, noise_frame(0))
    text = message(claim_prediction_folder, tmp_path / "preds", ["a_1"], {})
    assert Path(name).name in text and "--save-preds" in text
    assert foreign.is_file() and (tmp_path / "preds" / "a_1.png").is_file()


@pytest.mark.parametrize("listing", ["[]", '{"boxes": []}', '{"names": null}', "{"])
def test_somebody_elses_listing_does_not_claim_images(tmp_path, listing):
    save_image(tmp_path / "a_1.png", noise_frame(0))
    (tmp_path / "predictions.json").write_text(listing)
    message(claim_prediction_folder, tmp_path, ["a_1"], {})
    assert (tmp_path / "a_1.png").is_file()


@pytest.fixture
def folders(samples, tmp_path):
    """(masks, preds): the truth itself as predictions of the first four frames, void as background."""
    preds = tmp_path / "preds"
    for sample in samples[:4]:
        ids = read_mask(sample.mask, 2)
        write_mask(preds / f"{sample.name}.png", np.where(ids == 255, 0, ids).astype(np.uint8), BINARY)
    return samples[0].mask.parent, preds


def test_the_predictions_that_exist_are_scored_and_gaps_counted(folders):
    scored, masks = score_folders(*folders, BINARY, "ignore")
    assert (len(scored.names), masks) == (4, 24)
    assert metrics_of(scored, BINARY)["mean_instrument"]["iou"] == 1
    text = message(score_folders, *folders, BINARY, "ignore", require_all=True)
    assert text.startswith("20 masks without a prediction") and "video01_000004" in text


def test_gray_0_255_predictions_are_read_as_binary(folders):
    expected, _ = score_folders(*folders, BINARY, "ignore")
    for path in folders[1].glob("*.png"):
        save_image(path, read_mask(path, 2) * np.uint8(255))
    np.testing.assert_array_equal(score_folders(*folders, BINARY, "ignore")[0].counts, expected.counts)


def test_all_predictions_that_cannot_be_scored_are_named(folders):
    masks, preds = folders
    paths = sorted(preds.glob("*.png"))
    write_mask(paths[0], np.zeros((24, 32), np.uint8), BINARY)
    write_mask(paths[1], np.full((48, 64), 5, np.uint8), BINARY)
    write_mask(paths[2], np.full((48, 64), 255, np.uint8), BINARY)
    text = message(score_folders, masks, preds, BINARY, "ignore")
    assert text.startswith("3 of 4") and all(path.name in text for path in paths[:3]) and paths[3].name not in text
    assert "32x24" in text and "64x48" in text and "5 (3072 pixels)" in text and "void" in text


def test_names_that_do_not_meet_are_refused(folders, tmp_path):
    masks, preds = folders
    write_mask(preds / "stray_7.png", np.zeros((48, 64), np.uint8), BINARY)
    assert "stray_7" in message(score_folders, masks, preds, BINARY, "ignore")
    write_mask(tmp_path / "other" / "x_1.png", np.zeros((48, 64), np.uint8), BINARY)
    text = message(score_folders, masks, tmp_path / "other", BINARY, "ignore")
    assert "x_1" in text and "video01_000000" in text and "21 more" in text and str(masks) in text
    assert "not a folder" in message(score_folders, masks, tmp_path / "nowhere", BINARY, "ignore")


def test_saving_weights_makes_metrics_name_them(tiny_run):
    metrics = json.loads((tiny_run.output / "metrics.json").read_text())
    listing = json.loads((tiny_run.preds / "predictions.json").read_text())
    assert metrics["weights"]["sha256"] == listing["weights_sha256"] == file_sha256(tiny_run.weights)


def test_scores_do_not_depend_on_the_samples_order(samples):
    predictor = Predictor(bright_checkpoint(), CPU)
    forward, backward = (predict_and_score(predictor, items, None, "ignore") for items in (samples[:5], samples[4::-1]))
    np.testing.assert_array_equal(forward.counts, backward.counts[::-1])
    renamed = [replace(sample, video="all") for sample in samples[:5]]
    assert set(predict_and_score(predictor, renamed, None, "ignore").videos) == {"all"}


# ------------------------------------------------------------------------------------------ names in subfolders


def bar(columns):
    ids = np.zeros((4, 10), np.uint8)
    ids[:, :columns] = 1
    return ids


@pytest.fixture
def nested(tmp_path):
    """(masks, preds) of three videos with the same file names; only the last video is predicted right: IoU 1 / 3."""
    for video in ("video_01", "video_02", "video_03"):
        for frame in ("000000", "000001"):
            write_mask(tmp_path / "masks" / video / f"{frame}.png", bar(3), BINARY)
            write_mask(tmp_path / "preds" / video / f"{frame}.png", bar(3 * (video == "video_03")), BINARY)
    return tmp_path / "masks", tmp_path / "preds"


def test_equal_names_in_subfolders_are_different_frames(nested):
    scored, masks = score_folders(*nested, BINARY, "ignore")
    assert masks == len(scored.names) == 6 and scored.names[0] == "video_01/000000"
    metrics = metrics_of(scored, BINARY)
    assert metrics["mean_instrument"]["iou"] == pytest.approx(1 / 3)
    assert {video: row["iou"] for video, row in metrics["per_video"].items()} == {
        "video_01": 0, "video_02": 0, "video_03": 1,
    }  # fmt: skip


def test_predictions_without_the_folders_are_matched_where_one_frame_alone_can_be_meant(nested, tmp_path):
    masks, _ = nested
    write_mask(tmp_path / "flat" / "000000.png", bar(3), BINARY)
    text = message(score_folders, masks, tmp_path / "flat", BINARY, "ignore")
    assert "000000 may mean video_01/000000, video_02/000000, video_03/000000" in text
    write_mask(masks / "video_02" / "alone.png", bar(2), BINARY)
    write_mask(tmp_path / "one" / "alone.png", bar(2), BINARY)
    assert score_folders(masks, tmp_path / "one", BINARY, "ignore")[0].names == ["video_02/alone"]


def test_two_files_of_one_frame_are_refused(nested):
    masks, preds = nested
    save_image(preds / "video_01" / "000000.bmp", bar(1))
    assert "two files for one name" in message(score_folders, masks, preds, BINARY, "ignore")


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_mask_is_not_its_own_prediction(nested, tmp_path, link):
    masks, _ = nested
    assert "is the true mask itself" in message(score_folders, masks, masks / ".." / "masks", BINARY, "ignore")
    (tmp_path / "other").symlink_to(masks)
    assert "is the true mask itself" in message(score_folders, masks, tmp_path / "other", BINARY, "ignore")
    (tmp_path / "linked" / "video_01").mkdir(parents=True)
    if hasattr(Path, link):  # Path.hardlink_to is of Python 3.10
        getattr(tmp_path / "linked" / "video_01" / "000000.png", link)(masks / "video_01" / "000000.png")
        assert "is the true mask itself" in message(score_folders, masks, tmp_path / "linked", BINARY, "ignore")


# ------------------------------------------------------------------------------------------ what was scored


def split_of(by, **parts):
    return {"name": "s", "hash": "1", "by": by, "assignment": {k: part for part, keys in parts.items() for k in keys}}


def test_frames_of_videos_that_also_trained_the_weights_are_counted(samples):
    mine = [sample for sample in samples if sample.video in ("video01", "video02")]
    names = [sample.name for sample in mine]
    random = bright_checkpoint(training={"split": split_of("frame", train=names[::2], test=names[1::2])})
    assert list(known_of_split(random, mine[1::2])["warnings"]) == ["6 frames of training videos"]
    apart = bright_checkpoint(training={"split": split_of("video", train=["video01"], test=["video02"])})
    assert known_of_split(apart, mine[-1:])["warnings"] == {}
    assert list(known_of_split(apart, mine)["warnings"]) == ["6 frames trained the weights"]
    assert list(known_of_split(bright_checkpoint(), mine)["warnings"]) == ["split not known"]


def test_predictions_that_equal_the_masks_are_doubted(nested):
    masks, preds = nested
    scored, count = score_folders(masks / "video_03", preds / "video_03", BINARY, "ignore")
    assert list(facts_of_predictions(preds, scored, count)["warnings"]) == ["predictions equal the masks"]
    scored, count = score_folders(masks, preds, BINARY, "ignore")
    assert facts_of_predictions(preds, scored, count) == {"expected": 6}


def test_predictions_that_changed_since_the_model_wrote_them_are_counted(nested):
    masks, preds = nested
    names = [path.relative_to(preds).with_suffix("").as_posix() for path in sorted(preds.rglob("*.png"))]
    hashes = {name: mask_hash(read_mask(preds / f"{name}.png", 2)) for name in names}
    write_json(preds / "predictions.json", {"names": names, "hashes": hashes, "scored": {"part": "test"}})
    scored, count = score_folders(masks, preds, BINARY, "ignore")
    assert "warnings" not in facts_of_predictions(preds, scored, count)
    write_mask(preds / "video_01" / "000000.png", bar(2), BINARY)
    assert list(facts_of_predictions(preds, scored, count)["warnings"]) == ["1 predictions changed"]
