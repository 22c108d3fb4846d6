"""The stages of turning a film into masks, each alone, for benchmarks/inference.py."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.film import first
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.threads import ahead
from surgseg.video.reader import Frame, VideoReader


def fresh(folder: Path) -> Path:
    """Remove a folder and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def decode(film: Path, count: int) -> None:
    with VideoReader(film, first(count)) as reader:
        read = sum(1 for _ in reader)
    assert read == count, f"{read} of {count} frames decoded"


def predict(predictor, images: list, count: int) -> None:
    """Predict `count` frames as the pipeline does: submit a batch before taking the result of the one before."""
    pending = None
    for start in range(0, count, predictor.batch_size):
        numbers = range(start, min(start + predictor.batch_size, count))
        submitted = predictor.submit([images[number % len(images)] for number in numbers])
        if pending:
            pending.result()
        pending = submitted
    pending.result()


def write(folder: Path, prediction, images: list, args, count: int) -> None:
    from surgseg.generate.pipeline import _WRITERS

    def store(number: int):
        index = number % len(prediction.ids)
        frame = Frame(number, number / 25, images[index], False)
        return writer.store(frame, prediction.ids[index], prediction.measures.of_frame(index), None)

    writer = GeneratedWriter(folder, SCHEMES["binary"], "video", args.parts)
    writer.begin({})
    with ThreadPoolExecutor(_WRITERS) as pool:
        for stored in ahead(pool, store, range(count), args.batch_size + _WRITERS):
            writer.commit(stored)
    writer.finish({})


def end_to_end(folder: Path, predictor, sha256: str, args, count: int) -> None:
    """Write the generated folder of the film's first `count` frames."""
    from surgseg.generate.run import VideoRequest, generate
    from surgseg.video.inputs import VideoSource

    request = VideoRequest(
        first(count), args.parts, overlay_video=False, batch_size=args.batch_size, overwrite_before=0.0,
        keep_source_name=False, rate=25.0, facts={"weights_data": "synthetic", "weights_sha256": sha256},
    )  # fmt: skip
    result = generate(VideoSource(args.film), folder, "video", request, predictor)
    assert result.state == "done" and result.run["frames_written"] == count, f"{result.state}: {result.message}"


def one_by_one(predictor, images: list, count: int) -> list[float]:
    """Return the seconds of each of `count` frames, from memory to mask."""
    seconds = []
    for number in range(count):
        begun = time.perf_counter()
        predictor.submit([images[number % len(images)]]).result()
        seconds.append(time.perf_counter() - begun)
    return seconds
