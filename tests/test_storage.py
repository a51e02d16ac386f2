"""Files of networks: the format, what is refused, and what a failed or killed save leaves."""

from __future__ import annotations

import ast
import errno
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cbp
from cbp import _tensors, storage
from cbp._backprop import ACTIVATIONS

FOLDER = Path(__file__).resolve().parent  # the source tree must not be what a child imports


def small(dtype="float32"):
    """A network with most options that a file must keep."""
    return cbp.Network(
        [3, cbp.Dense(4, "tanh", bias=False, trainable=False),
         cbp.Dense(2, "sigmoid", init=cbp.initializers.Normal(0.3), trainable="biases"), 1],
        "relu", "identity", dtype=dtype, seed=2**64 - 1,
    )  # fmt: skip


def parts(data: bytes):
    """The header and the data of a safetensors file, read by the format's own words."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def sealed(header: dict, data: bytes, *, spaces=None) -> bytes:
    """A file of this header and these data with a right checksum."""

    def text(checksum):
        header["__metadata__"]["checksum"] = checksum
        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8 if spaces is None else spaces)
        return len(raw).to_bytes(8, "little") + raw

    digest = hashlib.sha256(text("0" * 64) + data).hexdigest()
    return text(digest) + data


@pytest.fixture
def saved(tmp_path):
    """The bytes of a small file."""
    path = tmp_path / "net.safetensors"
    small().save(path)
    return path.read_bytes()


def refused(path: Path, data: bytes | None = None) -> str:
    """Assert that loading ends in one FormatError, soon; return its words."""
    if data is not None:
        path.write_bytes(data)
    start = time.process_time()  # other programs' time does not count
    with pytest.raises(cbp.FormatError) as caught:
        cbp.load(path)
    assert time.process_time() - start < 1.0
    return str(caught.value)


# ---- the format -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_network_is_the_saved_one(tmp_path, dtype):
    """Every bit of every parameter comes back, -0.0 and denormals too, and every option."""
    net = small(dtype)
    net.parameters[:3] = [-0.0, 1e-310 if dtype == "float64" else 1e-44, 3.5]
    net.save(tmp_path / "net")
    again = cbp.load(tmp_path / "net")
    assert again.parameters.tobytes() == net.parameters.tobytes()
    assert again._layers == net._layers and again.seed == net.seed and again.dtype == net.dtype
    X = np.random.default_rng(0).normal(size=(5, 3))
    assert np.array_equal(again.predict(X), net.predict(X))


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3))
@settings(max_examples=30)
def test_any_finite_bits_come_back(tmp_path_factory, bits):
    """A file keeps bits, not decimal numbers."""
    net = cbp.Network([2, 1])
    net.parameters[...] = np.array(bits, "<u4").view("<f4")
    path = tmp_path_factory.mktemp("bits") / "net"
    net.save(path)
    again = cbp.load(path, allow_nonfinite=True)
    assert again.parameters.tobytes() == net.parameters.tobytes()


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    names=st.lists(st.sampled_from(sorted(set(ACTIVATIONS) - {"softmax", "log_softmax"})),
                   min_size=4, max_size=4),
    dtype=st.sampled_from(["float32", "float64"]), bias=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)  # fmt: skip
@settings(max_examples=60)
def test_any_network_comes_back(tmp_path_factory, sizes, names, dtype, bias, seed):
    """save, load: the same predictions, to the bit; save again: the same bytes."""
    net = cbp.Network(sizes, names[: len(sizes) - 1], bias=bias, dtype=dtype, seed=seed)
    path = tmp_path_factory.getbasetemp() / "any"
    net.save(path)
    data, again = path.read_bytes(), cbp.load(path)
    X = np.linspace(-2, 2, 3 * sizes[0]).reshape(3, sizes[0])
    assert np.array_equal(again.predict(X), net.predict(X))
    again.save(path)
    assert path.read_bytes() == data


def test_masks_and_limits_come_back(tmp_path):
    """Every option of a layer is in the file; masks as tensors of 0 and 1."""
    mask = np.random.default_rng(0).random((3, 4)) < 0.5
    net = cbp.Network(
        [3, cbp.Dense(4, mask=mask, dropout=0.25), cbp.Dense(2, max_norm=2.0, nonnegative=True)],
        seed=1,
    )  # fmt: skip
    net.save(tmp_path / "net")
    first, second = cbp.load(tmp_path / "net").layers
    assert np.array_equal(first.mask, mask) and first.dropout == 0.25
    assert second.mask is None and second.max_norm == 2.0 and second.nonnegative
    header, data = parts((tmp_path / "net").read_bytes())
    assert header["layers.0.mask"]["dtype"] == "U8"
    at = header["layers.0.mask"]["data_offsets"][0]
    wrong = data[:at] + b"\2" + data[at + 1 :]
    assert "other numbers than 0 and 1" in refused(tmp_path / "net", sealed(header, wrong))


def test_functions_of_ones_own_cannot_be_saved(tmp_path):
    """An activation that is code is named; nothing is written."""
    own = cbp.Activation(np.sin, np.cos, name="mine")
    with pytest.raises(ValueError, match="layer 1 has an Activation of your own cannot be saved"):
        cbp.Network([2, cbp.Dense(3, own), 1]).save(tmp_path / "net")
    assert os.listdir(tmp_path) == []


def test_the_file_is_plain_safetensors(saved):
    """The header's length, JSON padded to a multiple of 8, aligned tensors one behind another."""
    header, data = parts(saved)
    assert int.from_bytes(saved[:8], "little") % 8 == 0
    words = header.pop("__metadata__")
    assert words["format"] == "cbp" and all(type(word) is str for word in words.values())
    assert {name: entry["shape"] for name, entry in header.items()} == {
        "layers.0.weight": [3, 4], "layers.1.weight": [4, 2], "layers.1.bias": [2],
        "layers.2.weight": [2, 1], "layers.2.bias": [1],
    }  # fmt: skip
    net, at = small(), 0
    for name, entry in header.items():
        first, stop = entry["data_offsets"]
        assert first == at and first % 4 == 0 and entry["dtype"] == "F32"
        at = stop
        _, layer, kind = name.split(".")
        array = (net.weights if kind == "weight" else net.biases)[int(layer)]
        assert np.array_equal(np.frombuffer(data[first:stop], "<f4"), array.ravel())
    assert at == len(data)


