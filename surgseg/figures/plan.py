"""Which command makes which figure: the plan of make_figures.py, for the synthetic stream and for real data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from surgseg.files import UserError, read_json

FIGURES = Path("outputs/figures")
COMPARATIVE = Path("outputs/comparative")
DEMO_DATA, DEMO_OUTPUT = Path("data/demo"), Path("outputs/demo")
EPOCHS = 15  # of the comparison on the synthetic stream, as in the study: some eight minutes for DeepLabV3 on two cores
DEMO_FRAMES, DEMO_SIZE, DEMO_SEED = 500, (240, 428), 11  # of the two videos: one scene, drawn in two kinds of light
SAMPLE = ["--sample", "spread", "--max-frames", "500", "--burst", "3"]  # of a real operation
SCORES = (
    "best_segmentation_results", "challenging_segmentation_results", "impressive_segmentation_results",
    "comprehensive_analysis", "full_dataset_analysis", "full_dataset_complete_analysis",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command (its script and arguments, paths as they are) and the figures that it makes."""

    command: list[str]
    figures: tuple[Path, ...] = ()

    @property
    def script(self) -> str:
        return f"{self.command[0]} {self.command[1]}" if self.command[0] == "-m" else self.command[0]


@dataclass(frozen=True)
class Study:
    """Where things are: prepared `data`, the `output` of training, the `comparison` of architectures, the predictions,
    the `generated` folders. `videos` maps the names that the figures get to video files, `truth` to ground-truth masks;
    `training`, `comparing` and `sample` are options of the scripts that train, compare and apply; `overwrite` applies
    the model anew where a generated folder is there."""

    data: Path
    output: Path
    comparison: Path
    preds: Path
    videos: dict[str, Path]
    generated: Path
    training: list[str]
    comparing: list[str]
    sample: list[str]
    overwrite: bool
    note: str = ""
    truth: dict[str, Path] | None = None

    @property
    def weights(self) -> Path:
        return self.output / "instrument_segmentation_model.pth"


def synthetic_study(epochs: int = EPOCHS) -> Study:
    """The demo's model and stream; a comparison on it; the same scene in two kinds of light as two videos."""
    data = DEMO_DATA / "dataset"
    small = ["--base-channels", "16", "--image-size", "112", "200", "--seed", "1", "--lr", "0.002"]
    names = {domain: f"synthetic_{domain}" for domain in ("aligned", "shifted")}
    note = f"synthetic frames, {epochs} epoch{'s' * (epochs > 1)} from random weights"
    return Study(
        data=data,
        output=DEMO_OUTPUT,
        comparison=DEMO_OUTPUT / "comparative",
        preds=DEMO_DATA / "preds",
        videos={name: DEMO_DATA / domain / "videos" / "video01.mp4" for domain, name in names.items()},
        generated=DEMO_DATA,
        training=["--preset", "demo"],
        comparing=["--data-root", data, "--cache-dir", DEMO_DATA / "cache", "--epochs", str(epochs), *small],
        sample=["--frame-step", "1"],
        overwrite=True,
        note=note + ": DeepLabV3 is undertrained at this budget" * (epochs <= EPOCHS),  # of more nothing is known
        truth={name: DEMO_DATA / f"{domain}_dataset" / "masks" for domain, name in names.items()},
    )


def real_study(data_root: Path, videos: dict[str, Path], training: list[str], resume: bool) -> Study:
    """The user's prepared data and videos, in the usual places; `training` are options of both trainings. With `resume`
    a training that is there, finished or not, is gone on with."""
    weights = Path("outputs/instrument_segmentation_model.pth")
    again = resume and any(path.is_file() for path in (weights, weights.with_suffix(".resume.pth")))
    return Study(
        data=data_root,
        output=weights.parent,
        comparison=COMPARATIVE,
        preds=Path("data/preds"),
        videos=videos,
        generated=Path("data/figures"),
        training=["--data-root", data_root, *training, *(["--resume"] if again else [])],
        comparing=["--data-root", data_root, *training],
        sample=SAMPLE,
        overwrite=not resume,
    )


def name_videos(paths: list[Path], given: list[str] | None) -> list[str]:
    """What the figures of each video are called: the names given, else Cholec80's own (video01) where the file has it,
    else operation_1, ...: other file names can hold a patient's. Raises `UserError` for lists that do not fit."""
    if len(paths) == 1:
        raise UserError("--video-paths: two videos or more are needed to compare them")
    if given and len(given) != len(paths):
        raise UserError(f"--names gives {len(given)} for {len(paths)} videos: one each")
    names = given or [
        path.stem.lower() if re.fullmatch(r"video\d+", path.stem, re.IGNORECASE) else f"operation_{number}"
        for number, path in enumerate(paths, 1)
    ]
    if len(set(names)) < len(names):
        raise UserError(f"two videos are called {max(names, key=names.count)}: --names tells them apart")
    for name in names:
        if not name or Path(name).name != name:
            raise UserError(f"--names {name!r}: figures and folders are named so: a file's name is needed")
    return names


