"""Where a network looks: Grad-CAM++ over static images and event frames (Figure 3 of the TMKT paper).

The maps are those of the package `grad-cam` (Chattopadhyay et al. 2018). What a spiking network adds is time: each step
has its own activations and gradients, hence its own map; shown is the mean over the steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..engine.task import build_method
from ..errors import PackageError, RecipeError
from ..inspect.reload import LoadedRun
from ..methods import Method
from ..progress import progress
from .base import brief, entitle, figure_of_runs
from .inputs import (
    evenly,
    frames_shown,
    keys_of,
    names_of,
    partners,
    require_range,
    setting_in_words,
    titles_of,
    warnings_in_words,
)

try:
    from pytorch_grad_cam import GradCAMPlusPlus
except ImportError as error:
    raise PackageError(f"gradcam needs the package grad-cam ({error}): pip install 'braincog_tmkt[figures]'") from error

ON, OFF = np.array([255, 90, 60]) / 255, np.array([60, 130, 255]) / 255
HEAT = "inferno"
MODALITIES = ("static", "events")
CLASSES = 4
LETTERS = 22
"""Of a line above or below a panel."""
COLUMNS = 9
"""Panels beside each other before a new line of classes begins, roughly."""


class Panel(NamedTuple):
    """What one network says about one input.

    Args:
        picture: of the input, `[H, W, 3]` in [0, 1].
        grey: the same without colours.
        heat: the map, `[H, W]` from 0 to 1, or all 0.
        label: true class.
        predicted: class with the highest mean logit.
        logit: mean logit of the true class.
        probability: softmax of the mean logits at the true class.
    """

    picture: np.ndarray
    grey: np.ndarray
    heat: np.ndarray
    label: int
    predicted: int
    logit: float
    probability: float


@figure_of_runs("gradcam")
def gradcam(runs: list[LoadedRun], classes: int | None = None) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw Grad-CAM++ maps of the true class, with the weights of the last epoch, one column a run.

    Shown are the first test recordings of evenly spaced classes, and above each the static image that this very
    recording shows, where the data set has it and says so. Event frames go through the event classifier. A static image
    is repeated over all steps and goes through the classifier of the mixed stream, if the method trains it; methods
    without static images (the baseline) see it through the event classifier. SCNN has one classifier for both.

    The map is taken at the last layer that has the resolution of the last convolution: the last spikes before pooling
    (VGGSNN, SCNN), or the normalised sum before pooling (ResNet-18). The score is the sum of the class's logits over
    the steps (from their mean, gradients would sink below the 1e-6 that the package adds to a denominator). The maps of
    the steps are averaged, enlarged linearly, and scaled to [0, 1], each panel for itself.

    Args:
        runs: on the same data and split.
        classes: how many; None for four, or fewer where there are no more.

    Returns:
        The figure, and one row a panel. `area_above_half` is the share of the picture where the map is above half of
        its maximum: small is focused. `mass_on_events` is the share of the map on pixels with events, and
        `pixels_with_events` what an even map would have; for event inputs only.
    """
    first = first_recordings(runs[0])
    classes = min(CLASSES, len(first)) if classes is None else classes
    require_range("classes", classes, 1, len(first))
    chosen = first[evenly(classes, len(first))]
    columns = [explain_run(run, chosen) for run in progress(runs, "Grad-CAM++", "run")]
    keys, names = keys_of(runs[0], chosen), runs[0].task.pairs.classes
    rows = [
        {
            "run": name,
            "key": keys[place],
            "class": names[panel.label],
            "modality": modality,
            **_numbers(panel, modality, names),
        }
        for name, column in zip(names_of(runs), columns, strict=True)
        for (place, modality), panel in sorted(column.items())
    ]
    return _draw(runs, columns), rows


def first_recordings(run: LoadedRun) -> Tensor:
    """The row of the first test recording of every class that has one, in label order."""
    pairs = run.task.pairs
    rows = pairs.rows("test")
    labels = pairs.labels[rows]
    return torch.stack([rows[labels == label][0] for label in labels.unique()])


def explain_run(run: LoadedRun, rows: Tensor) -> dict[tuple[int, str], Panel]:
    """The panels of a run by (place in `rows`, `static` or `events`); static ones where there is such an image."""
    method = multi_step_copy(run)
    frames, label = run.task.pairs.events(rows)
    events = frames_shown(method, frames)
    images, known = partners(run, rows)
    found = {(place, "events"): panel for place, panel in enumerate(_explain(method, "events", events, label))}
    if known.any():
        repeated = images[:, None].expand(-1, events.shape[1], -1, -1, -1)
        stream = "mixed" if method.needs_static else "events"
        panels = _explain(method, stream, repeated, label[known.to(label.device)], static=True)
        places = known.nonzero()[:, 0].tolist()
        found |= {(place, "static"): panel for place, panel in zip(places, panels, strict=True)}
    return found


