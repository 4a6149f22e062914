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

from pytorch_network import EarlyExitNetwork, read_safetensors

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
