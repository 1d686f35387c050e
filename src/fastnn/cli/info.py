"""`fastnn info`: the configuration, or what is in a file."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from typing import Any

import numpy as np

from .. import serialization, show_config
from ..backend import config
from ..checkpoint.files import METADATA as CHECKPOINT
from ..nn import Module
from .options import command, json_option
from .preparation import CLASSIFICATION, METADATA, TRAINING, Preparation
from .report import Report, count, listed, table

HELP = """\
Without FILE: versions, back end, instruction set, BLAS and threads. With FILE, a .safetensors file: the layers, how the
model was trained, and what it expects of its data; or the tensors, if the file holds no model of fastnn.

examples:
  fastnn info
  fastnn train digits --out digits.safetensors
  fastnn info digits.safetensors
  fastnn info digits.safetensors --json
"""


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = command(subparsers, "info", run, "show the configuration, or what is in a model's file", HELP)
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .safetensors file")
    json_option(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the configuration or the description of a file."""
    report = Report(arguments.json)
    if arguments.file is None:
        if report.as_json:
            report.result({"command": "info", **config()})
        else:
            show_config()
        return
    tensors, metadata = serialization.load_tensors(arguments.file)
    values: dict[str, Any] = {"command": "info", "file": arguments.file, "bytes": os.path.getsize(arguments.file)}
    report.say(f"{arguments.file}: {_size(values['bytes'])}, {count(len(tensors), 'tensor')}")
    preparation = Preparation.loads(arguments.file, metadata) if METADATA in metadata else None
    if serialization.ARCHITECTURE in metadata:
        model = serialization.build(tensors, metadata, arguments.file)
        values |= _describe_model(model, metadata, preparation, report)
    elif CHECKPOINT not in metadata:
        report.say("no model of fastnn\n")
    if preparation is not None:
        values["preparation"] = _describe_preparation(preparation, report)
    if TRAINING in metadata:
        values["trained"] = _describe_training(arguments.file, metadata[TRAINING], report)
    if serialization.ARCHITECTURE not in metadata:
        _describe_tensors(tensors, report)
    if CHECKPOINT in metadata:
        values["epochs_done"] = _describe_checkpoint(arguments.file, metadata[CHECKPOINT], report)
    own = (serialization.ARCHITECTURE, METADATA, TRAINING, CHECKPOINT)
    others = {name: text for name, text in metadata.items() if name not in own}
    for name, text in others.items():
        report.say(f"metadata {name}: {text if len(text) <= 200 else text[:197] + '...'}")
    values["tensors"] = {name: {"dtype": str(a.dtype), "shape": list(a.shape)} for name, a in tensors.items()}
    report.result({**values, "metadata": others})


def _describe_model(
    model: Module, metadata: dict[str, str], preparation: Preparation | None, report: Report
) -> dict[str, Any]:
    """The layers and the number of their parameters; with the number of features their shapes too."""
    architecture = json.loads(metadata[serialization.ARCHITECTURE])
    values = {"architecture": architecture, "parameters": sum(array.size for array in model.parameters())}
    if preparation is None:
        report.say(f"\n{model!r}\n{count(values['parameters'], 'parameter')}\n")
        return values
    summary = model.summary((preparation.n_features,))
    report.say(f"\n{summary}\n")
    return {**values, "macs": summary.macs, "dtypes": summary.dtypes}


def _describe_preparation(preparation: Preparation, report: Report) -> dict[str, Any]:
    """What the model expects of its data."""
    if preparation.task == CLASSIFICATION:
        classes = preparation.classes
        report.say(f"task: classification, {count(len(classes), 'class', 'classes')} ({listed(classes)})")
    else:
        spread = f"mean {preparation.target_mean:g}, deviation {preparation.target_std:g}"
        report.say(f"task: regression of numbers with {spread}")
    scaling = f"(x - {preparation.mean[0]:g}) / {preparation.std[0]:g}"
    if len(preparation.mean) > 1 or len(preparation.std) > 1:
        scaling = "to mean 0 and deviation 1 of the training rows"
    report.say(f"features: {preparation.n_features:,}, scaled {scaling}; missing values: {preparation.missing}")
    if preparation.features is not None:
        report.say(f"columns: {listed(preparation.features, 20)}; target: {preparation.target}")
    for place, categories in enumerate(preparation.categories or ()):
        if categories is not None:
            name = place + 1 if preparation.features is None else preparation.features[place]
            report.say(f"categories of {name}: {listed(categories)}")
    return asdict(preparation)


def _describe_training(file: str, text: str, report: Report) -> Any:
    """What `fastnn train` told about the training."""
    try:
        told = json.loads(text)
        data, training, test = told["data"], told["training"], told["test"]
        lines = [
            f"trained: by fastnn {told['fastnn']} on {data['name']}, {count(data['rows']['train'], 'row')}, "
            f"{training['epochs_done']} of {count(training['epochs'], 'epoch')}"
            f"{' (interrupted)' if training['interrupted'] else ''}, batches of {training['batch_size']}, "
            f"{training['optimizer']}, learning rate {training['lr']:g}, seed {training['seed']}"
        ]
        if test is not None:
            score = f"accuracy {100 * test['accuracy']:.2f} %" if "accuracy" in test else f"RMSE {test['rmse']:.6g}"
            lines.append(f"tested: on {count(test['rows'], 'row')}, {score}")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{file}: expected a sound {TRAINING!r}, got a damaged one ({error})") from None
    for line in lines:
        report.say(line)
    return told


def _describe_checkpoint(file: str, text: str, report: Report) -> int | None:
    """How far the training of a checkpoint has come, if it counts epochs."""
    try:
        done = json.loads(text)["parts"]["extra"].get("epoch")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: expected a sound {CHECKPOINT!r}, got a damaged one ({error})") from None
    told = f", {count(done, 'epoch')} done" if isinstance(done, int) else ""
    report.say(f"a checkpoint of a training{told}; `fastnn train --checkpoint {file} --resume` goes on\n")
    return done if isinstance(done, int) else None


def _describe_tensors(tensors: dict[str, np.ndarray], report: Report) -> None:
    """A line a tensor."""
    rows = [
        [name, str(a.dtype), "x".join(map(str, a.shape)) or "scalar", _size(a.nbytes)] for name, a in tensors.items()
    ]
    report.say(table([["tensor", "dtype", "shape", "size"], *rows]))


def _size(number: int) -> str:
    """Bytes, kB or MB."""
    if number < 1000:
        return count(number, "byte")
    return f"{number / 1e3:.3g} kB" if number < 999_500 else f"{number / 1e6:,.3g} MB"
