"""The finished runs of a comparison, also those of earlier commands, and their `comparison.json`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from surgseg.data.dataset import Prepared
from surgseg.data.splits import PARTS, Split
from surgseg.files import list_some, plain, write_json
from surgseg.study.comparison import ROW_FACTS, assemble, compared_models, model_row, read_rows
from surgseg.training.config import TrainConfig


@dataclass(frozen=True)
class Job:
    """One training: a model, a seed, a split and its fold, and a folder relative to the output folder."""

    model: str
    seed: int
    fold: int | None
    split: Split
    folder: str

    @property
    def facts(self) -> dict[str, Any]:
        return {"model": self.model, "seed": self.seed, "fold": self.fold}


def content_hash(cache) -> str:
    """Return 12 hex digits that change with any frame or mask of the cache."""
    text = json.dumps(dict(zip(cache.names, cache.checksums.tolist())), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_header(
    prepared: Prepared, jobs: list[Job], train: TrainConfig, void: str, image_size: tuple[int, int], content: str
) -> dict[str, Any]:
    """Return the entries of `comparison.json` that all rows share: two commands share a table only if they are equal.

    `content` is the `content_hash` of the data.
    """
    splits = {job.fold: job.split for job in jobs}
    described = [{"fold": fold, **_describe(split, prepared.samples)} for fold, split in splits.items()]
    split = described[0]
    if len(described) > 1:
        name = f"{len(described)} folds by video"
        joint = hashlib.sha256("".join(one["hash"] for one in described).encode()).hexdigest()[:12]
        split = {"name": name, "hash": joint, "by": described[0]["by"], "folds": described}
    settings = {key: value for key, value in asdict(train).items() if key != "seed"}
    return {
        "data": prepared.data,
        "split": {**split, "content": content},
        "seeds": list(dict.fromkeys(job.seed for job in jobs)),
        "folds": list(splits),
        "settings": {**settings, "image_size": list(image_size), "void": void},
    }


def _describe(split: Split, samples: list) -> dict[str, Any]:
    described = {"name": split.name, "hash": split.hash, "by": split.by}
    for part in PARTS:
        videos = dict.fromkeys(samples[index].video for index in split.parts[part])
        described[part] = {"frames": len(split.parts[part]), "videos": list(videos)}
    return described


class Results:
    """The finished runs of each model. Writes `comparison.json` after each run."""

    def __init__(self, path: Path, header: dict, facts: dict[str, dict], jobs: list[Job], record: dict):
        self.path, self.header, self.facts, self.record = path, header, dict(facts), record
        self.keys = list(dict.fromkeys((job.seed, job.fold) for job in jobs))
        self.runs: dict[str, dict[tuple, dict]] = {model: {} for model in facts}

    def take_earlier(self) -> None:
        """Keep the rows of an earlier comparison that belong in the same table. Print which do not, and why.

        The earlier file is then kept as `comparison.prev.json`. Raises `UserError` for a file of another program.
        """
        if not self.path.is_file():
            return
        earlier = read_rows(self.path)
        differing = _header_differences(earlier, plain(self.header))
        left_out = []
        for model, row in earlier["models"].items():
            changed = model in self.facts and row.get("plan") != plain(self.facts[model]["plan"])
            if differing or changed:
                left_out.append(row["label"])
                continue
            self.facts.setdefault(model, row)
            self.runs[model] = {(run["seed"], run["fold"]): run for run in row["runs"]}
        if left_out:
            changes = list_some(differing, 4) if differing else "the start or width of the model"
            previous = self.path.with_name("comparison.prev.json")
            write_json(previous, earlier)
            print(
                f"The earlier results of {' and '.join(left_out)} do not belong in the same table, because this "
                f"changed: {changes}. They are now in {previous.name}; weights stay until their model is trained again."
            )

    def add(self, job: Job, run: dict[str, Any]) -> None:
        """Add the entry of a finished run and write."""
        self.runs[job.model][job.seed, job.fold] = run
        self.write()

    def write(self) -> dict[str, Any]:
        """Write and return the comparison of the finished runs."""
        rows = {
            model: model_row({key: self.facts[model][key] for key in ROW_FACTS}, list(runs.values()))
            for model, runs in self.runs.items()
            if runs
        }
        missing = [
            {"model": model, "seed": seed, "fold": fold}
            for model in compared_models()
            if model in self.runs
            for seed, fold in self.keys
            if (seed, fold) not in self.runs[model]
        ]
        comparison = assemble(self.header, rows, missing, self.record)
        write_json(self.path, comparison)
        return comparison


def _header_differences(earlier: dict[str, Any], header: dict[str, Any]) -> list[str]:
    """Return the names of the header's entries that differ; of a setting also both values.

    A setting that an earlier version did not write had its default; the learning rate was called lr.
    """
    found = [key for key in ("data", "split", "seeds", "folds") if earlier.get(key) != header[key]]
    old, new = earlier.get("settings", {}), header["settings"]
    old = {**asdict(TrainConfig()), "learning_rate": old.get("lr"), **old}
    return found + [f"{key} ({old.get(key)}, now {new[key]})" for key in new if old.get(key) != new[key]]
