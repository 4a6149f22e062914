"""A straightforward early-exit loop in PyTorch, for bench/pytorch-early-exit.ts to be measured against.

Reads a folder: network.json (the description, gates and thresholds), weights.safetensors, images.bin. Then, for every
line "first last batch" on stdin, classifies these images in batches and answers with one line of JSON: the milliseconds of
each batch, then class and exit of each image. In a batch, images that leave are masked out and the others go on.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pytorch_network import read_safetensors, sequence


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


class EarlyExitNetwork(nn.Module):
    def __init__(self, description, tensors):
        super().__init__()
        network = description["network"]
        self.stem = sequence(network["stem"], tensors)
        self.stages = nn.ModuleList(sequence(stage["layers"], tensors) for stage in network["stages"])
        self.transitions = nn.ModuleList(sequence(stage["transition"], tensors) for stage in network["stages"])
        self.head = sequence(network["classifier"]["head"], tensors)
        name = network["classifier"]["name"]
        self.classifier = nn.Linear(network["classifier"]["in"], network["classifier"]["out"])
        self.classifier.weight.data, self.classifier.bias.data = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
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


folder = sys.argv[1]
description = json.load(open(f"{folder}/network.json"))
network = EarlyExitNetwork(description, read_safetensors(f"{folder}/weights.safetensors")).eval()
shape = description["network"]["input"]
images = torch.from_numpy(np.fromfile(f"{folder}/images.bin", dtype=np.float32))
images = images.reshape(-1, shape["channels"], shape["height"], shape["width"])
print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
with torch.inference_mode():
    for line in sys.stdin:
        first, last, batch = map(int, line.split())
        milliseconds, classes, exits = [], [], []
        for i in range(first, last, batch):
            some = images[i : min(last, i + batch)]
            start = time.perf_counter()
            answer = network(some) if batch == 1 else network.many(some)
            milliseconds.append(1000 * (time.perf_counter() - start))
            classes += [answer[0]] if batch == 1 else answer[0]
            exits += [answer[1]] if batch == 1 else answer[1]
        print(json.dumps({"milliseconds": milliseconds, "classes": classes, "exits": exits}), flush=True)
