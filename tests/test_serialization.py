"""safetensors files: against the safetensors library in both directions, damaged in every byte, and half-written."""

import errno
import json
import os
import stat
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn import nn, serialization
from fastnn.serialization import DTYPES, load_tensors, save_tensors

try:
    import safetensors.numpy as theirs
except ImportError:
    theirs = None
needs_theirs = pytest.mark.skipif(theirs is None, reason="the safetensors library is not installed")


def readers():
    """What reads the tensors of a file: this package and, where it is installed, the safetensors library."""
    return [lambda path: load_tensors(path)[0]] + ([theirs.load_file] if theirs else [])


TENSORS = {
    "bytes": np.arange(5, dtype=np.uint8),
    "weight": np.arange(12.0).reshape(3, 4),
    "flag": np.array([True, False]),
    "half": np.array([1.5, -2], np.float16),
    "scalar": np.array(3, np.int64),
    "none": np.empty((0, 3), np.float32),
}


def assert_same(got, expected):
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape, name
        np.testing.assert_array_equal(got[name], array)


def refused(path, content):
    """The message of the one-line ValueError that reading this content raises."""
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_tensors(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


def content(header, data=b""):
    """A file of this header (an object or its text) and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="U8", shape=(1,), begin=0, end=1):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


# ---------------------------------------------------------------------------------------------------------------
# Round trips, our own and with the safetensors library
# ---------------------------------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    save_tensors(TENSORS, tmp_path / "a", {"made by": "ünï\ncode", "": ""})
    tensors, metadata = load_tensors(str(tmp_path / "a"))
    assert_same(tensors, TENSORS)
    assert metadata == {"made by": "ünï\ncode", "": ""}
    assert all(array.flags.writeable and array.flags.c_contiguous for array in tensors.values())


def test_empty_file_of_tensors(tmp_path):
    save_tensors({}, tmp_path / "a")
    assert load_tensors(tmp_path / "a") == ({}, {})
    assert [read(tmp_path / "a") for read in readers()] == [{}] * len(readers())


@needs_theirs
@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda name: name != "__metadata__"),
        st.sampled_from(list(DTYPES.values())).flatmap(
            lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=5,
    ),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.just("value"), max_size=2),
)
def test_both_libraries_read_what_both_write(tmp_path_factory, tensors, metadata):
    folder = tmp_path_factory.mktemp("both")
    save_tensors(tensors, folder / "ours", metadata)
    with theirs.safe_open(folder / "ours", "np") as file:
        assert (file.metadata() or {}) == metadata
    for read in readers():
        assert_same(read(folder / "ours"), tensors)
    theirs.save_file(tensors, folder / "theirs", metadata or None)  # it writes bad JSON for two empty ones
    got, got_metadata = load_tensors(folder / "theirs")
    assert_same(got, tensors)
    assert got_metadata == metadata


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::2, ::-2],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.arange(6, dtype=">f8")[::-1],
        [[1, 2], [3, 4]],
    ],
)
def test_any_layout_is_written_in_c_order(tmp_path, array):
    save_tensors({"a": array}, tmp_path / "a")
    for got in (read(tmp_path / "a")["a"] for read in readers()):
        np.testing.assert_array_equal(got, array)
        assert got.dtype.isnative


@pytest.mark.parametrize("pad", range(8))
def test_layout_is_aligned(tmp_path, pad):
    save_tensors(TENSORS, tmp_path / "a", {"pad": "x" * pad})
    raw = (tmp_path / "a").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert length % 8 == 0 and raw[8:9] == b"{"
    header = json.loads(raw[8 : 8 + length])
    for name, array in TENSORS.items():
        assert header[name]["data_offsets"][0] % array.itemsize == 0


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "text"),
    [
        ({"a": np.array(["x"])}, None, TypeError, "expected 'a' of a dtype that safetensors has, got <U1"),
        ({"a": np.array([1j])}, None, TypeError, "expected 'a' of a dtype that safetensors has, got complex128"),
        ({"a": np.array([None])}, None, TypeError, "expected 'a' of a dtype that safetensors has, got object"),
        ({1: np.ones(1)}, None, TypeError, "expected names as strings, got 1"),
        ({"__metadata__": np.ones(1)}, None, ValueError, "expected another name for a tensor than '__metadata__'"),
        ({}, {"epochs": 3}, TypeError, "expected metadata as strings, got 'epochs': 3"),
        ({}, {3: "epochs"}, TypeError, "expected metadata as strings, got 3: 'epochs'"),
        ({"\ud800": np.ones(1)}, None, ValueError, "expected names and metadata that UTF-8 can hold"),
    ],
)
def test_writer_refuses_before_it_writes(tmp_path, tensors, metadata, error, text):
    with pytest.raises(error) as caught:
        save_tensors(tensors, tmp_path / "a", metadata)
    assert str(caught.value).startswith(f"save_tensors: {text}")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------
# Damaged files
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (b"", "expected a safetensors file of at least 8 bytes, got 0"),
        (b"1234567", "expected a safetensors file of at least 8 bytes, got 7"),
        (struct.pack("<Q", 3) + b"{}", "expected a safetensors file with a header of at most 2 bytes, got 3"),
        (b"\xff" * 8 + b"{}", "expected a safetensors file with a header of at most 2 bytes, got 18446744073709551615"),
        (content(b""), "expected a safetensors header that starts with '{', got b''"),
        (content(b" {}"), "expected a safetensors header that starts with '{', got b' '"),
        (content(b"[]"), "expected a safetensors header that starts with '{', got b'['"),
        (content(b"{"), "expected a header of JSON, got another text ("),
        (content(b'{"\xff":1}'), "expected a header of JSON, got another text ("),
        (content(b'{"a":1,"a":1}'), "expected a header of JSON, got another text (duplicate key 'a')"),
        (
            content(b'{"a":{"dtype":1,"dtype":2}}'),
            "expected a header of JSON, got another text (duplicate key 'dtype')",
        ),
        (content(b'{"a":' * 100_000), "expected a header of JSON, got another text (nested too deeply)"),
        (content(b'{"a":' + b"9" * 5000 + b"}"), "expected a header of JSON, got another text ("),
        (content({}, b"1"), "expected 0 bytes of data, got 1"),
        (content({"a": entry()}, b""), "expected 1 bytes of data, got 0"),
        (content({"a": entry()}, b"12"), "expected 1 bytes of data, got 2"),
        (content({"a": 1}), "tensor 'a': expected an object of dtype, shape and data_offsets, got another value"),
        (content({"a": {}}), "tensor 'a': expected an object of dtype, shape and data_offsets, got another value"),
        (content({"a": entry("BF16")}), f"tensor 'a': expected a dtype of {', '.join(DTYPES)}, got 'BF16'"),
        (content({"a": entry({})}), f"tensor 'a': expected a dtype of {', '.join(DTYPES)}, got a dict"),
        (content({"a": entry(shape=[-1])}), "tensor 'a': expected a shape of at most 32 sizes from 0, got [-1]"),
        (content({"a": entry(shape=[1.0])}), "tensor 'a': expected a shape of at most 32 sizes from 0, got [1.0]"),
        (content({"a": entry(shape=[True])}), "tensor 'a': expected a shape of at most 32 sizes from 0, got [True]"),
        (content({"a": entry(shape=[[1]])}), "tensor 'a': expected a shape of at most 32 sizes from 0, got a list"),
        (
            content({"a": entry(shape=[1] * 33)}),
            f"tensor 'a': expected a shape of at most 32 sizes from 0, got {'[' + '1, ' * 25 + '1'}...",
        ),
        (
            content({"a": entry(shape=[0, 1 << 40, 1 << 40], end=0)}),
            "tensor 'a': expected a shape that memory can hold, got [0, 1099511627776, 1099511627776]",
        ),
        (
            content({"a": entry(shape=[1 << 32, 1 << 32], end=0)}),
            "tensor 'a': expected a shape that memory can hold, got [4294967296, 4294967296]",
        ),
        (
            content({"a": entry("F64", [1 << 40], 0, 1 << 43)}, b"12345678"),
            "expected 8796093022208 bytes of data, got 8",
        ),
        (content({"a": entry("F32", [2])}), "tensor 'a': expected 8 bytes for shape [2] of F32, got 1"),
        (content({"a": entry(begin=1, end=0)}), "tensor 'a': expected data_offsets [begin, end], got [1, 0]"),
        (content({"a": entry(begin=-1, end=0)}), "tensor 'a': expected data_offsets [begin, end], got [-1, 0]"),
        (content({"a": {**entry(), "data_offsets": [0]}}), "tensor 'a': expected data_offsets [begin, end], got [0]"),
        (content({"a": {**entry(), "data_offsets": "01"}}), "tensor 'a': expected data_offsets [begin, end], got '01'"),
        (
            content({"a": entry(), "b": entry(begin=2, end=3)}, b"123"),
            "tensor 'b': expected data from byte 1, got a gap at 2",
        ),
        (content({"a": entry(begin=1, end=2)}, b"12"), "tensor 'a': expected data from byte 0, got a gap at 1"),
        (
            content({"a": entry(), "b": entry()}, b"1"),
            "tensor 'b': expected data from byte 1, got an overlap at 0",
        ),
        (
            content({"a": entry(shape=[2], end=2), "b": entry(shape=[2], begin=1, end=3)}, b"123"),
            "tensor 'b': expected data from byte 2, got an overlap at 1",
        ),
        (content({"a": entry("BOOL")}, b"\2"), "expected BOOL data of bytes 0 and 1, got 2"),
        (content({"__metadata__": {"a": 1}}), "expected metadata as an object of strings, got another value"),
        (content({"__metadata__": []}), "expected metadata as an object of strings, got another value"),
        (content({"__metadata__": None}), "expected metadata as an object of strings, got another value"),
    ],
)
def test_reader_refuses_in_one_line(tmp_path, file, text):
    assert refused(tmp_path / "bad", file).startswith(text)


def test_reader_refuses_a_header_of_more_than_100_mb(tmp_path):
    with open(tmp_path / "bad", "wb") as file:
        file.write(struct.pack("<Q", 100_000_001) + b"{}")
        file.truncate(8 + 100_000_001)  # sparse: nothing of it is on the disk
    with pytest.raises(
        ValueError, match="expected a safetensors file with a header of at most 100000000 bytes, got 100000001"
    ):
        load_tensors(tmp_path / "bad")


@pytest.mark.parametrize("depth", [100, 900, 950, 980, 990, 1000, 2000])
@pytest.mark.parametrize(
    "place", ["%s", '{"dtype":%s,"shape":[],"data_offsets":[0,0]}', '{"dtype":"U8","shape":%s,"data_offsets":0}']
)
def test_reader_refuses_nested_headers_of_every_depth(tmp_path, depth, place):
    refused(tmp_path / "deep", content(b'{"a":%s}' % (place % ("[" * depth + "]" * depth)).encode()))


def test_reader_accepts_what_the_format_allows(tmp_path):
    """Spaces behind the header, fields that are not known yet, any order of the header, data that is not aligned."""
    header = {"b": {**entry(begin=8, end=9), "note": None}, "a": entry("F64", [], 0, 8)}
    (tmp_path / "a").write_bytes(content(json.dumps(header).encode() + b"   ", struct.pack("<d", 2.5) + b"\7"))
    tensors, _ = load_tensors(tmp_path / "a")
    assert tensors["a"] == 2.5 and tensors["b"].tolist() == [7] and list(tensors) == ["b", "a"]
    (tmp_path / "a").write_bytes(content({"b": entry(), "a": entry("F64", [], 1, 9)}, b"\7" + struct.pack("<d", 2.5)))
    assert load_tensors(tmp_path / "a")[0]["a"] == 2.5


def test_every_changed_byte_gives_tensors_or_a_value_error(tmp_path):
    path = tmp_path / "changed"
    save_tensors({"a": np.ones(2, np.float32), "b": np.array([True])}, path, {"k": "v"})
    raw = path.read_bytes()
    kept = 0
    for place in range(len(raw)):
        for value in {0, 0x22, 0x39, 0xFF, raw[place] ^ 1} - {raw[place]}:
            path.write_bytes(raw[:place] + bytes([value]) + raw[place + 1 :])
            try:
                kept += len(load_tensors(path)[0]) == 2
            except ValueError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert kept > 0


def test_every_cut_is_refused(tmp_path):
    save_tensors({"a": np.ones(2, np.float32), "b": np.array([True])}, tmp_path / "a", {"k": "v"})
    raw = (tmp_path / "a").read_bytes()
    for size in range(len(raw)):
        refused(tmp_path / "cut", raw[:size])
    refused(tmp_path / "cut", raw + b"\0")


# ---------------------------------------------------------------------------------------------------------------
# Writing: whole or not at all
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "model"
    save_tensors({"a": np.ones(3)}, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":  # in the middle: the first tensor is written when the second fails
        monkeypatch.setattr(serialization, "_header", lambda arrays, metadata: arrays.append(("c", None)) or b"start")
        expected = AttributeError
    else:
        monkeypatch.setattr(os, step, fail)
        expected = OSError
    with pytest.raises(expected):
        save_tensors({"a": np.zeros(3), "b": np.zeros(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_and_folder_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number)) or fsync(number))
    save_tensors({"a": np.ones(3)}, tmp_path / "model")
    assert [stat.S_ISDIR(info.st_mode) for info in synced] == [False, True]
    assert synced[0].st_size == (tmp_path / "model").stat().st_size


def test_unwritable_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="none/model"):
        save_tensors({}, tmp_path / "none" / "model")
    with pytest.raises(ValueError, match="expected a file to write, got a folder or a device"):
        save_tensors({}, tmp_path)
    with pytest.raises(ValueError, match="expected a file to write, got a folder or a device"):
        save_tensors({}, os.devnull)
    assert os.path.exists(os.devnull) and not os.path.isfile(os.devnull)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")
def test_permissions_and_links_are_kept(tmp_path):
    save_tensors({}, tmp_path / "new")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    save_tensors({"a": np.ones(1)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    assert load_tensors(tmp_path / "real")[0]["a"] == 1


def test_readers_beside_a_writer_see_whole_files(tmp_path):
    path = tmp_path / "model"
    save_tensors({"a": np.zeros(1000)}, path)

    def write():
        for value in range(30):
            save_tensors({"a": np.full(1000, float(value))}, path)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        array = load_tensors(path)[0]["a"]
        assert (array == array[0]).all()
    writer.join()


# ---------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------


def model(dtype=np.float32):
    built = nn.Sequential(
        nn.Linear(4, 8),
        nn.BatchNorm1d(8),
        nn.LeakyReLU(0.3),
        nn.Dropout(0.25),
        nn.Sequential(nn.Linear(8, 8, bias=False), nn.GELU()),
        nn.Linear(8, 3),
    ).astype(dtype)
    built.forward(
        np.random.default_rng(0).normal(size=(16, 4)).astype(dtype)
    )  # statistics that are not the initial ones
    return built


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_model_round_trip(tmp_path, dtype):
    saved = model(dtype)
    serialization.save(saved, tmp_path / "m.safetensors", {"classes": "a b"})
    loaded = serialization.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(saved) and loaded.config() == saved.config()
    assert_same(loaded.state_dict(), dict(saved.state_dict()))
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(dtype)
    assert loaded.training
    np.testing.assert_array_equal(loaded.eval().forward(x), saved.eval().forward(x))
    assert loaded.forward(x).dtype == dtype
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    assert metadata["classes"] == "a b" and json.loads(metadata["fastnn.architecture"]) == saved.config()
    for read in readers():
        assert_same(read(tmp_path / "m.safetensors"), tensors)


def test_model_metadata_may_not_replace_the_architecture(tmp_path):
    with pytest.raises(ValueError, match=r"save: expected metadata without 'fastnn.architecture'"):
        serialization.save(model(), tmp_path / "m", {"fastnn.architecture": "{}"})


def test_load_refuses_files_without_a_model(tmp_path):
    path = tmp_path / "m.safetensors"
    saved = model()
    state, architecture = dict(saved.state_dict()), saved.config()

    def message(tensors, text):
        save_tensors(tensors, path, {} if text is None else {"fastnn.architecture": text})
        with pytest.raises(ValueError) as caught:
            serialization.load(path)
        assert str(caught.value).startswith(f"{path}: expected a model") and "\n" not in str(caught.value)
        return str(caught.value)

    assert "without 'fastnn.architecture'" in message(state, None)
    for text in ("", "{", "[]", "3", "null", "{}", '{"type":"NoSuchLayer"}', "[" * 100_000):
        message(state, text)
    first = next(iter(state))
    message({name: array for name, array in state.items() if name != first}, json.dumps(architecture))
    message({**state, "more": np.ones(1)}, json.dumps(architecture))
    message({**state, first: np.ones((1, 1), np.float32)}, json.dumps(architecture))


def test_load_refuses_an_architecture_that_the_file_cannot_fill(tmp_path, monkeypatch):
    """A layer of 4 TB in a file of a few bytes is refused before anything is built."""
    monkeypatch.setattr(nn, "from_config", lambda config: pytest.fail("built"))
    config = {
        "type": "Sequential",
        "modules": [{**nn.Linear(7, 3).config(), "in_features": 1 << 20, "out_features": 1 << 20}],
    }
    save_tensors({"0.weight": np.ones((3, 7), np.float32)}, tmp_path / "m", {"fastnn.architecture": json.dumps(config)})
    with pytest.raises(ValueError) as caught:
        serialization.load(tmp_path / "m")
    assert str(caught.value) == (
        f"{tmp_path / 'm'}: expected a model of fastnn's layers: "
        f"its architecture has {(1 << 40) + 1} parameters or more, the file holds 21"
    )


def test_every_kind_of_layer_is_loaded(tmp_path):
    """Also those without parameters, whose arguments are sizes, and those whose arguments are like sizes."""
    saved = nn.Sequential(
        nn.BatchNorm1d(6, affine=False, track_running_stats=False),
        nn.ChannelwiseScale(6, bias=False),
        nn.BatchNorm1d(6, momentum=None),
        nn.Flatten(1, -1),
        nn.Identity(),
        *(make() for make in (nn.ELU, nn.Hardtanh, nn.Mish, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Tanh)),
        nn.Sequential(),
        nn.Sequential(nn.Sequential(nn.Softmax(dim=1))),
        nn.LogSoftmax(dim=-1),
    )
    serialization.save(saved, tmp_path / "m")
    assert repr(serialization.load(tmp_path / "m")) == repr(saved)


def test_save_refuses_layers_that_nobody_could_load(tmp_path):
    class Shift(nn.Module):
        def update_output(self, input):
            return input + 1

    with pytest.raises(TypeError, match=r"expected a layer of fastnn, got .*Shift"):
        serialization.save(nn.Sequential(nn.ReLU(), nn.Sequential(Shift())), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
