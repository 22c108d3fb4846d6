"""What the files of a run say, for its report and its model card."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from surgseg.data.seen import UNKNOWN, trained_splits, trained_videos

MISSING = "not answered"
_OPTIONS = {"learning_rate": "lr"}  # whose name is not that of their value


@dataclass(frozen=True)
class RunFacts:
    """What a run left: the metrics JSON of a model, its frame table, and the metadata of its weights; the audit of its
    data and the run.json of a generated folder, or None; figures, as paths below the report, and `notes` on them."""

    metrics: dict[str, Any]
    frames: list[dict[str, str]]
    weights: dict[str, Any]
    audit: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None
    figures: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def synthetic(self) -> bool:
        return "synthetic" in (self.metrics["data"], self.weights["training"].get("data"))

    @property
    def audited_training(self) -> bool:
        """Whether the audit is of all videos that trained the weights, or those that they started from."""
        splits = trained_splits(self.weights["training"])
        videos = trained_videos(splits)
        return bool(videos) and UNKNOWN not in splits and videos <= set((self.audit or {}).get("videos", ()))


def command(run: dict[str, Any]) -> str:
    """Return the command of `run_metadata`, with all its options."""
    words = ["python", run["script"]]
    for name, value in run["arguments"].items():
        if value is None or value is False:
            continue
        words.append(f"--{_OPTIONS.get(name, name).replace('_', '-')}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)


def commit_of(run: dict[str, Any]) -> str | None:
    """Return the commit of `run_metadata`; None if it is not known."""
    git = run.get("git") or {}
    return git.get("commit") and f"{git['commit']}{', with local changes' if git.get('dirty') else ''}"


def licence(facts: RunFacts) -> str:
    """Return what the licences of the data say about the weights."""
    names = facts.audit["licences"] if facts.audited_training else []
    if any("NC" in name or "non-commercial" in name.lower() for name in names):
        text = f"**Non-commercial use only:** the data that trained these weights are under {', '.join(names)}."
    elif names:
        text = f"The data that trained these weights are under {', '.join(names)}: its terms hold for them."
    elif facts.weights["training"].get("data") == "synthetic":
        text = "Trained on drawn frames, which set no terms."
    else:
        text = f"Licence of the data: {MISSING} (no audit.json names it). Find it out before you pass the weights on."
    return f"{text} Start of the training: {facts.weights['training'].get('start')}; its terms are not checked here."


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return a table as one paragraph; None in a cell becomes `MISSING`."""
    cells = [head, ["---"] * len(head), *rows]
    return ["\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in cells)]


def _cell(value: Any) -> str:
    return (MISSING if value is None else str(value)).replace("|", "\\|").replace("\n", " ")