def draw_synthetic() -> list[Step]:
    """The demo's stream and the two videos with their ground truth."""
    stream = ["--frames", str(DEMO_FRAMES), "--size", *map(str, DEMO_SIZE), "--seed", str(DEMO_SEED)]
    steps = [
        Step(["-m", "surgseg.synthetic", "--preset", "demo", "--output-root", DEMO_DATA / "stream"]),
        _prepare(DEMO_DATA / "stream", DEMO_DATA / "dataset"),
    ]
    for domain in ("aligned", "shifted"):
        root = DEMO_DATA / domain
        one = ["--output-root", root, "--videos", "1", "--clips", "1", "--domain", domain]
        steps += [Step(["-m", "surgseg.synthetic", *one, *stream]), _prepare(root, DEMO_DATA / f"{domain}_dataset")]
    return steps


def _prepare(source: Path, output: Path) -> Step:
    return Step(["prepare_full_dataset.py", "--source-root", source, "--output-root", output])


def score_steps(study: Study) -> list[Step]:
    """Train and score the model; compare the architectures."""
    saved = ["--output-dir", study.output, "--figure-dir", FIGURES]
    masks = ["--mask-dir", study.data / "masks", "--pred-dir", study.preds]
    note = ["--note", study.note] if study.note else []
    return [
        Step(
            ["instrument_segmentation.py", *study.training, *saved, "--save-preds", study.preds],
            _figures(FIGURES, "training_loss", "segmentation_results"),
        ),
        Step(["analyze_model.py", "--mode", "dataset", *masks, *saved], _figures(FIGURES, *SCORES)),
        Step(["train_comparative.py", *study.comparing, "--output-dir", study.comparison]),
        Step(
            ["visualize_comparison.py", "--comparison-dir", study.comparison, "--output-dir", COMPARATIVE, *note],
            _figures(COMPARATIVE, "final_comparison", "training_comparison"),
        ),
    ]


def single_frame_step(study: Study) -> Step:
    """The middle one of the frames in segmentation_results, at three thresholds."""
    chosen = read_json(FIGURES / "segmentation_results.json")["frames"]
    name = chosen[len(chosen) // 2]["name"]
    found = sorted(path for folder in ("frames", "sample_frames") for path in (study.data / folder).glob(f"{name}.*"))
    if not found:
        raise UserError(f"the frame {name} of {FIGURES / 'segmentation_results.json'} is not in {study.data}")
    given = ["--frame", found[0], "--mask", study.data / "masks" / f"{name}.png", "--model-path", study.weights]
    return Step(
        ["test_single_frame.py", *given, "--thresholds", "0.3", "0.5", "0.7", "--output-dir", FIGURES],
        _figures(FIGURES, "test_mask_thresh03", "test_mask_thresh05", "test_mask_thresh07", "test_single_frame"),
    )


def video_steps(study: Study) -> list[Step]:
    """The study of two (or more) videos: a look, masks, statistics and panels of each, the comparison."""
    names, paths = list(study.videos), list(study.videos.values())
    folders = [study.generated / f"generated_{name}" for name in names]
    model = ["--model-path", study.weights]
    steps = [
        Step(
            ["check_both_videos.py", "--video-paths", *paths, "--names", *names, *model]
            + ["--output", FIGURES / "check_both_videos.png"],
            _figures(FIGURES, "check_both_videos"),
        )
    ]
    for name, path, folder in zip(names, paths, folders):
        analysis, panels = _figures(FIGURES, f"{name}_generation_analysis", f"{name}_visual_analysis")
        truth = ["--mask-dir", study.truth[name]] if study.truth else []
        made = ["--video-path", path, *model, *study.sample, "--name", name, "--output-dir", folder]
        made += ["--overwrite"] if study.overwrite else []
        steps += [
            Step(["generate_masks_from_model.py", *made]),
            Step(["analyze_mask_statistics.py", "--generated-dir", folder, *truth, "--figure", analysis], (analysis,)),
            Step(["analyze_generated_masks.py", "--generated-dir", folder, "--output", panels], (panels,)),
        ]
    labels = ["--mask-dirs", *study.truth.values()] if study.truth else []
    comparison = _figures(FIGURES, "video_comparison")
    compared = ["--generated-dirs", *folders, "--names", *names, *labels, "--output-dir", study.output]
    return [*steps, Step(["compare_videos.py", *compared, "--figure", *comparison], comparison)]


def _figures(folder: Path, *names: str) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.png" for name in names)
