"""R2ETL (Zhan et al., IEEE TIP 2024, DOI 10.1109/TIP.2024.3430043): images and events, aligned early and late."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..data.batch import Batch
from ..errors import RecipeError
from ..losses import DISTANCES, build_loss
from ..registry import did_you_mean
from .base import METHODS, Method


@METHODS.register("r2etl", label="R2ETL with TCKA", paper="Zhan et al., IEEE TIP 2024", year=2024, colour="#b15928")
class R2ETL(Method):
    """An image stream and an event stream; one alignment of their first nodes, one of their last.

    Loss: `TET(images) + TET(events) + w_e d_e(first nodes) + w_f d_f(last nodes)`. The published N-Caltech101 run has
    `1 - CKA` of the spikes summed over time with a weight from 0.5 to 1, and `1 - TCKA` of the bottleneck's potentials
    before their reset with weight 0.1; TET has phi 1 and lambda 1e-3.

    The network is `r2etl_vggsnn`, or any other with `transfer_streams(static, events, first, last)`, which gives a
    `models.two_stream.TransferOutput` of each stream. The `tmkt_*` networks show both through one first layer; as
    `potential` of the last node they give what Knowledge-Transfer aligns, after the reset. Colours stay in [0, 1]: the
    batch norm behind the first convolution takes out what the published mean (0.5429, 0.5263, 0.4994) and deviation
    (0.2423, 0.2392, 0.2406) would. What remains is 1 % between the scales of the colours, and the padding at the edge.

    An image of the class is drawn anew for every recording, from the protocol's pool. The published code goes through
    all images of a class, those that show test recordings too (deviation D-38).

    Args:
        backbone: a network with `transfer_streams`.
        encoder: the distance of the first nodes: of spikes `cka` (summed over time), `flat_cka`, `mse` or `mmd`, of
            potentials `tcka` or `tmse`; see `losses.alignment`.
        encoder_weight: w_e; 0 switches it off.
        feature: the distance of the last nodes, likewise.
        feature_weight: w_f; 0 switches it off.
        loss: of both streams; `{name: tet, weight: 0.001, phi: 1.0}` if None; see `losses.LOSSES`.

    Raises:
        RecipeError: for an unknown distance, loss or keyword, or a weight below 0.
    """

    takes_mixtures = False
    colour_static = True
    transfers_by = "transfer_streams"

    def __init__(
        self,
        backbone: Any,
        encoder: str = "cka",
        encoder_weight: float = 0.5,
        feature: str = "tcka",
        feature_weight: float = 0.1,
        loss: str | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone)
        for key, name, weight in (("encoder", encoder, encoder_weight), ("feature", feature, feature_weight)):
            if name not in DISTANCES:
                raise RecipeError(f"method r2etl: {key} is '{name}': {did_you_mean(name, DISTANCES)}")
            if not weight >= 0:
                raise RecipeError(f"method r2etl: {key}_weight must be 0 or more, not {weight}")
        self.encoder, self.encoder_weight = DISTANCES[encoder], encoder_weight
        self.feature, self.feature_weight = DISTANCES[feature], feature_weight
        self.loss = build_loss(loss or {"name": "tet", "weight": 1e-3, "phi": 1.0})

    def forward(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """`loss` and its parts `static`, `events`, and `encoder`, `feature` (before their weights)."""
        kinds = self.encoder.of, self.feature.of
        static, events = self.backbone.transfer_streams(batch.static, batch.events, *kinds)
        parts = {
            "static": self.loss(static.logits, batch.target, progress)["loss"],
            "events": self.loss(events.logits, batch.target, progress)["loss"],
        }
        loss = parts["static"] + parts["events"]
        for key, distance, weight, one, other in (
            ("encoder", self.encoder, self.encoder_weight, static.first, events.first),
            ("feature", self.feature, self.feature_weight, static.last, events.last),
        ):
            if weight:
                parts[key] = distance.between(one, other)
                loss = loss + weight * parts[key]
        return {"loss": loss, **parts}
