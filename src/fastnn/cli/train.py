"""`fastnn train`: read, split, train, test, save."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import __version__, serialization
from ..callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint
from ..trainer import Trainer
from . import fitting, network
from .architectures import ACTIVATIONS, MODELS, Image, check_image
from .common import check_outputs, check_picture, last_ctrl_c, table_options
from .missing import resolve
from .network import LOSSES, OPTIMIZERS, SCHEDULES
from .options import (
    DATA_HELP,
    INTERRUPTED,
    UsageError,
    command,
    integer,
    json_option,
    missing_option,
    number,
    sizes,
    threads_option,
)
from .options import table_options as add_table_options
from .preparation import METADATA, TRAINING, Preparation
from .report import Report, count, listed, plain
from .scores import in_words, scores
from .sources import read

HIDDEN = [256, 128]
HELP = f"""\
{DATA_HELP}
Ctrl-C ends the training after the step that runs: what is trained so far is tested and saved, and the status is 130.
A second Ctrl-C stops at once.

examples:
  fastnn train digits
  fastnn train digits --patience 5 --epochs 100 --out digits.safetensors --plot curve.png
  fastnn train mnist/ --hidden 256,128 --dropout 0.2 --epochs 20 --out mnist.safetensors
  fastnn train mnist/ --model lenet --epochs 10 --out lenet.safetensors
  fastnn train houses.csv --target price --ignore id --missing mean --out houses.safetensors
  fastnn train houses.csv --target price --task regression --loss huber --json > result.json
  fastnn train digits --epochs 200 --checkpoint run.checkpoint --resume --out digits.safetensors