def test_the_reader_in_the_documentation_reads_it(tmp_path, repo_root):
    """docs/format.md says enough to predict with a file, without cbp."""
    text = (repo_root / "docs" / "format.md").read_text()
    scope: dict = {}
    exec(text.split("```python")[1].split("```")[0], scope)
    net = cbp.Network([3, 5, 2], "sigmoid", "sigmoid", dtype="float64", seed=1)
    net.biases[0][:] = 0.5
    net.save(tmp_path / "net")
    X = np.linspace(-1, 1, 12).reshape(4, 3)
    assert np.allclose(scope["predict"](tmp_path / "net", X), net.predict(X), rtol=1e-12)


def test_the_safetensors_package_reads_it(tmp_path):
    """What others wrote for the format opens cbp's files."""
    numpy = pytest.importorskip("safetensors.numpy")
    net = small("float64")
    net.save(tmp_path / "net")
    tensors = numpy.load_file(tmp_path / "net")
    assert np.array_equal(tensors["layers.1.weight"], net.weights[1])


def test_the_same_network_gives_the_same_bytes(tmp_path):
    """No time, no random name, no order of a dictionary gets into a file; nor does loading."""
    child = (
        "import cbp, sys; "
        "cbp.Network([3, cbp.Dense(4, 'tanh'), 2], seed=7).save(sys.argv[1])"
    )
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", child, tmp_path / seed], check=True, env=environment,
                       cwd=FOLDER)  # fmt: skip
    cbp.load(tmp_path / "0").save(tmp_path / "again")
    assert len({(tmp_path / name).read_bytes() for name in ("0", "1", "again")}) == 1


# ---- what is refused --------------------------------------------------------------------------


def test_every_truncation_is_refused(tmp_path, saved):
    """A file that is cut anywhere is no file."""
    path = tmp_path / "cut"
    for length in range(len(saved)):
        refused(path, saved[:length])


