"""Write the generated folder of one video: continue an earlier run, decode, predict, write, report."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.likeness import NEAR, frame_hashes, nearest, unpack
from surgseg.data.seen import training_warnings
from surgseg.devices import out_of_memory
from surgseg.files import UserError, sole_writer
from surgseg.generate.earlier import find_earlier
from surgseg.generate.folder import read_run
from surgseg.generate.pipeline import run_pipeline
from surgseg.generate.writer import GeneratedWriter
from surgseg.launch import launched
from surgseg.predict import Predictor
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import Frame
from surgseg.video.sampling import Sampling
from surgseg.video.views import view_of_video
from surgseg.view import View


@dataclass(frozen=True)
class VideoRequest:
    """The settings for every video. `parts` maps folders of images to their suffix. `rate` is for folders of images,
    in frames per second. `facts` are the entries of `run.json` about the weights and the run. `overwrite_before`: a
    run in the folder that was written before this time (seconds, as of `time.time`) is replaced, a later one continued.
    `view`, of `parse_view`, is what the model sees of each video.
    `trained_videos` are the names of the videos that trained the weights or their ancestors, `trained_frames` their
    packed hashes or None.
    """

    sampling: Sampling
    parts: dict[str, str]
    overlay_video: bool
    batch_size: int
    overwrite_before: float
    keep_source_name: bool
    rate: float
    facts: dict
    view: str | list[int] = "full"
    trained_videos: frozenset[str] = frozenset()
    trained_frames: Any = None


@dataclass(frozen=True)
class VideoResult:
    """The result of a video. `state`: done, finished before, damaged (done, but `incomplete`), stopped or failed."""

    name: str
    folder: Path
    state: str
    run: dict
    message: str = ""

    @property
    def whole(self) -> bool:
        """Whether all requested frames are written and none was lost."""
        return self.state in ("done", "finished before") and not incomplete(self.run)


def incomplete(run: dict) -> str:
    """Say what of a video was not read; "" if all was."""
    lost, unread = run.get("frames_lost"), run.get("video", {}).get("bytes_unread")
    said = [f"{lost} frames of the video were lost to damage"] if lost else []
    return "; ".join(said + ([f"the last {unread} bytes of the file were not read"] if unread else []))


def generate(source: VideoSource, folder: Path, name: str, request: VideoRequest, predictor: Predictor) -> VideoResult:
    """Write the generated folder of one video, or continue an unfinished one.

    Raises `UserError` for a mistake in the input or the folder. Frames written before an error stay, and the next run
    continues after them.
    """
    with source.open(request.sampling, request.rate) as reader, sole_writer(folder):
        described = _describer(source, reader, request, predictor)
        asked = {**described(), "name": name, "parts": request.parts, "overlay_video": request.overlay_video}
        earlier = find_earlier(folder, asked, _last_written(folder) < request.overwrite_before)
        if earlier.finished:
            return VideoResult(name, folder, "finished before", earlier.finished)
        if request.facts["weights_data"] == "synthetic" and reader.data != "synthetic":
            print("Warning: these weights were trained on synthetic frames, and this video is not marked synthetic")
        for note in reader.notes:
            print(f"Note: {note}")
        view = _find_video_view(source, request, read_run(folder) if earlier.rows else None)
        found = {"view_rectangle": view and view.rectangle, "view_reason": view.reason if view else ""}

        def earlier_frames() -> Iterator[Frame]:
            with source.open(request.sampling, request.rate) as again:
                yield from again

        writer = GeneratedWriter(
            folder,
            predictor.scheme,
            name,
            request.parts,
            overlay_video=request.overlay_video,
            earlier=earlier,
            earlier_frames=earlier_frames,
            trained=_trained_column(request, reader.rate if not source.images else request.rate),
        )
        submit = functools.partial(predictor.submit, view=view)
        return _apply(reader, submit, writer, request, lambda: {**described(), **found})


def _find_video_view(source: VideoSource, request: VideoRequest, earlier: dict | None) -> View | None:
    """Return the view of a video, None for whole frames: that of the `earlier` run that goes on, if any."""
    if earlier:
        view = view_of_video(source, earlier.get("view_rectangle") or "full", request.rate)
        return view and replace(view, reason=earlier.get("view_reason", ""))
    view = view_of_video(source, request.view, request.rate)
    if request.view == "auto":
        print(f"Field of view: {view}")
    return view


def _last_written(folder: Path) -> float:
    """Return the time of `run.json`; infinity without one."""
    run = folder / "run.json"
    return run.stat().st_mtime if run.is_file() else float("inf")


def _is_training_video(source: VideoSource, request: VideoRequest) -> bool:
    """Whether a video of this name, or of a part's, trained the weights; `run.json` keeps the answer, not the name."""
    names = {path.stem.lower() for path in source.parts or [source.path]}
    return not names.isdisjoint(video.lower() for video in request.trained_videos)


