"""The figure of a quick check of several videos: a few frames of each, with their overlays."""

from __future__ import annotations

from pathlib import Path

from surgseg.figures.panels import Panel, VideoPanel, draw_videos
from surgseg.figures.selection import synthetic_mark
from surgseg.generate.check import CAUTION, VideoCheck, check_words
from surgseg.labels import Scheme


def draw_checks(checks: list[VideoCheck], scheme: Scheme, path: Path, weights_data: str) -> None:
    """Draw the figure; synthetic videos are marked one by one."""
    videos = []
    for check in checks:
        labels = [f"{frame.time_s:.1f} s, {covered:.2%}" for frame, covered in zip(check.frames, check.coverage)]
        panels = [Panel(frame.image, ids, label) for frame, ids, label in zip(check.frames, check.ids, labels)]
        mark = synthetic_mark(check.data, weights_data)
        videos.append(VideoPanel(check.name, "\n".join(check_words(check.record())), panels, mark))
    rules = dict.fromkeys(check.rule for check in checks)
    title = f"Frames {', or '.join(rules)}, each with its overlay, time and coverage\n{CAUTION}"
    draw_videos(videos, scheme, path, title=title, mark=next((video.mark for video in videos if video.mark), ""))
