"""`fastnn` as a program: help, status, environment, Ctrl-C and pipes, in processes of their own where it matters."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_support import SMALL, flowers, images, write

import fastnn
from fastnn import cli, data, serialization
from fastnn.cli.common import last_ctrl_c

PROGRAM = [sys.executable, "-m", "fastnn"]
REGRESSION = "id,size,kind,price\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]},{i % 5}.5\n" for i in range(40))


def parser_of(command):
    """The parser of a command."""
    (action,) = cli._parser([command])._subparsers._group_actions
    return action.choices[command]


def test_version_and_info(works):
    assert "backend" in works("info") and "threads" in works("info")
    assert works("--version") == f"fastnn {fastnn.__version__}\n"
    assert json.loads(works("info", "--json"))["fastnn"] == fastnn.__version__


def test_a_command_imports_its_own_module_alone():
    code = "import sys, fastnn.cli; fastnn.cli.main(['info', '--json']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    names = done.stdout.splitlines()[-1].split()
    assert "fastnn.cli.info" in names and "fastnn.cli.train" not in names
    assert not any(name.startswith(("fastnn.compat", "torch", "matplotlib")) for name in names)


def test_help_names_every_command(works):
    out = works("--help")
    assert all(re.search(rf"^    {command} ", out, re.M) for command in cli.COMMANDS)
    assert "130 Ctrl-C" in out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_names_every_option(works, command):
    out = works(command, "--help")
    assert "examples:" in out
    for action in parser_of(command)._actions:
        assert all(name in out for name in action.option_strings)
        assert action.help, action
    if command in ("train", "predict", "evaluate"):
        assert "FILE.csv" in out and "digits" in out


def examples():
    """The lines of the examples of every command."""
    for command in cli.COMMANDS:
        text = parser_of(command).epilog
        for line in text[text.index("examples:") :].splitlines()[1:]:
            if line.strip() and command not in ("bench", "port"):
                yield pytest.param(line.strip(), id=line.strip())


@pytest.mark.parametrize("line", list(examples()))
def test_examples_run(works, monkeypatch, line):
    """On small data, and for fewer epochs; those of bench and port have tests of their own."""
    for sign, package in (("--plot", "matplotlib"), (".onnx", "onnx"), (".pt", "torch")):
        if sign in line:
            pytest.importorskip(package)
    images("mnist", "t10k", 60, size=(8, 8))
    for name in ("houses.csv", "new-houses.csv", "houses-2026.csv"):
        write(name, REGRESSION)
    quick = ["--epochs", "1", "--quiet"]
    works("train", "houses.csv", "--target", "price", "--ignore", "id", *quick, "--out", "houses.safetensors")
    works("train", "digits", "--hidden", 16, *quick, "--out", "digits.safetensors")
    if "digits.pt again" in line or "digits.pt mlp" in line:
        works("convert", "digits.safetensors", "digits.pt")
    line = line.partition(" > ")[0]
    if line.startswith("cat "):
        before, line = line.split(" | ")
        monkeypatch.setattr(sys, "stdin", open(before.split()[1]))  # noqa: SIM115 (pytest ends it)
    arguments = shlex.split(line)[1:]
    if arguments[0] == "train":
        arguments += [] if "--epochs" in arguments else quick
        if "--epochs" in arguments:
            arguments[arguments.index("--epochs") + 1] = "1"
    works(*arguments)


def test_no_command(run):
    status, out, err = run()
    assert status == 2 and out == "" and err.startswith("fastnn: error: ") and err.count("\n") == 1


# Environment


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("FASTNN_NUM_THREADS", "many", "FASTNN_NUM_THREADS: expected a number from 1 to 4096, got many"),
        ("FASTNN_BACKEND", "magic", "FASTNN_BACKEND: expected one of native, reference, got magic"),
    ],
)
def test_bad_variables_are_one_line(variable, value, text):
    environment = {**os.environ, "FASTNN_BACKEND": "reference", variable: value}
    done = subprocess.run([*PROGRAM, "info"], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"fastnn: error: {text}\n")
    script = [sys.executable, "-c", "import sys; sys.argv = ['/usr/bin/fastnn']; import fastnn"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (2, f"fastnn: error: {text}\n")
    done = subprocess.run(
        [sys.executable, "-c", "import fastnn"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 1 and "Traceback" in done.stderr  # a program of the user's own


# Ctrl-C

sends_ctrl_c = pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all processes of a console")


def interrupted(arguments, signals=1):
    """The command, which gets Ctrl-C as soon as it has told of an epoch: its status, output, errors."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = [process.stderr.readline()]
        while lines[-1] and not lines[-1].startswith("epoch 2/"):
            lines.append(process.stderr.readline())
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.005)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert lines[-1].startswith("epoch 2/"), lines
    return process.returncode, out, "".join(lines) + err