def multi_step_copy(run: LoadedRun) -> Method:
    """The run's method with its weights in multi-step execution, where a layer is called once and gives all steps.

    The numbers are those of `step` execution; so are the maps.
    """
    model = {**run.recipe.model, "execution": "multi_step", "recompute": False}
    copy = build_method(replace(run.recipe, model=model), len(run.task.pairs.classes), run.record["seed"])
    copy.load_state_dict(run.method.state_dict())
    return copy.to(run.fabric.device).eval()


class Stream(nn.Module):
    """One stream of a two-stream network as a plain classifier: frames `[B, T, 2, H, W]` -> mean logits `[B, K]`.

    Args:
        method: its backbone runs in `multi_step`.
        name: `mixed` or `events`, whose classifier is used.
    """

    def __init__(self, method: Method, name: str) -> None:
        super().__init__()
        self.method, self.name = method, name

    @property
    def streams(self) -> int:
        """S, streams that the network runs at once: it has no way to run the mixed one alone."""
        return 2 if self.name == "mixed" else 1

    def forward(self, frames: Tensor) -> Tensor:
        """Mean logits `[B, K]`."""
        if self.name == "mixed":
            logits: Tensor = self.method.backbone.streams(frames, frames)[0].logits
        else:
            logits = self.method.predict(frames)
        return logits.mean(0)


class StepMeanCAM(GradCAMPlusPlus):
    """Grad-CAM++ of frames `[B, T, 2, H, W]`: one map a step, of activations `[T*B, C, h, w]`; their mean over T."""

    def get_cam_image(self, input_tensor: Tensor, *args: Any, **kwargs: Any) -> np.ndarray:
        """The mean over the steps of the positive parts of their maps: `[B, h, w]`."""
        maps = np.maximum(super().get_cam_image(input_tensor, *args, **kwargs), 0)
        batch, steps = input_tensor.shape[:2]
        return maps.reshape(steps, batch, *maps.shape[1:]).mean(0)

    def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, int]:
        """Of a frame."""
        return input_tensor.shape[-1], input_tensor.shape[-2]


def heat_maps(stream: Stream, frames: Tensor, label: Tensor) -> tuple[np.ndarray, Tensor]:
    """Grad-CAM++ of a stream.

    Args:
        stream: in evaluation mode.
        frames: `[B, T, 2, H, W]`.
        label: the classes to explain `[B]`.

    Returns:
        Maps `[B, H, W]` from 0 to 1, all 0 where nothing speaks for the class, and mean logits `[B, K]`.
    """
    batch, steps = frames.shape[:2]

    def of_stream(x: Tensor) -> Tensor:  # [T*S*B, C, h, w] -> [T*B, C, h, w]; the mixed stream is the first
        return x.unflatten(0, (steps, stream.streams, batch))[:, 0].flatten(0, 1)

    def target(label: int) -> Any:
        return lambda logits: steps * logits[label]

    with StepMeanCAM(stream, [last_stage(stream, frames)], of_stream) as explain:
        maps = explain(frames, [target(number) for number in label.tolist()])
        logits: Tensor = explain.outputs.detach()
    return maps, logits


def last_stage(stream: nn.Module, frames: Tensor) -> nn.Module:
    """The last layer to run whose output has the resolution of the last convolution's.

    Raises:
        RecipeError: for a network without a convolution.
    """
    ran: list[tuple[nn.Module, tuple[int, ...]]] = []
    handles = [
        layer.register_forward_hook(
            lambda layer, inputs, output: ran.append((layer, tuple(getattr(output, "shape", ()))))
        )
        for layer in stream.modules()
    ]
    with torch.no_grad():
        stream(frames)
    for handle in handles:
        handle.remove()
    sides = [shape[2:] for layer, shape in ran if isinstance(layer, nn.Conv2d)]
    if not sides:
        raise RecipeError("Grad-CAM++ needs a network with a convolution, and this one has none: give another run")
    return [layer for layer, shape in ran if len(shape) == 4 and shape[2:] == sides[-1]][-1]


def _explain(method: Method, name: str, frames: Tensor, label: Tensor, static: bool = False) -> list[Panel]:
    maps, logits = heat_maps(Stream(method, name).eval(), frames, label)
    paint = _paint_static if static else _paint_events
    probability = logits.softmax(1)
    return [
        Panel(
            *paint(frames[i].cpu().numpy()),
            maps[i],
            number,
            int(logits[i].argmax()),
            float(logits[i, number]),
            float(probability[i, number]),
        )
        for i, number in enumerate(label.tolist())
    ]


