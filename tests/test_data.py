"""Mini-batches, splitting and scaling, and the loaders, whose files are written here byte by byte."""

import csv
import gzip
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import data
from fastnn.data import idx

# ---------------------------------------------------------------------------------------------------------------
# batches
# ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(n=st.integers(0, 20), size=st.integers(1, 25), shuffle=st.booleans(), drop_last=st.booleans())
def test_batches_hold_every_row_once_with_its_target(n, size, shuffle, drop_last):
    X = np.arange(3.0 * n).reshape(n, 3)
    made = data.batches(X, 3.0 * np.arange(n), size, shuffle, rng=0, drop_last=drop_last)
    got = list(made)
    assert len(got) == len(made) == (n // size if drop_last else -(-n // size))
    assert all(len(x) == len(y) for x, y in got)
    assert [len(x) for x, _ in got[:-1]] == [size] * len(got[:-1])
    firsts = [row[0] for x, _ in got for row in x]
    assert firsts == [y for _, ys in got for y in ys]
    if not drop_last:
        assert sorted(firsts) == (3.0 * np.arange(n)).tolist()
    if not shuffle:
        assert firsts == sorted(firsts)


def test_batches_shuffle_by_seed_anew_in_each_pass():
    made = data.batches(np.arange(100), batch_size=30, shuffle=True, rng=7)
    first, second = np.concatenate(list(made)), np.concatenate(list(made))
    again = np.concatenate(list(data.batches(np.arange(100), batch_size=30, shuffle=True, rng=7)))
    assert first.tolist() != list(range(100)) and first.tolist() != second.tolist()
    assert first.tolist() == again.tolist()
    shared = np.random.default_rng(7)
    passes = [np.concatenate(list(data.batches(np.arange(100), shuffle=True, rng=shared))) for _ in range(2)]
    assert passes[0].tolist() == first.tolist() and passes[1].tolist() == second.tolist()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "X",
    [
        np.asfortranarray(np.arange(24.0).reshape(6, 4)),
        np.arange(48.0).reshape(6, 8)[:, ::2],
        np.arange(24.0).reshape(6, 4)[::-1],
        np.broadcast_to(np.arange(4.0), (6, 4)),
        np.arange(24, dtype=np.uint8).reshape(6, 2, 2).transpose(0, 2, 1),
        list(range(6)),
    ],
)
def test_batches_are_contiguous_copies_in_the_given_dtype(X, shuffle):
    before = np.array(X)
    for batch in data.batches(X, batch_size=4, shuffle=shuffle, rng=0):
        assert batch.flags.c_contiguous and batch.flags.writeable and batch.dtype == before.dtype
        batch[...] = 99
    np.testing.assert_array_equal(X, before)


def test_batches_of_a_read_only_memory_map(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10.0))
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.concatenate(list(data.batches(X, batch_size=3))).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1, 2], [1]), ValueError, "batches: expected X and Y of one length, got 2 and 1 rows"),
        (([1, 2], None, 0), ValueError, "batches: expected batch_size >= 1, got 0"),
        (([1, 2], None, 2.0), TypeError, "batches: expected batch_size as an integer, got 2.0"),
        ((1.5,), ValueError, "batches: expected X with at least one axis, got shape ()"),
        (([1], 3), ValueError, "batches: expected Y with at least one axis, got shape ()"),
    ],
)
def test_batches_refuse(arguments, error, text):
    with pytest.raises(error) as caught:
        data.batches(*arguments)
    assert str(caught.value) == text


# ---------------------------------------------------------------------------------------------------------------
# train_test_split, one_hot, standardize
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize(
    ("test_size", "expected"), [(0.2, 20), (0.07, 7), (0.201, 21), (33, 33), (np.float32(0.5), 50)]
)
def test_split_is_a_partition(test_size, expected, stratify):
    X, Y = np.arange(100), np.arange(100) % 3
    X_train, X_test, Y_train, Y_test = data.train_test_split(X, Y, test_size, rng=1, stratify=stratify)
    assert len(X_test) == len(Y_test) == expected and len(X_train) == len(Y_train) == 100 - expected
    assert sorted([*X_train, *X_test]) == X.tolist() and X_train.tolist() != sorted(X_train)
    assert (X_train % 3 == Y_train).all() and (X_test % 3 == Y_test).all()
    again = data.train_test_split(X, Y, test_size, rng=1, stratify=stratify)
    assert again[1].tolist() == X_test.tolist()
    other = data.train_test_split(X, Y, test_size, rng=2, stratify=stratify)
    assert other[1].tolist() != X_test.tolist()


