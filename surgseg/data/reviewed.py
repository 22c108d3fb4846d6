"""A reviewed generated folder as training data: its reviewed masks are truth, its other predictions pseudo-labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from surgseg.data.dataset import Prepared, Sample, load_prepared
from surgseg.data.sources import data_kind
from surgseg.files import UserError, list_some, natural_key, nfc, read_csv, read_json
from surgseg.frames import images_by_name
from surgseg.labels import read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.reviews import MASKS, TABLE, Review, has_reviews, read_audit_sample, read_reviews, reviewed_path


def load_data_root(root: Path | str) -> Prepared:
    """Read a prepared folder, a generated folder with a review.csv, or a folder of such folders.

    Raises `UserError` for any other folder, and for reviewed folders of differing classes.
    """
    root = Path(root)
    if has_reviews(root):
        return load_reviewed(root)
    inside = sorted(root.glob(f"*/{TABLE}"), key=natural_key) if not (root / "manifest.csv").is_file() else []
    if inside:
        first, *others = (load_reviewed(path.parent) for path in inside)
        if other := next((part for part in others if part.scheme.names != first.scheme.names), None):
            raise UserError(f"{first.root} and {other.root} have other classes: train on one of them")
        return replace(first, root=root, samples=[sample for part in (first, *others) for sample in part.samples])
    if (root / "frames.csv").is_file() and not (root / "manifest.csv").is_file():
        raise UserError(
            f"{root} is a generated folder whose masks nobody has reviewed: run select_frames.py and review_masks.py"
        )
    return load_prepared(root)


def load_reviewed(root: Path | str) -> Prepared:
    """Read a generated folder with a review.csv, and print how its frames are used.

    Reviewed frames train, those of the audit are the test part. Frames that nobody has reviewed train as pseudo-labels
    (role "pseudo"; `training.pseudo` makes their labels). Frames of the audit, the rest of their bursts and their near
    copies never train; nor do unusable frames and those decoded after damage. Names and video begin with the folder's
    name, since frames of most generated folders are called video_<frame>. Raises `UserError` if files are missing.
    """
    root = Path(root)
    folder = nfc(root.resolve().name)
    reviews, never = read_reviews(root), set(read_audit_sample(root).never_train)
    run = read_json(root / "run.json")
    if not run.get("complete"):
        raise UserError(f"{root} is not finished: run the same generate_masks_from_model.py command again")
    frames, masks = images_by_name(root / "frames"), images_by_name(root / "masks")
    rows = {nfc(row["name"]): row for row in read_csv(root / "frames.csv", ["name", "frame", "suspect"])}
    if missing := sorted((rows.keys() | reviews.keys()) - (frames.keys() & rows.keys())):
        raise UserError(
            f"{root}: frames that frames.csv or {TABLE} names are missing: {list_some(missing, 4)}; training needs "
            "frames/ (generate_masks_from_model.py keeps them unless --frame-format none)"
        )
    samples, counts = [], Counter()
    for name, row in rows.items():
        review = reviews.get(name, Review(name, "extra"))
        role = _role(review, name in never, row["suspect"] == "1", name in masks)
        counts[role] += 1
        if role in ("reviewed", "audit", "pseudo"):
            mask = reviewed_path(root, name) if review.has_mask else masks[name]
            part = "test" if role == "audit" else "train"
            samples.append(
                Sample(f"{folder}/{name}", frames[name], mask, folder, int(row["frame"]), part,
                       predicted=role == "pseudo", role=role)
            )  # fmt: skip
    scheme = read_scheme(root / "classes.json")
    settle_masks(root / "masks", scheme, masks.values(), predictions=True)
    settle_masks(root / MASKS, scheme, [sample.mask for sample in samples if sample.role != "pseudo"])
    print(_describe_roles(root, counts))
    return Prepared(root, samples, scheme, data_kind(root))


def _role(review: Review, never_trains: bool, suspect: bool, predicted: bool) -> str:
    """The role of a frame in the training, or the reason why it has none."""
    if review.status == "unusable":
        return "unusable"
    if review.purpose == "audit":
        return "audit" if review.has_mask else "audit, not reviewed yet"
    if never_trains:
        return "near the audit"
    if review.has_mask:
        return "reviewed"
    return "decoded after damage" if suspect else "pseudo" if predicted else "without a mask"


def _describe_roles(root: Path, counts: Counter) -> str:
    told = {
        "reviewed": "reviewed: they train",
        "audit": "of the audit: they only score",
        "audit, not reviewed yet": "of the audit that are not reviewed yet: not used",
        "near the audit": "in the reserve or the bursts of the audit, or near copies: never train",
        "pseudo": "not reviewed: they train only with --pseudo-labels",
        "unusable": "unusable, left out",
        "decoded after damage": "decoded after damage, left out",
        "without a mask": "without a mask, left out",
    }
    lines = [f"  {counts[role]:>6} frames {words}" for role, words in told.items() if counts[role]]
    return "\n".join([f"Reviewed folder {root}:", *lines])