def test_every_flipped_bit_is_refused(tmp_path, saved):
    """A single wrong bit anywhere is found: in one bit of each byte, and in all of some."""
    path = tmp_path / "flipped"
    for at in range(len(saved)):
        for bit in range(8) if at % 16 == 0 else (at % 8,):
            damaged = bytearray(saved)
            damaged[at] ^= 1 << bit
            refused(path, bytes(damaged))


def test_anything_appended_is_refused(tmp_path, saved):
    """The size is the header's to the byte."""
    assert "bytes by its header" in refused(tmp_path / "long", saved + b"\0")


HEADERS = {
    "nothing": "",
    "no object": "[]",
    "a number": "7",
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 5000 + "1" + "}" * 5000,
    "NaN": '{"__metadata__":{},"a":NaN}',
    "Infinity": '{"__metadata__":{},"a":-Infinity}',
    "overflow": '{"__metadata__":{},"a":1e999}',
    "many digits": '{"__metadata__":{},"a":' + "9" * 900_000 + "}",
    "twin keys": '{"__metadata__":{"format":"cbp","format":"cbp"}}',
    "space before": ' {"__metadata__":{}}',
    "space within": '{"__metadata__": {}}',
    "lone surrogate": '{"__metadata__":{"a":"\\ud800"}}',
    "escaped letter": '{"__metadata__":{"\\u0061":"b"}}',
    "no words": '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    "words that are numbers": '{"__metadata__":{"format":1}}',
    "path": '{"__metadata__":{},"../a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    "empty name": '{"__metadata__":{},"":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    "NUL in a name": '{"__metadata__":{},"\\u0000":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    "long name": '{"__metadata__":{},"%s":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
                 % ("a" * 257),
    "unknown type": '{"__metadata__":{},"a":{"dtype":"BOOL","shape":[0],"data_offsets":[0,0]}}',
    "negative size": '{"__metadata__":{},"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}',
    "true size": '{"__metadata__":{},"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}',
    "float size": '{"__metadata__":{},"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}',
    "many axes": '{"__metadata__":{},"a":{"dtype":"F32","shape":[0,0,0],"data_offsets":[0,0]}}',
    "huge": '{"__metadata__":{},"a":{"dtype":"F64","shape":[9007199254740992,9007199254740992],'
            '"data_offsets":[0,649037107316853453566312041152512]}}',
    "gap": '{"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    "overlap": '{"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
               '"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "extra field": '{"__metadata__":{},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}}',
    "missing field": '{"__metadata__":{},"a":{"dtype":"F32","shape":[0]}}',
    "many tensors": '{"__metadata__":{},' + ",".join(
        f'"t{i:05}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for i in range(10_001)) + "}",
    "many lists": '{"a":[' + ",".join(["[]"] * 300_000) + "]}",
    "many quotes": '"' * 900_000,
    "backslashes": '"' + "\\" * 900_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_headers_are_refused(tmp_path, name):
    """Whatever a header says that cbp does not write, the answer is a FormatError, soon."""
    raw = HEADERS[name].encode()
    raw += b" " * (-len(raw) % 8)
    refused(tmp_path / "hostile", len(raw).to_bytes(8, "little") + raw + bytes(64))


EMPTY = '"%s":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
LIMITS = {
    "tensors": (10_000, lambda k: ",".join(EMPTY % f"t{i:05}" for i in range(k)), "more than 10,000"),
    "names": (256, lambda k: EMPTY % ("a" * k), "a name that cbp does not give"),
    "integers": (2**53, lambda k: f'"a":{{"dtype":"U8","shape":[{k}],"data_offsets":[0,{k}]}}',
                 "an integer beyond"),
    "nesting": (4, lambda k: '"a":' + "[" * (k - 1) + "]" * (k - 1), "nested deeper than 4"),
    "bytes": (2**20, lambda k: EMPTY % "a" + " " * (k - 71), "not the length of a header"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_a_header_are_where_they_are_said_to_be(tmp_path, name):
    """One less and the limit itself are refused for other reasons, one more for this one."""
    limit, text, words = LIMITS[name]
    for k in (limit - 1, limit, limit + 1):
        raw = ('{"__metadata__":{},' + text(k) + "}").encode()
        raw = raw if name == "bytes" else raw + b" " * (-len(raw) % 8)
        assert name != "bytes" or len(raw) == k
        said = refused(tmp_path / "hostile", len(raw).to_bytes(8, "little") + raw)
        assert (words in said) == (k > limit), said


def test_bytes_that_are_not_text_are_refused(tmp_path):
    """A header is ASCII."""
    for raw in (b"\xff" * 64, '{"é":1}'.encode(), "{}".encode("utf-16")):
        refused(tmp_path / "hostile", len(raw).to_bytes(8, "little") + raw)


@pytest.mark.parametrize("length", [0, 1, 2**20 + 1, 2**31, 2**63, 2**64 - 1])
def test_a_wrong_length_is_refused(tmp_path, saved, length):
    """The header has at most 1 MiB and lies within the file; so with the bytes turned round."""
    refused(tmp_path / "hostile", length.to_bytes(8, "little") + saved[8:])
    refused(tmp_path / "hostile", saved[:8][::-1] + saved[8:])


def test_a_header_of_spaces_is_refused(tmp_path, saved):
    """Padding is less than 8 spaces: what is longer could hide something."""
    header, data = parts(saved)
    assert cbp.load(_written(tmp_path, sealed(header, data)))
    for spaces in (8 + -len(saved) % 8, 10_000):
        refused(tmp_path / "hostile", sealed(header, data, spaces=spaces))
    raw = b" " * 2**20
    refused(tmp_path / "hostile", len(raw).to_bytes(8, "little") + raw)


def _written(folder: Path, data: bytes) -> Path:
    (folder / "written").write_bytes(data)
    return folder / "written"


def network_of(header):
    return json.loads(header["__metadata__"]["network"])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda n: n.update(dtype="float16"), "dtype"),
        (lambda n: n.update(n_inputs=4), "tensors"),
        (lambda n: n.update(n_inputs=0), "at least 1"),
        (lambda n: n.update(n_inputs=True), "integer"),
        (lambda n: n.update(n_inputs=3.0), "integer"),
        (lambda n: n.update(n_inputs={"integer": "1" * 21}), "integer"),
        (lambda n: n.update(seed=-1), "seed"),
        (lambda n: n.update(seed={"integer": str(2**64)}), "seed"),
        (lambda n: n.update(extra=1), "fields"),
        (lambda n: n.pop("seed"), "fields"),
        (lambda n: n.update(layers=[]), "layers"),
        (lambda n: n.update(layers={}), "layers"),
        (lambda n: n.update(layers=n["layers"] * 400), "layers"),
        (lambda n: n["layers"].append(7), "described"),
        (lambda n: n["layers"].pop(), "tensors"),
        (lambda n: n["layers"][0].update(n_outputs=2**40), "at most"),
        (lambda n: n["layers"][0].update(n_outputs=2**31 - 1), "tensors"),
        (lambda n: n["layers"][0].update(activation="softmax"), "softmax"),
        (lambda n: n["layers"][0].update(activation="__import__"), "activation"),
        (lambda n: n["layers"][0].update(activation=None), "described"),
        (lambda n: n["layers"][0].update(activation=["tanh"]), "activation"),
        (lambda n: n["layers"][0].update(bias=1), "bias"),
        (lambda n: n["layers"][0].update(trainable="biases"), "trainable"),
        (lambda n: n["layers"][0].update(trainable={"class": "Normal"}), "trainable"),
        (lambda n: n["layers"][0].update(init={"class": "Popen", "args": "ls"}), "class"),
        (lambda n: n["layers"][0].update(init={"class": 7}), "class"),
        (lambda n: n["layers"][0].update(init={"class": "Normal", "std": -1.0}), "std"),
        (lambda n: n["layers"][0].update(init={"class": "Normal", "width": 1.0}), "width"),
        (lambda n: n["layers"][0].update(init={"class": {}}), "nested"),
        (lambda n: n["layers"][0].update(unheard_of=1), "unheard_of"),
        (lambda n: n["layers"][0].pop("n_outputs"), "n_outputs"),
    ],
)
def test_a_description_is_checked_as_arguments_are(tmp_path, saved, change, words):
    """A right checksum does not make a network of what `Network` would refuse."""
    header, data = parts(saved)
    network = network_of(header)
    change(network)
    header["__metadata__"]["network"] = json.dumps(network, separators=(",", ":"))
    assert words in refused(tmp_path / "hostile", sealed(header, data))


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(format="pt"), "not one of cbp's"),
        (dict(format=None), "not one of cbp's"),
        (dict(version="2"), "version '2'"),
        (dict(kind="checkpoint"), "Trainer.load_checkpoint"),
        (dict(kind="zoo"), "kind"),
        (dict(network=None), "sections"),
        (dict(more="{}"), "sections"),
        (dict(network="{"), "JSON"),
        (dict(network="[[[[[[1]]]]]]"), "nested"),
        (dict(network='{"a":1,"a":1}'), "twice"),
        (dict(network="{ }"), "written"),
    ],
)
def test_other_words_are_refused(tmp_path, saved, change, words):
    """Other formats, versions, kinds and sections are each called by their name."""
    header, data = parts(saved)
    for key, word in change.items():
        header["__metadata__"].pop(key, None)
        if word is not None:
            header["__metadata__"][key] = word
    metadata = header["__metadata__"]
    header["__metadata__"] = {key: metadata[key] for key in sorted(metadata)}
    assert words in refused(tmp_path / "hostile", sealed(header, data))


