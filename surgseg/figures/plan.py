"""The commands of make_figures.py and the figures that they make, for the synthetic stream and for real data.

A line is a command without `python` and, after =>, the figures that it makes. FRAME and MASK are placeholders for the
files of the middle frame of segmentation_results, which an earlier command chooses.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from surgseg.files import UserError, read_json
from surgseg.places import DEFAULT_WEIGHTS

FIGURES = Path("outputs/figures")
EPOCHS = 15  # of the comparison on the synthetic stream, as in the study: about 8 minutes for DeepLabV3 on two cores
DRAW = """
-m surgseg.synthetic --preset demo --output-root data/demo/stream
prepare_full_dataset.py --source-root data/demo/stream --output-root data/demo/dataset
-m surgseg.synthetic --output-root data/demo/aligned --videos 1 --clips 1 --domain aligned {film}
prepare_full_dataset.py --source-root data/demo/aligned --output-root data/demo/aligned_dataset
-m surgseg.synthetic --output-root data/demo/shifted --videos 1 --clips 1 --domain shifted {film}
prepare_full_dataset.py --source-root data/demo/shifted --output-root data/demo/shifted_dataset
"""
SCORE = """
instrument_segmentation.py {training} --output-dir {output} --figure-dir {figures} --save-preds {preds} => training_loss segmentation_results
analyze_model.py --mode dataset --mask-dir {data}/masks --pred-dir {preds} --output-dir {output} --figure-dir {figures} => best_segmentation_results challenging_segmentation_results impressive_segmentation_results comprehensive_analysis full_dataset_analysis full_dataset_complete_analysis
train_comparative.py {comparing} --output-dir {comparison}
visualize_comparison.py --comparison-dir {comparison} --output-dir outputs/comparative {note} => final_comparison training_comparison
test_single_frame.py --frame FRAME --mask MASK --model-path {weights} --thresholds 0.3 0.5 0.7 --output-dir {figures} => test_mask_thresh03 test_mask_thresh05 test_mask_thresh07 test_single_frame
"""  # noqa: E501
CHECK = """
check_both_videos.py --video-paths {paths} --names {names} --model-path {weights} --output {figures}/check_both_videos.png => check_both_videos
"""  # noqa: E501
EACH_VIDEO = """
generate_masks_from_model.py --video-path {path} --model-path {weights} {sample} --name {name} --output-dir {folder}
analyze_mask_statistics.py --generated-dir {folder} {truth} --figure {figures}/{name}_generation_analysis.png => {name}_generation_analysis
analyze_generated_masks.py --generated-dir {folder} --output {figures}/{name}_visual_analysis.png => {name}_visual_analysis
"""  # noqa: E501
COMPARE = """
compare_videos.py --generated-dirs {folders} --names {names} {truths} --output-dir {output} --figure {figures}/video_comparison.png => video_comparison
"""  # noqa: E501


@dataclass(frozen=True)
class Step:
    """One command as a list of words without `python`, and the figures that it makes."""

    command: list[str]
    figures: tuple[Path, ...] = ()

    @property
    def script(self) -> str:
        return " ".join(self.command[:2]) if self.command[0] == "-m" else self.command[0]

    def of_frame(self, data: Path) -> Step:
        """Replace FRAME and MASK by the files of the middle frame of segmentation_results in the prepared `data`."""
        if "FRAME" not in self.command:
            return self
        chosen = read_json(FIGURES / "segmentation_results.json")["frames"]
        name = chosen[len(chosen) // 2]["name"]
        found = sorted(path for folder in ("frames", "sample_frames") for path in (data / folder).glob(f"{name}.*"))
        if not found:
            raise UserError(f"the frame {name} of {FIGURES / 'segmentation_results.json'} is not in {data}")
        files = {"FRAME": str(found[0]), "MASK": str(data / "masks" / f"{name}.png")}
        return Step([files.get(word, word) for word in self.command], self.figures)


def synthetic_steps(epochs: int = EPOCHS) -> list[Step]:
    """The commands for synthetic data: the demo's stream and model, a comparison on it, one scene in two domains."""
    undertrained = ": DeepLabV3 is undertrained at this budget" if epochs <= EPOCHS else ""
    note = f"synthetic frames, {epochs} epoch{'s' * (epochs > 1)} from random weights{undertrained}"
    small = "--base-channels 16 --image-size 112 200 --seed 1 --lr 0.002 --precision fastest"
    domains = ("aligned", "shifted")
    return _steps(DRAW, film="--frames 500 --size 240 428 --seed 11") + _study(
        Path("data/demo/dataset"),
        {f"synthetic_{domain}": Path(f"data/demo/{domain}/videos/video01.mp4") for domain in domains},
        {f"synthetic_{domain}": Path(f"data/demo/{domain}_dataset/masks") for domain in domains},
        output="outputs/demo",
        comparison="outputs/demo/comparative",
        preds="data/demo/preds",
        generated="data/demo",
        training="--preset demo",
        comparing=f"--data-root data/demo/dataset --cache-dir data/demo/cache --epochs {epochs} {small}",
        sample="--frame-step 1 --overwrite",
        note=f"--note {shlex.quote(note)}",
    )


