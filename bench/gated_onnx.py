"""python3 bench/gated_onnx.py F.onnx COUNT < pixels

Runs a file of `dgate export` in Python's onnxruntime (pip install onnxruntime): COUNT images from standard input, uint8
[COUNT, 3, height, width], as one batch, with the thresholds that the file names. Prints class, exit and confidence of
each as JSON. `test/cli/predict.test.ts` compares them with Algorithm 1.
"""

import json
import sys

import numpy as np
import onnxruntime

path, count = sys.argv[1], int(sys.argv[2])
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
about = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
height, width = about["dgate.preprocessing"]["height"], about["dgate.preprocessing"]["width"]
images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(count, 3, height, width)
thresholds = np.array([float(t) for t in about["dgate.thresholds"]], np.float32)
classes, exits, confidences = session.run(None, {"images": images, "thresholds": thresholds})
print(json.dumps({"class": classes.tolist(), "exit": exits.tolist(), "confidence": confidences.tolist()}))
