"""Steps of training in PyTorch, for bench/suite/training.ts to be measured against.

Reads a folder: network.json (the description, the recipe, and the labels), weights.safetensors, images.bin (normalised).
A line {"begin": {"layout": "channels_last", "threads": 2}} on stdin begins with those weights, in that memory format;
{"first": i, "steps": n, "rate": r} is answered with the seconds that n steps took, from the batch i on, and their losses.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pytorch_network import read_safetensors, sequence


class Network(nn.Module):
    def __init__(self, network, tensors):
        super().__init__()
        layers = list(network["stem"])
        for stage in network["stages"]:
            layers += stage["layers"] + stage["transition"]
        self.body = sequence(layers + network["classifier"]["head"], tensors)
        name = network["classifier"]["name"]
        self.classifier = nn.Linear(network["classifier"]["in"], network["classifier"]["out"])
        self.classifier.weight.data, self.classifier.bias.data = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def forward(self, x):
        return self.classifier(self.body(x).mean((2, 3)))


class Training:
    def __init__(self, layout):
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        tensors = read_safetensors(f"{folder}/weights.safetensors")
        self.network = Network(description["network"], tensors).train().to(memory_format=self.format)
        norms = [p for m in self.network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
        undecayed = set() if recipe["decayBatchNorm"] else set(norms)
        decayed = [p for p in self.network.parameters() if p not in undecayed]
        groups = [{"params": decayed}, {"params": list(undecayed), "weight_decay": 0}]
        self.optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=0.1,
            momentum=recipe["momentum"],
            weight_decay=recipe["weightDecay"],
            nesterov=recipe["nesterov"],
        )

    def step(self, number, rate):
        size = recipe["batchSize"]
        start = number * size % len(images)
        chosen = slice(start, start + size)
        x = images[chosen].to(memory_format=self.format)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.network(x), labels[chosen], label_smoothing=recipe["labelSmoothing"])
        loss.backward()
        self.optimizer.step()
        return loss.item()


folder = sys.argv[1]
description = json.load(open(f"{folder}/network.json"))
recipe, shape = description["recipe"], description["network"]["input"]
images = torch.from_numpy(np.fromfile(f"{folder}/images.bin", np.float32))
images = images.reshape(-1, shape["channels"], shape["height"], shape["width"])
labels = torch.tensor(description["labels"])
training = None
print(json.dumps({"torch": torch.__version__}), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    if "begin" in ask:
        torch.set_num_threads(ask["begin"]["threads"])
        training = Training(ask["begin"]["layout"])
        print("{}", flush=True)
        continue
    start = time.perf_counter()
    losses = [training.step(ask["first"] + i, ask["rate"]) for i in range(ask["steps"])]
    print(json.dumps({"seconds": time.perf_counter() - start, "losses": losses}), flush=True)
