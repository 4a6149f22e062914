"""Weights of 8 bits in a safetensors file, byte for byte what `dgate model import --int8` writes: matrices and
filters as integers with a float32 scale for each output channel (NAME_scale), vectors in half precision.
"""
import json
import struct

import numpy as np

CODES = {np.dtype("<f4"): "F32", np.dtype("<f2"): "F16", np.dtype("i1"): "I8"}


def rounded(tensor):
    """(int8 of the tensor's shape, float32 scales [out, 1, ...]) of a float tensor [out, ...]: the nearest integers,
    halves upwards, the largest of each output channel becoming 127."""
    rows = np.asarray(tensor, np.float64).reshape(len(tensor), -1)
    if not np.isfinite(rows).all():
        raise ValueError("weights that are not finite; the training diverged: try a lower --lr")
    largest = np.abs(rows).max(1, keepdims=True)
    exact = rows / np.where(largest > 0, largest, 1) * 127
    below = np.floor(exact)
    integers = (below + (exact - below >= 0.5)).astype(np.int8)
    scales = (largest / 127).astype(np.float32)
    return integers.reshape(tensor.shape), scales.reshape(-1, *[1] * (tensor.ndim - 1))


def stored(tensors):
    """{name: array} as stored, of {name: float32 array}."""
    out = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            out[name] = tensor.astype(np.float16)
        else:
            out[name], out[f"{name}_scale"] = rounded(tensor)
    return out


def restored(arrays):
    """{name: float32 array} that stored arrays stand for."""
    scales = {f"{name}_scale" for name, array in arrays.items() if array.dtype == np.int8}
    return {
        name: array.astype(np.float32) * arrays[f"{name}_scale"] if array.dtype == np.int8 else array.astype(np.float32)
        for name, array in arrays.items()
        if name not in scales
    }


def write(path, arrays, metadata):
    """Writes a safetensors file: larger elements first, the header padded to 8 bytes. Metadata: text, or JSON of it."""
    ordered = sorted(arrays.items(), key=lambda entry: -entry[1].dtype.itemsize)
    header, end = {"__metadata__": {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}}, 0
    for name, array in ordered:
        header[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, array in ordered:
            f.write(np.ascontiguousarray(array).tobytes())


def read(path):
    """({name: array}, metadata) of a file of `write`."""
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    types = {code: dtype for dtype, code in CODES.items()}
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return arrays, metadata
