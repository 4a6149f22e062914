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


class Gate(nn.Module):
    def __init__(self, gate, number, tensors):
        super().__init__()
        self.size = 1 if gate["pooling"]["kind"] == "gap" else gate["pooling"]["size"]
        weights = tensors[f"gate{number}.weights"]
        self.linear = nn.Linear(*weights.shape)
        self.linear.weight.data = weights.T.contiguous()
        self.linear.bias.data = -tensors[f"gate{number}.bias"]

    def forward(self, x):
        return self.linear(F.adaptive_avg_pool2d(x, self.size).flatten(1))


class StaticNetwork(nn.Module):
    """The network alone; its stages are submodules `stages.0`, `stages.1`, ..."""

    def __init__(self, network, tensors):
        super().__init__()
        self.stem = sequence(network["stem"], tensors)
        self.stages = nn.ModuleList(sequence(stage["layers"], tensors) for stage in network["stages"])
        self.transitions = nn.ModuleList(sequence(stage["transition"], tensors) for stage in network["stages"])
        self.head = sequence(network["classifier"]["head"], tensors)
        name = network["classifier"]["name"]
        self.classifier = nn.Linear(network["classifier"]["in"], network["classifier"]["out"])
        self.classifier.weight.data, self.classifier.bias.data = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def forward(self, x):
        x = self.stem(x)
        for stage, transition in zip(self.stages, self.transitions):
            x = transition(stage(x))
        return self.classifier(self.head(x).mean((2, 3)))


class EarlyExitNetwork(StaticNetwork):
    def __init__(self, description, tensors):
        super().__init__(description["network"], tensors)
        self.gates = nn.ModuleList(Gate(gate, k + 1, tensors) for k, gate in enumerate(description["gates"]))
        self.after = {gate["stage"] - 1: k for k, gate in enumerate(description["gates"])}
        self.thresholds = [float(threshold) for threshold in description["thresholds"]]

    def forward(self, x):
        x = self.stem(x)
        for index, (stage, transition) in enumerate(zip(self.stages, self.transitions)):
            x = stage(x)
            if index in self.after:
                k = self.after[index]
                confidence, predicted = self.gates[k](x).max(1)
                if confidence.item() >= self.thresholds[k]:
                    return predicted.item(), k
            x = transition(x)
        return self.classifier(self.head(x).mean((2, 3))).argmax(1).item(), len(self.gates)

    def many(self, x):
        """Classes and exits of a batch."""
        classes = torch.empty(len(x), dtype=torch.int64)
        exits = torch.full((len(x),), len(self.gates))
        left = torch.arange(len(x))
        x = self.stem(x)
        for index, (stage, transition) in enumerate(zip(self.stages, self.transitions)):
            x = stage(x)
            if index in self.after:
                k = self.after[index]
                confidence, predicted = self.gates[k](x).max(1)
                leaves = confidence >= self.thresholds[k]
                classes[left[leaves]], exits[left[leaves]] = predicted[leaves], k
                left, x = left[~leaves], x[~leaves]
                if len(left) == 0:
                    return classes.tolist(), exits.tolist()
            x = transition(x)
        classes[left] = self.classifier(self.head(x).mean((2, 3))).argmax(1)
        return classes.tolist(), exits.tolist()