def _paint_static(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one channel that the network sees, of frames `[T, 2, H, W]`, in grey, twice."""
    grey = np.clip(np.repeat(frames[0, 0, ..., None] / max(float(frames.max()), 1e-9), 3, axis=2), 0, 1)
    return grey, grey


def _paint_events(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum over the steps on black: ON red and OFF blue, and both in grey."""
    off, on = frames.sum(0)[..., None] / _bright(frames.sum(0))
    return np.clip(on * ON + off * OFF, 0, 1), np.clip(np.repeat(on + off, 3, axis=2) / 2, 0, 1)


def _bright(picture: np.ndarray) -> float:
    """What is drawn brightest, the 99th percentile of what is above 0: one hot pixel must not darken the rest."""
    lit = picture[picture > 0]
    return float(np.percentile(lit, 99)) if len(lit) else 1.0


def _numbers(panel: Panel, modality: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of a panel, for the CSV."""
    lit = panel.grey[..., 0] > 0
    on_events = float(panel.heat[lit].sum() / panel.heat.sum()) if panel.heat.any() else None
    return {
        "predicted": classes[panel.predicted],
        "logit_of_class": round(panel.logit, 6),
        "probability_of_class": round(panel.probability, 6),
        "area_above_half": round(float((panel.heat > 0.5 * panel.heat.max()).mean()), 4),
        "mass_on_events": on_events if modality == "events" else None,
        "pixels_with_events": float(lit.mean()) if modality == "events" else None,
    }


def _draw(runs: list[LoadedRun], columns: list[dict[tuple[int, str], Panel]]) -> Figure:
    """Classes side by side, then below; of each, static above events, and the input left of the maps."""
    shown = [modality for modality in MODALITIES if any(key[1] == modality for key in columns[0])]
    count, wide, high = 1 + max(place for place, _ in columns[0]), len(runs) + 1, len(shown)
    down = -(-count // max(1, COLUMNS // wide))
    across = -(-count // down)
    figure = Figure(figsize=(1.45 * (wide + 0.2) * across + 1, 1.74 * high * down + 1.2), layout="constrained")
    widths = ([1.0] * wide + [0.12]) * across
    grid = figure.add_gridspec(down * high, len(widths), width_ratios=widths)
    everything = []
    for place in range(count):
        for line, modality in enumerate(shown):
            top, left = place // across * high + line, place % across * (wide + 1)
            axes = [figure.add_subplot(grid[top, left + number]) for number in range(wide)]
            everything += axes
            _draw_row(axes, [column.get((place, modality)) for column in columns], modality, runs)
            if line == 0:
                for axis, title in zip(axes[1:], titles_of(runs), strict=True):
                    axis.set_title("\n".join(brief(part, LETTERS) for part in title.split("\n")), fontsize=7.5)
                name = runs[0].task.pairs.classes[columns[0][place, "events"].label]
                axes[0].set_title(brief(name, 16), fontsize=9, weight="bold")
    bar = ScalarMappable(Normalize(0, 1), HEAT)
    figure.colorbar(
        bar,
        ax=everything,
        label="Grad-CAM++ (1: highest of a panel; line: half of it)",
        shrink=0.6,
        pad=0.01,
        aspect=30,
    )
    entitle(
        figure,
        f"What speaks for the true class: first test recordings of {setting_in_words(runs)}",
        warnings_in_words(runs),
        size=10,
    )
    return figure


def _draw_row(axes: list[Axes], panels: list[Panel | None], modality: str, runs: list[LoadedRun]) -> None:
    """One input, and the maps of all runs over it."""
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.set_box_aspect(1)
    axes[0].set_ylabel(modality, fontsize=8)
    if panels[0] is None:
        axes[0].text(0.5, 0.5, "no image", ha="center", va="center", fontsize=7, transform=axes[0].transAxes)
        return
    axes[0].imshow(panels[0].picture)
    axes[0].set_xlabel("red ON, blue OFF" if modality == "events" else "as the nets see it", fontsize=7)
    for axis, panel, run in zip(axes[1:], panels, runs, strict=True):
        assert panel is not None
        axis.imshow(0.8 * panel.grey)
        axis.imshow(panel.heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.75 * panel.heat, interpolation="bilinear")
        if panel.heat.any():
            axis.contour(panel.heat, [0.5], colors="white", linewidths=0.7)
        axis.set_xlabel(_verdict(panel, run.task.pairs.classes), fontsize=7)


def _verdict(panel: Panel, classes: tuple[str, ...]) -> str:
    """What the network takes the input for."""
    right = panel.predicted == panel.label
    name = "right" if right else brief(classes[panel.predicted], LETTERS if panel.heat.any() else 14)
    return f"{name}{'' if panel.heat.any() else ', no map'}\np(true) = {panel.probability:.2f}"
