"""The audit of a prepared folder: counts of what its sources contain, as JSON and as printed text."""

from __future__ import annotations

from collections import Counter, defaultdict

from surgseg.data.manifest import class_counts
from surgseg.files import list_some, natural_key
from surgseg.labels import VOID, Scheme


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
        "instrument_free_frames": sum(float(row["instrument_fraction"]) == 0 for row in rows),
        "videos": _video_table(rows),
        "splits": _splits(rows),
        "codes": _codes(codes, frames_with, total, scheme),
        "classes": _classes(classes, total - void, scheme),
        "void": {"codes": list(scheme.void_codes), "pixels": void, "share": _share(void, total)},
        "sizes": dict(sorted(Counter(f"{row['width']}x{row['height']}" for row in rows).items())),
        "mask_modes": dict(sorted(Counter(record["mode"] for record in known).items())),
        "repaired_rgba_masks": [record["name"] for record in known if record["mode"] == "RGBA"],
        "identical_frames": _identical(known),
        "numbered_by_order": [record["name"] for record in known if record.get("numbered_by_order")],
    }
    if (scheme.lookup() >= 0).all():  # every remaining code is background: list the codes that occur
        audit["background_codes_seen"] = sorted(code for code in codes if code in scheme.classes[0].codes)
    return audit


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _video_table(rows: list[dict]) -> dict[str, dict]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["video"]].append(row)
    table = {}
    for video in sorted(groups, key=natural_key):
        fractions = [float(row["instrument_fraction"]) for row in groups[video]]
        table[video] = {
            "clips": len({row["clip"] for row in groups[video]}),
            "frames": len(fractions),
            "with_instrument": sum(fraction > 0 for fraction in fractions),
            "without_instrument": sum(fraction == 0 for fraction in fractions),
            "mean_instrument_fraction": round(sum(fractions) / len(fractions), 6),
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
    lines = [f"{'video':<14}{'clips':>6}{'frames':>8}{'with':>8}{'without':>9}{'instrument %':>14}  split"]
    for video, row in audit["videos"].items():
        lines.append(
            f"{video:<14}{row['clips']:>6}{row['frames']:>8}{row['with_instrument']:>8}{row['without_instrument']:>9}"
            f"{100 * row['mean_instrument_fraction']:>14.2f}  {row['split'] or '-'}"
        )
    lines += ["", f"{'code':>5}  {'name':<24}{'class':<24}{'frames':>8}{'pixels %':>10}"]
    for code, row in audit["codes"].items():
        lines.append(f"{code:>5}  {row['name']:<24}{row['class']:<24}{row['frames']:>8}{100 * row['share']:>10.3f}")
    return "\n".join([*lines, "", *_notes(audit)])


def _notes(audit: dict) -> list[str]:
    sizes = list_some(f"{size} ({count})" for size, count in audit["sizes"].items())
    notes = [f"{audit['data']} data, {audit['frames']} frames of {len(audit['videos'])} video(s), size {sizes}"]
    if audit["licences"]:
        notes.append(f"licence of the data: {', '.join(audit['licences'])}")
    if audit["repaired_rgba_masks"]:
        names = audit["repaired_rgba_masks"]
        notes.append(f"repaired RGBA masks: {len(names)} ({list_some(names, 4)})")
    for key, where in (("across_videos", "of different videos"), ("within_videos", "within a video")):
        groups = audit["identical_frames"][key]
        if groups:
            shown = "; ".join(list_some(group, 3) for group in groups[:4]) + ("; ..." if len(groups) > 4 else "")
            notes.append(f"byte-identical frames {where}: {len(groups)} groups ({shown})")
    if audit["numbered_by_order"]:
        names = audit["numbered_by_order"]
        notes.append(f"no number in the file name, numbered in order: {len(names)} ({list_some(names, 4)})")
    if not audit["splits"]:
        notes.append("one video only, so no split by video: add videos, or train with --split time")
    return notes
