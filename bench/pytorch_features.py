"""Features by PyTorch with hooks, for bench/suite/extraction.ts to be measured against.

Reads a folder: network.json (the description and the gates' places), weights.safetensors, images.bin. A hook after each
stage with a gate keeps its pooled features. Then answers each line on stdin with one of JSON. "first last batch": runs
these images in batches; the seconds, and the sums of the features of each gate and of the logits. "first last batch float32" or
"bfloat16": the same by torch.compile, frozen, which is compiled at the first. "matmul N": the seconds of a product of two N x N
matrices.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pytorch_network import read_safetensors, sequence

folder = sys.argv[1]
description = json.load(open(f"{folder}/network.json"))
tensors = read_safetensors(f"{folder}/weights.safetensors")
network = description["network"]

stages = [sequence(stage["layers"], tensors) for stage in network["stages"]]
layers = [sequence(network["stem"], tensors)]
for stage, described in zip(stages, network["stages"]):
    layers += [stage, sequence(described["transition"], tensors)]
classifier = nn.Linear(network["classifier"]["in"], network["classifier"]["out"])
name = network["classifier"]["name"]
classifier.weight.data, classifier.bias.data = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
head = sequence(network["classifier"]["head"], tensors)
model = nn.Sequential(*layers, head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier).eval()

features = {}
for k, gate in enumerate(description["gates"]):
    size = 1 if gate["pooling"]["kind"] == "gap" else gate["pooling"]["size"]

    def keep(_module, _inputs, output, k=k, size=size):
        features[k] = F.adaptive_avg_pool2d(output, size).flatten(1)

    stages[gate["stage"] - 1].register_forward_hook(keep)



class Whole(nn.Module):
    """The same without hooks, which would break the graph that is compiled."""

    def __init__(self):
        super().__init__()
        self.layers = model

    def forward(self, x):
        kept = {}
        for layer in self.layers:
            x = layer(x)
            for k, gate in enumerate(description["gates"]):
                if layer is stages[gate["stage"] - 1]:
                    size = 1 if gate["pooling"]["kind"] == "gap" else gate["pooling"]["size"]
                    kept[k] = F.adaptive_avg_pool2d(x, size).flatten(1)
        return [kept[k] for k in range(len(kept))] + [x]


def hooked(x):
    logits = model(x)
    return [features[k] for k in range(len(features))] + [logits]


runs = {}


def run_of(precision):
    """How a batch is run: with hooks, or compiled in a precision."""
    if precision is None:
        return hooked
    if precision not in runs:
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights are constants: batch norms are folded, weights laid out once
        for stage in stages:
            stage._forward_hooks.clear()
        compiled = torch.compile(Whole().eval(), dynamic=False)

        def run(x):
            if precision == "float32":
                return compiled(x)
            with torch.autocast("cpu", torch.bfloat16):
                return compiled(x)

        runs[precision] = run
    return runs[precision]


shape = network["input"]
images = torch.from_numpy(np.fromfile(f"{folder}/images.bin", dtype=np.float32))
images = images.reshape(-1, shape["channels"], shape["height"], shape["width"])
print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
# A compiled network is frozen under no_grad only.
with torch.no_grad():
    for line in sys.stdin:
        words = line.split()
        if words[0] == "matmul":
            a, b = torch.randn(2, *[int(words[1])] * 2)
            start = time.perf_counter()
            a @ b
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
            continue
        first, last, batch = map(int, words[:3])
        run = run_of((words[3:] or [None])[0])
        kept = []
        start = time.perf_counter()
        for at in range(first, last, batch):
            kept.append([part.float().numpy() for part in run(images[at : min(last, at + batch)])])
        seconds = time.perf_counter() - start
        sums = [float(sum(part[k].sum(dtype=np.float64) for part in kept)) for k in range(len(kept[0]))]
        print(json.dumps({"seconds": seconds, "sums": sums}), flush=True)
