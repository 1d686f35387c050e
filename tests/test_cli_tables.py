"""Tables that people have: categories, missing cells, columns to leave out, delimiters, and damaged ones."""

import io
import json
import sys

import numpy as np
import pytest
from cli_support import write

from fastnn import serialization
from fastnn.cli.fitting import VALIDATION_SIZE
from fastnn.cli.preparation import METADATA, Preparation
from fastnn.cli.tables import TableOptions, read_table
from fastnn.data.columns import CHUNK, sniff

QUICK = ["--quiet", "--epochs", "2", "--hidden", "8"]


def houses(path, rows=60, **columns):
    """A table with an id, a number, two categories and a price."""
    rng = np.random.default_rng(0)
    cells = {
        "id": [f"H{i:04}" for i in range(rows)],
        "size": [f"{s:.1f}" for s in rng.uniform(20, 200, rows)],
        "kind": ["house" if i % 3 else "flat" for i in range(rows)],
        "zip": [str(10000 + i % 4) for i in range(rows)],
    }
    cells["price"] = [
        f"{float(s) * 2 + (k == 'house') * 100:.2f}" for s, k in zip(cells["size"], cells["kind"], strict=True)
    ]
    cells |= columns
    lines = [",".join(cells), *(",".join(row) for row in zip(*cells.values(), strict=True))]
    return write(path, "\n".join(lines) + "\n")


def preparation_of(path):
    _, metadata = serialization.load_tensors(path)
    return Preparation.loads(path, metadata)


def read(text, name="file.csv", **options):
    """What a table to train on is read as."""
    return read_table(write(name, text), TableOptions(**options))


# Categories


def test_categories_are_learnt_and_remembered(works):
    houses("f.csv", 300)
    arguments = ["f.csv", "--ignore", "id", "--categorical", "zip", "--epochs", 60, "--hidden", 32, "--quiet"]
    out = json.loads(works("train", *arguments, "--out", "m", "--json"))
    assert out["data"]["features"] == 1 + 2 + 4 and out["test"]["r2"] > 0.9
    found = preparation_of("m")
    assert found.features == ["size", "kind", "zip"] and found.target == "price"
    assert found.categories == [None, ["flat", "house"], ["10000", "10001", "10002", "10003"]]
    assert found.mean[1:] == [0] * 6 and found.std[1:] == [1] * 6 and found.mean[0] > 50
    expected = works("predict", "m", "f.csv")
    write("g.csv", "kind,zip,size\n" + "".join(f"{k},{z},{s}\n" for _, s, k, z, _ in rows_of("f.csv")))
    assert works("predict", "m", "g.csv") == expected
    assert "categories of kind: flat, house" in works("info", "m")


def rows_of(path):
    with open(path) as file:
        return [line.rstrip("\n").split(",") for line in file][1:]


def test_unknown_categories_count_as_none(run, works):
    works("train", houses("f.csv"), "--ignore", "id", *QUICK, "--out", "m")
    status, out, err = run(
        "predict", "m", write("g.csv", "size,kind,zip\n50,castle,10000\n50,flat,10000\n50,hut,10000\n")
    )
    assert status == 0 and len(set(out.split())) == 2
    assert out.split()[0] == out.split()[2]
    assert err == (
        "note: column 'kind': values that training did not have in 2 of 3 rows, the first 'castle' in row 2, "
        "which count as none of its categories\n"
    )


