"""The transfer matrix: every model on the test part of every data set, by one definition of instrument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surgseg.checkpoint import Checkpoint
from surgseg.data.dataset import Prepared, Sample, mark_predicted
from surgseg.data.leaks import true_samples
from surgseg.data.likeness import NEAR, nearest, unpack
from surgseg.data.reviewed import load_data_root
from surgseg.data.seen import hash_each, trained_splits, trained_videos
from surgseg.data.splits import apply_assignment
from surgseg.data.views import sample_views
from surgseg.evaluation.results import Scored
from surgseg.evaluation.samples import BINARY, known_of_split, predict_and_score
from surgseg.files import UserError
from surgseg.labels import Scheme
from surgseg.predict import Predictor
from surgseg.scores.metrics import pooled_scores, square, summarise

OWN, MANIFEST, ALL = "test part of the model's own split", "test part of the set", "all frames, no test part"


@dataclass(frozen=True)
class DataSet:
    """A set of frames with true masks, and the hash of each: (1, BITS), or (0, BITS) of a blank frame."""

    name: str
    prepared: Prepared
    hashes: list[np.ndarray]

    def hashes_of(self, indices: Iterable[int]) -> np.ndarray:
        """Return the (M, BITS) hashes of the frames that are not blank."""
        return np.concatenate([self.hashes[0][:0], *(self.hashes[index] for index in indices)])


def load_set(root: Path, *, reviewed: bool) -> Prepared:
    """Read a set as `load_data_root` does, without predicted masks unless a person has `reviewed` all of them."""
    prepared = load_data_root(root)
    prepared = prepared if reviewed else mark_predicted(prepared)
    try:
        return replace(prepared, samples=true_samples(prepared.samples))
    except UserError as error:
        raise UserError(f"{root}: {error}") from error


def score_matrix(
    models: dict[str, Checkpoint], prepared: dict[str, Prepared], device: torch.device, void: str
) -> dict[str, Any]:
    """Score every model on every set; return the content of transfer.json without its `run`.

    `cells` holds the metrics of each model and set, `common` the scores of all models on the frames of a set that all
    were scored on, `own` of a model the set that holds its training frames, or None.
    """
    sets = [DataSet(name, part, hash_each(part.samples)) for name, part in prepared.items()]
    about, views = {}, {}
    scored: dict[str, dict[str, Scored]] = {part.name: {} for part in sets}
    cells: dict[str, dict[str, Any]] = {name: {} for name in models}
    for name, checkpoint in models.items():
        own, predictor = own_set(checkpoint, sets), Predictor(checkpoint, device, batch_size=4)
        about[name] = {
            "own": own,
            "data": checkpoint.training.get("data", "unknown"),
            "weights": {"sha256": checkpoint.sha256, "arch": checkpoint.arch, "image_size": checkpoint.image_size},
            "instrument": definition(checkpoint.scheme),
        }
        for part in sets:
            samples, key = part.prepared.samples, (part.name, checkpoint.view)
            views[key] = views.get(key) or sample_views(samples, checkpoint.view)
            indices, rule = part_to_score(samples, checkpoint.training.get("split") if part.name == own else None)
            chosen, truth = [samples[index] for index in indices], part.prepared.scheme
            found = predict_and_score(predictor, chosen, None, void, view=views[key], truth=truth)
            known = known_of_split(checkpoint, chosen, part.hashes_of(indices))
            known["warnings"] = cell_warnings(known, part.name == own)
            kind = {"data": part.prepared.data, "part": "all" if rule == ALL else "test"}
            if not square(found.counts, void)[:, 1].any():
                known["warnings"]["no instrument"] = "no scored frame shows an instrument: the scores say nothing"
            facts = {**kind, "threshold": predictor.threshold, **known}
            metrics = summarise(found.videos, found.counts, found.frames, BINARY, void, facts)
            cells[name][part.name] = {"rule": rule, "marked": _is_seen(known["seen"]), **metrics}
            scored[part.name][name] = found
    shared = videos_in_both(sets)
    for name, checkpoint in models.items():
        mark_shared(cells[name], about[name]["own"], trained_videos(trained_splits(checkpoint.training)), shared)
    return {
        "models": about,
        "sets": {part.name: _about_set(part.prepared) for part in sets},
        "cells": cells,
        "common": {name: _common(found, void) for name, found in scored.items()},
        "shared_videos": shared,
    }


def _about_set(prepared: Prepared) -> dict[str, Any]:
    return {
        "data": prepared.data,
        "frames": len(prepared.samples),
        "videos": prepared.videos,
        "instrument": definition(prepared.scheme),
    }


def own_set(checkpoint: Checkpoint, sets: list[DataSet]) -> str | None:
    """Return the name of the set that holds most training frames of a model, None if none does.

    A frame counts if the stored split trains on its name or video and, where the weights hold hashes, it looks like a
    training frame: other sets may use the same names.
    """
    split, trained = checkpoint.training.get("split"), checkpoint.trained_frames
    if not split:
        return None
    counts = {}
    for part in sets:
        indices = apply_assignment(part.prepared.samples, split)["train"]
        if trained is None:
            counts[part.name] = len(indices)
        else:
            counts[part.name] = int((nearest(part.hashes_of(indices), unpack(trained))[0] <= NEAR).sum())
    best = max(counts, key=counts.get)
    return best if counts[best] else None


def part_to_score(samples: list[Sample], stored: dict | None) -> tuple[list[int], str]:
    """Return the indices of the frames to score, and which part they are: OWN, else MANIFEST, else ALL.

    `stored` is the split of the weights on their own set, None on another.
    """
    own = apply_assignment(samples, stored)["test"].tolist() if stored else []
    listed = [index for index, sample in enumerate(samples) if sample.part == "test"]
    if own or listed:
        return (own, OWN) if own else (listed, MANIFEST)
    return list(range(len(samples))), ALL


def definition(scheme: Scheme) -> dict[str, list[int]]:
    """Return the instrument classes of a scheme with their source codes."""
    return {item.name: list(item.codes) for item in scheme.classes if item.instrument}


def videos_in_both(sets: list[DataSet]) -> list[dict[str, Any]]:
    """Return the pairs of videos of two sets with frames that look alike: the same operation, perhaps renamed."""
    found = []
    for first, second in combinations(sets, 2):
        (videos, hashes), (other_videos, others) = (_hashed(part) for part in (first, second))
        differing, places = nearest(hashes, others)
        near = np.flatnonzero(differing <= NEAR)
        pairs = Counter((videos[index], other_videos[places[index]]) for index in near)
        found += [
            {"set": first.name, "video": video, "frames": count, "of": videos.count(video),
             "other_set": second.name, "other_video": other}
            for (video, other), count in pairs.items()
        ]  # fmt: skip
    return found


def mark_shared(cells: dict[str, Any], own: str | None, trained: set[str], shared: list[dict[str, Any]]) -> None:
    """Mark the cells of a model's row whose set holds a video of another set that trained the model, renamed.

    `trained` are the names of the training videos, which count in the set `own` and in marked cells; `shared` is from
    `videos_in_both`.
    """
    counted = {own, *(name for name, cell in cells.items() if cell["marked"])}
    for row in shared:
        ends = (row["set"], row["video"]), (row["other_set"], row["other_video"])
        for (source, video), (name, other) in (ends, ends[::-1]):
            if video in trained and source in counted and name not in counted:
                cells[name]["marked"] = True
                cells[name]["scored"]["warnings"][f"video {other} trained the weights"] = (
                    f"video {other} looks like video {video} of {source}, of which frames trained the weights"
                )


def _hashed(part: DataSet) -> tuple[list[str], np.ndarray]:
    """Return the video and the hash of each frame that is not blank."""
    videos = [sample.video for sample, bits in zip(part.prepared.samples, part.hashes) if len(bits)]
    return videos, part.hashes_of(range(len(part.hashes)))


def _is_seen(seen: dict[str, Any]) -> bool:
    return bool(seen["by_name"] or seen["same_video"] or seen["near_copies"])


def cell_warnings(known: dict[str, Any], own: bool) -> dict[str, str]:
    """Return the warnings of `known_of_split`. On another set than the model's own, names alone prove no leak."""
    seen = known["seen"]
    named = seen["by_name"] + seen["same_video"]
    if own or not named or seen["near_copies"] != 0:
        return known["warnings"]
    text = (
        f"{named} of {seen['frames']} scored frames are of videos called as a training video, and none looks like a "
        "training frame: other frames of the same operations, or another set with the same names"
    )
    return {f"{named} frames of videos called as in training": text}


def _common(scored: dict[str, Scored], void: str) -> dict[str, Any]:
    """Return the pooled scores of each model on the frames that all models were scored on."""
    names = set.intersection(*(set(found.names) for found in scored.values()))
    counts = {
        model: found.counts[[index for index, name in enumerate(found.names) if name in names]]
        for model, found in scored.items()
    }
    unions = {model: pooled_scores(kept, BINARY, void)["instrument_union"] for model, kept in counts.items()}
    return {"frames": len(names), **{key: {m: row[key] for m, row in unions.items()} for key in ("dice", "iou")}}