@settings(max_examples=100)
@given(
    labels=st.lists(st.sampled_from("abcd"), min_size=2, max_size=60),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 9),
)
def test_stratified_split_keeps_proportions(labels, share, seed):
    count = int(np.ceil(round(share * len(labels), 6)))
    classes = sorted(set(labels))
    if count >= len(labels) or len(labels) - count < len(classes):
        with pytest.raises(ValueError, match="train_test_split: expected"):
            data.train_test_split(labels, labels, share, rng=seed, stratify=True)
        return
    _, _, train, test = data.train_test_split(labels, labels, share, rng=seed, stratify=True)
    assert len(test) == count and sorted([*train, *test]) == sorted(labels)
    for c in classes:
        size, got = labels.count(c), test.tolist().count(c)
        assert got < size
        # Whole rows of the share, unless classes of one row, which only train, leave theirs to the others.
        if min(labels.count(other) for other in classes) * count >= len(labels) * 2 and size * count % len(labels) == 0:
            assert got == size * count // len(labels)


def test_stratified_split_of_unequal_classes_is_exact():
    Y = np.repeat([0, 1, 2], [70, 20, 10])
    _, _, train, test = data.train_test_split(np.arange(100), Y, 0.2, rng=0, stratify=True)
    assert np.bincount(test).tolist() == [14, 4, 2] and np.bincount(train).tolist() == [56, 16, 8]
    # 2.8 and 1.2 rows: the larger remainder gets the row that is left
    _, _, _, test = data.train_test_split(np.arange(10), [0] * 7 + [1] * 3, 4, rng=0, stratify=True)
    assert np.bincount(test).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1], [1, 2]), ValueError, "expected X and Y of one length, got 1 and 2 rows"),
        (([1, 2], [1, 2], 0.0), ValueError, "expected test_size between 0 and 1, got 0.0"),
        (([1, 2], [1, 2], 1.0), ValueError, "expected test_size between 0 and 1, got 1.0"),
        (([1, 2], [1, 2], 2), ValueError, "expected rows in both parts, got 2 of 2 rows to test on"),
        (([1, 2], [1, 2], 0), ValueError, "expected rows in both parts, got 0 of 2 rows to test on"),
        (([1], [1], 0.5), ValueError, "expected rows in both parts, got 1 of 1 rows to test on"),
        (([1, 2], [1, 2], "half"), TypeError, "expected test_size as a number, got 'half'"),
        (([1, 2], [1, 2], True), TypeError, "expected test_size as a number, got True"),
        (([1, 2], [[1], [2]], 1, 0, True), ValueError, "expected Y of shape (N,) to stratify by, got (2, 1)"),
    ],
)
def test_split_refuses(arguments, error, text):
    with pytest.raises(error) as caught:
        data.train_test_split(*arguments)
    assert str(caught.value) == f"train_test_split: {text}"


