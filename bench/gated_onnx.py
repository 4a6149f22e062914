"""python3 bench/gated_onnx.py F.onnx COUNT [RUNTIME [BATCH]] < pixels

Runs a file of `dgate export` in Python (pip install onnxruntime, or RUNTIME openvino: pip install openvino numpy onnx): COUNT
images from standard input, uint8 [COUNT, channels, height, width], BATCH at a time (by default all), with the thresholds that
the file names. Prints class, exit and confidence of each as JSON. `test/cli/predict.test.ts` compares them with Algorithm 1,
`bench/exported-agreement.ts` with the cached evaluation.
"""

import json
import sys

import numpy as np

path, count = sys.argv[1], int(sys.argv[2])
runtime = sys.argv[3] if len(sys.argv) > 3 else "onnxruntime"
batch = int(sys.argv[4]) if len(sys.argv) > 4 else count

if runtime == "onnxruntime":
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map

    def answers(images, thresholds):
        return session.run(None, {"images": images, "thresholds": thresholds})

else:
    import onnx
    import openvino

    texts = {each.key: each.value for each in onnx.load(path).metadata_props}
    # float32 on every processor: some would take bfloat16 by themselves.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def answers(images, thresholds):
        found = compiled({"images": images, "thresholds": thresholds})
        return [found[name] for name in ("class", "exit", "confidence")]


about = {key: json.loads(text) for key, text in texts.items() if key.startswith("dgate.")}
height, width = about["dgate.preprocessing"]["height"], about["dgate.preprocessing"]["width"]
images = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(count, -1, height, width)
thresholds = np.array([float(t) for t in about["dgate.thresholds"]], np.float32)
parts = [answers(images[start : start + batch], thresholds) for start in range(0, count, batch)]
classes, exits, confidences = (np.concatenate([part[i] for part in parts]).tolist() for i in range(3))
print(json.dumps({"class": classes, "exit": exits, "confidence": confidences}))
