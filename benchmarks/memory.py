"""Peak memory of generate_masks_from_model.py for a short and a long video: it must not grow with the length.

  peak    largest resident memory of the script's process, from its start to its end
  late    median resident memory in the last tenth of the run: shows slow growth before it exceeds the peak
  ratio   peak of the long video / peak of the short one

Both films are 854x480, 25 frames per second, H.264, and repeat the same two seconds of synthetic frames: packets are
copied with shifted time stamps, nothing is encoded again. Every frame must be decoded without damage, and written. The
model is a small U-Net with random weights (base_channels 4, 64x112), so that the length decides. A first run on a few
frames makes the ONNX export, so that the memory of the export is not measured.

  python benchmarks/memory.py                              (2 and 120 minutes of video)
  python benchmarks/memory.py --quick --json out.json      (0.1 and 1 minutes of video: a minute on 2 cores)
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import add_device_option, make_parser, report_errors
from surgseg.files import UserError, read_json, write_json

SCRIPT = Path(__file__).resolve().parents[1] / "generate_masks_from_model.py"
NATIVE = (480, 854)
DRAWN = 26  # frames; played forward and backward they are a loop
LOOP = 2 * DRAWN - 2  # frames
RATE = 25
POLL_S = 0.05


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="0.1 and 1 minutes (default: off)")
    parser.add_argument("--short-minutes", type=float, metavar="MIN", help="length of the short video (default: 2)")
    parser.add_argument("--long-minutes", type=float, metavar="MIN", help="length of the long video (default: 120)")
    parser.add_argument("--frame-step", type=int, default=1, metavar="N", help="take every N-th frame (default: 1)")
    parser.add_argument("--frame-format", default="none", choices=["jpg", "png", "none"],
                        help="format of the frames beside the masks (default: none)")  # fmt: skip
    parser.add_argument("--backend", default="auto", choices=["auto", "torch", "onnx"], help="backend (default: auto)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="frames per batch (default: the script's)")
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="folder for films and masks, 2 GB (default: the system's)"
    )
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    short, long = (0.1, 1.0) if args.quick else (2.0, 120.0)
    minutes = (args.short_minutes or short, args.long_minutes or long)
    if min(minutes) * 60 < 1 or args.frame_step < 1:
        raise UserError("--short-minutes and --long-minutes must be at least a second, --frame-step at least 1")
    with tempfile.TemporaryDirectory(dir=args.work_dir) as name:
        folder = Path(name)
        write_weights(folder / "unet.pth")
        write_loop(folder / "loop.mp4")
        measure(args, folder, folder / "loop.mp4", "--max-frames", "8")  # makes the export
        results = []
        print(f"{'minutes':>9}{'frames':>9}{'written':>9}{'seconds':>9}{'peak MB':>9}{'late MB':>9}")
        for length in minutes:
            frames = repeat(folder / "loop.mp4", folder / "film.mp4", max(round(length * 60 * RATE / LOOP), 1))
            found = measure(args, folder, folder / "film.mp4", "--frame-step", str(args.frame_step))
            check(found.pop("run"), frames, args.frame_step)
            results.append({"minutes": length, "frames": frames, **found})
            print_row(results[-1])
    ratio = results[1]["peak_mb"] / results[0]["peak_mb"]
    print(f"peak of the long video / peak of the short one: {ratio:.3f}")
    if args.json:
        options = {key: getattr(args, key) for key in ("frame_step", "frame_format", "device", "backend", "batch_size")}
        write_json(args.json, {**options, "results": results, "ratio": ratio})
    return 0


def write_weights(path: Path) -> None:
    import torch

    from models import build_model
    from surgseg.checkpoint import Checkpoint, save_checkpoint
    from surgseg.labels import SCHEMES

    torch.manual_seed(0)
    arguments, training = {"base_channels": 4}, {"data": "synthetic"}
    model = build_model("unet", 2, **arguments)
    save_checkpoint(path, Checkpoint(model, "unet", arguments, SCHEMES["binary"], (64, 112), training=training))


def write_loop(path: Path) -> None:
    """Write the film whose packets are copied: some frames forward and backward, so that no frame jumps."""
    from surgseg.synthetic.release import VIDEO_COMMENT
    from surgseg.synthetic.scenes import draw_frame
    from surgseg.video.writer import VideoWriter

    drawn = [draw_frame(0, 1, number, NATIVE)[0] for number in range(DRAWN)]
    with VideoWriter(path, RATE, metadata={"comment": VIDEO_COMMENT}) as writer:
        for frame in drawn + drawn[-2:0:-1]:
            writer.write(frame)


def repeat(loop: Path, film: Path, times: int) -> int:
    """Copy the packets of `loop` into `film` so many times; return the film's number of frames."""
    import av

    with av.open(str(loop)) as source, av.open(str(film), "w") as target:
        target.metadata.update(source.metadata)
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        period = round(LOOP / RATE / stream.time_base)
        for turn in range(times):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.size:
                    packet.pts, packet.dts = packet.pts + turn * period, packet.dts + turn * period
                    packet.stream = copy
                    target.mux(packet)
    return times * LOOP