def test_one_hot():
    assert data.one_hot([[1, 0], [2, 2]]).tolist() == [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]]
    assert data.one_hot(np.array(1, np.uint8), 2, np.float64).dtype == np.float64
    assert data.one_hot([], 3).shape == (0, 3) and data.one_hot([]).shape == (0, 0)
    for labels, classes, error, text in [
        ([0, 3], 3, IndexError, "one_hot: expected class labels in [0, 3), got 3"),
        ([0, -1], None, IndexError, "one_hot: expected class labels in [0, 1), got -1"),
        ([0.0], None, TypeError, "one_hot: expected integer class labels, got float64"),
    ]:
        with pytest.raises(error) as caught:
            data.one_hot(labels, classes)
        assert str(caught.value) == text


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32, np.float16])
def test_standardize(dtype):
    X = np.random.default_rng(0).integers(0, 100, (50, 2, 3)).astype(dtype)
    X[:, 1, 2] = 7
    before = X.copy()
    Z, mean, std = data.standardize(X)
    expected = np.float64 if dtype == np.float64 else np.float32
    assert Z.dtype == mean.dtype == std.dtype == expected and Z.shape == X.shape
    np.testing.assert_array_equal(X, before)
    assert std[1, 2] == 1 and mean[1, 2] == 7 and (Z[:, 1, 2] == 0).all()
    varying = Z.reshape(50, 6)[:, :5].astype(np.float64)
    np.testing.assert_allclose(varying.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(varying.std(axis=0), 1, rtol=1e-5)
    again, *_ = data.standardize(X[:3], mean, std)
    np.testing.assert_array_equal(again, Z[:3])


def test_standardize_of_hard_columns():
    tenth = np.full((1000, 1), 0.1, np.float32)  # whose mean, computed as a sum, is not exactly 0.1
    Z, mean, std = data.standardize(tenth)
    assert (Z == 0).all() and mean[0] == np.float32(0.1) and std[0] == 1
    assert np.full(1000, 0.1).std() > 0  # NumPy's own, by rounding
    assert data.standardize(np.full((1000, 1), 0.1))[2] == 1
    tiny = np.array([[0], [1e-45]], np.float32)  # whose deviation float32 cannot hold
    assert np.isfinite(data.standardize(tiny)[0]).all()
    assert data.standardize([1.0, 3.0])[0].tolist() == [-1, 1]
    assert np.isnan(data.standardize([[1.0, np.nan], [3.0, 2.0]])[0][:, 1]).all()
    assert data.standardize(np.empty((0, 2)), [0, 0], [1, 1])[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([[1.0, 2.0]], [0]), ValueError, "standardize: expected mean of shape (2,), got (1,)"),
        (([[1.0, 2.0]], None, [1, 0]), ValueError, "standardize: expected std greater than 0, got 0.0"),
        ((np.empty((0, 2)),), ValueError, "standardize: expected at least one row, got shape (0, 2)"),
        ((["a"],), TypeError, "standardize: expected X of a real dtype, got <U1"),
    ],
)
def test_standardize_refuses(arguments, error, text):
    with pytest.raises(error) as caught:
        data.standardize(*arguments)
    assert str(caught.value) == text


# ---------------------------------------------------------------------------------------------------------------
# IDX
# ---------------------------------------------------------------------------------------------------------------


def idx_bytes(array, shape=None):
    """The IDX file of an array, with another shape in its header where one is given."""
    code = {np.dtype(name).newbyteorder(">"): code for code, name in idx.IDX_DTYPES.items()}[
        array.dtype.newbyteorder(">")
    ]
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0,), (3, 0, 2)])
def test_idx_round_trip(tmp_path, dtype, shape, pack):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    got = data.load_idx(write(tmp_path / "anything", pack(idx_bytes(array))))
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype and got.dtype.isnative and got.shape == shape and got.flags.writeable


SMALL = np.array([[1, 2, 3], [4, 5, 6]], np.int16)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected an IDX file (bytes 00 00, a type of 08 to 0E), got ''"),
        (b"P5 28 28", "expected an IDX file (bytes 00 00, a type of 08 to 0E), got '50 35 20 32'"),
        (b"\0\0\x0a\1\0\0\0\0", "expected an IDX file (bytes 00 00, a type of 08 to 0E), got '00 00 0a 01'"),
        (b"\0\0\x08\0\0", "expected 1 to 32 axes in the IDX header, got 0"),
        (b"\0\0\x08\xff" + bytes(2000), "expected 1 to 32 axes in the IDX header, got 255"),
        (b"\0\0\x08\2\0\0\0\1\0", "expected 12 bytes of IDX header, got 9"),
        (idx_bytes(SMALL)[:-1], "expected 12 bytes of data (2x3 of int16), got 11"),
        (idx_bytes(SMALL) + b"\0", "expected 12 bytes of data (2x3 of int16), got 13"),
        (
            idx_bytes(SMALL, (1 << 20, 1 << 20)),
            "expected 2199023255552 bytes of data (1048576x1048576 of int16), got 12",
        ),
        (gzip.compress(idx_bytes(SMALL)[:-1]), "expected 12 bytes of data (2x3 of int16), got 11"),
        (gzip.compress(idx_bytes(SMALL) + b"\0"), "expected 12 bytes of data (2x3 of int16), got more"),
        (
            gzip.compress(idx_bytes(SMALL, (1 << 20, 1 << 20))),
            "expected 2199023255552 bytes of data (1048576x1048576 of int16), got 12",
        ),
    ],
)
def test_idx_refuses_in_one_line(tmp_path, content, text):
    path = write(tmp_path / "bad.idx", content)
    with pytest.raises(ValueError) as caught:
        data.load_idx(path)
    assert str(caught.value) == f"{path}: {text}"


