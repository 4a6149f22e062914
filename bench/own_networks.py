"""python3 bench/own_networks.py ORIGINAL.onnx GATED.onnx COUNT BATCH THRESHOLDS < pixels

The part of `bench/own-networks.ts` that runs in Python's onnxruntime (pip install onnxruntime). COUNT images from standard
input, uint8 [COUNT, 3, 224, 224], through the original file and the file of `dgate export --distances`, with thresholds
that nobody reaches and with THRESHOLDS (JSON). Prints JSON: logits of the original; class, exit and distances.
"""

import json
import sys

import numpy as np
import onnxruntime

original, gated, count, batch, thresholds = sys.argv[1:6]
count, batch, thresholds = int(count), int(batch), np.array(json.loads(thresholds), np.float32)
pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(count, 3, 224, 224)
mean, std = (
    np.array(values, np.float32).reshape(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
)


def parts():
    return (pixels[start : start + batch] for start in range(0, count, batch))


def run_gated(session, thresholds):
    feeds = ({"images": part, "thresholds": thresholds} for part in parts())
    outputs = zip(*(session.run(["class", "exit", "distances"], feed) for feed in feeds))
    classes, exits, distances = (np.concatenate(output) for output in outputs)
    return {"classes": classes.tolist(), "exits": exits.tolist(), "distances": distances.ravel().tolist()}


session = onnxruntime.InferenceSession(original, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
floats = ((part.astype(np.float32) / np.float32(255) - mean) / std for part in parts())
logits = np.concatenate([session.run(None, {name: part})[0] for part in floats])
session = onnxruntime.InferenceSession(gated, providers=["CPUExecutionProvider"])
last = run_gated(session, np.full_like(thresholds, np.inf))
print(json.dumps({"logits": logits.ravel().tolist(), "last": last, "answered": run_gated(session, thresholds)}))
