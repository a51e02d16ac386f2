"""Loggers: what they write is what the epochs told, in formats that others read."""

from __future__ import annotations

import csv
import json
import math
import struct

import numpy as np
import pytest

import cbp
from cbp import loggers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, :1] ** 2


def fitted(*callbacks, epochs=3, trainer=None):
    """A trainer after some epochs with validation data and these callbacks."""
    if trainer is None:
        trainer = cbp.Trainer(cbp.Network([3, 8, 1], "tanh", seed=1), metrics="r2", seed=1)
    trainer.fit(X, Y, epochs=epochs, validation_data=(X, Y), callbacks=list(callbacks))
    return trainer


def test_csv_holds_every_digit(tmp_path):
    """A line of names, a line an epoch; the numbers are the history's, to the bit."""
    trainer = fitted(cbp.CSVLogger(tmp_path / "run.csv"))
    with open(tmp_path / "run.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line.pop("epoch") for line in lines] == ["0", "1", "2"]
    assert set(lines[0]) == set(trainer.history)
    for name, column in trainer.history.items():
        assert [float(line[name]) for line in lines] == column


@pytest.mark.parametrize("kind", [cbp.CSVLogger, cbp.JSONLLogger])
def test_logs_go_on_where_they_are_told_to(tmp_path, kind):
    """`append` keeps an old file; the same logger in a second fit goes on; else a new file."""
    path = tmp_path / "run"
    logger = kind(path)
    trainer = fitted(logger)
    fitted(logger, trainer=trainer)
    fitted(kind(path, append=True), trainer=trainer)
    lines = path.read_text().splitlines()
    if kind is cbp.CSVLogger:
        assert lines.pop(0).startswith("epoch,loss")
        assert [int(line.split(",")[0]) for line in lines] == list(range(9))
    else:
        assert [json.loads(line)["epoch"] for line in lines] == list(range(9))
    fitted(kind(path))
    assert len(path.read_text().splitlines()) == 3 + (kind is cbp.CSVLogger)


def test_csv_keeps_its_columns(tmp_path):
    """A number that an epoch has not is left empty, one that is new is left out."""
    logger = cbp.CSVLogger(tmp_path / "run")
    logger.on_train_begin({})
    logger.on_epoch_end(0, {"loss": 0.1, "r2": math.nan})
    logger.on_epoch_end(1, {"loss": 1e-300, "new": 3.0})
    logger.on_train_end({})
    assert (tmp_path / "run").read_text() == "epoch,loss,r2\n0,0.1,nan\n1,1e-300,\n"


def test_jsonl_is_json(tmp_path):
    """Every line parses strictly; NaN is null."""
    logger = cbp.JSONLLogger(tmp_path / "run")
    logger.on_train_begin({})
    logger.on_epoch_end(0, {"loss": 0.1, "r2": math.nan, "x": np.float32(0.5)})
    text = (tmp_path / "run").read_text()  # before the end: it is written at once
    logger.on_train_end({})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "epoch": 0, "loss": 0.1, "r2": None, "x": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [cbp.CSVLogger, cbp.JSONLLogger, cbp.TensorBoard])
def test_files_are_closed_whatever_ends_the_run(tmp_path, kind):
    """A callback's exception comes out of fit, with the files closed."""
    logger = kind(tmp_path / "run")

    def fail(epoch, logs):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fitted(logger, fail)
    assert logger._file is None


def test_wrong_paths_are_refused(tmp_path):
    """A path is a name; a folder that is not there is the operating system's error."""
    for kind in (cbp.CSVLogger, cbp.JSONLLogger, cbp.TensorBoard):
        with pytest.raises(TypeError, match="`path` must be the name of a file"):
            kind(7)
    with pytest.raises(FileNotFoundError):
        fitted(cbp.CSVLogger(tmp_path / "nowhere" / "run"))


# ---- TensorBoard ------------------------------------------------------------------------------


