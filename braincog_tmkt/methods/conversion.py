"""Conversion: an ANN is trained, and spiking nodes take the places of its activations (QCFS, Bu et al., ICLR 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import build_loss
from ..models.causal import is_causal
from ..models.convert import PERCENTILE, balance, convert, has_relu
from ..models.nodes.qcfs import QCFSNode
from ..registry import did_you_mean
from .base import METHODS, BuildNetwork, Calibration, Method, Stage, build_from_settings

SHOWN = {
    "first": lambda frames, steps: list(range(steps)),
    "last": lambda frames, steps: list(range(frames - steps, frames)),
    "spread": lambda frames, steps: [int((step + 0.5) * frames / steps) for step in range(steps)],
}
"""Which of a recording's frames the student sees, one a step."""


@METHODS.register(
    "conversion", label="QCFS", paper="Bu et al., ICLR 2022", year=2022, arxiv="2303.04347", colour="#4d9221"
)
class Conversion(Method):
    """Two stages: train an ANN (`ann`), put spiking nodes in its nodes' places (`convert`); nothing is trained then.

    The ANN of the last epoch (deviation D-35) sees all frames of a recording, the SNN `steps` of them. A recording of
    one frame (a still image) is shown to the SNN at all steps. `backbone` is the SNN, `pretraining.backbone` the ANN.
    An ANN of a user's own (`model.name: my_module.Net`) may have ReLUs, whose thresholds come from the training frames.

    Args:
        backbone: the ANN's network, built for all frames of a recording.
        steps: T of the SNN.
        node: its nodes, by name, see `models.convert.convert`; or `name` and keywords: `{name: SoftResetIFNode,
            inclusive: true}`.
        pretraining: the method of the first stage, `name` and its arguments; cross-entropy of the mean logits if None.
        student_frames: which frames the SNN sees: `first` (as HSD's code), `last` or `spread` evenly.
        percentile: of the activations of ReLUs, see `models.convert.convert`, whose default None takes.
        build: builds further networks, for a pretraining that takes it.

    Raises:
        RecipeError: for an unknown name, more steps than frames, or a percentile without ReLUs.
    """

    def __init__(
        self,
        backbone: Any,
        steps: int,
        node: str | Mapping[str, Any] = "SoftResetIFNode",
        pretraining: Mapping[str, Any] | None = None,
        student_frames: str = "first",
        percentile: float | None = None,
        build: BuildNetwork | None = None,
    ) -> None:
        self.check_name(student_frames, SHOWN)
        super().__init__(backbone)
        self.node = {"name": node} if isinstance(node, str) else dict(node)
        if "name" not in self.node:
            raise RecipeError(
                f"method {self.name}: node needs a name, as in {{name: SoftResetIFNode, inclusive: true}}"
            )
        if percentile is not None and not has_relu(backbone):
            raise RecipeError(f"method {self.name}: percentile is for ReLUs, but the network has none: leave it out")
        self.steps, self.student_frames = steps, student_frames
        self.percentile = PERCENTILE if percentile is None else percentile
        self.backbone = self.make_student(backbone)
        settings = {"name": "baseline", **(pretraining or {"tet": False})}
        self.pretraining = build_from_settings(settings, backbone, build)
        if len(self.pretraining.stages()) > 1:
            raise RecipeError(
                f"the pretraining of {self.name} has stages of its own: take baseline, knowledge_transfer or tmkt"
            )
        self.needs_static = self.pretraining.needs_static  # type: ignore[misc]
        self.takes_mixtures = self.pretraining.takes_mixtures  # type: ignore[misc]
        self.loss = build_loss("ce_mean")
        self.check_frames(backbone.step, steps)
        self._learnt = {part: _learnt(part_of) for part, part_of in self._parts().items()}

    name = "conversion"
    """In messages."""

    def check_name(self, name: str, known: Mapping[str, Any]) -> None:
        """Refuse an unknown name in a keyword."""
        if name not in known:
            raise RecipeError(f"method {self.name} does not know '{name}': {did_you_mean(name, known)}")

    def make_student(self, ann: Any) -> Any:
        """The SNN of an ANN, which stays as it is; the thresholds of ReLUs are not known yet.

        Raises:
            RecipeError: as `models.convert.convert` does, or for nodes that do not spike.
        """
        keywords = dict(self.node)
        student = convert(ann, keywords.pop("name"), **keywords)
        if any(isinstance(each, QCFSNode) for each in student.nodes):
            raise RecipeError("the student's nodes must spike: take SoftResetIFNode, or another than QCFSNode")
        student.set_steps(self.steps)
        return student

    @property
    def student_keywords(self) -> dict[str, Any]:
        """The keywords that `make_student` gives the SNN beside those of the ANN; of its nodes first, `name` theirs."""
        return dict(self.node)

    def check_frames(self, frames: int, steps: int) -> None:
        """Refuse a student of more steps than there are frames; a single frame is shown at all steps."""
        if 1 < frames < steps:
            raise RecipeError(f"the student has {steps} steps, but a recording has {frames} frames: take fewer steps")

    def stages(self) -> tuple[Stage, ...]:
        """`ann`, which other runs may take over, and `convert`."""
        ann = self.pretraining.stages()[0]._replace(name="ann", depends=("pretraining",))
        needs_data = has_relu(self.pretraining.backbone)
        return ann, Stage("convert", trains=False, calibration=Calibration() if needs_data else None)

    def begin_stage(self, stage: str) -> None:
        """Make the SNN of the ANN in the second stage; let only what the stage trains have gradients."""
        super().begin_stage(stage)
        if stage == self.stages()[1].name:
            self.backbone = self.make_student(self.pretraining.backbone)
        trained = "ann" if stage == "ann" else "student"
        for part, part_of in self._parts().items():
            for name, parameter in part_of.named_parameters():
                parameter.requires_grad_(part == trained and name in self._learnt[part])
        self.train(self.training)

    def calibrate(self, batches: Iterator[Batch]) -> None:
        """That of the pretraining, before the ANN is trained; thresholds of ReLUs, when it is converted."""
        if self.stage == "ann":
            self.pretraining.calibrate(batches)
        else:
            balance(self.backbone, self.pretraining.backbone, batches, self.percentile)

    def trainable(self) -> nn.Module:
        """The pretraining's method, ANN included; then the SNN."""
        return self.pretraining if self.stage == "ann" else self.backbone

    def train(self, mode: bool = True) -> Conversion:
        """As any module, but an ANN that is done stays in evaluation: its running statistics do not move."""
        super().train(mode)
        if self.stage != "ann":
            self.pretraining.eval()
        return self

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The pretraining's loss; for the SNN, the cross-entropy of its mean logits."""
        if self.stage == "ann":
            return self.pretraining(batch, progress)
        return self.loss(self.predict(batch.events), batch.target, progress)

    def predict(self, events: Tensor) -> Tensor:
        """Per-step logits of the SNN `[T, B, K]`; in the stage `ann` those of the ANN, one a frame."""
        return self.pretraining.predict(events) if self.stage == "ann" else super().predict(events)

    def select_frames(self, events: Tensor) -> Tensor:
        """The frames that the SNN sees, as `student_frames` says."""
        return events[:, self._rows(events.shape[1])]

    @property
    def causal(self) -> bool:
        """Whether the first t of T steps are what a run with t steps gives: where it sees the first frames."""
        as_usual = all(
            getattr(type(self), name) is getattr(Conversion, name) for name in ("predict", "select_frames", "set_steps")
        )
        return as_usual and self.stage != "ann" and self.student_frames == "first" and is_causal(self.backbone)

    def notes(self) -> list[str]:
        """Whether the converted network has a reason to be like its ANN."""
        said = self.pretraining.notes()
        if has_relu(self.pretraining.backbone):
            return said
        teacher, student = (network.nodes[0] for network in (self.pretraining.backbone, self.backbone))
        if isinstance(teacher, QCFSNode) or type(teacher).__name__ == type(student).__name__:
            return said
        return [
            *said,
            f"the teacher's nodes are neither QCFSNode nor {self.node['name']}, so nothing says that the converted"
            " network is like the teacher",
        ]

    def _parts(self) -> dict[str, nn.Module]:
        return {"ann": self.pretraining, "student": self.backbone}

    def _rows(self, frames: int) -> list[int]:
        """The frames that the SNN sees, of so many."""
        self.check_frames(frames, self.backbone.step)
        return [0] if frames == 1 else SHOWN[self.student_frames](frames, self.backbone.step)


def _learnt(part: nn.Module) -> set[str]:
    """The names of the parameters that can be learnt."""
    return {name for name, parameter in part.named_parameters() if parameter.requires_grad}
