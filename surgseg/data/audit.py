"""The audit of a prepared folder: counts of what its sources contain, as JSON and as printed text."""

from __future__ import annotations

from collections import Counter, defaultdict

from surgseg.data.manifest import class_counts
from surgseg.files import list_some, natural_key
from surgseg.labels import SCHEMES, VOID, Scheme, void_as_background

MOSTLY_VOID = 0.5  # share of all pixels from which on void is a warning; CholecSeg8k has a few percent
MANY_CODES = 3  # background, and two structures that are taken as background, are no sign of soft edges


def make_audit(records: dict[str, dict], rows: list[dict], scheme: Scheme, data: str) -> dict:
    """Return the audit of a prepared folder.

    `rows` are its manifest rows, `records` the journal's records by name. A row without a record does not count in the
    pixel counts; "frames_without_record" counts such rows. Shares are fractions: of all pixels for codes and void, of
    the non-void pixels for classes. The audit depends on the folder's content alone, so a resumed run writes the same.
    """
    known = [records[row["name"]] for row in rows if row["name"] in records]
    codes, frames_with, classes = Counter(), Counter(), Counter()
    for record in known:
        codes.update({int(code): pixels for code, pixels in record["codes"].items()})
        frames_with.update(int(code) for code in record["codes"])
        classes.update(class_counts(record, scheme))
    total, void = sum(codes.values()), classes[VOID]
    audit = {
        "data": data,
        "licences": sorted({record["licence"] for record in known if record.get("licence")}),
        "class_scheme": scheme.name,
        "frames": len(rows),
        "frames_without_record": len(rows) - len(known),
        "instrument_free_frames": sum(_kind(row) == "without_instrument" for row in rows),
        "void_frames": sum(_kind(row) == "void_frames" for row in rows),
        "videos": _video_table(rows),
        "splits": _splits(rows),
        "codes": _codes(codes, frames_with, total, scheme),
        "classes": _classes(classes, total - void, scheme),
        "void": {"codes": list(scheme.void_codes), "pixels": void, "share": _share(void, total)},
        "sizes": dict(sorted(Counter(f"{row['width']}x{row['height']}" for row in rows).items())),
        "mask_modes": dict(sorted(Counter(record["mode"] for record in known).items())),
        "repaired_rgba_masks": [record["name"] for record in known if record["mode"] == "RGBA"],
        "identical_frames": _identical(known),
        "turned_by_exif": [record["name"] for record in known if record.get("orientation", 1) != 1],
        "predicted_masks": {record["name"]: record["predicted"] for record in known if record.get("predicted")},
        "numbered_by_order": [record["name"] for record in known if record.get("numbered_by_order")],
    }
    if (scheme.lookup() >= 0).all():  # every remaining code is background: list the codes that occur
        audit["background_codes_seen"] = sorted(code for code in codes if code in scheme.classes[0].codes)
    audit["warnings"] = _warnings(audit, scheme) if known else []
    return audit


def _kind(row: dict) -> str:
    """Whether a frame of a manifest row is "with_instrument", "without_instrument" or, all void, "void_frames"."""
    if float(row["instrument_fraction"]) > 0:
        return "with_instrument"
    return "void_frames" if float(row["void_fraction"]) == 1 else "without_instrument"


def _warnings(audit: dict, scheme: Scheme) -> list[str]:
    """What the counts say against the codes: most often the codes, or the way that the masks store them, are wrong."""
    seen, found = {int(code): row["share"] for code, row in audit["codes"].items()}, []
    for item in scheme.classes:
        if not audit["classes"][item.name]["pixels"]:
            codes = "every other code" if len(item.codes) > 20 else f"code {list_some(item.codes)}"
            found.append(f"no pixel is {item.name} ({codes}); the masks hold the codes {list_some(sorted(seen), 20)}")
    if audit["void"]["share"] >= MOSTLY_VOID:
        void = list_some(code for code in scheme.void_codes if code in seen)
        found.append(
            f"{audit['void']['share']:.1%} of all pixels are void (code {void}), which nothing learns from; "
            "--void-codes names the codes of void"
        )
    open_scheme = "background_codes_seen" in audit
    if scheme not in (*SCHEMES.values(), *map(void_as_background, SCHEMES.values())):
        classes = [item for item in scheme.classes[open_scheme:] if audit["classes"][item.name]["pixels"]]
        never = [code for item in classes for code in item.codes if code not in seen]
        never += [code for code in scheme.void_codes if code not in seen]
        if never:
            found.append(f"code {list_some(never)} is named and occurs in no mask")
    unnamed = audit.get("background_codes_seen", [])
    if len(unnamed) > MANY_CODES:
        found.append(
            f"{len(unnamed)} codes that nobody named are background ({list_some(unnamed, 5)}; "
            f"{sum(seen[code] for code in unnamed if code):.2%} of all pixels without code 0): if the masks have soft "
            "edges or are JPEG files, give --threshold-masks 128; if these are classes, name them with "
            "--background-codes"
        )
    if VOID in unnamed:
        found.append(
            f"code 255 ({seen[VOID]:.2%} of all pixels) is background; if it marks pixels without a label, give "
            "--void-codes 255"
        )
    if groups := audit["identical_frames"]["across_videos"]:
        shown = "; ".join(list_some(group, 3) for group in groups[:4]) + ("; ..." if len(groups) > 4 else "")
        found.append(
            f"byte-identical frames of different videos: {len(groups)} groups ({shown}): if these videos are one "
            "operation, give them one --video-id, otherwise a split leaks"
        )
    for part, videos in audit["splits"].items():
        if not any(audit["videos"][video]["with_instrument"] for video in videos):
            found.append(f"no frame of the {part} part shows an instrument ({list_some(videos, 4)})")
    return found


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _video_table(rows: list[dict]) -> dict[str, dict]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["video"]].append(row)
    table = {}
    for video in sorted(groups, key=natural_key):
        kinds = Counter(_kind(row) for row in groups[video])
        total = sum(float(row["instrument_fraction"]) for row in groups[video])
        labelled = len(groups[video]) - kinds["void_frames"]
        table[video] = {
            "clips": len({row["clip"] for row in groups[video]}),
            "frames": len(groups[video]),
            **{kind: kinds[kind] for kind in ("with_instrument", "without_instrument", "void_frames")},
            "mean_instrument_fraction": round(total / labelled, 6) if labelled else 0.0,
            "split": groups[video][0]["split"],
        }
    return table