def test_categories_of_test_rows_alone_have_no_features(works):
    """A weight that no training row has moved is noise."""
    kinds = [f"kind {i}" if i < 15 else "many" for i in range(60)]
    works("train", houses("f.csv", kind=kinds), "--ignore", "id", *QUICK, "--test-size", 0.5, "--out", "m")
    found = preparation_of("m")
    assert 2 <= len(found.categories[1]) < 16
    assert found.n_features == 2 + len(found.categories[1]) == len(found.mean) == len(found.std)
    works("predict", "m", "f.csv")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("a,b,y\n1,x,0\n2,3,1\n", [], "f.csv: row 3, column 'b': expected text as in the rows above, got the number 3"),
        ("a,b,y\n1,3,0\n2,x,1\n", [], "f.csv: row 3, column 'b': expected a number, got 'x'; --ignore leaves"),
        (
            "a,b,y\n" + "".join(f"{i},name {i},{i % 2}\n" for i in range(30)),
            [],
            "f.csv: column 'b': expected numbers or categories, got 30 different texts in 30 rows, such as 'name 0'; ",
        ),
        ("a,b,y\n1,,0\n2,?,1\n", [], "f.csv: column 'b': expected values, got none in all 2 rows; --ignore leaves"),
        ("a,b,y\n1,2,0\n", ["--ignore", "a,b"], "f.csv: expected at least one feature column beside"),
        ("a,b,y\n1,2,0\n", ["--ignore", "c"], "f.csv: expected one column named 'c', got the columns a, b, y"),
        ("a,b,y\n1,2,0\n", ["--ignore", "7"], "f.csv: expected a column to leave out in [-3, 3), got 7"),
        ("a,b,y\n1,2,0\n", ["--ignore", "y"], "f.csv: expected another column than the target to be left out"),
        ("a,b,y\n1,2,0\n", ["--categorical", "y"], "f.csv: expected another column than the target to be categorical"),
        (
            "a,b,y\n1,2,0\n",
            ["--categorical", "a", "--ignore", "a"],
            "f.csv: expected columns that are left out or categorical, got both for column 'a'",
        ),
        ("1,x,0\nb,3,1\n", [], "f.csv: row 1: expected a header or numbers, got both ('x' and '1'): --header yes or"),
        ("a,y\n1,2,3\n", [], "f.csv: row 2: expected 2 cells, got 3"),
        ("a,y\n" + "1,0\n" * (CHUNK + 5) + "1\n", [], f"f.csv: row {CHUNK + 7}: expected 2 cells, got 1"),
        ("a,y\n" + "1,0\n" * (CHUNK + 5) + "x,1\n", [], f"f.csv: row {CHUNK + 7}, column 'a': expected a number, got "),
        ('a,y\n"1,0\n', [], "f.csv: expected a CSV file, got one that is damaged ("),
        ("", [], "f.csv: expected rows of data, got an empty file"),
        ("a,y\n", [], "f.csv: expected rows of data, got the header alone"),
        ("a,y\n1,\n2,NA\n", ["--missing", "drop"], "f.csv: expected rows without missing values, got none in 2 rows"),
        ("a\n1\n2\n", [], "f.csv: expected at least one feature column beside the target, got none"),
        ("a,y\n1e39,1\n", [], "f.csv: row 2, column 'a': expected a finite float32, got '1e39'"),
        ("a,y\n1,inf\n", [], "f.csv: row 2, column 'y': expected a finite float32, got 'inf'"),
    ],
)  # fmt: skip
def test_damaged_tables(refused, empty_folder, text, more, message):
    assert refused(1, "train", write("f.csv", text), *more).startswith(message)


def test_bytes_that_are_no_text(refused, empty_folder):
    for content in (b"a,y\n\xff,1\n", b"a,y\n" + b"1,2\n" * 3000 + b"\xc3"):
        with open("f.csv", "wb") as file:
            file.write(content)
        assert refused(1, "train", "f.csv").startswith("f.csv: expected UTF-8 text, got other bytes")
    with open("f.csv", "wb") as file:
        file.write(b"a,y\n1,\0\n2,\0\n")
    assert refused(1, "train", "f.csv").startswith("f.csv: ")


# Missing cells


def holes(path):
    """A table in which cells of numbers, of a category and of the target are missing, each in its own way."""
    sizes = ["", "NA", "nan", *(str(i) for i in range(57))]
    kinds = ["flat", "house", "flat", "?", "N/A", *("house" for _ in range(55))]
    prices = [f"{i}.5" for i in range(60)]
    prices[9] = "null"
    return houses(path, size=sizes, kind=kinds, price=prices)


def test_missing_cells_are_refused_by_place_and_number(refused, empty_folder):
    assert refused(1, "train", holes("f.csv"), "--ignore", "id") == (
        "f.csv: expected a value in every cell, got 6 cells without one in 6 of 60 rows: 3 in column 'size' (the first "
        "in row 2), 2 in column 'kind' (the first in row 5), 1 in the target (the first in row 11); --missing tells "
        "how to go on"
    )
    write("g.csv", "a,b,c,d,y\n,,,,1\n1,2,3,4,2\n")
    assert "1 in column 'c' (the first in row 2), the others in 1 more column; " in refused(1, "train", "g.csv")