def real_steps(data: Path, videos: dict[str, Path], training: list[str], *, resume: bool) -> list[Step]:
    """The commands for the user's prepared data and videos; `training` are options of both training scripts.

    With `resume`, an unfinished training is resumed and a finished one reused.
    """
    options = shlex.join(["--data-root", str(data), *training])
    resumable = any(path.is_file() for path in (DEFAULT_WEIGHTS, DEFAULT_WEIGHTS.with_suffix(".resume.pth")))
    return _study(
        data,
        videos,
        {},
        output=str(DEFAULT_WEIGHTS.parent),
        comparison="outputs/comparative",
        preds="data/preds",
        generated="data/figures",
        training=options + " --resume" * (resume and resumable),
        comparing=options,
        sample="--sample spread --max-frames 500 --burst 3" + " --overwrite" * (not resume),
        note="",
    )


def _study(data: Path, videos: dict[str, Path], truth: dict[str, Path], **words: str) -> list[Step]:
    """The commands of a study; `words` are the values of the templates' placeholders, quoted for a shell."""
    words = {**words, "data": shlex.quote(str(data)), "figures": str(FIGURES)}
    words["weights"] = f"{words['output']}/{DEFAULT_WEIGHTS.name}"
    steps = _steps(SCORE, **words)
    if not videos:
        return steps
    folders = {name: f"{words['generated']}/generated_{name}" for name in videos}
    words["names"], words["folders"] = shlex.join(videos), shlex.join(folders.values())
    words["paths"] = shlex.join(map(str, videos.values()))
    words["truths"] = f"--mask-dirs {shlex.join(map(str, truth.values()))}" if truth else ""
    steps += _steps(CHECK, **words)
    for name, path in videos.items():
        own = {"name": shlex.quote(name), "path": shlex.quote(str(path)), "folder": shlex.quote(folders[name])}
        steps += _steps(EACH_VIDEO, **words, **own, truth=f"--mask-dir {truth[name]}" if truth else "")
    return steps + _steps(COMPARE, **words)


def _steps(text: str, **words: str) -> list[Step]:
    steps = []
    for line in text.strip().split("\n"):
        command, _, figures = line.partition("=>")
        command = shlex.split(command.format(**words))
        folder = Path("outputs/comparative") if command[0] == "visualize_comparison.py" else FIGURES
        names = shlex.split(figures.format(**words))
        steps.append(Step(command, tuple(folder / f"{name}.png" for name in names)))
    return steps


def name_videos(paths: list[Path], given: list[str] | None) -> list[str]:
    """Return the name of each video in its figures: as given, else Cholec80's own (video01), else operation_1, ...

    Other file names can hold a patient's name. Raises `UserError` for one video alone and for unusable names.
    """
    if len(paths) == 1:
        raise UserError("--video-paths: two videos or more are needed for a comparison")
    if given and len(given) != len(paths):
        raise UserError(f"--names gives {len(given)} for {len(paths)} videos: give one name for each video")
    names = given or [
        path.stem.lower() if re.fullmatch(r"video\d+", path.stem, re.IGNORECASE) else f"operation_{number}"
        for number, path in enumerate(paths, 1)
    ]
    if len(set(names)) < len(names):
        raise UserError(f"two videos are called {max(names, key=names.count)}: give other names with --names")
    for name in names:
        if not name or Path(name).name != name:
            raise UserError(f"--names {name!r}: not usable as the name of a file")
    return names