def _mutations(value, draw):
    """Another value of JSON, from a list of what readers stumble over."""
    return draw(
        st.sampled_from(
            [None, True, 0, -1, 2**53, 1e308, "", "tanh", "relu", "softmax", "../x", [], {}, [[]],
             {"integer": "-1"}, {"integer": "9" * 20}, {"class": "Dense"}, {"class": "Normal"}]
        )
    )  # fmt: skip


@given(data=st.data())
@settings(max_examples=500)
def test_mutated_descriptions_never_crash(tmp_path_factory, data):
    """Any field changed to anything: a FormatError, or a network that predicts."""
    folder = tmp_path_factory.getbasetemp()
    path = folder / "mutated"
    small().save(path)
    header, tail = parts(path.read_bytes())
    network = network_of(header)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(["net", "layer", "init"]))
        layer = data.draw(st.sampled_from(network["layers"])) if network["layers"] else {}
        holder = {"net": network, "layer": layer, "init": network["layers"][1]["init"]}[where]
        if not isinstance(holder, dict):
            continue
        key = data.draw(st.sampled_from([*holder, "more"]))
        if key != "layers":
            holder[key] = _mutations(holder.get(key), data.draw)
    header["__metadata__"]["network"] = json.dumps(network, separators=(",", ":"))
    path.write_bytes(sealed(header, tail))
    try:
        net = cbp.load(path)
    except cbp.FormatError:
        return
    assert net.predict(np.zeros((2, 3))).shape == (2, 1)