def test_rows_with_missing_cells_are_left_out(run, works):
    status, out, err = run("train", holes("f.csv"), "--ignore", "id", *QUICK, "--missing", "drop", "--out", "m")
    assert status == 0 and err == "note: f.csv: 6 rows of 60 left out (--missing drop)\n"
    assert "data: f.csv: 54 rows (43 to train on, 11 to test on)" in out
    status, _, err = run("predict", "m", "f.csv")
    assert status == 1 and "fastnn predict: error: f.csv: expected a value in every cell, got 5 cells" in err
    assert len(works("predict", "m", "f.csv", "--missing", "mean").splitlines()) == 60
    assert "rows left out" not in works("evaluate", "m", "f.csv", "--missing", "drop")


def test_missing_cells_are_as_the_mean(run, works):
    status, out, err = run(
        "train", holes("f.csv"), "--ignore", "id", *QUICK, "--missing", "mean", "--test-size", 0, "--out", "m"
    )
    assert status == 0 and err == "note: f.csv: 1 row of 60 without a target left out (--missing mean)\n"
    found = preparation_of("m")
    sizes = np.delete(np.arange(57.0), 9 - 3)
    assert found.missing == "mean" and found.mean[0] == np.float32(sizes.mean())
    filled = np.concatenate([sizes, [sizes.mean()] * 3])
    np.testing.assert_allclose(found.std[0], filled.std(), rtol=1e-6)
    rows = f"size,kind,zip\n,flat,10000\n{found.mean[0]!r},flat,10000\n1,,10000\n1,neither,10000\n"
    status, out, err = run("predict", "m", write("g.csv", rows))
    a, b, c, d = out.split()
    assert status == 0 and a == b and c == d and a != c


def test_a_target_may_be_missing_where_it_is_predicted(run, works):
    works("train", houses("f.csv"), "--ignore", "id", *QUICK, "--out", "m")
    write("g.csv", "size,kind,zip,price\n50,flat,10000,\n60,flat,10000,220\n")
    status, out, err = run("predict", "m", "g.csv")
    assert status == 0 and len(out.split()) == 2 and err.startswith("error: ")
    write("g.csv", "size,kind,zip,price\n50,flat,10000,\n60,flat,10000,\n")
    status, out, err = run("predict", "m", "g.csv")
    assert (status, err) == (0, "") and len(out.split()) == 2
    status, _, err = run("evaluate", "m", "g.csv", "--missing", "mean")
    assert status == 1 and err.endswith("g.csv: expected rows without missing values, got none in 2 rows\n")


def test_a_column_without_values_in_the_training_rows(run, empty_folder):
    houses("f.csv", 4, size=["1", "", "", ""])
    message = "f.csv: expected values in column 'size' of the rows to train on, got none; --ignore leaves it out\n"
    arguments = ["train", "f.csv", "--ignore", "id", "--missing", "mean", *QUICK, "--test-size", 0.5, "--seed"]
    errors = {run(*arguments, seed)[2] for seed in range(20)}  # the one value is a test row's, or not
    assert errors == {"", f"fastnn train: error: {message}"}


def test_missing_values_of_arrays(run, works):
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[3, 1] = np.nan
    np.savez("f.npz", X=X, y=np.arange(40) % 2)
    assert "40 rows" in works("train", "f.npz", *QUICK, "--missing", "mean", "--out", "m")
    assert len(works("predict", "m", "f.npz").split()) == 40
    assert "39 rows" in works("train", "f.npz", *QUICK, "--missing", "drop")


# What a table looks like


def test_delimiters_are_found(works):
    assert [sniff(line) for line in ("a,b", "a;b", "a\tb", "a|b", "a", "a,b;c;d", '"a,b";c')] == [
        ",", ";", "\t", "|", ",", ",", ";",
    ]  # fmt: skip
    with open(houses("f.csv")) as file:
        text = file.read()
    for mark in ";\t|":
        write("g.tsv", text.replace(",", mark))
        assert "60 rows" in works("train", "g.tsv", "--ignore", "id", *QUICK)
    assert "60 rows" in works("train", "g.tsv", "--delimiter", "|", "--ignore", "id", *QUICK)


def test_bom_quotes_blank_lines_and_line_ends(empty_folder):
    text = '\ufeff"a, first",b,"y"\r\n\r\n1," x ",yes\r\n2,"x",no\r\n\r\n3,"a ""b""\nc",yes\r\n'
    with open("f.csv", "w", newline="", encoding="utf-8") as file:
        file.write(text)
    rows = read_table("f.csv", TableOptions())
    assert rows.layout.features == ["a, first", "b"] and rows.layout.target == "y"
    assert rows.layout.categories == [None, ['a "b"\nc', "x"]]
    assert rows.X.tolist() == [[1, 0, 1], [2, 0, 1], [3, 1, 0]]
    assert rows.y.tolist() == ["yes", "no", "yes"] and rows.lines.tolist() == [3, 4, 6]


