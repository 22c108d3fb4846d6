"""The data of `adaptation.py`: old data and a base model, new frames with its masks, reviews by their ground truth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from surgseg.files import make_folder

OPERATIONS = (("op1", "op2"), ("op2", "op3"), ("op3", "op1"))
SYNTHETIC = "aligned to shifted"
AUDIT = {True: 40, False: 12}  # frames of the audit, of a synthetic video and of an operation
MOST = 20  # frames chosen to correct
SCENES, BURST, APART = 100, 3, 240  # of the synthetic video: positions, frames of each, frames between two
SIZE = (240, 428)  # of the synthetic frames, pixels


def shifts_of(data_root: Path | None) -> list[str]:
    """Return the names of the shifts; without the operations' folder, the synthetic one alone."""
    return [SYNTHETIC, *(f"{old} to {new}" for old, new in OPERATIONS if data_root)]


def call(script, *words) -> None:
    """Call the `main` of a script. Raises an error unless its exit status is 0."""
    status = script.main([str(word) for word in words])
    if status:
        raise RuntimeError(f"{script.__name__} ended with status {status}")


def make_shift(folder: Path, shift: str, data_root: Path | None, size: list[int], epochs: int) -> None:
    """Train on the old data, and apply the model to the new frames: base/, new/ (generated), truth/ (its masks)."""
    import instrument_segmentation

    if shift == SYNTHETIC:
        old, split = draw_old(folder), "video"
    else:
        old, split = operation_of(data_root, shift.split()[0], folder / "old"), "time"
    call(
        instrument_segmentation, "--data-root", old, "--split", split, "--arch", "lite-unet", "--weights", "imagenet",
        "--image-size", *size, "--epochs", epochs, "--output-dir", folder / "base",
        "--cache-dir", folder / "cache", "--save-preds", folder / "base" / "preds",
    )  # fmt: skip
    frames = new_synthetic() if shift == SYNTHETIC else new_operation(data_root, shift.split()[-1])
    apply_model(folder, frames)


def draw_old(folder: Path) -> Path:
    """Draw the aligned stream and prepare it."""
    import prepare_full_dataset
    from surgseg.synthetic.release import write_release

    write_release(folder / "stream", 10, 4, 2, SIZE, seed=3, workers=1)
    call(prepare_full_dataset, "--source-root", folder / "stream", "--output-root", folder / "old")
    return folder / "old"


def operation_of(root: Path, video: str, target: Path) -> Path:
    """Make a prepared folder of one video of another prepared folder. The frames and masks are linked."""
    from surgseg.data.dataset import load_prepared
    from surgseg.data.manifest import read_manifest, write_manifest

    samples = [sample for sample in load_prepared(root).samples if sample.video == video]
    for sample in samples:
        for part, path in (("frames", sample.frame), ("masks", sample.mask)):
            (make_folder(target / part) / path.name).symlink_to(path.resolve())
    shutil.copy(root / "classes.json", target)
    names = {sample.name for sample in samples}
    write_manifest(target, [{**row, "split": ""} for row in read_manifest(root) if row["name"] in names])
    return target


def new_operation(root: Path, video: str):
    """Yield (number, seconds, frame, true ids) of a video of a prepared folder; a frame every 2 seconds."""
    from surgseg.data.dataset import load_prepared, read_sample

    prepared = load_prepared(root)
    samples = sorted((s for s in prepared.samples if s.video == video), key=lambda sample: sample.number)
    for number, sample in enumerate(samples):
        yield number, 2.0 * number, *read_sample(sample, prepared.scheme.num_classes)


def new_synthetic():
    """The same of a shifted synthetic video: bursts of frames, ten seconds apart."""
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.scenes import draw_frame

    table = SCHEMES["binary"].lookup()
    for scene in range(SCENES):
        for number in range(scene * APART, scene * APART + BURST):
            frame, codes = draw_frame(11, 1, number, SIZE, "shifted")
            ids = table[codes]
            yield number, number / 25, frame, np.where(ids < 0, 255, ids).astype(np.uint8)


def apply_model(folder: Path, frames) -> None:
    """Write new/, a generated folder of the frames with the base model's masks, and truth/, their true masks."""
    import torch

    from surgseg.checkpoint import load_checkpoint
    from surgseg.generate.writer import GeneratedWriter
    from surgseg.masks import write_mask
    from surgseg.predict import Predictor
    from surgseg.video.reader import Frame
    from surgseg.view import find_view

    checkpoint = load_checkpoint(folder / "base" / "instrument_segmentation_model.pth")
    predictor = Predictor(checkpoint, torch.device("cpu"), keep_probability=True)
    items = list(frames)
    view = find_view([frame for _, _, frame, _ in items[:: max(1, len(items) // 24)]])
    bursts = BURST if items[1][1] - items[0][1] < 0.2 else 1
    run = {"sampling": {"burst": bursts}, "weights_sha256": checkpoint.sha256, "video": {}, "threshold": 0.5}
    run["weights_data"] = run["video_data"] = "synthetic" if bursts > 1 else "real"
    parts = {"frames": "png", "masks": "png", "probabilities": "png"}
    writer = GeneratedWriter(folder / "new", checkpoint.scheme, "new", parts)
    writer.begin(run)
    for number, seconds, frame, truth in items:
        found = predictor.predict(frame[None], view)
        stored = writer.store(
            Frame(number, seconds, frame, False), found.ids[0], found.measures.of_frame(0), found.probability[0]
        )
        writer.commit(stored)
        write_mask(folder / "truth" / f"{stored.row.name}.png", truth, checkpoint.scheme)
    writer.finish(run)


def review(source: Path, target: Path, shift: str, how: str, budget: int, seed: int) -> None:
    """Make a copy of the generated folder (its images are linked), with the audit and `budget` frames reviewed."""
    from surgseg.generate.folder import read_generated
    from surgseg.review.select import select
    from surgseg.review.suspicion import read_features
    from surgseg.reviews import AuditSample, reviewed_path, write_audit_sample, write_reviews

    shutil.rmtree(target, ignore_errors=True)
    make_folder(target / "reviewed")
    for name in ("classes.json", "frames.csv", "run.json"):
        shutil.copy(source / "new" / name, target)
    for part in ("frames", "masks", "probabilities"):
        (target / part).symlink_to((source / "new" / part).resolve())
    generated = read_generated(target)
    chosen = select(
        generated,
        read_features(generated),
        {},
        AuditSample(),
        budget=MOST,
        count=AUDIT[shift == SYNTHETIC],
        seed=seed,
        how=how,
    )
    rows = []
    for row in chosen.reviews.values():
        if row.purpose == "audit" or row.rank <= budget:
            shutil.copy(source / "truth" / f"{row.name}.png", reviewed_path(target, row.name))
            row = replace(row, status="corrected")
        rows.append(row)
    write_audit_sample(target, chosen.audit)
    write_reviews(target, rows)
