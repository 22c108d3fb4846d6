"""Audit models on a generated folder: read what was reviewed, predict the frames that could be drawn, estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint
from surgseg.console import quiet
from surgseg.data.cache import load_resized
from surgseg.data.dataset import Sample
from surgseg.data.likeness import frame_hashes
from surgseg.data.seen import find_seen
from surgseg.data.views import sample_views
from surgseg.files import UserError, list_some, nfc
from surgseg.frames import read_frame
from surgseg.generate.folder import FrameRow, Generated, read_generated
from surgseg.labels import VOID
from surgseg.mask_folders import settle_masks
from surgseg.masks import decode_codes, is_present, read_mask
from surgseg.predict import Predictor
from surgseg.predicted import predicted_masks
from surgseg.review.estimate import Design
from surgseg.review.sample import strata_of
from surgseg.reviews import MASKS, Review, read_audit_sample, read_reviews, reviewed_path
from surgseg.threads import ahead, cpu_count


@dataclass(frozen=True)
class Audit:
    """The audit of a folder: the `rows` of its population, its `strata` (names by stratum), and the `reviews` of the
    sampled frames that a person is done with. `left` counts those that are still open, `reserve` the frames that a
    larger audit could add."""

    generated: Generated
    rows: list[FrameRow]
    strata: dict[str, list[str]]
    reviews: dict[str, Review]
    left: int
    reserve: int

    @property
    def design(self) -> Design:
        place = {name: number for number, names in enumerate(self.strata.values()) for name in names}
        return Design(
            np.array([place[name] for name in self.reviews]), np.array([len(names) for names in self.strata.values()])
        )


def read_audit(folder: Path) -> Audit:
    """Read the audit of a generated folder.

    Raises `UserError` if there is none, if its folder has changed, and if too few of its frames are reviewed: each
    stratum needs two.
    """
    generated, reviews, sample = read_generated(folder), read_reviews(folder), read_audit_sample(folder)
    if not sample.names:
        raise UserError(
            f"{folder} has no frames for an audit: python select_frames.py --generated-dir {folder} --audit 30 draws "
            "them, review_masks.py shows them to a person"
        )
    strata = strata_of(generated, sample)
    population = {name for names in strata.values() for name in names}
    if strange := set(sample.names) - population:
        raise UserError(f"{folder}: frames of the audit that could not be drawn: {list_some(sorted(strange), 4)}")
    done = {name: reviews[name] for name in sample.names if reviews[name].status != "open"}
    short = [
        f"{stratum} ({count})"
        for stratum, names in strata.items()
        if (count := len(done.keys() & set(names))) < min(2, len(names))
    ]
    left = len(sample.names) - len(done)
    if short or not any(review.has_mask for review in done.values()):
        what = (
            f"go on with review_masks.py --generated-dir {folder}" if left else "draw more: select_frames.py --audit N"
        )
        raise UserError(
            f"{folder}: {len(done)} of the {len(sample.names)} frames of the audit are reviewed, too few: two usable "
            f"ones of each part are needed ({list_some(short, 4) or 'none is usable'}); {what}"
        )
    settle_masks(
        Path(folder) / MASKS, generated.scheme, [reviewed_path(folder, name) for name in done if done[name].has_mask]
    )
    rows = [row for row in generated.rows if row.name in population]
    return Audit(generated, rows, strata, done, left, sum(map(len, sample.reserve.values())))


@dataclass(frozen=True)
class Measured:
    """The pixels of one model. Of all N rows of the population: `expected_above`, `expected_below` (N,), twice the
    expected overlap and the sum of expected and predicted area. Of the n reviewed frames: `above`, `below` (n,), the
    same with the truth; `true`, `predicted` (n,) bool, whether an instrument is present, and `known` (n,) bool, whether
    the frame is usable and not all void. `notes` say what the model has seen of the video."""

    expected_above: np.ndarray
    expected_below: np.ndarray
    above: np.ndarray
    below: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    known: np.ndarray
    notes: list[str]


def measure_model(audit: Audit, checkpoint: Checkpoint, weights: Path, device) -> Measured:
    """Compare one model with the reviewed frames, and predict the population.

    Raises `UserError` if frames of the audit trained it, if its classes are others, if the folder keeps no frames, and
    for a reviewed mask of another size.
    """
    generated = audit.generated
    if checkpoint.scheme.names != generated.scheme.names:
        raise UserError(
            f"{weights} knows the classes {list_some(checkpoint.scheme.names)}, {generated.folder} "
            f"{list_some(generated.scheme.names)}: give a model of the same classes"
        )
    notes = _refuse_trained(audit, checkpoint, weights)
    expected, counted = [], {}
    for row, ids, probability in _predictions(audit, checkpoint, weights, device):
        predicted = np.isin(ids, generated.scheme.instrument_ids)
        expected.append(expected_counts(predicted, probability))
        if review := audit.reviews.get(row.name):
            truth = _read_truth(audit, review, predicted.shape)
            counted[row.name] = audit_counts(predicted, truth, generated.scheme.instrument_ids)
    above, below, true, found, known = np.array([counted[name] for name in audit.reviews], np.float64).T
    true, found = (is_present(share) for share in (true, found))
    return Measured(*np.array(expected).T, above, below, true, found, known > 0, notes)


def expected_counts(predicted: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    """Return the numerator and denominator of Dice that a model expects of its own mask, from (H, W) bool and (H, W)
    uint8 in 255ths: twice the probability in the mask, and all probability with the mask's area."""
    inside, whole = (float(values.sum(dtype=np.int64)) / 255 for values in (probability[predicted], probability))
    return 2 * inside, whole + np.count_nonzero(predicted)