@given(data=st.data())
@settings(max_examples=1000)
def test_fuzzed_headers_never_crash(tmp_path_factory, data):
    """Bytes of the header cut out, doubled or replaced: one FormatError each."""
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    small().save(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = bytearray(whole[8 : 8 + length])
    at = data.draw(st.integers(0, length - 1))
    piece = data.draw(st.sampled_from([b"", b'"', b"{", b"[", b",", b"0", b"\\", b"\0", b"NaN", b" "]))
    header[at : at + data.draw(st.integers(0, 9))] = piece * data.draw(st.integers(1, 3))
    changed = len(header).to_bytes(8, "little") + bytes(header) + whole[8 + length :]
    if changed != whole:
        refused(path, changed)


def test_parameters_that_are_not_finite_are_refused(tmp_path):
    """A diverged network is loaded only where somebody says so."""
    net = cbp.Network([2, 1])
    net.biases[0][0] = np.inf
    net.save(tmp_path / "net")
    assert "layers.0.bias holds infinity or NaN" in refused(tmp_path / "net")
    assert cbp.load(tmp_path / "net", allow_nonfinite=True).biases[0][0] == np.inf


@pytest.mark.no_sanitizer
def test_a_hostile_file_takes_little_memory(tmp_path, saved):
    """64 MiB are enough for the worst of them, and 1 s."""
    names = ["many lists", "many tensors", "deep", "many digits", "many quotes", "backslashes"]
    for name in names:
        raw = HEADERS[name].encode()
        (tmp_path / name).write_bytes(len(raw).to_bytes(8, "little") + raw)
    with open(tmp_path / "sparse", "wb") as file:  # a terabyte that takes no room
        file.write(saved)
        file.truncate(2**40)
    child = """
import resource, sys, time, cbp
here = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + 64 * 2**20,) * 2)
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        cbp.load(path)
    except cbp.FormatError:
        assert time.process_time() - start < 1, path
    else:
        raise SystemExit(path)
"""
    paths = [str(tmp_path / name) for name in (*names, "sparse")]
    subprocess.run([sys.executable, "-c", child, *paths], check=True, cwd=FOLDER)


@pytest.mark.no_sanitizer
def test_loading_takes_at_most_twice_the_file(tmp_path):
    """A file of 40 MB: the network, and a tensor or all of them beside it."""
    cbp.Network([3000, 3000, 300], seed=1, init="zeros").save(tmp_path / "net")
    size = (tmp_path / "net").stat().st_size
    child = """
import hashlib, json, resource, sys, cbp
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net = cbp.load(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    run = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path / "net")], capture_output=True, text=True,
        check=True, cwd=FOLDER,
    )  # fmt: skip
    assert size > 39e6 and int(run.stdout) <= 2 * size + 16 * 2**20


@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, saved, monkeypatch, at):
    """An error, not a crash: nothing is mapped into memory."""
    (tmp_path / "net").write_bytes(saved)
    real, calls = os.pread, []

    def shrinks(fd, *args):
        calls.append(fd)
        if len(calls) == at:  # the header, the data for the checksum, the first tensor
            os.truncate(tmp_path / "net", 100)
        return real(fd, *args)

    monkeypatch.setattr(os, "pread", shrinks)
    assert "cut short" in refused(tmp_path / "net")
    assert len(calls) >= at


@pytest.mark.slow
def test_flipped_bits_of_a_large_file_are_found(tmp_path):
    """Any bit of 10 MB of parameters."""
    cbp.Network([1500, 1500, 100], seed=1).save(tmp_path / "net")
    rng = np.random.default_rng(0)
    with open(tmp_path / "net", "r+b") as file:
        size = os.path.getsize(tmp_path / "net")
        for _ in range(200):
            at, bit = int(rng.integers(5000, size)), 1 << int(rng.integers(8))
            file.seek(at)
            byte = file.read(1)[0]
            for value in (byte ^ bit, byte):
                file.seek(at)
                file.write(bytes([value]))
                file.flush()
                if value != byte:
                    assert "checksum" in refused(tmp_path / "net")
    assert cbp.load(tmp_path / "net").sizes == (1500, 1500, 100)


def test_special_files_are_refused_without_waiting(tmp_path):
    """A pipe nobody writes to, a device without end, a folder, a socket: an answer at once."""
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    signal.alarm(5)
    try:
        for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "socket"):
            assert "regular file" in refused(path)
    finally:
        signal.alarm(0)
        listener.close()


def test_what_is_not_there_is_not_found(tmp_path):
    """A missing file is the operating system's error, a wrong kind of name a TypeError."""
    with pytest.raises(FileNotFoundError):
        cbp.load(tmp_path / "nothing")
    for wrong in (7, None, object()):
        with pytest.raises(TypeError, match="`path` must be the name of a file"):
            cbp.load(wrong)
        with pytest.raises(TypeError, match="`path` must be the name of a file"):
            cbp.Network([1, 1]).save(wrong)


def test_contents_are_no_name(tmp_path, saved):
    """Whoever passes what a file holds is told so, and does not read it all again."""
    for wrong in (saved, b"\0", "x" * 5000):
        with pytest.raises(ValueError, match="^`path` must be the name of a file, got [\\d,]+ char"):
            cbp.load(wrong)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """Not the temporary file that was to be in it."""
    with pytest.raises(FileNotFoundError) as caught:
        cbp.Network([1, 1]).save(tmp_path / "nothing" / "net")
    assert caught.value.filename == str(tmp_path / "nothing")


def test_loading_opens_nothing_but_the_file(tmp_path, saved):
    """No code runs, no other file is opened, nothing is imported."""
    (tmp_path / "net").write_bytes(saved)
    child = """
import hashlib, json, sys, cbp
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
cbp.load(sys.argv[1])
seen = [(event, args) for event, args in seen if not event.startswith("object.__getattr__")]
bad = [e for e in seen if not (e[0] == "open" and e[1][0] == sys.argv[1])]
assert seen and not bad, bad
"""
    subprocess.run([sys.executable, "-c", child, str(tmp_path / "net")], check=True, cwd=FOLDER)


def test_the_readers_of_files_name_nothing_that_runs_code():
    """No pickle, marshal, eval or import at run time in the modules that read."""
    banned = {"pickle", "marshal", "eval", "exec", "__import__", "importlib", "ast",
              "zipfile", "shelve", "ctypes", "globals"}  # fmt: skip
    for module in (_tensors, storage):
        names = {
            getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
            for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
        }
        assert len(names) > 50 and not names & banned


# ---- saving -----------------------------------------------------------------------------------


def test_a_save_is_durable_before_it_has_its_name(tmp_path, monkeypatch):
    """fsync of the file, rename, fsync of the folder, in this order."""
    calls = []

    def told(name):
        real = getattr(os, name)

        def call(*args):
            if name == "fsync":
                kind = stat.S_ISDIR(os.fstat(args[0]).st_mode)
                calls.append("folder" if kind else f"file of {os.fstat(args[0]).st_size}")
            else:
                calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, call)

    told("fsync")
    told("replace")
    cbp.Network([2, 1]).save(tmp_path / "net")
    size = (tmp_path / "net").stat().st_size
    assert calls == [f"file of {size}", "replace", "folder"]


