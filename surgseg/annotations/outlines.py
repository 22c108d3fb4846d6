"""Masks as polygons: few points, and at least .99 IoU for every region, or more points until it is so."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

_TOLERANCES = (
    2.0,
    1.5,
    1.0,
    0.75,
    0.5,
    0.0,
)  # pixels between a mask's outline and its polygon; 0: every corner of the outline
_LEAST_IOU = 0.99

Outline = tuple[int, np.ndarray]  # class id, (N, 2) float or int points x, y; N >= 3


class _Region(NamedTuple):
    """A connected region of a class: its outline (N, 1, 2), the area within it in pixels."""

    class_id: int
    contour: np.ndarray
    area: int


def outlines(ids: np.ndarray) -> list[Outline]:
    """Polygons of (H, W) uint8 class ids that, painted in this order over background, make the mask again.

    A hole is a later polygon of what is in it, which may be class 0. Every connected region of a class has an IoU of
    .99 or more with what is painted.
    """
    regions = _regions(ids)
    levels, last = [0] * len(regions), len(_TOLERANCES) - 1
    while True:
        polygons = [(region.class_id, _simplified(region, level)) for region, level in zip(regions, levels)]
        painted = paint_outlines(polygons, ids.shape)
        unlike = [number for number, region in enumerate(regions) if not _is_alike(region, ids, painted)]
        if not unlike or min(levels) == last:
            break
        for number in unlike:  # if all corners of one are not enough, its neighbours cover it: take all of all
            levels = [last] * len(regions) if levels[number] == last else levels
            levels[number] = min(levels[number] + 1, last)
    return polygons + (_row_by_row(ids, painted) if unlike else [])


def paint_outlines(polygons: list[Outline], shape: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 class ids of polygons that are painted one over the other."""
    image = Image.new("L", shape[::-1])
    draw = ImageDraw.Draw(image)
    for class_id, points in polygons:
        draw.polygon([tuple(map(float, point)) for point in points], outline=class_id, fill=class_id)
    return np.asarray(image)


def _regions(ids: np.ndarray) -> list[_Region]:
    """The regions of all classes, larger ones first, then what of class 0 is within them."""
    found = [
        region for class_id in np.unique(ids[ids > 0]).tolist() for region in _regions_of(ids == class_id, class_id)
    ]
    within = np.zeros_like(ids)
    for region in found:
        cv2.drawContours(within, [region.contour], -1, 1, cv2.FILLED)
    return sorted(found + _regions_of((ids == 0) & (within > 0), 0), key=lambda region: -region.area)


def _regions_of(mask: np.ndarray, class_id: int) -> list[_Region]:
    contours, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [contour for contour, (*_, parent) in zip(contours, tree[0] if contours else ()) if parent < 0]
    return [_Region(class_id, contour, int(_filled(contour).sum())) for contour in outer]


def _filled(contour: np.ndarray) -> np.ndarray:
    """uint8 mask of the pixels in and on an outline, as large as its bounding box."""
    left, top, width, height = cv2.boundingRect(contour)
    return cv2.drawContours(np.zeros((height, width), np.uint8), [contour], -1, 1, cv2.FILLED, offset=(-left, -top))


def _simplified(region: _Region, level: int) -> np.ndarray:
    tolerance = _TOLERANCES[level]
    contour = cv2.approxPolyDP(region.contour, tolerance, True) if tolerance else region.contour
    points = contour[:, 0]
    return np.concatenate([points, np.repeat(points[-1:], max(3 - len(points), 0), 0)])  # one or two pixels


def _is_alike(region: _Region, ids: np.ndarray, painted: np.ndarray) -> bool:
    left, top, width, height = cv2.boundingRect(region.contour)
    box = slice(top, top + height), slice(left, left + width)
    true, found = ids[box] == region.class_id, painted[box] == region.class_id
    own = true & (_filled(region.contour) > 0)
    return (own & found).sum() >= _LEAST_IOU * (own.sum() + (found & ~true).sum())


def _row_by_row(ids: np.ndarray, painted: np.ndarray) -> list[Outline]:
    """The pixels that are still wrong, as lines along the rows: regions that interlock have no order of painting."""
    lines = []
    for row in np.flatnonzero((painted != ids).any(1)):
        wrong = np.where(painted[row] != ids[row], ids[row].astype(int), -1)
        cuts = [0, *(np.flatnonzero(np.diff(wrong)) + 1), len(wrong)]
        for start, end in zip(cuts, cuts[1:]):
            if wrong[start] >= 0:
                lines.append((int(wrong[start]), np.array([(start, row), (end - 1, row), (end - 1, row)])))
    return lines
