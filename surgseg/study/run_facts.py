"""What the files of a run say, for its report and its model card."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from models import ARCHITECTURES, RANDOM_START
from surgseg.data.seen import UNKNOWN, trained_splits, trained_videos
from surgseg.files import list_some
from surgseg.scores.report import number

MISSING = "not answered"
_OPTIONS = {"learning_rate": "lr"}  # whose name is not that of their value


@dataclass(frozen=True)
class RunFacts:
    """What a run left: the metrics JSON of a model, its frame table, and the metadata of its weights; the audit of its
    data and the run.json of a generated folder, or None; figures, as paths below the report, and `notes` on them.
    `folds`, `comparison`, `labels`: what `related` reads, or None."""

    metrics: dict[str, Any]
    frames: list[dict[str, str]]
    weights: dict[str, Any]
    audit: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None
    figures: Sequence[str] = ()
    notes: Sequence[str] = ()
    folds: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None

    @property
    def synthetic(self) -> bool:
        return "synthetic" in (self.metrics["data"], self.weights["training"].get("data"))

    @property
    def audited_training(self) -> bool:
        """Whether the audit is of all videos that trained the weights, or those that they started from."""
        splits = trained_splits(self.weights["training"])
        videos = trained_videos(splits)
        return bool(videos) and UNKNOWN not in splits and videos <= set((self.audit or {}).get("videos", ()))


def own_hashes(metrics: dict[str, Any], weights: dict[str, Any]) -> set[str]:
    """Return the hash of the scored weights, and of the file that they were calibrated from."""
    before = weights["training"].get("calibration", {}).get("weights_sha256")
    return {metrics["weights"]["sha256"], before} - {None}


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
    elif any("stated" in name for name in names):
        stated = list_some([name for name in names if "stated" not in name])
        others = f" (others: {stated})" if stated else ""
        text = f"Data that trained these weights state no licence{others}: ask their authors before you pass them on."
    elif names:
        text = f"The data that trained these weights are under {', '.join(names)}: its terms hold for them."
    elif facts.weights["training"].get("data") == "synthetic":
        text = "Trained on drawn frames, which set no terms."
    else:
        text = f"Licence of the data: {MISSING} (no audit.json names it). Find it out before you pass the weights on."
    return f"{text} Start of the training: {facts.weights['training'].get('start')}{_terms_of_start(facts.weights)}."


def _terms_of_start(weights: dict[str, Any]) -> str:
    """Return where published starting weights come from; of an installed package, the first line of its licence."""
    start = weights["training"].get("start")
    sources = [source for one in ARCHITECTURES.values() for source in one.pretraining.values()]
    if start == RANDOM_START:
        return ""
    source = next((one for one in sources if str(start).startswith(one.rsplit("/", 1)[1])), None)
    if source is None or "://" in source:
        return f"{f' of {source}' if source else ''}; its terms are not checked here"
    package = source.split("/")[0].replace("_", "-")
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return f" of the package {package}, which is not installed here; its terms are not checked"
    texts = [file.read_text() for file in installed.files or () if file.name.upper().startswith(("LICENSE", "LICENCE"))]
    terms = "; ".join(f'whose licence file begins "{text.strip().splitlines()[0]}"' for text in texts if text.strip())
    return f" of the package {package} {installed.version}, {terms or 'which holds no licence file'}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return a table as one paragraph; None in a cell becomes `MISSING`."""
    cells = [head, ["---"] * len(head), *rows]
    return ["\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in cells)]


def _cell(value: Any) -> str:
    return (MISSING if value is None else str(value)).replace("|", "\\|").replace("\n", " ")


def interval_table(title: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return a table of results of `mean_interval`."""
    cells = [
        (
            name,
            row["n"],
            number(row["mean"], ".4f"),
            number(row["sd"], ".4f"),
            " to ".join(number(end, ".4f") for end in row["interval"]) if row["interval"] else row["reason"],
        )
        for name, row in rows
    ]
    return markdown_table((title, "videos", "mean", "SD", "95 % interval"), cells)