@pytest.mark.parametrize("name", ["write", "fsync", "replace", "fchmod"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, name, error):
    """Whatever call fails: OSError, the old bytes, and nothing beside them."""
    net = cbp.Network([2, 1], seed=1)
    net.save(tmp_path / "net")
    before = (tmp_path / "net").read_bytes()

    def fail(*args):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        net.parameters[:] = 0
        with pytest.raises(OSError) as caught:
            net.save(tmp_path / "net")
    assert caught.value.errno == error
    assert os.listdir(tmp_path) == ["net"] and (tmp_path / "net").read_bytes() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EMFILE, "too many files")])
def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch, error):
    """Ctrl-C in the middle of a write, or no descriptor left: the old bytes, nothing beside."""
    net = cbp.Network([2, 1], seed=1)
    net.save(tmp_path / "net")
    before = (tmp_path / "net").read_bytes()

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "open" if isinstance(error, OSError) else "fsync", fail)
        with pytest.raises(type(error)):
            net.save(tmp_path / "net")
    assert os.listdir(tmp_path) == ["net"] and (tmp_path / "net").read_bytes() == before


def test_leftovers_are_removed_and_saves_under_way_are_not(tmp_path, monkeypatch):
    """The next save of a name removes what killed saves of it left, and nothing of the living."""
    net, made = cbp.Network([2, 1]), []
    replace = os.replace

    def killed(source, target):  # what a save that came as far as this leaves
        made.append(source)
        Path(source + ".tmp").write_bytes(Path(source).read_bytes())
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        net.save(tmp_path / "net")
    left = Path(made[0] + ".tmp")
    other = tmp_path / ".cbp-0123456789abcdef-00.tmp"
    other.write_bytes(b"of another name")
    assert left.exists()
    with open(left) as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        net.save(tmp_path / "net")
        assert left.exists()
    net.save(tmp_path / "net")
    assert sorted(os.listdir(tmp_path)) == [other.name, "net"]


