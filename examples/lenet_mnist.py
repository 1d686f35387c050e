"""LeNet-5 on MNIST: python examples/lenet_mnist.py FOLDER [--epochs N]

FOLDER has MNIST's IDX files, also .gz. Without train files, the first four fifths of the t10k files are trained on and
the others tested.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnn
from fastnn import nn, optim


def lenet() -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling, for images (N, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def prepared(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) of bytes as float32 (N, 1, 28, 28) from 0 to 1, and their labels."""
    return np.ascontiguousarray(X[:, None], np.float32) / 255, y.astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train LeNet-5 on MNIST.")
    parser.add_argument("folder", help="with MNIST's IDX files")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    train, test = fastnn.data.load_idx_folder(options.folder)
    if test is None:
        X, y = train
        kept = len(X) * 4 // 5
        train, test = (X[:kept], y[:kept]), (X[kept:], y[kept:])
    X, y = prepared(*train)
    X_test, y_test = prepared(*test)

    fastnn.manual_seed(0)
    model = lenet()
    optimizer = optim.Adam(model, lr=0.002)
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optimizer)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    start = time.perf_counter()
    trainer.fit(X, y, epochs=options.epochs, batch_size=64, schedule=schedule, rng=0)
    seconds = time.perf_counter() - start
    accuracy = fastnn.metrics.accuracy(y_test, trainer.predict(X_test))
    print(f"{len(X):,} images to train on, {options.epochs} epochs: {seconds:.1f} s")
    print(f"test accuracy: {100 * accuracy:.2f} % of {len(X_test):,} images")


if __name__ == "__main__":
    main()
