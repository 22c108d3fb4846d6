"""What the plan of all figures claims of them."""

from surgseg.figures import plan


def test_a_comparison_is_called_undertrained_up_to_the_usual_number_of_epochs_only():
    assert plan.synthetic_study(1).note == (
        "synthetic frames, 1 epoch from random weights: DeepLabV3 is undertrained at this budget"
    )
    assert "undertrained" in plan.synthetic_study().note
    assert plan.synthetic_study(100).note == "synthetic frames, 100 epochs from random weights"