@pytest.mark.parametrize("cut", [3, 9, 15, -9, -4, -1])
def test_idx_refuses_a_cut_gzip_file(tmp_path, cut):
    path = write(tmp_path / "cut.gz", gzip.compress(idx_bytes(SMALL))[:cut])
    with pytest.raises(ValueError, match=r"cut\.gz: expected a whole gzip file"):
        data.load_idx(path)


def test_idx_refuses_what_follows_a_gzip_file(tmp_path):
    path = write(tmp_path / "more.gz", gzip.compress(idx_bytes(SMALL)) + b"more")
    with pytest.raises(ValueError, match=r"more\.gz: expected a whole gzip file"):
        data.load_idx(path)


def test_idx_refuses_sizes_that_overflow_beside_a_zero(tmp_path):
    path = write(tmp_path / "zero", idx_bytes(np.empty(0, np.uint8), (0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)))
    with pytest.raises(ValueError, match="zero: expected a possible shape"):
        data.load_idx(path)


def test_idx_reads_a_bomb_no_further_than_its_header_says(tmp_path, monkeypatch):
    """64 MB of zeros in 64 kB of gzip behind a header of 6 elements."""
    bomb = write(tmp_path / "bomb.gz", gzip.compress(idx_bytes(np.zeros(1 << 26, np.uint8), (2, 3)), 1))
    taken = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: taken.append(size) or read(self, size))
    with pytest.raises(ValueError, match=r"expected 6 bytes of data \(2x3 of uint8\), got more"):
        data.load_idx(bomb)
    assert sum(taken) == 4 + 8 + 7 and min(taken) > 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_allocates_what_the_file_holds_not_what_it_claims(tmp_path, pack):
    tracemalloc = pytest.importorskip("tracemalloc")
    path = write(tmp_path / "liar", pack(idx_bytes(np.zeros(100, np.uint8), (1 << 30,))))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected 1073741824 bytes"):
            data.load_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_every_changed_byte_gives_an_array_or_a_value_error(tmp_path, pack):
    content = pack(idx_bytes(SMALL))
    path = tmp_path / "changed"
    kept = 0
    for place in range(len(content)):
        for value in {0, 1, 2, 0x7F, 0x80, 0xFF, content[place] ^ 1, content[place] ^ 0x40} - {content[place]}:
            write(path, content[:place] + bytes([value]) + content[place + 1 :])
            try:
                kept += isinstance(data.load_idx(path), np.ndarray)
            except ValueError as error:
                assert str(error).startswith(f"{path}: expected") and "\n" not in str(error)
    assert kept > 0


def test_idx_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.load_idx(tmp_path / "none")


IMAGES, LABELS = np.arange(24, dtype=np.uint8).reshape(3, 2, 4), np.array([7, 1, 2], np.uint8)


def test_idx_folder(tmp_path):
    write(tmp_path / "t10k-images-idx3-ubyte.gz", gzip.compress(idx_bytes(IMAGES[:2])))
    write(tmp_path / "t10k-labels-idx1-ubyte", idx_bytes(LABELS[:2]))
    (images, labels), test = data.load_idx_folder(tmp_path)
    assert images.tolist() == IMAGES[:2].tolist() and labels.tolist() == [7, 1] and test is None
    write(tmp_path / "train-images.idx3-ubyte", idx_bytes(IMAGES))
    write(tmp_path / "train-labels.idx1-ubyte", idx_bytes(LABELS))
    (images, labels), (test_images, test_labels) = data.load_idx_folder(str(tmp_path))
    assert images.tolist() == IMAGES.tolist() and labels.tolist() == LABELS.tolist()
    assert test_images.shape == (2, 2, 4) and test_labels.tolist() == [7, 1]


@pytest.mark.parametrize(
    ("images", "labels", "error", "text"),
    [
        (None, None, FileNotFoundError, "expected IDX files such as train-images-idx3-ubyte"),
        (IMAGES, None, FileNotFoundError, "expected images and labels, got train-images-idx3-ubyte alone"),
        (None, LABELS, FileNotFoundError, "expected images and labels, got train-labels-idx1-ubyte alone"),
        (IMAGES, LABELS[:2], ValueError, "expected one label for each of 3 train images, got 2"),
        (LABELS, LABELS, ValueError, r"expected images of shape \(N, height, width\), got \(3,\)"),
        (IMAGES, IMAGES, ValueError, r"expected integer labels of shape \(N,\), got uint8 \(3, 2, 4\)"),
        (IMAGES, np.ones(3), ValueError, r"expected integer labels of shape \(N,\), got float64 \(3,\)"),
    ],
)
def test_idx_folder_refuses(tmp_path, images, labels, error, text):
    for array, name in ((images, "train-images-idx3-ubyte"), (labels, "train-labels-idx1-ubyte")):
        if array is not None:
            write(tmp_path / name, idx_bytes(array))
    with pytest.raises(error, match=text):
        data.load_idx_folder(tmp_path)


