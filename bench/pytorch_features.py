"""Features by PyTorch with hooks, for bench/suite/extraction.ts to be measured against.

Reads a folder: network.json (the description and the gates' places), weights.safetensors, images.bin. A hook after each
stage with a gate keeps its pooled features. Then answers each line on stdin with one of JSON. "first last batch": runs
these images in batches; the seconds, and the sums of the features of each gate and of the logits. "matmul N": the seconds
of a product of two N x N matrices.
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

shape = network["input"]
images = torch.from_numpy(np.fromfile(f"{folder}/images.bin", dtype=np.float32))
images = images.reshape(-1, shape["channels"], shape["height"], shape["width"])
print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
with torch.inference_mode():
    for line in sys.stdin:
        if line.startswith("matmul"):
            a, b = torch.randn(2, *[int(line.split()[1])] * 2)
            start = time.perf_counter()
            a @ b
            print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
            continue
        first, last, batch = map(int, line.split())
        kept = []
        start = time.perf_counter()
        for at in range(first, last, batch):
            logits = model(images[at : min(last, at + batch)])
            kept.append([features[k].numpy() for k in range(len(features))] + [logits.numpy()])
        seconds = time.perf_counter() - start
        sums = [float(sum(part[k].sum(dtype=np.float64) for part in kept)) for k in range(len(features) + 1)]
        print(json.dumps({"seconds": seconds, "sums": sums}), flush=True)
