"""What stands in a recipe: its sections, their keys, and what these are by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class DataConfig:
    """Which recordings and images, as which frames, in which split.

    Args:
        name: data set, see `tmkt list`.
        root: folder with the official folders.
        static_root: folder of the static images, where it is not inside `root`.
        steps: T, frames of a recording.
        size: height and width of a frame, as `[180, 240]`; one number for a square.
        protocol: how recordings are divided, see `data.splits.PROTOCOLS`.
        train_portion: share of each class that is not test.
        val_portion: share of the training recordings that is held out to select a checkpoint.
        train_per_class: training recordings of each class, instead of a share.
        static_pool: `partners` of the training recordings, or `open` (see `data.splits.Protocol`).
        frames: what a frame holds, see `data.frames.FRAMES`.
        antialias: whether the resize of the frames averages over all pixels, instead of leaving some out.
        sensor: height and width of the sensor, for recordings of one's own, which do not say it.
        columns: letter of a column (`t`, `x`, `y`, `p`) -> its name or number, for recordings of one's own.
        time_unit: unit of their times (`s`, `ms`, `us`, `ns`), where it is not certain.
        group: which structure, group, array or topic of their files has the events.
        camera: which camera wrote AER-DAT 2.0 files that do not name it.
        turn: how to turn them upright: `transpose`, `flip_x`, `flip_y`, in the order given.
        formats: suffix, as `csv` -> other values of the last five for files of that format alone.
        set: which of tonic's data sets, for the data set `tonic`.
        appearance: which channels stand for a static image, see `data.static.APPEARANCES`.
        reconstruction: for `frames: e2vid`, the file of weights and how it is used: `{weights: FILE, windows: number}`,
            see `data.types.Reconstruction`. The SHA-256 of the file is found when the recipe is loaded, and counts in
            place of its path.
        augment: augmentations of the event frames, in order, each a name or `{name: rotate, degrees: 10}`; see
            `data.augment.AUGMENTS`.
        cache: folder of the frame cache.
    """

    name: str = ""
    root: str = "data"
    static_root: str | None = None
    steps: int = 10
    size: int | list[int] = 48
    protocol: str = "clean"
    train_portion: float = 0.9
    val_portion: float = 0.1
    train_per_class: int | None = None
    static_pool: str = "partners"
    frames: str = "time"
    antialias: bool = False
    sensor: list[int] | None = None
    columns: dict[str, str | int] | None = None
    time_unit: str | None = None
    group: str | None = None
    camera: str | None = None
    turn: list[str] | None = None
    formats: dict[str, Any] | None = None
    set: str | None = None
    appearance: str = "value"
    reconstruction: dict[str, Any] | None = None
    augment: list[str | dict[str, Any]] = field(default_factory=list)
    cache: str = "cache"

    def __post_init__(self) -> None:
        if isinstance(self.size, list) and len(self.size) == 2 and self.size[0] == self.size[1]:
            self.size = self.size[0]  # one square, one hash

    @property
    def own(self) -> dict[str, Any]:
        """What is said about recordings of one's own, by key; see `data.sets.build_dataset`."""
        keys = ("sensor", "columns", "time_unit", "group", "camera", "turn", "formats", "set")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


MODEL_DEFAULTS: dict[str, Any] = {
    "name": "tmkt_vggsnn",
    "node_type": "LIFNode",
    "act_fun": "QGateGrad",
    "threshold": 0.5,
    "tau": 2.0,
    "levels": 4,
    "width": 1.0,
    "execution": "multi_step",
    "recompute": False,
}
"""What stands in every `model` section. A network whose parts do not take one of these is built without it."""

MODEL_FROM_DATA = {"step": "data.steps", "img_size": "data.size", "in_chans": "data.name", "num_classes": "data.name"}
"""Keywords of networks that follow from the data, and the key that sets them."""