def _splits(rows: list[dict]) -> dict[str, list[str]]:
    parts = {part: {row["video"] for row in rows if row["split"] == part} for part in ("train", "val", "test")}
    return {part: sorted(videos, key=natural_key) for part, videos in parts.items() if videos}


def _codes(codes: Counter, frames_with: Counter, total: int, scheme: Scheme) -> dict[str, dict]:
    names, lookup = scheme.code_names, scheme.lookup()
    return {
        str(code): {
            "name": names[code],
            "class": "void" if lookup[code] == VOID else scheme.names[lookup[code]],
            "frames": frames_with[code],
            "pixels": pixels,
            "share": _share(pixels, total),
        }
        for code, pixels in sorted(codes.items())
    }


def _classes(classes: Counter, valid: int, scheme: Scheme) -> dict[str, dict]:
    return {
        item.name: {
            "id": item.id,
            "instrument": item.instrument,
            "pixels": classes[item.id],
            "share": _share(classes[item.id], valid),
        }
        for item in scheme.classes
    }


def _identical(known: list[dict]) -> dict:
    """Groups of byte-identical frames. Groups with frames of several videos can leak between the parts of a split."""
    groups = defaultdict(list)
    for record in known:
        groups[record["digest"]].append(record)
    found = {"frames": 0, "across_videos": [], "within_videos": []}
    for group in groups.values():
        if len(group) > 1:
            several = len({record["video"] for record in group}) > 1
            found["across_videos" if several else "within_videos"].append([record["name"] for record in group])
            found["frames"] += len(group)
    return found


def summary(audit: dict) -> str:
    """Return the audit as a short text: tables of videos and codes, then notes, for example on identical frames."""
    lines = [
        f"{'video':<14}{'clips':>6}{'frames':>8}{'with':>8}{'without':>9}{'all void':>10}{'instrument %':>14}  split"
    ]
    for video, row in audit["videos"].items():
        lines.append(
            f"{video:<14}{row['clips']:>6}{row['frames']:>8}{row['with_instrument']:>8}{row['without_instrument']:>9}"
            f"{row['void_frames']:>10}{100 * row['mean_instrument_fraction']:>14.2f}  {row['split'] or '-'}"
        )
    lines += ["", f"{'code':>5}  {'name':<24}{'class':<24}{'frames':>8}{'pixels %':>10}"]
    for code, row in audit["codes"].items():
        lines.append(f"{code:>5}  {row['name']:<24}{row['class']:<24}{row['frames']:>8}{100 * row['share']:>10.3f}")
    return "\n".join([*lines, "", *_notes(audit)])


def _notes(audit: dict) -> list[str]:
    sizes = list_some(f"{size} ({count})" for size, count in audit["sizes"].items())
    notes = [f"{audit['data']} data, {audit['frames']} frames of {len(audit['videos'])} video(s), size {sizes}"]
    void = audit["void"]
    notes.append(
        f"void (no label): {void['share']:.2%} of all pixels"
        + (f" (code {list_some(void['codes'])})" if void["codes"] else "")
        + (f"; {audit['void_frames']} frames are all void" if audit["void_frames"] else "")
    )
    notes.append(f"mask files: {list_some(f'{mode} ({count})' for mode, count in audit['mask_modes'].items())}")
    if audit["licences"]:
        notes.append(f"licence of the data: {', '.join(audit['licences'])}")
    if audit["repaired_rgba_masks"]:
        names = audit["repaired_rgba_masks"]
        notes.append(f"repaired RGBA masks: {len(names)} ({list_some(names, 4)})")
    if groups := audit["identical_frames"]["within_videos"]:
        shown = "; ".join(list_some(group, 3) for group in groups[:4]) + ("; ..." if len(groups) > 4 else "")
        notes.append(f"byte-identical frames within a video: {len(groups)} groups ({shown})")
    if audit["turned_by_exif"]:
        names = audit["turned_by_exif"]
        notes.append(f"turned as EXIF says, so their masks must be upright: {len(names)} ({list_some(names, 4)})")
    if audit["numbered_by_order"]:
        names = audit["numbered_by_order"]
        notes.append(f"numbered in order, not by the number in the file name: {len(names)} ({list_some(names, 4)})")
    if audit["predicted_masks"]:
        count = len(audit["predicted_masks"])
        notes.append(
            f"masks that a model predicted: {count}; they train as pseudo-labels, and nothing is scored against them: "
            "correct them, or prepare them with --masks-reviewed after a person has checked all of them"
        )
    if not audit["splits"]:
        notes.append("one video only, so no split by video: add videos, or train with --split time")
    return notes
