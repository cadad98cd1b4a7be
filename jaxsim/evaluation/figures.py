"""The figures of a report, as SVG text to embed in the page."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from jaxsim.evaluation.metrics import CHANCE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text: smaller, and searchable
    "svg.hashsalt": "jaxsim",  # the same figure gives the same SVG
    "font.family": "sans-serif",
}


def kiviat(scores: Mapping[str, Mapping[str, float]]) -> str:
    """One polygon per system over the dimensions' sub-spaces (A Fig. 3)."""
    dimensions = list(dict.fromkeys(name for each in scores.values() for name in each))
    angles = np.linspace(0, 2 * np.pi, len(dimensions), endpoint=False)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(5.2, 4.2))
        axes = figure.add_subplot(projection="polar")
        for colour, (system, own) in zip(COLOURS, scores.items(), strict=False):
            values = np.array([own.get(name, np.nan) for name in dimensions])
            closed = np.append(values, values[0]), np.append(angles, angles[0])
            axes.plot(closed[1], closed[0], color=colour, label=system, linewidth=1.5)
            axes.fill(closed[1], closed[0], color=colour, alpha=0.08)
        axes.plot(np.linspace(0, 2 * np.pi, 90), np.full(90, CHANCE), color="#999", linestyle=":")
        axes.set_xticks(angles, dimensions)
        axes.set_ylim(0.35, 1.0)
        axes.set_yticks([0.5, 0.75, 1.0], ["0.5", "0.75", "1"])
        axes.legend(loc="upper left", bbox_to_anchor=(1.08, 1.05), frameon=False)
        return _svg(figure)


def leakage(matrix: np.ndarray, sub_spaces: Sequence[str], triplets: Sequence[str]) -> str:
    """Score of the triplets of dimension j in sub-space i, as a heat map."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.6, 3.6))
        shades = axes.imshow(matrix, cmap="RdBu_r", vmin=0.0, vmax=1.0)
        for (row, column), value in np.ndenumerate(matrix):
            far = abs(value - CHANCE) > 0.3
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if far else "black",
                weight="bold" if sub_spaces[row] == triplets[column] else "normal",
            )
        axes.set_xticks(range(len(triplets)), triplets, rotation=30, ha="right")
        axes.set_yticks(range(len(sub_spaces)), sub_spaces)
        axes.set_xlabel("triplets of")
        axes.set_ylabel("sub-space of")
        axes.spines[:].set_visible(False)
        figure.colorbar(shades, label="triplet score")
        return _svg(figure)


def maps(points: Mapping[str, Sequence[Sequence[float]]], labels: Sequence[Sequence[str]]) -> str:
    """The same tracks in two spaces, with the two most common tags highlighted (B Fig. 3)."""
    names, counts = np.unique([tag for tags in labels for tag in tags], return_counts=True)
    lit = names[np.argsort(-counts, kind="stable")][:2]
    with plt.rc_context(STYLE):
        figure, all_axes = plt.subplots(1, len(points), figsize=(3.6 * len(points), 3.4))
        for axes, (space, positions) in zip(np.atleast_1d(all_axes), points.items(), strict=True):
            x, y = np.array(positions).T
            axes.scatter(x, y, s=7, color="#c8c8c8", linewidths=0)
            for colour, tag in zip(COLOURS, lit, strict=False):
                has = np.array([tag in tags for tags in labels])
                axes.scatter(x[has], y[has], s=11, color=colour, linewidths=0, label=tag)
            axes.set_title(space)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        np.atleast_1d(all_axes)[-1].legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False
        )
        return _svg(figure)


def curves(log: Sequence[Mapping[str, Any]], dimensions: Sequence[str]) -> str:
    """Loss, active pairs and validation score over the training steps, as far as logged."""
    titles = {
        "loss": "training loss",
        "active": "active pairs",
        "validation_own": "validation, own sub-space",
    }
    panels = [(titles[field], field) for field in titles if any(field in row for row in log)]
    with plt.rc_context(STYLE):
        width = 3.5 * len(panels)
        figure, all_axes = plt.subplots(1, len(panels), figsize=(width, 2.9), squeeze=False)
        all_axes = all_axes[0]
        for axes, (title, field) in zip(all_axes, panels, strict=True):
            rows = [row for row in log if field in row]
            for colour, dimension in zip(COLOURS, dimensions, strict=False):
                points = [
                    (row["step"], row[field][dimension]) for row in rows if dimension in row[field]
                ]
                if points:
                    steps, values = zip(*points, strict=True)
                    marker = "o" if field == "validation_own" else None
                    axes.plot(
                        steps,
                        _smooth(values),
                        color=colour,
                        label=dimension,
                        marker=marker,
                        markersize=3,
                        linewidth=1.2,
                    )
            axes.set_title(title)
            axes.set_xlabel("step")
            if field == "validation_own":
                axes.axhline(CHANCE, color="#999", linestyle=":")
        all_axes[0].legend(loc="upper right", bbox_to_anchor=(-0.2, 1.0), frameon=False)
        return _svg(figure)


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Running mean over a fiftieth of the curve."""
    width = max(1, len(values) // 50)
    padded = np.pad(np.asarray(values, float), (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    content = text.getvalue()
    return content[content.index("<svg") :]
