"""Networks and layers of images on fastnn and its peers, PyTorch in both orders of axes: time, and peak memory.

python bench/convolutions.py [--peers A,B] [--only TEXT] [--threads N] [--quick] [--plot FILE]: the tables of
`peers.py`, measured in its way, and those of `memory.py`, for the training steps of LeNet-5 (1x28x28) and of a network
for images of CIFAR's shape (3x32x32: 3x3 convolutions of 32, 32, 64 and 128 channels with batch normalisation, two
max-pools and an average), for one image through LeNet-5, and for layers. A quick run leaves the memory out.
"""

from __future__ import annotations

import memory
import peers
from image_work import IMAGE_STEPS
from peer_work import IMAGE_CASES

PEERS = "explicit", "torch", "channels", "compiled", "jax"
LABELS = {**memory.NAMES, "channels": peers.PEERS["channels"], "compiled": "torch.compile"}


def peaks(options):
    """A table for each training step."""
    names = {name: label for name, label in LABELS.items() if name in ("native", *options.peers)}
    for case in options.cases:
        if case.table == IMAGE_STEPS and not options.quick:
            print("\nPeak memory: ", end="")
            memory.report(case, options.cpus, names)


if __name__ == "__main__":
    peers.main(IMAGE_CASES, "Time networks and layers of images on fastnn and on its peers.", PEERS, peaks)
