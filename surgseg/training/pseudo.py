"""Pseudo-labels: what a model is sure of on frames that nobody has reviewed. All else is void."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from surgseg.checkpoint import load_checkpoint
from surgseg.console import quiet
from surgseg.data.dataset import Prepared, Sample, check_classes
from surgseg.data.views import sample_views
from surgseg.files import UserError, write_bytes, write_json
from surgseg.frames import read_frame
from surgseg.labels import VOID, Scheme
from surgseg.masks import encode_mask
from surgseg.predict import Predictor
from surgseg.predicted import LISTING, mask_hash
from surgseg.view import View

MOST = 100  # frames with pseudo-labels, spread evenly: an epoch takes a few dozen, and each costs two predictions


def without_pseudo_labels(prepared: Prepared) -> Prepared:
    """Leave the frames out that nobody has reviewed. Raises `UserError` if no frame is left to train on."""
    kept = [sample for sample in prepared.samples if sample.role != "pseudo"]
    if not any(sample.role == "reviewed" for sample in kept):
        raise UserError(
            f"{prepared.root}: no frame to train on: none is reviewed (review_masks.py), and without --init-from and "
            "--pseudo-labels there are no pseudo-labels"
        )
    return replace(prepared, samples=kept)


def with_pseudo_labels(
    prepared: Prepared, weights: Path, band: tuple[float, float], folder: Path, device: torch.device
) -> Prepared:
    """Write a label of each of at most MOST unreviewed frames into `folder`; leave the other such frames out.

    The labels are those of `label` by the model of `weights`, which reads each frame as it is and mirrored. Raises
    `UserError` for other classes.
    """
    low, high = band
    checkpoint = load_checkpoint(weights)
    check_classes(prepared, checkpoint.scheme)
    predictor = Predictor(checkpoint, device)
    open_ones = [sample for sample in prepared.samples if sample.role == "pseudo"]
    places = np.unique(np.linspace(0, len(open_ones) - 1, min(MOST, len(open_ones))).round().astype(int))
    chosen = {open_ones[place].name for place in places}
    views = sample_views(prepared.samples, checkpoint.view)
    samples, hashes, known = [], {}, []
    bar = tqdm(total=len(chosen), desc="Labelling frames", unit="frame", disable=quiet())
    for sample in prepared.samples:
        if sample.role == "pseudo" and sample.name not in chosen:
            continue
        if sample.role == "pseudo":
            ids = _label_frame(predictor, sample, views, band)
            bar.update()
            known.append((ids != VOID).mean())
            if not known[-1]:  # the model is sure of nothing
                continue
            hashes[sample.name] = mask_hash(ids)
            path, data = folder / f"{sample.name}.png", encode_mask(ids, prepared.scheme)
            if not path.is_file() or path.read_bytes() != data:  # the cache knows a file by its time
                write_bytes(path, data)
            sample = replace(sample, mask=path)
        samples.append(sample)
    bar.close()
    write_json(folder / LISTING, {"names": list(hashes), "hashes": hashes})
    print(
        f"Pseudo-labels: {len(hashes)} of {len(open_ones)} frames that nobody has reviewed, in {folder}; "
        f"{np.mean(known):.1%} of their pixels have a label (p <= {low:g} or p >= {high:g}, also of the mirrored frame)"
    )
    return replace(prepared, samples=samples)


def _label_frame(predictor: Predictor, sample: Sample, views, band: tuple[float, float]) -> np.ndarray:
    frame = read_frame(sample.frame)
    view: View = views(sample, frame)
    seen = np.ascontiguousarray(view.crop(frame))
    found = predictor.probabilities(np.stack([seen, seen[:, ::-1]])).numpy()
    ids = np.full(frame.shape[:2], predictor.background, np.uint8)
    view.crop(ids)[:] = label(found[0], found[1, :, :, ::-1], predictor.scheme, band)
    return ids


def label(first: np.ndarray, second: np.ndarray, scheme: Scheme, band: tuple[float, float]) -> np.ndarray:
    """Return (H, W) uint8 ids of what two predictions agree on, 255 (void) elsewhere.

    `first` and `second` are (K, H, W) class probabilities of a frame and of its mirror image, mirrored back. A pixel is
    instrument where both give the union of the instrument classes at least `band[1]`, and another class where both
    give it at most `band[0]`; then it takes the most probable such class, if that is the same in both.
    """
    instruments = np.isin(np.arange(scheme.num_classes), scheme.instrument_ids)
    unions = [found[instruments].sum(0) for found in (first, second)]
    ids = np.full(first.shape[1:], VOID, np.uint8)
    for classes, sure in (
        (np.flatnonzero(instruments), np.minimum(*unions) >= band[1]),
        (np.flatnonzero(~instruments), np.maximum(*unions) <= band[0]),
    ):
        if len(classes):
            best = [classes[found[classes].argmax(0)] for found in (first, second)]
            agreed = sure & (best[0] == best[1])
            ids[agreed] = best[0][agreed]
    return ids
