"""Make a prepared folder from pairs of frames and masks: unchanged frames, masks of class ids, manifest, audit."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data import audit, manifest
from surgseg.data.convert import Target, digest, prepare_pair, stamps
from surgseg.data.pairs import Found, Pair, Problem, describe_problems
from surgseg.data.sources import check_whole
from surgseg.data.splits import PARTS
from surgseg.files import UserError, list_some, natural_key, read_json, write_json
from surgseg.labels import Scheme, read_scheme, write_scheme
from surgseg.mask_folders import codes_are_levels
from surgseg.masks import decode_codes, decode_levels
from surgseg.predicted import predicted_masks
from surgseg.reviews import has_reviews
from surgseg.threads import cpu_count


@dataclass
class PrepareResult:
    """What a run did: the folder's audit, the run's problems, the number of pairs it prepared (`done`) and kept.

    The lists hold names of earlier frames: without a good source now (`left_over`), with a mask that somebody has
    corrected (`corrected`; it is kept), or made from other or changed source files (`replaced`).
    """

    audit: dict
    problems: list[Problem]
    done: int = 0
    kept: int = 0
    left_over: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def prepare(
    found: Found, target: Target, scheme: Scheme, data: str = "real", licence: str = "", *, reviewed: bool = False
) -> PrepareResult:
    """Write every good pair of `found` into `target`, then the folder's classes.json, audit.json, manifest.csv.

    `data` is "real" or "synthetic". Pairs that an earlier run finished are kept. The rows of the videos in `found` are
    replaced; other videos of the folder keep theirs. Bad pairs become problems of the result. The audit names the masks
    that a model predicted, unless a person has `reviewed` all of them. Raises `UserError` if no
    pair is usable or the folder does not fit: another class scheme, another kind of data, corrected masks, or a review.
    """
    if has_reviews(target.root):
        raise UserError(f"{target.root} holds a review of the frames there: choose another --output-root")
    licence = licence if data == "real" else ""
    wrong = sorted({pair.split for pair in found.pairs} - {"", *PARTS})
    if wrong:
        raise UserError(f"the reader gives parts that do not exist: {list_some(wrong)}; use {', '.join(PARTS)}")
    if not found.pairs:
        raise UserError(f"no usable pair of frame and mask\n{describe_problems(found.problems)}".rstrip())
    found = _settle_codes(found, scheme)
    if not reviewed:
        predicted = predicted_masks(pair.mask.path for pair in found.pairs if pair.mask.path is not None)
        found = replace(found, pairs=[replace(pair, predicted=pair.mask.path in predicted) for pair in found.pairs])
    videos = {pair.video for pair in found.pairs}
    rows = manifest.read_manifest(target.root)
    other_rows = [row for row in rows if row["video"] not in videos]
    _check_folder(target.root, videos, other_rows, scheme, data)
    journal = manifest.read_journal(target.root)
    settings = _settings(scheme, data, found.reading)
    corrected = {pair.name for pair in found.pairs if _is_corrected(pair, journal.get(pair.name), target)}
    finished = [pair for pair in found.pairs if _is_finished(pair, journal.get(pair.name), settings, target)]
    records = {pair.name: journal[pair.name] for pair in finished}
    for record in records.values() if reviewed else ():
        record["predicted"] = None
    todo = [pair for pair in found.pairs if pair.name not in records]
    again = [pair for pair in todo if pair.name in journal]
    _check_corrections([pair.name for pair in todo if pair.name in corrected], target)
    result = PrepareResult(
        {},
        list(found.problems),
        kept=len(records),
        corrected=sorted(corrected, key=natural_key),
        replaced=[pair.name for pair in again if journal[pair.name]["sources"] != stamps(pair)],
    )
    with manifest.Journal(target.root) as log:
        for pair in again:  # from here on its mask may be replaced, also by the next run if this one is killed
            log.add({"name": pair.name, "redo": True})
        for outcome in _run_pairs(todo, scheme, settings, target, len(found.pairs)):
            if isinstance(outcome, Problem):
                result.problems.append(outcome)
                continue
            record = {**outcome, "licence": licence}
            log.add(record)
            records[record["name"]] = record
            result.done += 1
    result.problems.sort(key=lambda problem: (problem.kind, natural_key(problem.file)))
    if not records:
        advice = ""
        if any("mask code" in problem.what for problem in result.problems):
            advice = "; for masks of another data set give a .json --class-scheme, or their codes to "
            advice += "prepare_cholecseg8k_assets.py (--instrument-codes, --void-codes, --background-codes)"
        raise UserError(
            f"none of {len(found.pairs)} pairs could be prepared{advice}\n{describe_problems(result.problems, 50)}"
        )
    result.left_over = [row["name"] for row in rows if row["video"] in videos and row["name"] not in records]
    _write_tables(target, scheme, data, records, other_rows, result)
    return result


def check_separate(output_folders: list[Path], source_roots: list[Path]) -> None:
    """Raise `UserError` if an output folder and a source are the same, or one contains the other."""
    for output in (folder.resolve() for folder in output_folders):
        for source in (root.resolve() for root in source_roots):
            if output == source or source in output.parents or output in source.parents:
                raise UserError(
                    f"output {output}, source {source}: neither may contain the other; choose another --output-root"
                )


def _check_folder(root: Path, new_videos: set[str], other_rows: list[dict], scheme: Scheme, data: str) -> None:
    """Raise `UserError` if the videos that stay have another class scheme or kind of data, or the name of a new one in
    other capitals. `other_rows` are the rows of those that stay."""
    if not other_rows:
        return
    videos = list_some(sorted({row["video"] for row in other_rows}))
    alike = {row["video"].lower(): row["video"] for row in other_rows}
    if same := [(name, alike[name.lower()]) for name in sorted(new_videos) if name.lower() in alike]:
        raise UserError(
            f"{root} holds {same[0][1]}, which is {same[0][0]} on some disks: use that name, or another one"
        )
    if (root / "classes.json").is_file() and read_scheme(root / "classes.json") != scheme:
        raise UserError(
            f"{root} holds {videos} with another class scheme, code list or --void-to-background; use another "
            "--output-root, or the options of the earlier run"
        )
    known = read_json(root / "audit.json").get("data", "real") if (root / "audit.json").is_file() else data
    if known != data:
        raise UserError(f"{root} holds {known} videos ({videos}) and the source is {data}; use another --output-root")


def _check_corrections(lost: list[str], target: Target) -> None:
    """Raise `UserError` if the run would write over masks that somebody has corrected."""
    if lost:
        raise UserError(
            f"{len(lost)} masks in {target.root / target.masks} were changed since they were prepared, and now their "
            f"source or the options have changed too ({list_some(lost, 4)}): move them away, "
            "or choose another --output-root"
        )


def _settle_codes(found: Found, scheme: Scheme) -> Found:
    """Let all masks be read as gray levels if `codes_are_levels` says so. A reader's own `read_codes` stays."""
    usual = [pair for pair in found.pairs if pair.read_codes is decode_codes]
    if not codes_are_levels([(pair.mask.name, pair.mask.content) for pair in usual], scheme):
        return found
    pairs = [
        replace(pair, read_codes=decode_levels) if pair.read_codes is decode_codes else pair for pair in found.pairs
    ]
    return replace(found, pairs=pairs, reading="levels")


