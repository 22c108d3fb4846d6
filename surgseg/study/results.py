"""The finished runs of a comparison, those of earlier commands too, and the `comparison.json` that they share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from surgseg.data.dataset import Prepared
from surgseg.data.splits import PARTS, Split
from surgseg.files import list_some, write_json
from surgseg.study.comparison import ROW_FACTS, assemble, compared_models, model_row, read_rows
from surgseg.training.config import TrainConfig


@dataclass(frozen=True)
class Job:
    """One training: a model with a seed on a split, in a folder (relative to the output folder) of its own."""

    model: str
    seed: int
    fold: int | None
    split: Split
    folder: str

    @property
    def facts(self) -> dict[str, Any]:
        return {"model": self.model, "seed": self.seed, "fold": self.fold}


def content_hash(cache) -> str:
    """12 hex digits that change with any frame or mask."""
    text = json.dumps(dict(zip(cache.names, cache.checksums.tolist())), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_header(
    prepared: Prepared, jobs: list[Job], train: TrainConfig, void: str, image_size: tuple[int, int], content: str
) -> dict[str, Any]:
    """What all rows share, in JSON's types: rows of two runs stand in one table only where it is the same.

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
    parts = {
        part: {
            "frames": len(split.parts[part]),
            "videos": list(dict.fromkeys(samples[i].video for i in split.parts[part])),
        }
        for part in PARTS
    }
    return {"name": split.name, "hash": split.hash, "by": split.by, **parts}


class Results:
    """The runs finished so far, by model, and `comparison.json`, which is written after each of them."""

    def __init__(self, path: Path, header: dict, facts: dict[str, dict], jobs: list[Job], record: dict):
        self.path, self.header, self.facts, self.record = path, header, dict(facts), record
        self.keys = list(dict.fromkeys((job.seed, job.fold) for job in jobs))
        self.runs: dict[str, dict[tuple, dict]] = {model: {} for model in facts}

    def take_earlier(self) -> None:
        """Keep the rows of an earlier comparison that belong into the same table; say which do not, and why.

        What is left out is kept in `comparison.prev.json`. Raises `UserError` where the file is none of ours.
        """
        if not self.path.is_file():
            return
        earlier = read_rows(self.path)
        differing = _header_differences(earlier, _json_types(self.header))
        left_out = []
        for model, row in earlier["models"].items():
            changed = model in self.facts and row.get("plan") != _json_types(self.facts[model]["plan"])
            if differing or changed:
                left_out.append(row["label"])
                continue
            self.facts.setdefault(model, row)
            self.runs[model] = {(run["seed"], run["fold"]): run for run in row["runs"]}
        if left_out:
            what = list_some(differing, 4) if differing else "the start or width of the model"
            aside = self.path.with_name("comparison.prev.json")
            write_json(aside, earlier)
            print(
                f"The earlier results of {' and '.join(left_out)} do not belong into the same table, since this "
                f"changed: {what}. They stand in {aside.name} now; weights stay until their model is trained again."
            )

    def add(self, job: Job, run: dict[str, Any]) -> None:
        self.runs[job.model][job.seed, job.fold] = run
        self.write()

    def write(self) -> dict[str, Any]:
        """Write and return the comparison of what is there."""
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


def _json_types(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _header_differences(earlier: dict[str, Any], header: dict[str, Any]) -> list[str]:
    """What of the shared header is another one, in words."""
    found = [key for key in ("data", "split", "seeds", "folds") if earlier.get(key) != header[key]]
    old, new = earlier.get("settings", {}), header["settings"]
    return found + [f"{key} ({old.get(key)}, now {new[key]})" for key in new if old.get(key) != new[key]]