"""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = command(subparsers, "train", run, "train a network and test it", HELP)
    parser.add_argument("data", metavar="DATA", help="what to train on, see below")
    _network_options(parser.add_argument_group("the network"))
    _training_options(parser.add_argument_group("the training"))
    _data_options(parser.add_argument_group("the data"))
    add_table_options(parser, "target column by name or place, from 0 (default: the last)", fitting=True)
    _result_options(parser.add_argument_group("the results"))


def _network_options(group: Any) -> None:
    group.add_argument(
        "--model", choices=MODELS, default="mlp", metavar="NAME",
        help="mlp: the layers that the other options describe; lenet: LeNet-5 for images; resnet: a small residual "
        "network for images (default: mlp)",
    )  # fmt: skip
    group.add_argument(
        "--hidden", type=sizes, metavar="SIZES",
        help="sizes of the hidden layers, or 'none' (default: 256,128)",
    )  # fmt: skip
    group.add_argument(
        "--activation", choices=ACTIVATIONS, metavar="NAME",
        help=f"after each hidden layer: {', '.join(ACTIVATIONS)} (default: relu)",
    )  # fmt: skip
    group.add_argument(
        "--dropout", type=number(0, 1), metavar="P",
        help="probability of dropping a hidden unit in training (default: 0.2 for classification, else 0)",
    )  # fmt: skip
    group.add_argument(
        "--batch-norm", action=argparse.BooleanOptionalAction,
        help="normalise each hidden layer over the batch or not (default: for classification)",
    )  # fmt: skip


def _training_options(group: Any) -> None:
    group.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="adam", metavar="NAME",
        help=f"one of {', '.join(OPTIMIZERS)} (default: adam)",
    )  # fmt: skip
    rates = ", ".join(f"{rate:g} for {name}" for name, (_, rate) in OPTIMIZERS.items())
    group.add_argument(
        "--lr", type=number(0, above=True), metavar="RATE", help=f"learning rate at first (default: {rates})"
    )
    group.add_argument(
        "--schedule", choices=SCHEDULES, default="cosine", metavar="NAME",
        help="how the learning rate goes on: cosine: down to 0 in the last epoch; plateau: to a tenth when the loss "
        "has not improved for 4 epochs; constant (default: cosine)",
    )  # fmt: skip
    group.add_argument(
        "--weight-decay",
        type=number(0),
        metavar="RATE",
        help="pull of the parameters to 0 (default: 0.01 for adamw, else 0)",
    )
    group.add_argument(
        "--loss", choices=LOSSES, metavar="NAME",
        help=f"of a regression: {', '.join(LOSSES)} (default: mse); that of classes is the cross entropy",
    )  # fmt: skip
    group.add_argument(
        "--class-weight",
        choices=["balanced"],
        metavar="HOW",
        help="balanced: rare classes count as much as frequent ones",
    )
    group.add_argument("--epochs", type=integer(1), default=20, metavar="N", help="passes over the data (default: 20)")
    group.add_argument("--batch-size", type=integer(1), default=32, metavar="N", help="rows a step (default: 32)")
    group.add_argument(
        "--patience", type=integer(1), metavar="N",
        help="stop when the loss of the validation rows has not improved for N epochs, and keep the best epoch "
        "(default: train all epochs)",
    )  # fmt: skip
    group.add_argument("--seed", type=integer(0), default=0, metavar="N", help="of all randomness (default: 0)")
    threads_option(group)


def _data_options(group: Any) -> None:
    group.add_argument(
        "--task", choices=("auto", "classification", "regression"), default="auto", metavar="TASK",
        help="classification or regression (default: regression if the target has fractions, else classification)",
    )  # fmt: skip
    group.add_argument(
        "--test-size", type=number(0, 1), metavar="SHARE",
        help="share of the rows to test on, 0 for none (default: 0.2, or the data's own test files)",
    )  # fmt: skip
    group.add_argument(
        "--validation-size", type=number(0, 1), metavar="SHARE",
        help="share of the other rows to watch the training by (default: 0.1 with --patience, else none: the progress "
        "shows the test rows)",
    )  # fmt: skip
    missing_option(group, ("error", "mean", "drop"), "error")


def _result_options(group: Any) -> None:
    group.add_argument("--out", metavar="FILE", help="save the model, such as model.safetensors")
    group.add_argument(
        "--plot", metavar="FILE", help="save a picture of the loss, such as curve.png (needs matplotlib)"
    )
    group.add_argument(
        "--checkpoint", metavar="FILE", help="write the whole training there after every epoch, such as run.checkpoint"
    )
    group.add_argument(
        "--resume", action="store_true",
        help="go on from the --checkpoint if it is there, with the options as before; the result is the same as "
        "without the interruption",
    )  # fmt: skip
    group.add_argument("--log", metavar="FILE", help="write the numbers of every epoch, such as log.csv")
    group.add_argument("--quiet", action="store_true", help="show no progress")
    json_option(group)


class SameOptions(Callback):
    """Refuses to go on with a training that had other options or rows."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = plain(options)

    def state_dict(self) -> dict[str, Any]:
        return {"options": self.options}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for name, value in self.options.items():
            before = state_dict["options"].get(name)
            if before != value:
                raise ValueError(f"expected {name} as before, {before}, got {value}")