@sends_ctrl_c
def test_ctrl_c_keeps_what_is_trained(empty_folder, works):
    pytest.importorskip("matplotlib")
    arguments = ["train", "digits", "--hidden", 32, "--epochs", 100_000, "--out", "m", "--plot", "curve.png"]
    status, out, err = interrupted([*arguments, "--log", "log.csv"])
    assert status == 130 and "Traceback" not in err
    assert re.search(r"^note: interrupted in epoch \d+ of 100000; going on with what is trained so far", err, re.M)
    assert "test accuracy: " in out and "model: m\n" in out and "curve: curve.png\n" in out
    assert os.path.getsize("curve.png") > 1000
    assert all(np.isfinite(array).all() for array in serialization.load("m").parameters())
    assert "(interrupted)" in works("info", "m")
    with open("log.csv") as file:
        assert file.readline().startswith("epoch,") and len(file.readlines()) >= 1


@sends_ctrl_c
def test_ctrl_c_with_json(empty_folder):
    status, out, err = interrupted(["train", "digits", "--hidden", 32, "--epochs", 100_000, "--json"])
    assert status == 130 and "Traceback" not in err
    found = json.loads(out)
    assert found["training"]["interrupted"] and found["training"]["epochs_done"] >= 1 and found["test"]["rows"] == 360


@sends_ctrl_c
def test_ctrl_c_and_resume_give_what_an_undisturbed_training_gives(empty_folder, works):
    arguments = ["train", "digits", "--hidden", 24, "--epochs", 200, "--patience", 200]
    works(*arguments, "--quiet", "--out", "whole")
    status, _, err = interrupted([*arguments, "--checkpoint", "run {1}.checkpoint", "--out", "part"])
    assert status == 130 and "Traceback" not in err
    works(*arguments, "--quiet", "--checkpoint", "run {1}.checkpoint", "--resume", "--out", "resumed")
    with open("whole", "rb") as whole, open("resumed", "rb") as resumed:
        assert whole.read() == resumed.read()


@sends_ctrl_c
def test_a_second_ctrl_c_stops_at_once(empty_folder):
    """Between the first one and the next the model may be saved already; the status is 130 in either case."""
    status, _, err = interrupted(["train", "digits", "--hidden", 32, "--epochs", 100_000, "--out", "m"], signals=5)
    assert status == 130 and "Traceback" not in err
    assert os.listdir() in ([], ["m"])


def test_resume_refuses_another_training(works, run):
    arguments = ["train", "digits", "--hidden", 8, "--quiet", "--checkpoint", "run.checkpoint"]
    works(*arguments, "--epochs", 2)
    for more, text in (
        (["--epochs", 3], "expected epochs as before, 2, got 3"),
        (["--epochs", 2, "--seed", 1], "expected seed as before, 0, got 1"),
        (["--epochs", 2, "--test-size", 0.5], "expected train rows as before, 1437, got 898"),
    ):
        status, _, err = run(*arguments, "--resume", *more)
        assert status == 1 and err.startswith("fastnn train: error: run.checkpoint: ") and text in err
    X, y = data.load_digits()
    np.savez("f.npz", X=X, y=y)
    np.savez("g.npz", X=X[::-1], y=y[::-1])
    arguments = ["train", "f.npz", "--hidden", 8, "--quiet", "--checkpoint", "other.checkpoint", "--epochs", 2]
    works(*arguments)
    os.replace("g.npz", "f.npz")
    status, _, err = run(*arguments, "--resume")
    assert status == 1 and "expected the checksum of the rows as before" in err
    arguments = ["train", "digits", "--hidden", 8, "--quiet", "--checkpoint", "run.checkpoint"]
    assert "resumed: run.checkpoint" in works(*arguments, "--resume", "--epochs", 2)


def test_the_last_ctrl_c(empty_folder):
    """The first within the block stops it, more of them do not stop what tidies up, and Python's handler is back."""
    default = signal.getsignal(signal.SIGINT)
    assert default is signal.default_int_handler
    tidied = False
    try:
        with pytest.raises(KeyboardInterrupt), last_ctrl_c():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)
                tidied = True
        assert tidied and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, default)
    with last_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is not default
    assert signal.getsignal(signal.SIGINT) is default


# Pipes


def test_as_a_program_whose_reader_stops_early(empty_folder):
    """In a process of its own; `head` closes the pipe long before the lines are written."""
    flowers("f.csv")
    flowers("g.csv", 15_000, target=False, header="width,length\n")  # 150 kB of predictions, more than a pipe holds
    trained = subprocess.run(
        [*PROGRAM, "train", "f.csv", *SMALL, "--out", "m"], capture_output=True, text=True, timeout=60
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr.count("epoch ") == 2 and "test accuracy: " in trained.stdout
    process = subprocess.Popen(
        [*PROGRAM, "predict", "m", "g.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)


def test_the_standard_input_is_a_table(empty_folder, works):
    flowers("f.csv")
    text = open("f.csv").read()  # noqa: SIM115
    done = subprocess.run(
        [*PROGRAM, "train", "-", *SMALL, "--quiet", "--out", "m"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "data: -: 60 rows" in done.stdout, done.stderr
    done = subprocess.run([*PROGRAM, "predict", "m", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == works("predict", "m", "f.csv")
    done = subprocess.run([*PROGRAM, "predict", "m", "-"], input=b"\xff\xfe", capture_output=True, timeout=60)
    assert done.returncode == 1
    assert (
        done.stderr
        == b"fastnn predict: error: standard input: expected UTF-8 text, got other bytes (invalid start byte)\n"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line(empty_folder):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "info", "--json"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("fastnn info: error: No space left on device")
    assert "Traceback" not in done.stderr
