"""The field of view of an endoscope: the rectangle of a video's frames inside its dark border. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg.files import UserError
from surgseg.frames import LIT

RULES = ("auto", "full")  # of a weights file and of a training: cropped to the view found in each video, or not
FRAMES = 24  # of a video, from which its view is found
CELLS = 120  # along the shorter side of the reduced frames in which the view is found
RISE = 6  # gray levels: a cell that is more than this brighter, or darker, than the border belongs to the view
GRAY = 64  # gray level of the brightest border
FLAT = 4  # gray levels: quartiles of a border's corner, and corners of one border, differ by at most this
PICTURE = 8  # gray levels between the darkest and the brightest twentieth of a frame; below, it shows nothing
SPARE = 12  # one frame in so many may be lit where the others are dark, such as a title or a test picture
PART = 0.02  # least lit part, as a share of the frame; smaller ones are captions and reflexes
LEAST = 0.25  # least height and width of a view, as shares of the frame's
NO_PICTURE = "no frame shows a picture"
NEARLY = 0.96  # a view with at least this share of the frame's height and width is the whole frame


@dataclass(frozen=True)
class View:
    """A rectangle of frames of one size, in native pixels. `frame` is their (height, width). `reason` says why it is
    the whole frame, where `find_view` found no other. `outline` is the shape of the view in it, round ones too: the
    (x, y) corners of the convex hull of all that is lit, or () for the rectangle itself."""

    height: int
    width: int
    top: int
    left: int
    frame: tuple[int, int]
    reason: str = ""
    outline: tuple[tuple[int, int], ...] = ()

    @classmethod
    def whole(cls, frame: tuple[int, int], reason: str = "", outline: tuple[tuple[int, int], ...] = ()) -> View:
        return cls(*frame, 0, 0, tuple(frame), reason, outline)

    @property
    def is_whole(self) -> bool:
        return (self.height, self.width) == self.frame

    @property
    def share(self) -> float:
        """The view's share of the frame's pixels."""
        return self.height * self.width / (self.frame[0] * self.frame[1])

    @property
    def rectangle(self) -> list[int]:
        """HEIGHT WIDTH TOP LEFT."""
        return [self.height, self.width, self.top, self.left]

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Pixels left, right, above and below of the view, as `torch.nn.functional.pad` takes them."""
        right = self.frame[1] - self.left - self.width
        return self.left, right, self.top, self.frame[0] - self.top - self.height

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Return the view of an image (H, W, ...) of the frame's size, without a copy. Raises `UserError` for another
        size."""
        if image.shape[:2] != self.frame:
            sizes = "{}x{}, the view belongs to frames of {}x{} (height x width)"
            raise UserError("a frame is " + sizes.format(*image.shape[:2], *self.frame))
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def __str__(self) -> str:
        if self.is_whole:
            return "the whole frame" + f" ({self.reason})" * bool(self.reason)
        return "{} {} {} {} (height width top left)".format(*self.rectangle) + " of {}x{}".format(*self.frame)


def parse_view(words: Sequence[str] | None, default: str = "full") -> str | list[int]:
    """Return "auto", "full" or [HEIGHT, WIDTH, TOP, LEFT] from the words of `--view`; `default` without any.

    Raises `UserError` for other words, and for numbers that are no rectangle.
    """
    if words is None:
        return default
    if len(words) == 1 and words[0] in RULES:
        return words[0]
    try:
        height, width, top, left = map(int, words)
    except ValueError:
        raise UserError(
            f"--view {' '.join(words)}: use auto, full, or four numbers of pixels, HEIGHT WIDTH TOP LEFT"
        ) from None
    if min(height, width) < 1 or min(top, left) < 0:
        raise UserError(
            f"--view {height} {width} {top} {left}: HEIGHT and WIDTH from 1, TOP and LEFT from 0 are needed"
        )
    return [height, width, top, left]


def view_of(asked: str | list[int], frames: Iterable[np.ndarray]) -> View:
    """Return the view that `parse_view` read, for frames (H, W, 3) uint8 RGB of one size: found in them for "auto".

    Raises `UserError` for a rectangle that is not inside the frame.
    """
    if asked == "auto":
        return find_view(frames)
    size = tuple(next(iter(frames)).shape[:2])
    if asked == "full":
        return View.whole(size)
    height, width, top, left = asked
    if top + height > size[0] or left + width > size[1]:
        said = " ".join(map(str, asked))
        raise UserError(f"--view {said}: outside the frame, which is {size[0]}x{size[1]} pixels (height x width)")
    return View(*asked, size)


def find_view(frames: Iterable[np.ndarray]) -> View:
    """Find the view in frames (H, W, 3) uint8 RGB of one size, best about `FRAMES` of them, spread over a video.

    It holds all that is lit in any frame, except for one frame in `SPARE`, and small lit parts such as captions. It is
    rather too large than too small. It is the whole frame where no dark border of one colour is found.
    """
    levels = []
    for frame in frames:
        size = tuple(frame.shape[:2])
        levels.append(brightness(frame))
    return find_in_levels(levels, size)


def find_in_levels(levels: Sequence[np.ndarray], size: tuple[int, int]) -> View:
    """Do the same as `find_view` with the `brightness` of frames of this size (height, width)."""
    levels = [level for level in levels if _quantile(level, 0.95) - _quantile(level, 0.05) >= PICTURE]
    if not levels:
        return View.whole(size, NO_PICTURE)
    level = np.sort(levels, axis=0)[-1 - len(levels) // SPARE]
    border = _border(level)
    if border is None:
        return View.whole(size, "no dark border")
    _, labels, parts, _ = cv2.connectedComponentsWithStats(np.uint8(abs(level.astype(int) - border) > RISE))
    large = 1 + np.flatnonzero(parts[1:, cv2.CC_STAT_AREA] >= PART * level.size)
    parts = parts[large]
    if not len(parts):
        return View.whole(size, "nothing large is lit")
    first = parts[:, [cv2.CC_STAT_TOP, cv2.CC_STAT_LEFT]]
    last = first + parts[:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]]
    scale = np.divide(size, level.shape)
    begin = np.floor(np.maximum(first.min(0) - 1, 0) * scale).astype(int)  # a cell more on each side
    end = np.minimum(np.ceil((last.max(0) + 1) * scale).astype(int), size)
    height, width = (int(length) for length in end - begin)
    if height < LEAST * size[0] or width < LEAST * size[1]:
        return View.whole(size, "the lit part is too small")
    hull = cv2.convexHull(np.argwhere(np.isin(labels, large)).astype(np.int32))[:, 0]
    outline = tuple((int(x), int(y)) for y, x in (hull + 0.5) * scale)
    if height >= NEARLY * size[0] and width >= NEARLY * size[1]:
        return View.whole(size, "the view fills it", outline)
    return View(height, width, int(begin[0]), int(begin[1]), size, outline=outline)


@functools.lru_cache(maxsize=8)
def border_distance(view: View) -> np.ndarray:
    """Return the distance of each pixel of a frame to the border of the view, as a share of the view's height: (H, W)
    float32. The border is the view's outline, and the border of the image where that cuts it. It is 0 outside."""
    inside = np.zeros((view.frame[0] + 2, view.frame[1] + 2), np.uint8)  # the border of the image is border too
    if view.outline:
        cv2.fillPoly(inside[1:-1, 1:-1], [np.array(view.outline)], 1)
    else:
        view.crop(inside[1:-1, 1:-1])[:] = 1
    return cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] / view.height


