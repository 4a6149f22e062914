"""A network of dgate's in PyTorch, eager mode, from its description and its weights; for the scripts beside this one."""

import json
import os
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# All cores, as ours: Debian's PyTorch 1.13 begins with one thread, whatever the machine has.
torch.set_num_threads(len(os.sched_getaffinity(0)))


def read_safetensors(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[first:last], dtype=np.float32)
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class DenseConcat(nn.Module):
    def __init__(self, body, first):
        super().__init__()
        self.body, self.first = body, first

    def forward(self, x):
        new = self.body(x)
        return torch.cat([x, new] if self.first == "input" else [new, x], 1)


class SubsamplePad(nn.Module):
    def __init__(self, stride, before, after):
        super().__init__()
        self.stride, self.channels = stride, (before, after)

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.channels))


def module(layer, tensors):
    op = layer["op"]
    if op == "conv":
        conv = nn.Conv2d(
            layer["in"], layer["out"], layer["kernel"], layer["stride"], layer["padding"], bias=False
        )
        conv.weight.data = tensors[layer["name"] + ".weight"]
        return conv
    if op == "batchNorm":
        norm = nn.BatchNorm2d(layer["channels"])
        for part in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, part).data = tensors[f"{layer['name']}.{part}"]
        return norm
    if op == "relu":
        return nn.ReLU(inplace=True)
    if op in ("maxPool", "avgPool"):
        pool = nn.MaxPool2d if op == "maxPool" else nn.AvgPool2d
        return pool(layer["kernel"], layer["stride"], layer["padding"])
    if op == "residual":
        return Residual(sequence(layer["body"], tensors), sequence(layer["shortcut"], tensors))
    if op == "denseConcat":
        return DenseConcat(sequence(layer["body"], tensors), layer["first"])
    return SubsamplePad(layer["stride"], layer["before"], layer["after"])


def sequence(layers, tensors):
    # In place only after a layer of its own: a block's first ReLU must not change what its shortcut reads.
    modules = [module(layer, tensors) for layer in layers]
    if modules and isinstance(modules[0], nn.ReLU):
        modules[0] = nn.ReLU()
    for before, after in zip(modules, modules[1:]):
        if isinstance(after, nn.ReLU) and isinstance(before, (DenseConcat, nn.Sequential)):
            after.inplace = False
    return nn.Sequential(*modules)