def records(data: bytes):
    """The records of a TFRecord file, every checksum compared."""
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = data[12 : 12 + length]
        for part, crc in ((data[:8], data[8:12]), (event, data[12 + length : 16 + length])):
            assert struct.unpack("<I", crc) == (loggers.masked_crc(part),)
        yield event
        data = data[16 + length :]


def fields(message: bytes):
    """(number, value) of every field of a protocol buffer."""

    def varint():
        nonlocal message
        result = shift = 0
        while True:
            byte, message = message[0], message[1:]
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    while message:
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        value, message = message[:size], message[size:]
        yield key >> 3, {1: lambda v: struct.unpack("<d", v)[0],
                         5: lambda v: struct.unpack("<f", v)[0]}.get(key & 7, bytes)(value)  # fmt: skip


def scalars(path):
    """{(tag, step): value} of an event file, whose first event tells the version."""
    first, *events = [dict(fields(record)) for record in records(path.read_bytes())]
    assert first[3] == b"brain.Event:2" and first[1] > 1e9
    result = {}
    for event in events:
        for number, value in fields(event[5]):
            assert number == 1
            tag, number = dict(fields(value))[1], dict(fields(value))[2]
            result[tag.decode(), event[2]] = number
    return result


def test_the_checksum_is_crc_32c():
    """Published values of the Castagnoli CRC (RFC 3720, appendix B.4), and the mask."""
    assert loggers.crc32c(bytes(32)) == 0x8A9136AA
    assert loggers.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert loggers.crc32c(bytes(range(32))) == 0x46DD794E
    assert loggers.crc32c(b"123456789") == 0xE3069283
    crc = loggers.crc32c(b"cbp")
    assert loggers.masked_crc(b"cbp") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_tensorboard_files_hold_the_history(tmp_path):
    """Parsed back by the formats' own words: every number of every epoch, as a float."""
    trainer = fitted(cbp.TensorBoard(tmp_path / "runs" / "one"), epochs=200)
    (path,) = (tmp_path / "runs" / "one").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    found = scalars(path)
    assert len(found) == 200 * len(trainer.history)
    for name, column in trainer.history.items():
        assert [found[name, epoch] for epoch in range(200)] == [float(np.float32(v)) for v in column]


def test_tensorboard_reads_it(tmp_path):
    """TensorBoard's own reader finds the same numbers."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = fitted(cbp.TensorBoard(tmp_path))
    found = reader.EventAccumulator(str(tmp_path))
    found.Reload()
    events = found.Scalars("val_loss")
    assert [event.step for event in events] == [0, 1, 2]
    assert np.allclose([event.value for event in events], trainer.history["val_loss"], rtol=1e-6)


def test_numbers_that_no_float_holds(tmp_path):
    """Too large is infinite, NaN stays NaN, and large steps and long tags have their bytes."""
    logger = cbp.TensorBoard(tmp_path)
    logger.on_train_begin({})
    logger.on_epoch_end(300, {"a" * 200: 1e300, "b": -1e300, "c": math.nan})
    logger.on_train_end({})
    (path,) = tmp_path.iterdir()
    found = scalars(path)
    assert found["a" * 200, 300] == math.inf and found["b", 300] == -math.inf
    assert math.isnan(found["c", 300])


def test_every_run_has_a_file_of_its_own(tmp_path):
    """Two loggers in one folder do not meet."""
    for _ in range(3):
        fitted(cbp.TensorBoard(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_diagnostics_in_tensorboard(tmp_path):
    """A logger that is given the diagnostics writes their numbers as well."""
    look = cbp.Diagnostics(X, Y, every=2)
    fitted(look, cbp.TensorBoard(tmp_path, diagnostics=look), epochs=4)
    (path,) = tmp_path.iterdir()
    found = scalars(path)
    steps = [step for tag, step in found if tag == "layer 2/gradient_rms"]
    assert steps == [1, 3]
    assert found["layer 1/dead", 3] == 0.0