def brightness(frame: np.ndarray) -> np.ndarray:
    """The brightest channel of each cell of a reduced frame, smoothed: (h, w) uint8, about 120 on the shorter side."""
    height, width = frame.shape[:2]
    factor = max(1, min(height, width) // CELLS)
    small = cv2.resize(frame, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return cv2.blur(cv2.max(cv2.max(small[..., 0], small[..., 1]), small[..., 2]), (3, 3))


def _quantile(level: np.ndarray, share: float) -> int:
    """The gray level below which this share of the cells lies."""
    counts = np.bincount(level.ravel(), minlength=256).cumsum()
    return int(counts.searchsorted(share * counts[-1]))


def _border(level: np.ndarray) -> int | None:
    """The gray level of a border of one colour around a view; None without one.

    A border takes at least two corners of the frame, and is black there, or at least three, and is dark gray.
    """
    side = max(2, min(level.shape) // 20)
    ends = (slice(None, side), slice(-side, None))
    corners = [level[rows, columns] for rows in ends for columns in ends]
    flat = sorted(
        _quantile(corner, 0.5) for corner in corners if _quantile(corner, 0.75) - _quantile(corner, 0.25) <= FLAT
    )
    alike = [middle for middle in flat if middle <= flat[0] + FLAT]
    least = 2 if alike and alike[0] <= LIT else 3
    return alike[-1] if len(alike) >= least and alike[0] <= GRAY else None