@dataclass
class OptimConfig:
    """Optimiser and learning rate, both timm's.

    Args:
        name: timm's name of the optimiser.
        lr: learning rate at a batch of `lr_scale_base`.
        lr_scale_base: the rate used is lr * batch / lr_scale_base; null uses `lr` as it is.
        weight_decay: of parameters with two axes or more; all others have none.
        decay_all: whether those have it, too, as in PyTorch's own optimisers (NDA's code, for one).
        schedule: `cosine`, `step` or `none`, after the warm-up.
        warmup_epochs: epochs over which the rate rises from `warmup_lr`.
        warmup_lr: rate of the first warm-up epoch.
        min_lr: where `cosine` ends.
        cycle_epochs: epochs in which `cosine` goes from `lr` to `min_lr`; then it comes back as slowly, and so on.
            Null: the stage's epochs.
        step_epochs: epochs between two steps of `step`.
        step_at: when the steps of `step` are, as shares of the stage's epochs (`[0.6, 0.8]`), instead of `step_epochs`.
        step_rate: factor of one step of `step`.
        options: further keywords of the optimiser, as `{amsgrad: true}`.
    """

    name: str = "adamw"
    lr: float = 5e-3
    lr_scale_base: float | None = 1024.0
    weight_decay: float = 0.01
    decay_all: bool = False
    schedule: str = "cosine"
    warmup_epochs: int = 5
    warmup_lr: float = 1e-6
    min_lr: float = 1e-5
    cycle_epochs: int | None = None
    step_epochs: int = 40
    step_at: list[float] | None = None
    step_rate: float = 0.1
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainConfig:
    """How long, how many at once, how often to look.

    Args:
        epochs: of each stage of the method that `stages` gives no other number.
        batch: recordings of one optimiser step, over all processes together.
        eval_batch: recordings of one evaluation step; null takes twice `batch`, whose one stream has as many frames as
            the two of a training step.
        eval_every: epochs between two evaluations; the last epoch always has one.
        keep_every: epochs between two checkpoints of the weights that stay (`checkpoints/epoch-0030.pt`, with several
            stages `checkpoints/STAGE-epoch-0030.pt`); null: none.
        balanced: draw every class equally often, with replacement; otherwise each recording once an epoch.
        precision: `32-true` or `bf16-mixed`.
        seeds: one run each.
        threads: CPU threads; null leaves it to torch.
    """

    epochs: int = 300
    batch: int = 120
    eval_batch: int | None = None
    eval_every: int = 1
    keep_every: int | None = None
    balanced: bool = True
    precision: str = "32-true"
    seeds: list[int] = field(default_factory=lambda: [42, 1024, 90210])
    threads: int | None = None

    @property
    def at_once(self) -> int:
        """Recordings of one evaluation step, over all processes together."""
        return self.eval_batch or 2 * self.batch


@dataclass
class Recipe:
    """One cell of a table: everything but the seed.

    Args:
        name: what the run folder is called, by default `<folder>/<file>` of the recipe file.
        data: see `DataConfig`.
        model: `name`, and any keyword of the network (see `models.network.SpikingNetwork`), of its node, its surrogate
            or its norm: `{norm: step_own, alpha: 2.0}`; over `MODEL_DEFAULTS`. They are checked when it is built.
        method: `name` and the constructor arguments of the method, see `tmkt list`.
        optim: see `OptimConfig`.
        train: see `TrainConfig`.
        stages: settings of `optim` and `train` for one stage of the method, as `{ann.optim.lr: 0.1}`; see
            `stages.stage_recipe`.
        tiers: named sets of overrides, as `{smoke: {train.epochs: 1}}`.
        extends: another recipe file, relative to this one, or a recipe's name: its keys lie below these.
        imports: modules of yours to import first, e.g. one that registers a method. They are looked for in the current
            folder, beside the recipe and the files it extends, and then wherever Python looks.
        code: the files of your own that `imports` and dotted paths lead to, with their digests (`own_code.digests`).
            It is found; a recipe that states it, such as the one in a run folder, takes no other code.
    """

    name: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: dict[str, Any] = field(default_factory=MODEL_DEFAULTS.copy)
    method: dict[str, Any] = field(default_factory=dict)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    stages: dict[str, Any] = field(default_factory=dict)
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    extends: str | None = None
    imports: list[str] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for records; `recipe_from_dict` is its inverse."""
        return asdict(self)