def test_a_save_that_was_taken_for_a_leftover_begins_again(tmp_path, monkeypatch):
    """Another save may remove the temporary file between its making and its locking."""
    real, removed = fcntl.flock, []

    def flock(fd, operation):
        if not removed:
            removed.append(os.readlink(f"/proc/self/fd/{fd}"))
            os.unlink(removed[0])
        return real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    cbp.Network([2, 1], seed=3).save(tmp_path / "net")
    assert removed and os.listdir(tmp_path) == ["net"]
    assert cbp.load(tmp_path / "net").seed == 3


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The real thing: the operating system ends the write in the middle."""
    net = cbp.Network([100, 100])
    net.save(tmp_path / "net")
    before = (tmp_path / "net").read_bytes()
    child = """
import resource, sys, cbp
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    cbp.Network([100, 100]).save(sys.argv[1])
except OSError as error:
    print(error.errno)
"""
    run = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path / "net")], capture_output=True, text=True,
        cwd=FOLDER,
    )
    assert run.stdout.split() == [str(errno.EFBIG)], run.stderr
    assert os.listdir(tmp_path) == ["net"] and (tmp_path / "net").read_bytes() == before


def test_permissions_are_the_users(tmp_path):
    """A new file has what the umask leaves, an old one keeps its own."""
    before = os.umask(0o027)
    try:
        cbp.Network([2, 1]).save(tmp_path / "net")
        assert stat.S_IMODE((tmp_path / "net").stat().st_mode) == 0o640
        (tmp_path / "net").chmod(0o604)
        cbp.Network([2, 1]).save(tmp_path / "net")
        assert stat.S_IMODE((tmp_path / "net").stat().st_mode) == 0o604
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path):
    """Saving through a symbolic link renews what it points to."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "net")
    for seed in (1, 2):
        cbp.Network([2, 1], seed=seed).save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert cbp.load(tmp_path / "folder" / "net").seed == seed