def _trained_column(request: VideoRequest, rate: float | None) -> Callable[[Frame], str]:
    """Return a function that gives the column `trained` of a frame. It compares the first frame of each second."""
    if request.trained_frames is None:
        return lambda frame: ""
    trained = unpack(request.trained_frames)
    spacing = request.sampling.step / rate if request.sampling.step and rate else 1.0

    def column(frame: Frame) -> str:
        hashes, _ = frame_hashes([frame.image]) if frame.time_s % 1 < spacing else ((), ())
        return str(int(nearest(hashes, trained)[0][0] <= NEAR)) if len(hashes) else ""

    return column


def _describer(source: VideoSource, reader, request: VideoRequest, predictor: Predictor) -> Callable[[], dict]:
    """Return a function that gives the entries of `run.json` except the writer's own, with frame counts at its call."""
    names = {"name": source.path.name, "path": str(source.path)}
    if source.parts:
        names["parts"] = [path.name for path in source.parts]
    kept = {"source": names} if request.keep_source_name else {}
    fixed = {
        "video_data": reader.data,
        "training_video": _is_training_video(source, request),
        "fingerprint": source.fingerprint(),
        **request.facts,
        "threshold": predictor.threshold,
        "view": request.view,
        "sampling": request.sampling.describe(),
        "image_rate": request.rate if source.images else None,
        "batch_size": request.batch_size,
        "decoder": {"name": "PyAV", "version": av.__version__, "ffmpeg": av.ffmpeg_version_info},
        "backend": predictor.network.describe(),
    }
    return lambda: {**kept, "video": reader.describe(), **fixed, **reader.counts()}


def _apply(reader, submit, writer: GeneratedWriter, request: VideoRequest, described) -> VideoResult:
    sampling, earlier = request.sampling, writer.earlier
    total = sampling.expected(reader.expected, reader.rate)
    line = launched().local_rank  # each process has its own line of the terminal
    repeated = earlier.rows % request.batch_size  # predict the same batches as a run without a break
    frames = reader.frames(skip=earlier.rows - repeated)
    options = {"batch_size": request.batch_size, "written": repeated, "stop_reading": reader.stop}
    with tqdm(total=total, initial=earlier.rows, unit="frame", desc=writer.name, position=line, disable=quiet()) as bar:

        def progress(writer) -> None:
            bar.update()
            trusted = max(writer.rows_written - writer.suspects, 1)
            bar.set_postfix(detected=f"{writer.detected / trusted:.1%}", refresh=False)

        try:
            outcome = run_pipeline(frames, submit, writer, described, progress=progress, **options)
            if not writer.begun:
                _begin_without_frames(writer, reader, described, outcome.stopped)
        except BaseException as error:
            with contextlib.suppress(UserError):  # report the first error, not one of closing
                writer.finish(described(), stopped=f"error: {type(error).__name__}")
            if isinstance(error, Exception) and out_of_memory(error):
                raise UserError(f"out of memory with --batch-size {request.batch_size}; use a smaller one") from error
            raise
    seconds = {f"{stage}_s": value for stage, value in outcome.seconds.items()}
    timing = {**seconds, "frames": writer.rows_written - earlier.rows}
    run = {**described(), "covered_s": _covered(reader, writer, sampling, outcome.stopped), "timing": timing}
    written = writer.finish(run, outcome.stopped)
    state = "stopped" if outcome.stopped else "damaged" if incomplete(written) else "done"
    return VideoResult(writer.name, writer.folder, state, written, outcome.stopped or "")


