"""Train E2VID where no published weights are at hand: on the training recordings of a split and their own images.

    python experiments/studies/ev2vid/train.py nmnist/ev2vid e2vid_nmnist.pt data.root=data --base 8 --encoders 2

Each training recording is cut into the recipe's windows (data.steps, data.reconstruction.windows); at every window the
target is the static image that the recording shows, V channel, resized to the counted area; the loss is L1. Neither
validation nor test recordings nor their images are read. A split depends on keys and protocol alone, so one file serves
all seeds. The file has the published layout, the hash of the split, and the keys it was trained on: runs whose split
holds one of them out refuse it.
"""

import argparse
import io
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from braincog_tmkt.data.frames import WINDOWS, View
from braincog_tmkt.data.reconstruct.network import E2VIDRecurrent
from braincog_tmkt.data.reconstruct.voxel import normalised, padded, padding, voxel_grid
from braincog_tmkt.data.sets import DataSet
from braincog_tmkt.data.splits import make_split
from braincog_tmkt.data.types import Item
from braincog_tmkt.engine.task import open_dataset, protocol_of
from braincog_tmkt.errors import DataError
from braincog_tmkt.files import write_whole
from braincog_tmkt.recipe import load_recipe
from braincog_tmkt.recipe.files import find_recipe

BINS = 5


def grids(dataset: DataSet, item: Item, steps: int, windows: str, multiple: int) -> tuple[Tensor, View]:
    """The network's inputs for one recording, `[T, B, H, W]`, padded."""
    events = dataset.events(item)
    view = View(events, dataset.area(events), dataset.crop)
    made = [
        padded(normalised(voxel_grid(events[first:last], BINS, view.area, (view.top, view.left))), multiple)
        for first, last in pairwise(WINDOWS[windows](view, steps))
    ]
    return torch.from_numpy(np.stack(made)), view


def inner(images: Tensor, view: View, multiple: int) -> Tensor:
    """The part of padded images that the static image shows."""
    left, top, width, height = view.crop
    top += padding(view.area[0], multiple)[0]
    left += padding(view.area[1], multiple)[0]
    return images[..., top : top + height, left : left + width]


def main() -> None:
    """Read the pairs, train, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    for name, default in {"base": 8, "encoders": 2, "residual": 2, "epochs": 20, "batch": 4, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"({default})")
    parser.add_argument("--lr", type=float, default=5e-3, help="of Adam (0.005)")
    ask = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    torch.manual_seed(ask.seed)
    data = load_recipe(find_recipe(ask.recipe), ask.overrides).data
    dataset, index = open_dataset(data)
    split = make_split(index, protocol_of(data))
    images, train = {item.key: item for item in index.statics}, set(split.train)
    pairs = [item for item in index.recordings if item.key in train and item.key in images]
    if not (index.twins_known and pairs):
        raise DataError(f"{data.name} does not say which image a training recording shows: E2VID has nothing to learn")
    settings = {
        **{"num_bins": BINS, "skip_type": "sum", "num_encoders": ask.encoders, "base_num_channels": ask.base},
        **{"num_residual_blocks": ask.residual, "norm": "BN", "use_upsample_conv": True},
        "recurrent_block_type": "convlstm",
    }
    network = E2VIDRecurrent(**settings)  # without the batch norms, L1 makes all images of thin digits black
    by_size: dict[tuple[int, ...], list[tuple[Tensor, Tensor, View]]] = defaultdict(list)
    windows = (data.reconstruction or {}).get("windows", "time")
    for item in pairs:
        voxels, view = grids(dataset, item, data.steps, windows, network.multiple)
        target = dataset.image(images[item.key], view.crop[:1:-1])
        by_size[*voxels.shape].append((voxels, torch.from_numpy(target.copy()).float() / 255, view))
    optimizer = torch.optim.Adam(network.parameters(), ask.lr)
    bar = trange(ask.epochs)
    for _ in bar:
        batches = [
            [group[place] for place in some.tolist()]
            for group in by_size.values()
            for some in torch.randperm(len(group)).split(ask.batch)
        ]
        losses = []
        for place in torch.randperm(len(batches)).tolist():
            voxels, target = (torch.stack(part) for part in list(zip(*batches[place], strict=True))[:2])
            state, loss = None, torch.zeros(())
            for step in range(data.steps):
                made, state = network(voxels[:, step], state)
                loss = loss + (inner(made[:, 0], batches[place][0][2], network.multiple) - target).abs().mean()
            optimizer.zero_grad()
            (loss / data.steps).backward()
            optimizer.step()
            losses.append(loss.item() / data.steps)
        bar.set_description(f"L1 {np.mean(losses):.4f}")
    targets = [target for group in by_size.values() for _, target, _ in group]
    print(f"{len(pairs)} pairs, split {split.short_hash}: L1 {np.mean(losses):.4f};", end=" ")
    print(f"of black images it is {np.mean([target.mean() for target in targets]):.4f}")
    content = {
        **{"arch": "E2VIDRecurrent", "model": settings, "state_dict": network.state_dict(), "epoch": ask.epochs},
        **{"split": split.hash, "trained_on": {"set": data.name, "keys": [item.key for item in pairs]}},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(ask.out, buffer.getvalue())
    print(f"written: {ask.out}")


if __name__ == "__main__":
    main()
