"""Public data sets in small: each function draws the tree of one, with masks whose every pixel the tests know."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.helpers import make_release, noise_frame, save_image

SIZE = (12, 16)  # rows, columns of frames where the set has no size of its own


def gray(value: int, columns: int, base: int = 0, size=SIZE) -> np.ndarray:
    """(H, W) uint8 `base`, with the first `columns` columns at `value`."""
    pixels = np.full(size, base, np.uint8)
    pixels[:, :columns] = value
    return pixels


def colours(*bands: tuple[tuple, int], base=(0, 0, 0), size=SIZE) -> np.ndarray:
    """(H, W, 3) uint8 of one colour, with bands of columns: (colour, number of columns)."""
    pixels, at = np.full((*size, 3), base, np.uint8), 0
    for colour, columns in bands:
        pixels[:, at : at + columns] = colour
        at += columns
    return pixels


def write_json_file(path: Path, value) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def labelme(label: str | None, columns: int = 4, **more) -> dict:
    """A LabelMe file of a rectangle at the left, `columns` wide; without a label, of no shape and no size."""
    if label is None:
        return {"shapes": [], "imagePath": "x.png"}
    points = [[0, 0], [columns - 1, 0], [columns - 1, SIZE[0] - 1], [0, SIZE[0] - 1]]
    shape = {"label": label, "points": points, "group_id": 1, "shape_type": "polygon"}
    return {"shapes": [shape], "imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "x.png", **more}


def cholecinstanceseg(root: Path) -> Path:
    frames = {
        "train/VID01_seg8k/{}/seg8k_video01_80": "grasper",
        "train/VID01_t50_full/{}/t50_VID01_000080": "hook",
        "val/VID03_t80_sparse/{}/t80_VID03_000150": None,
        "test/VID07_t80_sparse/{}/t80_VID07_000300": "snare",
    }
    for seed, (place, label) in enumerate(frames.items()):
        save_image(root / f"{place.format('img_dir')}.png", noise_frame(seed, SIZE))
        write_json_file(root / f"{place.format('ann_dir')}.json", labelme(label))
    return root


def endoscapes(root: Path) -> Path:
    for part, video in (("train", 4), ("val", 126), ("test", 165)):
        for number in (25, 50, 75):  # 75 is not labelled
            save_image(root / f"{part}_seg/{video}_{number}.jpg", noise_frame(video + number, SIZE))
        for number in (25, 50):
            codes = gray(6, 3, base=5)
            codes[-1] = 255
            save_image(root / f"semseg/{video}_{number}.png", np.stack([codes] * 3, 2))
        images = [{"id": n, "file_name": f"{video}_{n}.jpg", "width": 16, "height": 12} for n in (25, 50)]
        categories = [{"id": 5, "name": "gallbladder"}, {"id": 6, "name": "tool"}]
        value = {"images": images, "annotations": [], "categories": categories}
        write_json_file(root / f"{part}_seg/annotation_coco.json", value)
    return root


def heisurf(root: Path) -> Path:
    for case in ("3", "11"):
        for number in (100, 200):
            save_image(root / f"Frames/{case}/frame_{number}.png", noise_frame(number + int(case), SIZE))
            bands = ((101, 46, 151), 3), ((255, 51, 119), 2), ((240, 240, 240), 1), ((82, 82, 82), 1)
            save_image(root / f"Segmentation/{case}/frame_{number}.png", colours(*bands, base=(136, 0, 0)))
    return root


def endovis2015(root: Path) -> Path:
    for operation in (1, 2):
        for number in (1, 2):
            folder = root / f"Training/OP{operation}"
            save_image(folder / f"Raw/img_{number:02d}_raw.png", noise_frame(10 * operation + number, SIZE))
            codes = gray(160, 3)
            codes[:, 3:5] = 70
            save_image(folder / f"Masks/img_{number:02d}_class.png", codes)
    return root


def endovis2017(root: Path, size=(1080, 1920)) -> Path:
    """One frame of each of two sequences; the tools begin 10 columns left of the cut-out."""
    for sequence in (1, 2):
        folder = root / f"train/instrument_dataset_{sequence}"
        frame = np.zeros((*size, 3), np.uint8)
        frame[28, 320] = (250, 100, sequence)  # the first pixel of the cut-out
        save_image(folder / "left_frames/frame000.png", frame)
        for tool, left, value in (("Left_Prograsp_Forceps_labels", 310, 10), ("Other_labels", 1000, 40)):
            mask = np.zeros(size, np.uint8)
            mask[28:128, left : left + 30] = value
            save_image(folder / f"ground_truth/{tool}/frame000.png", mask)
    return root


ENDOVIS2018 = {
    "background-tissue": (0, 0, 0),
    "instrument-shaft": (0, 255, 0),
    "suturing-needle": (255, 255, 125),
    "ultrasound-probe": (12, 255, 141),
}


def endovis2018(root: Path) -> Path:
    release = root / "miccai_challenge_2018_release_1/miccai_challenge_2018_release_1"
    test = root / "test_data/test_data"
    rows = [{"name": name, "color": [*colour], "classid": n} for n, (name, colour) in enumerate(ENDOVIS2018.items())]
    write_json_file(release / "labels.json", rows[:3])
    write_json_file(test / "labels.json", {"classes": [{**row, "color": [*row["color"], 128]} for row in rows]})
    for folder, tool in ((release / "seq_1", (0, 255, 0)), (test / "seq_1-x-001/seq_1", (12, 255, 141))):
        for number in (0, 42):
            save_image(folder / f"left_frames/frame{number:03d}.png", noise_frame(number + len(folder.parts), SIZE))
            mask = colours((tool, 3), ((255, 255, 125), 2))
            save_image(folder / f"labels/frame{number:03d}.png", np.dstack([mask, np.full(SIZE, 128, np.uint8)]))
    save_image(root / "repairs/repairs/seq_1_frame042.png", colours(((0, 255, 0), 7)))
    save_image(root / "miccai_challenge_2018_release_1/__MACOSX/seq_1/labels/._frame000.png", gray(0, 0))
    return root


def robust_mis(root: Path) -> Path:
    for place in ("Proctocolectomy/1/1200", "Proctocolectomy/1/2400", "Rectal resection/2/300"):
        folder = root / "Training" / place
        save_image(folder / "raw.png", noise_frame(int(folder.name), SIZE))
        mask = gray(1, 3)
        mask[:, 3:5] = 2
        save_image(folder / "instrument_instances.png", mask)
    return root


def sar_rarp50(root: Path, frames: int = 13) -> Path:
    """Films whose frame i has the gray level 10 * i; frames 0, 6 and 12 have masks."""
    for place in ("train1/video_01", "train2/video_11_1", "train2/video_11_2", "test/video_41"):
        folder = root / place
        folder.mkdir(parents=True)
        with av.open(str(folder / "video_left.avi"), "w") as container:
            stream = container.add_stream("mjpeg", rate=60)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            for index in range(frames):
                picture = np.full((48, 64, 3), min(10 * index, 255), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        for index in (0, 6, 12):
            codes = gray(3, 4, size=(48, 64))
            codes[:, 4:6] = 4  # a needle
            save_image(folder / f"segmentation/{index:09d}.png", np.stack([codes] * 3, 2))
    return root


def coco(names: list[str], annotations: list[tuple[int, str, list]], categories: list[str]) -> dict:
    """A COCO file of images. `annotations`: number of the image from 0, category, segmentation or (RLE, crowd)."""
    return {
        "images": [{"id": n, "file_name": name, "width": SIZE[1], "height": SIZE[0]} for n, name in enumerate(names)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories, 1)],
        "annotations": [
            {
                "id": n,
                "image_id": image,
                "category_id": categories.index(category) + 1,
                "segmentation": segmentation,
                "iscrowd": int(isinstance(segmentation, dict)),
            }
            for n, (image, category, segmentation) in enumerate(annotations, 1)
        ],
    }


def box(left: float, right: float) -> list[list[float]]:
    """A polygon of all rows, from column `left` up to `right`."""
    return [[left, 0, right, 0, right, SIZE[0], left, SIZE[0]]]


CATEGORIES = ["MediumLargeClipApplier_Head", "SuctionIrrigation", "Needle", "The_Other_Tissues"]


def sisvse(root: Path) -> Path:
    names = {"train": ["real/1_0010.png", "real/2_0020.png"], "val": ["real/3_0030.png"]}
    for part, own in names.items():
        for n, name in enumerate(own):
            save_image(root / "images" / name, noise_frame(n + len(own), SIZE))
        annotations = [
            (n, category, segmentation)
            for n in range(len(own))
            for category, segmentation in (
                (CATEGORIES[0], box(0, 3)),
                (CATEGORIES[1], {"size": [*SIZE], "counts": [36, 24, 132]}),  # a crowd: columns 3 and 4
                ("Needle", box(5, 7)),
                ("The_Other_Tissues", box(2, 16)),  # later in the file, and below the instruments
            )
        ]
        write_json_file(root / f"instance_jsons/real_{part}_1.json", coco(own, annotations, CATEGORIES))
    return root


def autolaparo(root: Path) -> Path:
    for clip in (1, 170, 171, 300):
        save_image(root / f"imgs/{clip:03d}001.jpg", noise_frame(clip, SIZE))
        codes = gray(160, 3)
        codes[:, 3:6] = 180
        save_image(root / f"masks/{clip:03d}001.png", codes)
    return root


def m2caiseg(root: Path) -> Path:
    parts = {"train": ["v1_10"], "trainval": ["v1_10", "v2_20"], "test": ["v3_30"]}
    for part, names in parts.items():
        for name in names:
            save_image(root / f"{part}/images/{name}.jpg", noise_frame(int(name[1]), SIZE))
            bands = ((0, 85, 170), 3), ((170, 85, 85), 2), ((170, 0, 85), 1)
            save_image(root / f"{part}/groundtruth/{name}_gt.png", colours(*bands, base=(85, 170, 0)))
    return root


def cholecseg8k(root: Path) -> Path:
    return make_release(root, {"video01": 2, "video12": 2}, SIZE)


DRAW = {
    "cholecseg8k": cholecseg8k,
    "cholecinstanceseg": cholecinstanceseg,
    "endoscapes": endoscapes,
    "heisurf": heisurf,
    "endovis2015": endovis2015,
    "endovis2017": endovis2017,
    "endovis2018": endovis2018,
    "robust-mis": robust_mis,
    "sar-rarp50": sar_rarp50,
    "sisvse": sisvse,
    "autolaparo": autolaparo,
    "m2caiseg": m2caiseg,
}


def mask_of(folder: Path, name: str) -> np.ndarray:
    """(H, W) uint8 class ids of a prepared mask."""
    return np.asarray(Image.open(folder / "masks" / f"{name}.png"))