# ---------------------------------------------------------------------------------------------------------------
# CSV
# ---------------------------------------------------------------------------------------------------------------


def table(tmp_path, text, **options):
    (tmp_path / "file.csv").write_text(text, encoding="utf-8")
    return data.load_csv(tmp_path / "file.csv", **options)


def test_csv_with_names_and_class_names(tmp_path):
    got = table(tmp_path, "\ufeffage, height,kind\n1,2.5,dog\n\n-3, 4e1 ,cat\n5,.5, dog \n")
    assert got.X.dtype == np.float32 and got.X.tolist() == [[1, 2.5], [-3, 40], [5, 0.5]]
    assert got.y.dtype == np.int64 and got.y.tolist() == [1, 0, 1] and got.class_names == ["cat", "dog"]
    assert got.feature_names == ["age", "height"]


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (["0", "2", "-1"], np.int64, [0, 2, -1]),
        (["0", "2.5", "1"], np.float32, [0, 2.5, 1]),
        (["1.0", "2.0", "3.0"], np.float32, [1, 2, 3]),
        (["1", "2", str(1 << 63)], np.float32, [1, 2, float(1 << 63)]),
    ],
)
def test_csv_target_dtype(tmp_path, column, dtype, values):
    got = table(tmp_path, "".join(f"{cell};1\n" for cell in column), target=0, delimiter=";")
    assert got.y.dtype == dtype and got.y.tolist() == values and got.class_names is None
    assert got.feature_names is None


def test_csv_header_and_target_choices(tmp_path):
    assert table(tmp_path, "1,2\n3,4\n").X.tolist() == [[1], [3]]
    assert table(tmp_path, "1,2\n3,4\n", header=True).X.tolist() == [[3]]
    assert table(tmp_path, "1,2\n3,4\n", target=None).X.tolist() == [[1, 2], [3, 4]]
    assert table(tmp_path, "1,2\n3,4\n", target=None).y is None
    assert table(tmp_path, "2020,x,2021\n1,a,3\n", target="x").feature_names == ["2020", "2021"]
    assert table(tmp_path, "1,yes\n2,no\n").y.tolist() == [1, 0]  # a text target alone makes no header
    assert table(tmp_path, ",a,y\n0,1,2\n").feature_names == ["", "a"]  # an index column without a name
    assert table(tmp_path, 'a,y\n"1",2\n').X.tolist() == [[1]]
    assert table(tmp_path, "a,y\r\n1,2\r\n").X.tolist() == [[1]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("age,y\n1,0\nabc,1\n", {}, "row 3, column 'age': expected a number, got 'abc'"),
        ("age,y\n1,0\n\nabc,1\n", {}, "row 4, column 'age': expected a number, got 'abc'"),
        ("y,age\n1,0\n1,1_0\n", {"target": "y"}, "row 3, column 'age': expected a number, got '1_0'"),
        ("1,2,0\n1, ,0\n", {}, "row 2, column 2: expected a number, got an empty cell"),
        ("1,,0\n", {}, "row 1, column 2: expected a number, got an empty cell"),
        ("a,y\n1,\n", {}, "row 2, column 'y': expected a value, got an empty cell"),
        ("a,y\nnan,1\n", {}, "row 2, column 'a': expected a finite float32, got 'nan'"),
        ("a,y\n1e39,1\n", {}, "row 2, column 'a': expected a finite float32, got '1e39'"),
        ("a,y\n1,2\n1,inf\n", {}, "row 3, column 'y': expected a finite float32, got 'inf'"),
        ("a,y\n1,2.5\n1,two\n", {}, "row 3, column 'y': expected a number, got 'two'"),
        ("a,y\n1,two\n1,2.5\n", {}, "row 3, column 'y': expected a name as in the rows above, got the number 2.5"),
        ("a,y\n1,2\n1\n", {}, "row 3: expected 2 cells, got 1"),
        ("a,y\n1,2,3\n", {}, "row 2: expected 2 cells, got 3"),
        (
            "5.1,NA,0\n",
            {},
            "row 1: expected a header or numbers, got both ('NA' and '5.1'): say whether it is a header",
        ),
        ("", {}, "expected rows of data, got an empty file"),
        ("\n\n", {}, "expected rows of data, got an empty file"),
        ("a,y\n", {}, "expected rows of data, got the header alone"),
        ("1\n2\n", {}, "expected at least one feature column beside the target, got none"),
        ("1,2\n", {"target": 2}, "expected a target column in [-2, 2), got 2"),
        ("a,b\n1,2\n", {"target": "c"}, "expected one column named 'c', got the columns a, b"),
        ("a,a\n1,2\n", {"target": "a"}, "expected one column named 'a', got the columns a, a"),
        (
            "1,2\n",
            {"target": "a", "header": False},
            "expected the target column by place where there is no header, got 'a'",
        ),
    ],
)
def test_csv_refuses_in_one_line(tmp_path, text, options, message):
    with pytest.raises(ValueError) as caught:
        table(tmp_path, text, **options)
    assert str(caught.value) == f"{tmp_path / 'file.csv'}: {message}"


