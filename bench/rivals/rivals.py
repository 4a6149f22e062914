"""The systems of one runtime, for bench/suite/rivals.ts to be measured in turn: python rivals.py FOLDER RUNTIME [SYSTEM]

Reads FOLDER/subject.json, loads every system of RUNTIME (torch, openvino or onnxruntime), or SYSTEM alone. Answers a line
`SYSTEM<tab>FIRST LAST BATCH` with one line of JSON: the milliseconds of each batch, class and exit of each image. SYSTEM alone:
runs it on single images and on a batch, prints the peak resident memory of this process, and ends.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
folder, runtime = Path(sys.argv[1]), sys.argv[2]
alone = sys.argv[3] if len(sys.argv) > 3 else None
subject = json.loads((folder / "subject.json").read_text())
images = np.memmap(folder / "images.bin", np.float32, "r").reshape(-1, *subject["input"])
cores = len(os.sched_getaffinity(0))


def onnxruntime_system(spec):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(str(folder / spec["file"]), options, ["CPUExecutionProvider"])
    if "thresholds" not in spec:
        return lambda x: (session.run(None, {"images": x})[0].argmax(1), None)
    thresholds = np.array([float(t) for t in spec["thresholds"]], np.float32)
    return lambda x: session.run(["class", "exit"], {"images": x, "thresholds": thresholds})


def openvino_system(spec):
    import openvino

    # float32 on every processor: some would take bfloat16 by themselves.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(folder / spec["file"]), "CPU", hints)
    request = compiled.create_infer_request()
    if "thresholds" not in spec:
        return lambda x: (request.infer({0: x})[compiled.output(0)].argmax(1), None)
    thresholds = np.array([float(t) for t in spec["thresholds"]], np.float32)

    def run(x):
        found = request.infer({"images": x, "thresholds": thresholds})
        return found["class"], found["exit"]

    return run


def torch_system(spec):
    import torch

    from pytorch_network import EarlyExitNetwork, StaticNetwork, read_safetensors

    tensors = read_safetensors(folder / "weights.safetensors")
    if spec["kind"] == "loop":
        described = {"network": subject["network"], "gates": subject["gates"], "thresholds": spec["thresholds"]}
        network = EarlyExitNetwork(described, tensors).eval()

        def loop(x):
            x = torch.from_numpy(x)
            answer = network(x) if len(x) == 1 else network.many(x)
            return ([answer[0]], [answer[1]]) if len(x) == 1 else answer

        return loop
    network = StaticNetwork(subject["network"], tensors).eval()
    if spec["kind"] == "earlyon":
        from earlyon_exits import wrapped

        model = wrapped(network, subject, folder / spec["file"])

        def route(x):
            x = torch.from_numpy(x)
            found = model(x, mode="inference") if len(x) == 1 else model.forward_inference_batched(x)
            last = len(subject["gates"])
            exit_taken = found.exit_taken if found.exit_taken >= 0 else last
            logits = found.prediction if len(x) == 1 else found.predictions
            return logits.reshape(len(x), -1).argmax(1).tolist(), [exit_taken] * len(x)

        return route
    if spec["kind"] == "compiled":
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights are constants: batch norms are folded, weights laid out once
        network = torch.compile(network, dynamic=False)
    return lambda x: (network(torch.from_numpy(x)).argmax(1).numpy(), None)


def context():
    if runtime != "torch":
        import contextlib

        return contextlib.nullcontext()
    import torch

    torch.set_num_threads(cores)
    # earlyon enters inference mode itself; a compiled network is frozen under no_grad.
    return torch.no_grad()


def listed(values):
    return None if values is None else [int(value) for value in values]


def run(system, first, last, batch):
    milliseconds, classes, exits = [], [], []
    for start in range(first, last, batch):
        some = np.ascontiguousarray(images[start : min(last, start + batch)])
        began = time.perf_counter()
        found, left = system(some)
        milliseconds.append(1000 * (time.perf_counter() - began))
        classes += listed(found)
        exits += listed(left) or []
    return {"milliseconds": milliseconds, "classes": classes, "exits": exits}


def peak_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


load = {"onnxruntime": onnxruntime_system, "openvino": openvino_system, "torch": torch_system}[runtime]
wanted = [spec for spec in subject["systems"] if (spec["name"] == alone if alone else spec["runtime"] == runtime)]
with context():
    systems, failed = {}, {}
    for spec in wanted:
        try:
            systems[spec["name"]] = load(spec)
            for batch in (1, 32):
                run(systems[spec["name"]], 0, batch, batch)  # compiles, allocates
        except Exception as error:
            if alone:
                raise
            failed[spec["name"]] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            systems.pop(spec["name"], None)
    if alone:
        run(systems[alone], 0, 32, 1)
        print(json.dumps({"peakMb": peak_mb()}), flush=True)
        sys.exit()
    print(json.dumps({"systems": list(systems), "failed": failed}), flush=True)
    for line in sys.stdin:
        name, numbers = line.rstrip("\n").split("\t")
        print(json.dumps(run(systems[name], *map(int, numbers.split()))), flush=True)
