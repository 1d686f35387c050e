"""A small residual network on the digits that come with fastnn: python examples/residual.py [--epochs N]"""

from __future__ import annotations

import argparse

import fastnn
from fastnn import nn, optim


def block(ins: int, outs: int, stride: int = 1) -> nn.Sequential:
    """Two convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    shortcut = None
    if ins != outs or stride != 1:
        shortcut = nn.Sequential(nn.Conv2d(ins, outs, 1, stride=stride, bias=False), nn.BatchNorm2d(outs))
    body = (
        nn.Conv2d(ins, outs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outs),
        nn.ReLU(),
        nn.Conv2d(outs, outs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outs),
    )
    return nn.Sequential(nn.Residual(*body, shortcut=shortcut), nn.ReLU())


def network() -> nn.Sequential:
    """For images (N, 1, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        block(16, 16),
        block(16, 32, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a residual network on the digits.")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    X, y = fastnn.data.load_digits()
    X, X_test, y, y_test = fastnn.data.train_test_split(X / 16, y, test_size=0.25, rng=0, stratify=True)
    images, images_test = X.reshape(-1, 1, 8, 8), X_test.reshape(-1, 1, 8, 8)

    fastnn.manual_seed(0)
    model = network()
    print(model.summary((1, 8, 8)))
    trainer = fastnn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.002))
    trainer.fit(images, y, epochs=options.epochs, batch_size=32, rng=0)

    predict = fastnn.compile(model.eval(), freeze=True)
    accuracy = fastnn.metrics.accuracy(y_test, predict(images_test))
    print(f"test accuracy: {100 * accuracy:.2f} % of {len(X_test):,} images")


if __name__ == "__main__":
    main()