def test_csv_refuses_what_is_no_text(tmp_path):
    with pytest.raises(ValueError, match="expected UTF-8 text, got other bytes"):
        data.load_csv(write(tmp_path / "file.csv", b"\xff\xfe1,2\n"))
    with pytest.raises(ValueError, match="expected a CSV file, got one that is damaged"):
        table(tmp_path, 'a,y\n1,"2\n')
    with pytest.raises(ValueError, match="expected a delimiter of one character, got ';;'"):
        table(tmp_path, "1,2\n", delimiter=";;")
    with pytest.raises(ValueError, match="expected header as 'auto', True or False, got 'maybe'"):
        table(tmp_path, "1,2\n", header="maybe")


@settings(max_examples=50)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    )
)
def test_csv_reads_back_every_float32(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([*row, "name"] for row in rows)
    np.testing.assert_array_equal(data.load_csv(path).X, np.array(rows, np.float32))


# ---------------------------------------------------------------------------------------------------------------
# NPZ and the digits
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("x", "Y"), ("X", None)])
def test_npz(tmp_path, save, names):
    X, y = np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(["b", "a"])
    save(tmp_path / "file.npz", **{names[0]: X}, **({names[1]: y} if names[1] else {}))
    got_X, got_y = data.load_npz(tmp_path / "file.npz")
    np.testing.assert_array_equal(got_X, X)
    assert got_X.dtype == X.dtype and got_X.flags.writeable
    assert (got_y is None) if names[1] is None else got_y.tolist() == ["b", "a"]


def test_npz_refuses(tmp_path):
    path = tmp_path / "file.npz"
    for arrays, text in [
        ({"a": [1]}, "expected arrays named X and y, got a"),
        ({"X": [1, 2], "y": [1]}, "expected X and y of one length, got 2 and 1 rows"),
        ({"X": 1}, "expected X with at least one axis, got shape ()"),
        ({"X": [{}]}, "expected an .npz file of plain arrays, got another (X.npy holds pickled objects)"),
    ]:
        np.savez(path, **arrays)
        with pytest.raises(ValueError) as caught:
            data.load_npz(path)
        assert str(caught.value) == f"{path}: {text}"
    for content in (b"", b"no zip", path.read_bytes()[:-30]):
        with pytest.raises(ValueError, match=r"file\.npz: expected an .npz file"):
            data.load_npz(write(path, content))
    with pytest.raises(FileNotFoundError):
        data.load_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(-1,)", "(1,)"])
def test_npz_refuses_a_header_that_claims_another_size(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with zipfile.ZipFile(tmp_path / "file.npz", "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(16))
    with pytest.raises(ValueError, match=r"file\.npz: expected an .npz file of plain arrays"):
        data.load_npz(tmp_path / "file.npz")


def test_npz_every_changed_byte_gives_arrays_or_a_value_error(tmp_path):
    path = tmp_path / "changed.npz"
    np.savez(path, X=np.arange(6.0).reshape(2, 3), y=[0, 1])
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        changed = content[place] ^ (1 if place % 2 else 0x80)
        write(path, content[:place] + bytes([changed]) + content[place + 1 :])
        try:
            data.load_npz(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: expected") and "\n" not in str(error)
            refused += 1
    assert refused > 0


def test_digits():
    X, y = data.load_digits()
    assert X.shape == (1797, 64) and X.dtype == np.float32 and y.dtype == np.int64
    assert X.min() == 0 and X.max() == 16 and not (X % 1).any() and X.sum() == 561718
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
