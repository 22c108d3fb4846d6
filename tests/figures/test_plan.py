"""What the plan of all figures claims of them."""

from pathlib import Path

from surgseg.figures import plan


def note(epochs: int) -> str:
    (command,) = (step.command for step in plan.synthetic_steps(epochs) if "--note" in step.command)
    return command[command.index("--note") + 1]


def test_a_comparison_is_called_undertrained_up_to_the_usual_number_of_epochs_only():
    assert note(1) == "synthetic frames, 1 epoch from random weights: DeepLabV3 is undertrained at this budget"
    assert "undertrained" in note(plan.EPOCHS)
    assert note(100) == "synthetic frames, 100 epochs from random weights"


def test_paths_and_options_with_spaces_stay_whole():
    videos = {"first one": Path("my films/a {b}.mp4"), "other": Path("c.mp4")}
    steps = plan.real_steps(Path("my data"), videos, ["--split", "my split.json"], resume=False)
    words = [word for step in steps for word in step.command]
    for word in ("my data", "my films/a {b}.mp4", "my split.json", "data/figures/generated_first one"):
        assert word in words