def test_only_regular_files_are_replaced(tmp_path):
    """A folder or a pipe of that name stays what it is."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="regular file"):
        cbp.Network([2, 1]).save(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        cbp.Network([2, 1]).save(tmp_path)
    with pytest.raises(FileNotFoundError):
        cbp.Network([2, 1]).save(tmp_path / "nowhere" / "net")
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_network_beyond_a_header_is_refused(tmp_path):
    """What does not fit a header is said before anything is written."""
    net = cbp.Network([1] * 1001)
    net.save(tmp_path / "net")
    assert cbp.load(tmp_path / "net").sizes == net.sizes
    with pytest.raises(ValueError, match="at most 1 MiB"):
        _tensors.write(tmp_path / "net", {"a": "x" * 2**20}, {})
    assert cbp.load(tmp_path / "net").sizes == net.sizes


KILLED = """
import os, random, signal, sys, time, cbp
path, leftovers = sys.argv[1], 0
net = cbp.Network([200, 200, 10], seed=1)
begun = time.perf_counter()
for _ in range(5):
    net.save(path)
most = max(0.02, (time.perf_counter() - begun) / 5 * 4)  # time for some saves on any machine
for _ in range(200):
    child = os.fork()
    if child == 0:
        while True:
            net.parameters[:] += 1
            net.save(path)
    time.sleep(random.uniform(0.0, most))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    leftovers += sum(name.endswith(".tmp") for name in os.listdir(os.path.dirname(path)))
    values = cbp.load(path).biases[1]
    assert (values == values[0]).all(), values
    net.biases[1][:] = values
print(leftovers, values[0])
"""


def test_kill_leaves_no_broken_file(tmp_path):
    """200 kills in the middle of saves: the file can be loaded after each; no leftover stays."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "net")],
        capture_output=True, text=True, cwd=FOLDER,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    leftovers, saves = map(float, run.stdout.split())
    assert leftovers > 0 and saves > 20  # else no save was killed, or none succeeded
    cbp.Network([2, 1]).save(tmp_path / "net")
    assert os.listdir(tmp_path) == ["net"]


def test_saves_at_once_do_not_disturb_each_other(tmp_path):
    """Many writers of one file: each save succeeds, the file is one of theirs."""
    child = "import sys, cbp\nfor s in range(40): cbp.Network([50, 50], seed=s).save(sys.argv[1])"
    children = [
        subprocess.Popen([sys.executable, "-c", child, str(tmp_path / "net")], cwd=FOLDER) for _ in range(3)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert cbp.load(tmp_path / "net").sizes == (50, 50)
    assert os.listdir(tmp_path) == ["net"]
