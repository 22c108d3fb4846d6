"""SAR-RARP50 (EndoVis 2022): train1|train2|test/video_NN/video_left.avi with segmentation/NNNNNNNNN.png.

The name of a mask is the index of its frame in the film, from 0; every sixth of 60 frames a second has one. Masks hold
ids of 0 to 9; their names, which the set's files do not say, are those that several public readers give.
video_11_1 and video_11_2 are two films of one operation.
"""

from __future__ import annotations

from surgseg.data.pairs import Found, Problem, Reader
from surgseg.data.readers.films import film_frames
from surgseg.data.readers.trees import Spot, find, pair_tree, single
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.files import UserError, list_some

LABELS = SetLabels(
    instrument={"tool clasper": 1, "tool wrist": 2, "tool shaft": 3, "suction tool": 6, "needle holder": 7},
    other={"background": 0, "suturing needle": 4, "thread": 5, "clamps": 8, "catheter": 9},
)
_FOLDER = r"(train1|train2|test)/video_(\d+)((?:_\d+)?)"
_MASKS = _FOLDER + r"/segmentation/(\d{9})\.png"


def read_sar_rarp50(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all films; an operation is a video. A film without masks is a problem, or a mask without index.

    Raises `UserError` if films are missing, or one is there twice.
    """
    masks = find(files, _MASKS, root_name)
    films = single(find(files, _FOLDER + r"/video_left\.avi", root_name))
    wanted: dict[tuple, dict[int, tuple]] = {}
    for key in masks:
        wanted.setdefault(key[:3], {})[int(key[3])] = key
    if lost := [f"{part}/video_{number}{film}" for part, number, film in wanted if (part, number, film) not in films]:
        raise UserError(f"video_left.avi is missing in {list_some(lost, 60)}: download it too")
    frames = {}
    for folder, keys in wanted.items():
        for index, frame in film_frames(films[folder], keys).items():
            frames[keys[index]] = [frame]
    layout = "train1|train2|test/video_NN/video_left.avi and segmentation/NNNNNNNNN.png"

    def spot(key) -> Spot:
        part, operation, film, index = key
        split = "test" if part.lower() == "test" else "train"
        return Spot(f"video_{operation}", int(index), split, f"video_{operation}{film}")

    found = pair_tree(layout, frames, masks, spot)
    bare = [Problem("film without masks", film.name, "") for folder, film in films.items() if folder not in wanted]
    odd = find(files, _FOLDER + r"/segmentation/(?!\d{9}\.png)[^/]+\.png", root_name)
    unread = [Problem("name is no frame of 9 digits", file.name, "") for group in odd.values() for file in group]
    return Found(found.pairs, found.problems + bare + unread)


READER = Reader(
    "SAR-RARP50",
    read_sar_rarp50,
    licence="terms of the set",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "out", "out"),
    split="train, test",
)