def _settings(scheme: Scheme, data: str, reading: str) -> str:
    value = [1, scheme.to_json(), data, *([reading] if reading else [])]
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _is_finished(pair: Pair, record: dict | None, settings: str, target: Target) -> bool:
    """Whether the frame and the mask (prepared or corrected) of this source and these settings are in place."""
    if not record or record["sources"] != stamps(pair) or record.get("settings") != settings:
        return False
    try:
        frame = target.frame_path(pair).stat()
        if frame.st_size != record["bytes"]:
            return False
        if _mask_digest(pair, target) != record["mask_digest"]:
            if not _is_corrected(pair, record, target):
                return False
        elif pair.predicted and not record.get("predicted"):  # of an earlier version, or taken for reviewed then
            return False
        linked = pair.frame.path is not None and os.path.samestat(frame, pair.frame.path.stat())
        return not (target.copy and linked)
    except OSError:
        return False


def _is_corrected(pair: Pair, record: dict | None, target: Target) -> bool:
    """Whether somebody has changed the mask since it was prepared."""
    if not record or _mask_digest(pair, target) in (None, record["mask_digest"]):
        return False
    try:
        check_whole(target.mask_path(pair).read_bytes(), pair.name)
    except UserError:  # damaged, not corrected
        return False
    return True


def _mask_digest(pair: Pair, target: Target) -> str | None:
    try:
        return digest(target.mask_path(pair).read_bytes())
    except OSError:
        return None


def _run_pairs(
    pairs: list[Pair], scheme: Scheme, settings: str, target: Target, total: int
) -> Iterator[dict | Problem]:
    """Prepare pairs in threads (the decoders release Python's lock). Yield each outcome when it is ready."""
    lookup = scheme.lookup()
    with ThreadPoolExecutor(target.threads or cpu_count()) as pool:
        jobs = [pool.submit(prepare_pair, pair, scheme, lookup, settings, target) for pair in pairs]
        try:
            done = total - len(pairs)
            with tqdm(total=total, initial=done, desc="Preparing", unit="frame", disable=quiet()) as bar:
                for job in as_completed(jobs):
                    bar.update()
                    yield job.result()
        finally:
            for job in jobs:
                job.cancel()


def _write_tables(
    target: Target, scheme: Scheme, data: str, records: dict, others: list[dict], result: PrepareResult
) -> None:
    """Write the folder's tables, the manifest last: a folder with a manifest is complete.

    `records` are this run's records by name, `others` the manifest rows of the other videos.
    """
    videos = {record["video"] for record in records.values()} | {problem.video for problem in result.problems}
    journal = {name: r for name, r in manifest.read_journal(target.root).items() if r["video"] not in videos}
    everything = {**journal, **records}
    rows = [manifest.manifest_row(record, scheme) for record in records.values()] + others
    prescribed = {name: record.get("split", "") for name, record in everything.items()}
    predicted = {name for name, record in everything.items() if record.get("predicted")}
    rows = manifest.with_splits(rows, prescribed, predicted)
    old = read_json(target.root / "audit.json") if (target.root / "audit.json").is_file() else {}
    old_problems = [item for item in old.get("problems", []) if item["video"] and item["video"] not in videos]
    result.audit = audit.make_audit(everything, rows, scheme, data)
    result.audit["problems"] = old_problems + [asdict(problem) for problem in result.problems]
    for folder in (target.frames, target.masks):
        for unfinished in (target.root / folder).glob(".*.part*"):  # of a killed process
            unfinished.unlink(missing_ok=True)
    write_scheme(target.root / "classes.json", scheme)
    manifest.write_journal(target.root, everything.values())
    write_json(target.root / "audit.json", result.audit)
    manifest.write_manifest(target.root, rows)
