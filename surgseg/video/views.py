"""The field of view of a video."""

from __future__ import annotations

from collections.abc import Sequence

from surgseg.files import UserError
from surgseg.video.inputs import VideoSource, spread_frames
from surgseg.view import FRAMES, View, view_of


def view_of_video(source: VideoSource, asked: str | list[int], image_rate: float = 25.0) -> View | None:
    """Return the view of a video's frames that `asked` (of `parse_view`) means; None for "full".

    Raises `UserError` that names the video if a rectangle is not inside its frames, or no frame can be decoded.
    """
    if asked == "full":
        return None
    try:
        return view_of(asked, spread_frames(source, FRAMES, image_rate))
    except UserError as error:
        named = str(source.path) in str(error)
        raise error if named else UserError(f"{source.path}: {error}") from error


def check_sizes(sources: Sequence[VideoSource], asked: str | list[int]) -> None:
    """Raise `UserError` if `asked` is a rectangle and the videos differ in size. What cannot be read is left out."""
    first = None
    for source in sources if len(sources) > 1 and not isinstance(asked, str) else ():
        try:
            size = next(spread_frames(source, 1)).shape[:2]
        except UserError:  # reported when this video is read
            continue
        first = first or (size, source.path)
        if size != first[0]:
            sizes = "{} is {}x{} pixels (height x width), {} {}x{}".format(source.path, *size, first[1], *first[0])
            raise UserError(f"{sizes}: four numbers for --view need videos of one size; use auto or full")
