"""CVAT's format "Segmentation mask 1.1": Pascal VOC's folders with a labelmap.txt, in a zip.

    labelmap.txt                        label:red,green,blue:parts:actions
    ImageSets/Segmentation/default.txt  a line for each image: its path without suffix
    SegmentationClass/<image>.png       RGB, the colour of each pixel's label; (0, 0, 0) is the background
    SegmentationObject/<image>.png      RGB, a colour for each object

Source: docs.cvat.ai, "Segmentation Mask". Colours are those of Pascal VOC's colour map, so no two are equal.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from surgseg.annotations.task import Task, each_mask
from surgseg.data.shapes import BACKGROUND_LABEL, VOID_LABEL, Annotated, Drawing, Shape, image_name
from surgseg.data.sources import SourceFile, check_whole
from surgseg.files import UserError, atomic_path, list_some, nfc
from surgseg.frames import encode_frame, open_image
from surgseg.labels import VOID, Scheme

_LABELMAP, _CLASSES, _LISTS = "labelmap.txt", "SegmentationClass/", "ImageSets/Segmentation/"


def write_cvat(task: Task, output: Path) -> None:
    """Write the masks of a task as a zip. Each class of a frame is one object."""
    colours, names = voc_colours(), []
    with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_LABELMAP, _labelmap(task.scheme, colours))
        for name, _, ids in each_mask(task):
            picture = encode_frame(colours[ids], ".png")
            archive.writestr(f"{_CLASSES}{name}.png", picture)
            archive.writestr(f"SegmentationObject/{name}.png", picture)  # without it CVAT makes an object of background
            names.append(f"{name}\n")
        archive.writestr(f"{_LISTS}default.txt", "".join(names))


def read_cvat(files: list[SourceFile]) -> list[Annotated]:
    """Return the images of an export, as CVAT or `write_cvat` wrote it. Raises `UserError` for any other files."""
    maps = [file for file in files if file.name.rpartition("/")[2] == _LABELMAP]
    if len(maps) != 1:
        what = f"{len(maps)} files labelmap.txt" if maps else "no labelmap.txt"
        raise UserError(f"{what}: export the task from CVAT as 'Segmentation mask 1.1'")
    root = maps[0].name[: -len(_LABELMAP)]
    labels = _read_labelmap(maps[0])
    found, listed = [], {}
    for file in files:
        inner = file.name[len(root) :] if file.name.startswith(root) else ""
        if inner.startswith(_CLASSES) and file.suffix == ".png":
            name = image_name(inner[len(_CLASSES) :])
            found.append(Annotated(name, file.name, partial(_read_picture, file, labels)))
        elif inner.startswith(_LISTS):
            lines = file.read().decode("utf-8-sig", "replace").splitlines()
            listed.update({nfc(line.strip()): file.name for line in lines if line.strip()})
    names = {item.name for item in found}
    return found + [Annotated(name, file, None) for name, file in listed.items() if name not in names]


def voc_colours() -> np.ndarray:
    """(256, 3) uint8: Pascal VOC's colour map. The bits of an index are dealt to red, green and blue in turn."""
    index = np.arange(256)
    channels = [sum((index >> 3 * bit + shift & 1) << 7 - bit for bit in range(8)) for shift in range(3)]
    return np.stack(channels, 1).astype(np.uint8)


def _labelmap(scheme: Scheme, colours: np.ndarray) -> str:
    if wrong := [name for name in scheme.names if ":" in name or name.startswith("#") or name != name.strip()]:
        raise UserError(f"class {list_some(wrong)}: a name in CVAT's labelmap.txt holds no ':' and begins with no '#'")
    labels = {BACKGROUND_LABEL: 0, **{name: number for number, name in enumerate(scheme.names) if number}}
    rows = [
        f"{name}:{','.join(map(str, colours[number]))}::\n" for name, number in {**labels, VOID_LABEL: VOID}.items()
    ]
    return "".join(["# label:color_rgb:parts:actions\n", *rows])


def _read_labelmap(file: SourceFile) -> dict[int, str]:
    """The label of each colour, as red * 65536 + green * 256 + blue."""
    labels: dict[int, str] = {}
    for number, line in enumerate(file.read().decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.split(":")
        try:
            red, green, blue = (int(level) for level in rest[0].split(","))
        except (IndexError, ValueError) as error:
            raise UserError(f"{file.name}: line {number} is not label:red,green,blue:: ({line.strip()!r})") from error
        colour = red << 16 | green << 8 | blue
        if colour in labels:
            raise UserError(f"{file.name}: {labels[colour]} and {name} have the same colour ({red},{green},{blue})")
        labels[colour] = nfc(name.strip())
    return labels


def _read_picture(file: SourceFile, labels: dict[int, str]) -> Drawing:
    data = file.read()
    check_whole(data, file.name)
    with open_image(data, file.name) as image:
        rgb = np.asarray(image.convert("RGB")).astype(np.int32)
    colours = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    values = np.unique(colours).tolist()
    if unknown := [value for value in values if value not in labels]:
        found = list_some((f"({value >> 16},{value >> 8 & 255},{value & 255})" for value in unknown), 4)
        raise UserError(f"the colour {found} is not in {_LABELMAP}")
    shapes = [Shape(labels[value], "region", lambda _, value=value: colours == value) for value in values]
    return Drawing(colours.shape[::-1], shapes)