def audit_counts(predicted: np.ndarray, truth: np.ndarray, instrument_ids: Sequence[int]) -> tuple[float, ...]:
    """Return numerator and denominator of Dice, true and predicted coverage, and whether any pixel is known, of (H, W)
    bool and (H, W) uint8 class ids."""
    known, true = truth != VOID, np.isin(truth, instrument_ids)
    pixels, areas = np.count_nonzero(known), [np.count_nonzero(mask & known) for mask in (true, predicted)]
    both = np.count_nonzero(true & predicted)
    return (2 * both, sum(areas), *(area / max(pixels, 1) for area in areas), pixels > 0)


def _read_truth(audit: Audit, review: Review, size: tuple[int, int]) -> np.ndarray:
    """Return a reviewed mask (H, W); an unusable frame is all void. Raises `UserError` for another size."""
    if not review.has_mask:
        return np.full(size, VOID, np.uint8)
    path = reviewed_path(audit.generated.folder, review.name)
    truth = read_mask(path, audit.generated.scheme.num_classes)
    if truth.shape != size:
        sizes = "{}x{}, its frame {}x{}".format(*truth.shape[::-1], *size[::-1])
        raise UserError(f"{path} is {sizes}: review this frame again")
    return truth


def seen_by(checkpoint: Checkpoint, samples: list[Sample]) -> dict[str, Any]:
    """Return what `find_seen` tells of frames of the audit that have a mask.

    Looks are compared at the size of the training, at which `training.mixing.without_copies_of_audit` has compared
    them too.
    """
    views, classes = sample_views(samples, checkpoint.view), checkpoint.scheme.num_classes
    frames = [load_resized(sample, checkpoint.image_size, classes, views)[0] for sample in samples]
    return find_seen(samples, checkpoint.training, checkpoint.trained_frames, frame_hashes(frames)[0])


