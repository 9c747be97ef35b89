"""A network of ours in a training loop of snnTorch's kind, with snnTorch's loss and accuracy, on tonic's N-MNIST.

    pip install snntorch
    python docs/examples/snntorch_loop.py /data

snnTorch's networks are called once a step with `[B, ..]` and their outputs are stacked to `[T, B, K]`. Ours are called
once with all frames, `[B, T, 2, H, W]`, reset themselves, and with `tet_loss=True` give `[T, B, K]`, so that
`forward_pass` is one line. Their outputs are logits, no spikes: take the losses and accuracies that look at
every step or at sums (`ce_rate_loss`, `ce_count_loss`, `accuracy_rate`), not those that look at spike times.
"""

import sys

import snntorch.functional as SF
import tonic
import torch
from torch.utils.data import DataLoader

from braincog_tmkt import tmkt_scnn

STEPS, CLASSES = 10, 10


def load(root, batch_size):
    """The loaders of the training and the test part; frames `[T, B, 2, 34, 34]` as in snnTorch's tutorials."""
    frames = tonic.transforms.ToFrame(sensor_size=tonic.datasets.NMNIST.sensor_size, n_time_bins=STEPS)
    time_first = tonic.collation.PadTensors(batch_first=False)
    parts = (tonic.datasets.NMNIST(root, train=train, transform=frames) for train in (True, False))
    return [DataLoader(part, batch_size, shuffle=True, collate_fn=time_first) for part in parts]


def forward_pass(net, data):
    """Per-step logits `[T, B, K]` of frames `[T, B, 2, H, W]`."""
    return net(data.transpose(0, 1).float())


def train_epoch(net, loader, optimizer, device):
    """One epoch; returns the mean loss."""
    loss_fn = SF.ce_rate_loss()
    net.train()
    total = 0.0
    for data, targets in loader:
        loss = loss_fn(forward_pass(net, data.to(device)), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def test(net, loader, device):
    """Accuracy in percent."""
    net.eval()
    right = count = 0
    for data, targets in loader:
        right += SF.accuracy_rate(forward_pass(net, data.to(device)), targets.to(device)) * len(targets)
        count += len(targets)
    return 100 * right / count


def main(root, epochs=10, batch_size=64):
    """Train and test."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, test_loader = load(root, batch_size)
    net = tmkt_scnn(num_classes=CLASSES, step=STEPS, img_size=34, tet_loss=True).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        loss = train_epoch(net, train_loader, optimizer, device)
        print(f"epoch {epoch}: loss {loss:.4f}, accuracy {test(net, test_loader, device):.2f} %", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
