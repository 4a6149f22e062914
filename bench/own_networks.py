"""python3 bench/own_networks.py ORIGINAL.onnx GATED.onnx SIZES BATCH THRESHOLDS TYPE < images

The part of `bench/own-networks.ts` and `bench/wild-onnx.ts` that runs in Python's onnxruntime (pip install onnxruntime). Images
from standard input, SIZES (JSON) [count, 3, height, width] of TYPE uint8 (normalised for the original file) or float32, go
through the original file (one by one if it takes one) and the file of `dgate export --distances`, with thresholds that nobody
reaches and with THRESHOLDS (JSON). Prints JSON: logits of the original; class, exit and distances.
"""

import json
import sys

import numpy as np
import onnxruntime

original, gated, sizes, batch, thresholds, kind = sys.argv[1:7]
sizes, batch, thresholds = json.loads(sizes), int(batch), np.array(json.loads(thresholds), np.float32)
images = np.frombuffer(sys.stdin.buffer.read(), kind).reshape(sizes)
mean, std = (
    np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
)


def parts(size):
    return (images[start : start + size] for start in range(0, len(images), size))


def run_gated(session, thresholds):
    feeds = ({"images": part, "thresholds": thresholds} for part in parts(batch))
    outputs = zip(*(session.run(["class", "exit", "distances"], feed) for feed in feeds))
    classes, exits, distances = (np.concatenate(output) for output in outputs)
    return {"classes": classes.tolist(), "exits": exits.tolist(), "distances": distances.ravel().tolist()}


session = onnxruntime.InferenceSession(original, providers=["CPUExecutionProvider"])
taken = session.get_inputs()[0]
floats = (
    part if kind == "float32" else (part.astype(np.float32) / np.float32(255) - mean) / std
    for part in parts(1 if taken.shape[0] == 1 else batch)
)
logits = np.concatenate([session.run(None, {taken.name: part})[0] for part in floats])
session = onnxruntime.InferenceSession(gated, providers=["CPUExecutionProvider"])
last = run_gated(session, np.full_like(thresholds, np.inf))
answered = run_gated(session, thresholds)
version = onnxruntime.__version__
print(json.dumps({"version": version, "logits": logits.ravel().tolist(), "last": last, "answered": answered}))