def _begin_without_frames(writer: GeneratedWriter, reader, described, stopped: str | None) -> None:
    """Begin without a new frame if an earlier run wrote all of them. Raises `UserError` if the sample has no frame."""
    if stopped:
        raise KeyboardInterrupt
    if not writer.earlier.rows:
        lasts = max(reader.covered_s, reader.duration or 0.0)
        length = f", which lasts {clock(lasts)}" if lasts else ""
        raise UserError(f"{reader.path}: no frame lies between --start and --end of this video{length}")
    writer.begin(described())


def _covered(reader, writer: GeneratedWriter, sampling: Sampling, stopped: str | None) -> float:
    """Return the seconds of the video from the start of the sample to the end of what was read of it."""
    if reader.ended:
        end = min(reader.covered_s, sampling.end_s or reader.covered_s)
    elif sampling.mode == "spread" and not stopped:
        end = min(reader.length_s, sampling.end_s or reader.length_s)
    else:
        end = min(writer.last_time_s + (sampling.step or 1) / (reader.rate or 1), reader.covered_s)
    return max(end - sampling.start_s, 0.0)


def clock(seconds: float) -> str:
    """Return seconds as text: '12.3 s', '4:05' or '1:02:03'."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{seconds:.1f} s" if not minutes else f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def detection_rate(run: dict) -> str:
    """Return the share of frames with an instrument among the frames that are not suspect, as text in percent."""
    return f"{run['frames_detected'] / max(run['frames_written'] - run['frames_suspect'], 1):.1%}"


def report_video(result: VideoResult) -> None:
    """Print the result of one video."""
    run = result.run
    if result.state == "finished before":
        print(f"{result.folder} was finished before ({run['frames_written']} frames); --overwrite replaces it")
        if run["frames_lost"]:
            print("Frames were lost to damage; if you have a better copy of the video now, --overwrite reads it")
        return
    sampling, timing = run["sampling"], run["timing"]
    duration = run["video"]["duration_s"]
    of = f" of {clock(max(duration, run['covered_s']))}" if duration else " (length unknown)"
    written = run["frames_written"]
    if sampling["mode"] == "spread":
        taken = "frames spread evenly"
    else:
        taken = "every frame" if sampling["step"] == 1 else f"one frame in {sampling['step']}"
    burst = f", in bursts of {sampling['burst']}" if sampling["burst"] > 1 else ""
    print(f"Covered {clock(run['covered_s'])}{of}, {taken}{burst}")
    if run["video"].get("rate_assumed"):
        print(f"Images hold no times: {run['video']['rate']:g} a second were taken (--image-rate)")
    before = written - timing["frames"]
    print(f"Frames written: {written}" + (f" ({before} by an earlier run)" if before else ""), end="")
    of_trusted = " of those not suspect" if run["frames_suspect"] else ""
    print(f"; with an instrument: {run['frames_detected']} ({detection_rate(run)}{of_trusted})")
    print(
        f"Damage: {run['damaged_packets']} packets or frames damaged, {run['frames_lost']} frames lost, "
        f"{run['frames_suspect']} of the frames written suspect"
    )
    if run["video"]["deinterlaced"]:
        print("The video is interlaced; its frames were deinterlaced (bwdif)")
    for sentence in training_warnings(run).values():
        print(f"WARNING: {sentence}.")
    stages = ", ".join(f"{stage} {timing[f'{stage}_s']:.1f}" for stage in ("decode", "predict", "write", "total"))
    rate = timing["frames"] / timing["total_s"] if timing["total_s"] else 0.0
    print(f"Seconds: {stages} ({rate:.1f} frames/s, {run['backend']['name']} on {run['backend']['device']})")
    print(f"Output: {result.folder}")