def _refuse_trained(audit: Audit, checkpoint: Checkpoint, weights: Path) -> list[str]:
    """Return what to know of the model's training. Raises `UserError` if frames of the audit trained it."""
    generated = audit.generated
    reviewed = {name for name, review in audit.reviews.items() if review.has_mask}
    samples = [_sample(generated, row) for row in audit.rows if row.name in reviewed]
    if compared := checkpoint.trained_frames is not None and generated.run["parts"].get("frames") is not None:
        seen = seen_by(checkpoint, samples)
    else:
        seen = find_seen(samples, checkpoint.training, None, None)
    # files of generated folders often have the same names: where looks are stored, they decide
    trained = seen["near_copies"] if compared else seen["by_name"]
    if trained:
        raise UserError(
            f"{trained} of {len(samples)} frames of the audit, or near copies of them, trained {weights} or the "
            "weights that it started from: its score would measure memory; leave it out of --models"
        )
    notes = []
    if seen["same_video"] or seen["by_name"]:
        notes.append("other frames of this video trained it, so its numbers hold for this video alone")
    if not compared or seen["unknown"] or not checkpoint.training.get("split"):
        notes.append("whether it has seen frames of the audit cannot be told: not all that trained it is known here")
    return notes


def _sample(generated: Generated, row: FrameRow) -> Sample:
    """Return a frame with the names that `data.reviewed.load_reviewed` gives it."""
    path, video = generated.frame_path(row) or Path(), nfc(generated.folder.resolve().name)
    return Sample(f"{video}/{row.name}", path, reviewed_path(generated.folder, row.name), video, row.frame)


def _predictions(
    audit: Audit, checkpoint: Checkpoint, weights: Path, device
) -> Iterator[tuple[FrameRow, np.ndarray, np.ndarray]]:
    """Yield row, (H, W) uint8 ids and (H, W) uint8 probability in 255ths of each row of the population: from masks/ and
    probabilities/ where this model wrote them, else from its predictions of frames/."""
    generated, rows = audit.generated, audit.rows
    with ThreadPoolExecutor(cpu_count()) as pool:
        if _wrote(generated, rows, checkpoint):
            stored = ahead(pool, lambda row: _stored(generated, row), rows, 16)
            for row, (ids, probability) in zip(rows, stored):
                yield row, ids, probability
            return
        if generated.run["parts"].get("frames") is None:
            raise UserError(
                f"{generated.folder} keeps no frames, and {weights} did not write its masks and probabilities: audit "
                "it in a folder with frames (generate_masks_from_model.py without --frame-format none)"
            )
        predictor = Predictor(checkpoint, device, batch_size=1, keep_probability=True)
        view = sample_views([_sample(generated, row) for row in rows], _view(generated, checkpoint))
        frames = ahead(pool, lambda row: read_frame(generated.frame_path(row)), rows, 16)
        for row, frame in tqdm(zip(rows, frames), "Predicting", len(rows), unit="frame", disable=quiet()):
            found = predictor.predict(frame[None], view(_sample(generated, row), frame))
            yield row, found.ids[0], found.probability[0]


def _wrote(generated: Generated, rows: list[FrameRow], checkpoint: Checkpoint) -> bool:
    """Whether masks/ and probabilities/ are those of this model, and nobody has changed the masks."""
    parts = generated.run["parts"]
    if generated.run.get("weights_sha256") != checkpoint.sha256 or not {"masks", "probabilities"} <= parts.keys():
        return False
    paths = [generated.mask_path(row) for row in rows]
    return len(predicted_masks(paths)) == len(paths)


def _stored(generated: Generated, row: FrameRow) -> tuple[np.ndarray, np.ndarray]:
    probability = decode_codes(generated.path("probabilities", row))[0]
    return read_mask(generated.mask_path(row), generated.scheme.num_classes), probability


def _view(generated: Generated, checkpoint: Checkpoint) -> str | list[int]:
    """What the model sees: what was given or found when the folder was made, else what its weights file says."""
    asked = generated.run.get("view", "full")
    if isinstance(asked, list) or asked == checkpoint.view == "auto":
        return generated.run.get("view_rectangle") or "full"
    return checkpoint.view
