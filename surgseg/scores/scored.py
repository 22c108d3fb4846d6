"""What a set of scores was computed on: one set of facts for the screen, the metrics JSON and the titles of figures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CONVENTIONS = {  # -> what differs from ours
    "ours": "a class that only one mask shows has the worst score; one that neither shows is left out",
    "monai": "IoU, Dice: classes that the truth does not show are left out; HD95: missed ones too",
    "sar-rarp50": "a class that neither mask shows scores 1; mean over videos; its evaluator takes NSD at 10 px",
    "present-only": "classes that the truth does not show are left out",
}


def scored_set(
    counts: np.ndarray,
    videos: Sequence[str],
    void: str,
    *,
    expected: int | None = None,
    data: str | None = None,
    part: str | None = None,
    split: dict[str, Any] | None = None,
    threshold: float | None = None,
    warnings: Mapping[str, str] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """Return the facts about N scored frames, `scored` of a metrics JSON.

    `counts` (N, K + 1, K) and `videos` are those of the frames, `void` their treatment. `expected` is the number of
    frames that belong to the set (default: N), `data` is real or synthetic, `part` is test, val, all or None (unknown),
    `split` has name, hash and by ("video" or "frame"). `warnings` holds a sentence for each short name: the name goes
    into the titles of figures, the sentence onto the screen. `facts` are further entries.
    """
    frames, pixels, ignored = len(videos), counts.sum(), counts[:, -1].sum()
    expected = frames if expected is None else expected
    found = dict(warnings or {})
    if frames < expected:
        found[f"{frames} of {expected} frames predicted"] = (
            f"only {frames} of {expected} frames ({frames / expected:.0%}) have a prediction and were scored; the "
            f"other {expected - frames} do not count, so these are not the scores of the whole set"
        )
    if part == "val":
        found["validation part"] = "the validation part chose the epoch of the weights, so the scores are optimistic"
    return {
        "frames": frames,
        "expected": expected,
        "videos": len(set(videos)),
        "data": data,
        "part": part,
        "split": split,
        "threshold": threshold,
        "void_policy": void,
        "void_share": float(ignored / pixels) if pixels else math.nan,
        "frames_all_void": int((counts[:, :-1].sum((-2, -1)) == 0).sum()),
        "averaging": "pooled",
        **facts,
        "warnings": found,
    }


def scored_lines(scored: dict[str, Any]) -> list[str]:
    """Return what was scored, and a line `WARNING: ...` for each warning, for the screen."""
    lines = [f"Scored: {_set_of(scored)}, {scored['videos']} video{'s' * (scored['videos'] != 1)}"]
    if scored["data"]:
        lines[0] += f", {scored['data']} data"
    if split := scored["split"]:
        lines[0] += f"; split {split['name']} (hash {split['hash']}, by {split['by']})"
    void = f"void pixels {'ignored' if scored['void_policy'] == 'ignore' else 'counted as background'}: "
    void += f"{100 * scored['void_share']:.2f} % of all"
    if scored["frames_all_void"]:
        void += f"; {scored['frames_all_void']} frames of void alone"
    pooled = scored["averaging"] == "pooled"
    how = "all pixels of these frames together (pooled), where a line does not name frames or videos"
    lines += [f"  {_threshold(scored)}; {void}", f"  {how if pooled else scored['averaging']}"]
    return lines + [f"WARNING: {text}." for text in scored["warnings"].values()]


def scored_title(scored: dict[str, Any], averaging: str = "pooled", width: int = 84) -> str:
    """Return what was scored and the names of the warnings as a title of lines of `width` letters.

    `averaging` says how the figure's scores are formed: "pooled" over all pixels, or "per frame".
    """
    void = "ignored" if scored["void_policy"] == "ignore" else "background"
    split = f" of split {scored['split']['name']}" if scored["split"] else ""
    text = (
        f"{_set_of(scored)}{split}, {_threshold(scored)}, void {void} ({100 * scored['void_share']:.1f} %), {averaging}"
    )
    lines = textwrap.wrap(text, width)
    if scored["warnings"]:
        lines += textwrap.wrap(f"WARNING: {', '.join(scored['warnings'])}", width)
    return "\n".join(lines)


def _set_of(scored: dict[str, Any]) -> str:
    part = {None: "part not known", "all": "all parts"}.get(scored["part"], f"{scored['part']} part")
    return f"{scored['frames']} of {scored['expected']} frames, {part}"


def _threshold(scored: dict[str, Any]) -> str:
    return "threshold not known" if scored["threshold"] is None else f"threshold {scored['threshold']:.3g}"
