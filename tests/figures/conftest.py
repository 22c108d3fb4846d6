"""Figures that would be written, kept to look at instead."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def keep_figures(monkeypatch):
    """`keep_figures(module)`: the list of the figures that `module` would write from now on."""

    def keep(module) -> list:
        figures = []
        monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)
        return figures

    yield keep
    plt.close("all")
