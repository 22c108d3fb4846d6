"""From pairs of frames and masks to a prepared folder: frames as they came, masks as class ids, manifest, audit."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from surgseg.data import audit, manifest
from surgseg.data.convert import Target, digest, prepare_pair, stamps
from surgseg.data.pairs import Found, Pair, Problem, describe_problems
from surgseg.data.splits import PARTS
from surgseg.files import (
    UserError,
    list_some,
    natural_key,
    read_json,
    write_json,
)
from surgseg.labels import Scheme, read_scheme, write_scheme
from surgseg.masks import decode_codes


@dataclass
class PrepareResult:
    """What a run did: the folder's audit, this run's problems, pairs done now and found done; and the names of frames
    that lost their source (`left_over`), whose mask was corrected since (`corrected`, kept as they are), or that came
    from other files before (`replaced`)."""

    audit: dict
    problems: list[Problem]
    done: int = 0
    kept: int = 0
    left_over: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def prepare(found: Found, target: Target, scheme: Scheme, data: str = "real", licence: str = "") -> PrepareResult:
    """Write every good pair of `found` into `target`, then the folder's classes.json, audit.json, manifest.csv.

    `data` is "real" or "synthetic". Pairs that stand finished from an earlier run are not done again. Videos of
    the folder that are not in `found` keep their rows; a video in `found` has its rows replaced. Bad pairs become
    problems of the result. Raises `UserError` where nothing is usable or the folder holds something else.
    """
    licence = licence if data == "real" else ""
    wrong = sorted({pair.split for pair in found.pairs} - {"", *PARTS})
    if wrong:
        raise UserError(f"the reader gives parts that do not exist: {list_some(wrong)}; use {', '.join(PARTS)}")
    if not found.pairs:
        raise UserError(f"no usable pair of frame and mask\n{describe_problems(found.problems)}".rstrip())
    videos = {pair.video for pair in found.pairs}
    rows = manifest.read_manifest(target.root)
    other_rows = [row for row in rows if row["video"] not in videos]
    _check_folder(target.root, other_rows, scheme, data)
    journal = manifest.read_journal(target.root)
    settings = _settings(scheme, data)
    records, open_pairs = {}, []
    corrected = {pair.name for pair in found.pairs if _is_corrected(pair, journal.get(pair.name), target)}
    for pair in found.pairs:
        if _stands(pair, journal.get(pair.name), settings, target):
            records[pair.name] = journal[pair.name]
        else:
            open_pairs.append(pair)
    _check_corrections([pair.name for pair in open_pairs if pair.name in corrected], target)
    result = PrepareResult({}, list(found.problems), kept=len(records), corrected=sorted(corrected, key=natural_key))
    for pair in open_pairs:
        if pair.name in journal and journal[pair.name]["sources"] != stamps(pair):
            result.replaced.append(pair.name)
    with manifest.Journal(target.root) as log:
        for pair in open_pairs:
            if pair.name in journal:  # from here on its mask is ours to replace, also after a kill
                log.add({"name": pair.name, "redo": True})
        for outcome in _work(open_pairs, scheme, settings, target, len(found.pairs)):
            if isinstance(outcome, Problem):
                result.problems.append(outcome)
                continue
            record = {**outcome, "licence": licence}
            log.add(record)
            records[record["name"]] = record
            result.done += 1
    if not records:
        result.problems.sort(key=lambda problem: (problem.kind, natural_key(problem.file)))
        raise UserError(
            f"none of {len(found.pairs)} pairs could be prepared; codes of another data set are named with "
            "--instrument-codes, --void-codes, --background-codes or a .json --class-scheme\n"
            f"{describe_problems(result.problems, 3)}"
        )
    result.left_over = [row["name"] for row in rows if row["video"] in videos and row["name"] not in records]
    _write_tables(target, scheme, data, records, other_rows, result)
    return result


def check_separate(output_folders: list[Path], source_roots: list[Path]) -> None:
    """Refuse an output inside a source, or a source inside a folder that is written, before either is touched."""
    for output in (folder.resolve() for folder in output_folders):
        for source in (root.resolve() for root in source_roots):
            if output == source or source in output.parents or output in source.parents:
                raise UserError(
                    f"the output {output} and the source {source} lie in one another; choose another --output-root"
                )


def _check_folder(root: Path, other_rows: list[dict], scheme: Scheme, data: str) -> None:
    """One folder has one class scheme and one kind of data. A folder whose videos are all replaced may change."""
    if not other_rows:
        return
    videos = list_some(sorted({row["video"] for row in other_rows}))
    if (root / "classes.json").is_file() and read_scheme(root / "classes.json") != scheme:
        raise UserError(
            f"{root} holds {videos} with another class scheme, code list or --void-to-background; use another "
            "--output-root, or the options it was made with"
        )
    known = read_json(root / "audit.json").get("data", "real") if (root / "audit.json").is_file() else data
    if known != data:
        raise UserError(f"{root} holds {known} videos ({videos}) and the source is {data}; use another --output-root")


def _check_corrections(lost: list[str], target: Target) -> None:
    """Refuse to do again what somebody has corrected."""
    if lost:
        raise UserError(
            f"{len(lost)} masks in {target.root / target.masks} were changed since they were prepared, and their "
            f"source or the options are others now ({list_some(lost, 4)}): move them away, "
            "or choose another --output-root"
        )


def _settings(scheme: Scheme, data: str) -> str:
    return hashlib.sha256(json.dumps([1, scheme.to_json(), data]).encode()).hexdigest()[:16]


def _stands(pair: Pair, record: dict | None, settings: str, target: Target) -> bool:
    """Whether the frame and a mask, ours or a corrected one, of this very source are still in place."""
    if not record or record["sources"] != stamps(pair) or record.get("settings") != settings:
        return False
    try:
        frame = target.frame_path(pair).stat()
        if frame.st_size != record["bytes"]:
            return False
        if _mask_digest(pair, target) != record["mask_digest"] and not _is_corrected(pair, record, target):
            return False
        linked = pair.frame.path is not None and os.path.samestat(frame, pair.frame.path.stat())
        return not (target.copy and linked)
    except OSError:
        return False


def _is_corrected(pair: Pair, record: dict | None, target: Target) -> bool:
    """Whether somebody has changed the mask since it was prepared: their work is not written over."""
    if not record or _mask_digest(pair, target) in (None, record["mask_digest"]):
        return False
    try:
        decode_codes(target.mask_path(pair))
    except UserError:  # damaged, not corrected
        return False
    return True


def _mask_digest(pair: Pair, target: Target) -> str | None:
    try:
        return digest(target.mask_path(pair).read_bytes())
    except OSError:
        return None


def _work(pairs: list[Pair], scheme: Scheme, settings: str, target: Target, total: int) -> Iterator[dict | Problem]:
    """Prepare pairs in threads (the decoders release Python's lock), yielding outcomes as they come."""
    lookup = scheme.lookup()
    with ThreadPoolExecutor(target.threads or os.cpu_count()) as pool:
        jobs = [pool.submit(prepare_pair, pair, scheme, lookup, settings, target) for pair in pairs]
        try:
            bar = tqdm(
                total=total,
                initial=total - len(pairs),
                desc="Preparing",
                unit="frame",
                disable=not sys.stderr.isatty(),
            )
            with bar:
                for job in as_completed(jobs):
                    bar.update()
                    yield job.result()
        finally:
            for job in jobs:
                job.cancel()


def _write_tables(
    target: Target, scheme: Scheme, data: str, records: dict, others: list[dict], result: PrepareResult
) -> None:
    """Write the folder's tables, the manifest last: a folder with a manifest is a whole one.

    `records` are this run's by name, `others` the manifest rows of videos that were not in it.
    """
    videos = {record["video"] for record in records.values()} | {problem.video for problem in result.problems}
    journal = {name: r for name, r in manifest.read_journal(target.root).items() if r["video"] not in videos}
    everything = {**journal, **records}
    rows = [manifest.manifest_row(record, scheme) for record in records.values()] + others
    rows = manifest.with_splits(rows, {name: record.get("split", "") for name, record in everything.items()})
    old = read_json(target.root / "audit.json") if (target.root / "audit.json").is_file() else {}
    remembered = [item for item in old.get("problems", []) if item["video"] and item["video"] not in videos]
    result.problems.sort(key=lambda problem: (problem.kind, natural_key(problem.file)))
    result.audit = audit.make_audit(everything, rows, scheme, data)
    result.audit["problems"] = remembered + [asdict(problem) for problem in result.problems]
    for folder in (target.frames, target.masks):
        for unfinished in (target.root / folder).glob(".*.part*"):  # of a process that was ended from outside
            unfinished.unlink(missing_ok=True)
    write_scheme(target.root / "classes.json", scheme)
    manifest.write_journal(target.root, everything.values())
    write_json(target.root / "audit.json", result.audit)
    manifest.write_manifest(target.root, rows)