def run(arguments: argparse.Namespace) -> int:
    """Read, split, train, test, save; everything that can be refused is refused before the training."""
    report = Report(arguments.json)
    _check(arguments)
    options = table_options(arguments, -1)
    source = read(arguments.data, options)
    source = resolve(source, arguments.missing or "error", arguments.data, report, training=True)
    rng = np.random.default_rng(arguments.seed)
    try:
        if arguments.model != "mlp":
            check_image(arguments.model, source.image)
        preparation, y = fitting.prepare(source, arguments)
        parts = fitting.split(source, y, arguments, preparation.task, rng)
        fitting.scale(preparation, source, parts.train)
    except ValueError as error:
        raise ValueError(f"{arguments.data}: {error}") from None
    parts = fitting.without_unused(preparation, parts)
    network.choose_defaults(arguments, preparation.task)
    image = None if arguments.model == "mlp" else source.image
    inputs, targets = preparation.inputs(parts.train.X), preparation.targets(parts.train.y)
    trainer = network.trainer(preparation, arguments, targets, rng, image)
    facts = _describe(arguments, preparation, trainer, parts, image, report)
    watched = next((part for part in (parts.validation, parts.test) if len(part.X)), None)
    validation = None if watched is None else (preparation.inputs(watched.X), preparation.targets(watched.y))
    interrupted = _fit(trainer, (inputs, targets), validation, arguments, _same(facts, inputs, targets), rng, report)
    facts["training"] |= {"epochs_done": len(trainer.history), "interrupted": interrupted}
    with last_ctrl_c() if interrupted else contextlib.nullcontext():
        facts["test"] = _test(trainer, preparation, parts.test, report)
        _save(trainer, preparation, arguments, facts, report)
    seconds = sum(trainer.history.history.get("seconds", []))
    facts["training"] |= {"seconds": seconds, "history": trainer.history.history}
    report.result({"command": "train", **facts, "model": arguments.out, "plot": arguments.plot, "log": arguments.log})
    return INTERRUPTED if interrupted else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together and files that cannot be written."""
    check_outputs([arguments.data], arguments.out, arguments.plot, arguments.log, arguments.checkpoint)
    if arguments.resume and not arguments.checkpoint:
        raise UsageError("argument --resume: expected --checkpoint FILE to go on from, got none")
    if arguments.plot:
        check_picture(arguments.plot)
    if arguments.task == "regression" and arguments.class_weight:
        raise UsageError("argument --class-weight: expected a classification, got --task regression")
    if arguments.task == "classification" and arguments.loss:
        raise UsageError("argument --loss: expected a regression, got --task classification")
    if arguments.model != "mlp":
        for name in ("hidden", "activation", "dropout", "batch_norm"):
            if getattr(arguments, name) is not None:
                option = name.replace("_", "-")
                raise UsageError(f"argument --{option}: expected --model mlp for it, got --model {arguments.model}")
    if arguments.hidden is None:
        arguments.hidden = HIDDEN if arguments.model == "mlp" else []
    for name in ("activation", "dropout", "batch_norm"):
        if not arguments.hidden and getattr(arguments, name):
            option = name.replace("_", "-")
            raise UsageError(f"argument --{option}: expected hidden layers for it, got --hidden none")
    arguments.activation = arguments.activation or "relu"


def _describe(
    arguments: argparse.Namespace,
    preparation: Preparation,
    trainer: Trainer,
    parts: fitting.Parts,
    image: Image | None,
    report: Report,
) -> dict[str, Any]:
    """Say two lines, the data and the network, and return the same as values."""
    rows = {name: len(part.X) for name, part in parts._asdict().items()}
    validation = f", {rows['validation']:,} to validate on" if rows["validation"] else ""
    columns = preparation.n_columns
    features = count(preparation.n_features, "feature")
    features += f" from {count(columns, 'column')}" if preparation.categories is not None else ""
    classes = preparation.classes
    task = f"{count(len(classes), 'class', 'classes')} ({listed(classes)})" if classes else "a number to predict"
    report.say(
        f"data: {arguments.data}: {count(sum(rows.values()), 'row')} ({rows['train']:,} to train on{validation}, "
        f"{rows['test']:,} to test on), {features}, {task}"
    )
    sizes = [preparation.n_features, *arguments.hidden, len(classes) or 1]
    parameters = sum(array.size for array in trainer.model.parameters())
    words = [
        *(["-".join(map(str, sizes))] if image is None else [arguments.model, f"{_shape(image)} to {sizes[-1]}"]),
        *([arguments.activation] if arguments.hidden else []),
        *(["batch normalisation"] if arguments.batch_norm else []),
        *([f"dropout {arguments.dropout:g}"] if arguments.dropout else []),
        count(parameters, "parameter"),
        f"{arguments.optimizer}, learning rate {trainer.optimizer.lr:g}",
    ]
    report.say(f"network: {', '.join(words)}")
    options = ("activation", "dropout", "batch_norm", "optimizer", "lr", "schedule", "weight_decay", "loss",
               "class_weight", "epochs", "batch_size", "patience", "seed")  # fmt: skip
    return {
        "data": {"name": arguments.data, "rows": rows, "features": preparation.n_features, "task": preparation.task,
                 "classes": classes or None},
        "network": {"model": arguments.model, "image": image, "sizes": sizes, "parameters": parameters},
        "training": {name: getattr(arguments, name) for name in options},
    }  # fmt: skip


def _shape(image: Image) -> str:
    """Such as 28x28, or 3x32x32 with channels."""
    channels, *pixels = image
    return "x".join(map(str, pixels if channels == 1 else image))


def _same(facts: dict[str, Any], *arrays: np.ndarray) -> dict[str, Any]:
    """What must be as before where a training goes on; the rows by a checksum."""
    rows = {f"{name} rows": number for name, number in facts["data"]["rows"].items()}
    free = ("patience", *(() if facts["training"]["schedule"] == "cosine" else ("epochs",)))
    options = {name: value for name, value in facts["training"].items() if name not in free}
    checksum = zlib.crc32(b"".join(array.tobytes() for array in arrays))
    return {
        **rows,
        "model": facts["network"]["model"],
        "sizes": facts["network"]["sizes"],
        **options,
        "the checksum of the rows": checksum,
    }


def _fit(
    trainer: Trainer, rows: tuple[np.ndarray, np.ndarray], validation: Any, arguments: argparse.Namespace,
    same: dict[str, Any], rng: np.random.Generator, report: Report,
) -> bool:  # fmt: skip
    """Train; whether Ctrl-C ended it."""

    def stop_if_diverged(record: dict[str, float]) -> None:
        if not np.isfinite(record["loss"]):
            raise ValueError(
                f"the training diverged: the loss of epoch {record['epoch']} is {record['loss']}; "
                f"try a smaller --lr than {arguments.lr:g}"
            )

    stopping = EarlyStopping("val_loss", patience=arguments.patience) if arguments.patience else None
    callbacks: list[Any] = [stop_if_diverged, SameOptions(same), *([stopping] if stopping else [])]
    callbacks += [CSVLogger(arguments.log)] if arguments.log else []
    resume = arguments.checkpoint if arguments.resume and os.path.exists(arguments.checkpoint) else None
    if arguments.checkpoint:
        path = arguments.checkpoint.replace("{", "{{").replace("}", "}}")
        callbacks.append(ModelCheckpoint(path, save="checkpoint"))
    interrupted = False
    try:
        trainer.fit(
            *rows,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            validation_data=validation,
            callbacks=callbacks,
            rng=rng,
            progress=not arguments.quiet,
            schedule=network.schedule(trainer.optimizer, arguments),
            drop_last=arguments.batch_norm and len(rows[0]) % arguments.batch_size == 1,
            resume=resume,
        )
    except KeyboardInterrupt:
        if not all(np.isfinite(array).all() for array in trainer.model.parameters()):
            raise
        interrupted = True
        report.note(
            f"interrupted in epoch {trainer.epoch} of {arguments.epochs}; going on with what is trained so far "
            "(Ctrl-C again stops at once)"
        )
    if resume is not None:
        report.say(f"resumed: {resume}")
    report.say(f"training time: {sum(trainer.history.history.get('seconds', [])):.2f} s")
    if stopping is not None and stopping.best_epoch:
        done = len(trainer.history)
        report.say(f"best epoch: {stopping.best_epoch} of {done}, whose parameters are kept")
    return interrupted


def _test(trainer: Trainer, preparation: Preparation, test: fitting.Part, report: Report) -> dict[str, Any] | None:
    """Say how good the predictions of the test rows are."""
    if len(test.X) == 0:
        return None
    predicted = preparation.outputs(trainer.predict(preparation.inputs(test.X)))
    found = scores(preparation.task, predicted, test.y)
    report.say(f"test {in_words(found)}")
    return found


def _save(
    trainer: Trainer, preparation: Preparation, arguments: argparse.Namespace, facts: dict[str, Any], report: Report
) -> None:
    """Write the model and the picture."""
    if arguments.out:
        told = json.dumps(plain({"fastnn": __version__, **facts}), ensure_ascii=False)
        serialization.save(trainer.model, arguments.out, {METADATA: preparation.dumps(), TRAINING: told})
    report.say(f"model: {arguments.out or 'not saved (--out model.safetensors saves it)'}")
    if arguments.log:
        report.say(f"log: {arguments.log}")
    if arguments.plot and len(trainer.history):
        trainer.history.plot(arguments.plot)
        report.say(f"curve: {arguments.plot}")
    elif arguments.plot:
        report.note("no curve is drawn, since no epoch is done")