def test_headers_are_told_by_the_second_row(empty_folder):
    assert read("1,red,0\n2,blue,1\n").layout.features is None
    assert read("n,color,y\n2,blue,1\n").layout.features == ["n", "color"]
    assert read("1,red,0\n2,blue,1\n", header=True).layout.features == ["1", "red"]
    assert read("red,0\nblue,1\n", header=False).layout.categories == [["blue", "red"]]


def test_columns_by_place_are_remembered_without_a_header(works, refused):
    rng = np.random.default_rng(0)
    lines = [f"{i},{'ab'[i % 2]},{rng.normal():.3f},{i % 2}" for i in range(60)]
    write("f.csv", "\n".join(lines) + "\n")
    works("train", "f.csv", "--ignore", "0", *QUICK, "--out", "m")
    found = preparation_of("m")
    assert found.features is None and found.ignored == [0] and found.categories == [["a", "b"], None]
    expected = works("predict", "m", "f.csv")
    write("g.csv", "\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    assert works("predict", "m", "g.csv", "--header", "no") == expected
    write("h.csv", "\n".join(line.rpartition(",")[0].partition(",")[2] for line in lines) + "\n")
    assert refused(1, "predict", "m", "h.csv", "--header", "no").startswith("h.csv: expected ")


def test_a_target_in_front_of_ignored_columns(works):
    lines = [f"{i % 2}.5,{i},{(i * 7) % 5}" for i in range(60)]
    write("f.csv", "\n".join(lines) + "\n")
    works("train", "f.csv", "--target", "0", "--ignore", "1", *QUICK, "--out", "m")
    assert preparation_of("m").ignored == [0]
    expected = works("predict", "m", "f.csv")
    write("g.csv", "\n".join(line.partition(",")[2] for line in lines) + "\n")
    assert works("predict", "m", "g.csv") == expected


def test_more_columns_than_in_training_are_told(run, works):
    works("train", houses("f.csv"), "--ignore", "id", *QUICK, "--out", "m")
    status, _, err = run("predict", "m", "f.csv")
    assert status == 0 and err.startswith("note: f.csv: not used, as in training: id\nerror: ")
    status, _, err = run("predict", "m", write("g.csv", "size,size,kind,zip\n1,2,flat,10000\n"))
    assert status == 1 and err.endswith("expected the columns size, kind, zip, got more than one 'size'\n")


def test_long_tables_are_read_in_parts(empty_folder):
    rows = 3 * CHUNK + 7
    text = "a,b,y\n" + "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(rows))
    found = read(text)
    assert found.X.shape == (rows, 4) and found.X[:, 0].tolist() == list(range(rows))
    assert found.X[:, 1:].argmax(axis=1).tolist() == [i % 3 for i in range(rows)]
    assert found.lines.tolist() == list(range(2, rows + 2))
    late = "a,b,y\n" + ",,0\n" * (CHUNK + 3) + "1,x,1\n"
    found = read(late)
    assert found.layout.categories == [None, ["x"]] and found.X[-1].tolist() == [1, 1]
    assert np.isnan(found.X[:-1]).all()


def test_standard_input(run, works, monkeypatch):
    text = open(houses("f.csv")).read()  # noqa: SIM115
    works("train", "f.csv", "--ignore", "id", *QUICK, "--out", "m")
    expected = run("predict", "m", "f.csv")
    stream = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + text.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    status, out, err = run("predict", "m", "-")
    assert (status, out, err.replace("standard input", "f.csv")) == expected


# Validation rows


def test_patience_watches_rows_of_its_own(works, refused):
    out = json.loads(works("train", "digits", "--hidden", 16, "--quiet", "--epochs", 40, "--patience", 2, "--json"))
    rows = out["data"]["rows"]
    assert rows == {"train": 1437 - 144, "validation": 144, "test": 360} and VALIDATION_SIZE == 0.1
    losses = out["training"]["history"]["val_loss"]
    if len(losses) < 40:
        assert len(losses) == int(np.argmin(losses)) + 1 + 2
    assert "expected a --validation-size above 0" in refused(
        1, "train", "digits", "--patience", 2, "--validation-size", 0
    )


def test_metadata_of_earlier_files_are_read(works):
    """Files that were written before tables had categories lack some names."""
    works("train", "digits", "--hidden", "none", "--epochs", 1, "--quiet", "--out", "m")
    tensors, metadata = serialization.load_tensors("m")
    values = json.loads(metadata[METADATA])
    for name in ("categories", "ignored", "missing"):
        del values[name]
    expected = works("predict", "m", "digits")
    serialization.save_tensors(tensors, "m", {**metadata, METADATA: json.dumps(values)})
    assert works("predict", "m", "digits") == expected


CELLS = [
    "1",
    "-2.5",
    " 3 ",
    "1e3",
    "+.5",
    "1_0",
    "0x10",
    "1d3",
    "1 2",
    "\uff11",
    "inf",
    "nan",
    "",
    "1e39",
    "x",
    "1.",
    "TRUE",
]


@pytest.mark.parametrize("cell", CELLS)
def test_numbers_are_those_of_python_wherever_they_stand(empty_folder, cell):
    """Far from the first row NumPy's parser reads lines of plain numbers: it has to agree on what a number is."""
    before = CHUNK + 20

    def outcome(text):
        try:
            return [str(value) for value in read(text).X[-2:, 0]]
        except ValueError as error:
            return str(error).partition(": row ")[2].partition(",")[2]

    rows = "a,b,y\n" + "1,1,0\n" * before
    assert outcome(rows + f"{cell},2,1\n4,4,1\n") == outcome(rows + f'{cell},"2",1\n4,4,1\n')
    allowed = cell in ("1", "-2.5", " 3 ", "1e3", "+.5", "\uff11", "nan", "", "1.")
    assert isinstance(outcome(rows + f"{cell},2,1\n4,4,1\n"), list) == allowed


def test_wide_rows_are_checked_wherever_they_stand(refused, empty_folder):
    rows = "a,b,y\n" + "1,2,0\n2,1,1\n" * CHUNK
    number = 2 * CHUNK + 2
    for row, text in (("1,2,0,4\n", "3 cells, got 4"), ("1,0\n", "3 cells, got 2"), (" \n", "3 cells, got 1")):
        assert refused(1, "train", write("f.csv", rows + row)) == f"f.csv: row {number}: expected {text}"
    assert len(read(rows + "\n\n1,2,0\n").X) == 2 * CHUNK + 1
    assert read(rows + "\n\n1,2,0\n").lines[-1] == number + 2
    assert read(rows + '"1",2,0\n1,2,0\n').lines[-2:].tolist() == [number, number + 1]


def test_decimal_commas(works, refused):
    rows = "".join(f"{i},25;{'a, b' if i % 2 else 'c'};{i * 3},5\n" for i in range(30))
    write("f.csv", "size;kind;price\n" + rows)
    advice = "--decimal comma reads such numbers"
    assert refused(1, "train", "f.csv") == (
        f"f.csv: column 'size': expected numbers with a decimal point, got '0,25'; {advice}"
    )
    works("train", "f.csv", *QUICK, "--decimal", "comma", "--out", "m")
    found = preparation_of("m")
    assert found.task == "regression" and found.categories == [None, ["a, b", "c"]]
    assert 10 < found.mean[0] < 20 and found.mean[0] % 1 > 0.01
    assert (
        refused(1, "predict", "m", "f.csv") == f"f.csv: row 2, column 'size': expected a number, got '0,25'; {advice}"
    )
    assert len(works("predict", "m", "f.csv", "--decimal", "comma").split()) == 30
    assert "expected another --delimiter" in refused(2, "train", "f.csv", "--decimal", "comma", "--delimiter", ",")
    assert read("a;y\n1,5;0,5\n", decimal_comma=True).X.tolist() == [[1.5]]


def test_a_closed_standard_input(refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert refused(1, "train", "-") == "standard input: expected a table, got none"


def test_columns_with_names_of_numbers_or_with_commas(works, refused):
    write("f.csv", '"a, b",2024,2025,kind\n' + "".join(f"{i},{i % 5},{i * 2}.5,{'uv'[i % 2]}\n" for i in range(30)))
    works("train", "f.csv", "--target", 2025, "--categorical", 2024, "--ignore", '"a, b"', *QUICK, "--out", "m")
    found = preparation_of("m")
    assert found.target == "2025" and found.features == ["2024", "kind"]
    assert found.categories == [["0", "1", "2", "3", "4"], ["u", "v"]]
    assert len(works("predict", "m", "f.csv", "--target", 2025).split()) == 30
    assert refused(1, "train", "f.csv", "--target", 2026) == "f.csv: expected a target column in [-4, 4), got 2026"