def measure(args, folder: Path, film: Path, *options: str) -> dict:
    """Run the script on a film. Return its seconds, its memory in MB (10^6 bytes), and its `run.json`."""
    out = folder / "generated"
    command = [
        *(sys.executable, str(SCRIPT), "--video-path", str(film)),
        *("--model-path", str(folder / "unet.pth"), "--output-dir", str(out), "--frame-format", args.frame_format),
        *("--device", args.device, "--backend", args.backend, *options),
        *(("--batch-size", str(args.batch_size)) if args.batch_size else ()),
    ]
    with (folder / "log.txt").open("w+") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        status, peak, resident = watch(process)
        seconds = time.perf_counter() - begun
        log.seek(0)
        if status:
            raise UserError(f"generate_masks_from_model.py ended with status {status}: {log.read()[-2000:]}")
    run = read_json(out / "run.json")
    shutil.rmtree(out)
    late = [value for at, value in resident if at > 0.9 * resident[-1][0]]
    late_mb = statistics.median(late) / 1e6 if late else None
    memory = {"peak_mb": peak / 1e6, "late_mb": late_mb}
    return {"run": run, "seconds": seconds, "written": run["frames_written"], **memory}


def watch(process: subprocess.Popen) -> tuple[int, int, list[tuple[float, int]]]:
    """Wait for a process. Return exit status, peak resident bytes, and (seconds, resident bytes) of each poll.

    Linux has the peak of a process under /proc. Other systems report it at the end, in bytes (macOS) or kilobytes; on
    Linux that number would include this process, from which the other was forked.
    """
    begun, peak, resident = time.perf_counter(), 0, []
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            break
        lines = read_status(process.pid)
        if "VmHWM" in lines:
            peak = lines["VmHWM"]
            resident.append((time.perf_counter() - begun, lines["VmRSS"]))
        time.sleep(POLL_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), resident


def read_status(pid: int) -> dict[str, int]:
    """Return the sizes, in bytes, that Linux reports of a process; {} on other systems or after its end."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    parts = (line.split() for line in lines)
    return {part[0].rstrip(":"): int(part[1]) * 1024 for part in parts if part[-1] == "kB"}


def check(run: dict, frames: int, step: int) -> None:
    """Raise `UserError` unless every frame of the film was decoded and every `step`-th was written."""
    read, written, damaged = run["frames_read"], run["frames_written"], run["damaged_packets"] + run["frames_lost"]
    if (read, written, damaged) != (frames, -(-frames // step), 0):
        raise UserError(f"of {frames} frames {read} were read and {written} written, {damaged} damaged: no measurement")


def print_row(row: dict) -> None:
    late = "-" if row["late_mb"] is None else f"{row['late_mb']:.1f}"
    print(
        f"{row['minutes']:>9g}{row['frames']:>9}{row['written']:>9}{row['seconds']:>9.1f}"
        f"{row['peak_mb']:>9.1f}{late:>9}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
