"""What PyTorch makes of the trainings of cases.ts; prints reference.json.

    npx tsx test/training/cases.ts > cases.json
    python3 test/training/reference.py cases.json > test/fixtures/training/reference.json
"""

import json
import sys

import torch
import torch.nn.functional as F


def apply(layers, t, x):
    for layer in layers:
        op = layer["op"]
        if op == "conv":
            x = F.conv2d(x, t[layer["name"] + ".weight"], stride=layer["stride"], padding=layer["padding"])
        elif op == "batchNorm":
            part = lambda p: t[layer["name"] + "." + p]
            x = F.batch_norm(x, part("running_mean"), part("running_var"), part("weight"), part("bias"), training=True)
        elif op == "relu":
            x = F.relu(x)
        elif op == "residual":
            x = apply(layer["body"], t, x) + apply(layer["shortcut"], t, x)
        elif op == "denseConcat":
            new = apply(layer["body"], t, x)
            x = torch.cat([new, x] if layer["first"] == "new" else [x, new], 1)
        elif op == "subsamplePad":
            s = layer["stride"]
            x = F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, layer["before"], layer["after"]))
        else:
            pool = F.max_pool2d if op == "maxPool" else F.avg_pool2d
            x = pool(x, layer["kernel"], layer["stride"], layer["padding"])
    return x


def run(case):
    network, recipe = case["network"], case["recipe"]
    t = {n: torch.tensor(w["data"]).reshape(w["shape"]) for n, w in case["weights"].items()}
    classifier = network["classifier"]
    parameters = {n: w.requires_grad_() for n, w in t.items() if "running_" not in n}
    norm = lambda n: t[n].dim() == 1 and not n.startswith(classifier["name"] + ".")
    decay = [p for n, p in parameters.items() if recipe["decayBatchNorm"] or not norm(n)]
    rest = [p for n, p in parameters.items() if not (recipe["decayBatchNorm"] or not norm(n))]
    groups = [{"params": decay}, {"params": rest, "weight_decay": 0.0}] if rest else [{"params": decay}]
    sgd = torch.optim.SGD(
        groups,
        lr=1.0,
        momentum=recipe["momentum"],
        weight_decay=recipe["weightDecay"],
        nesterov=recipe["nesterov"],
    )
    losses = []
    for images, labels, rate in zip(case["images"], case["labels"], case["learningRates"]):
        x = torch.tensor(images).reshape(len(labels), 3, 16, 16)
        x = apply(network["stem"], t, x)
        for stage in network["stages"]:
            x = apply(stage["transition"], t, apply(stage["layers"], t, x))
        x = apply(classifier["head"], t, x).mean((2, 3))
        logits = F.linear(x, t[classifier["name"] + ".weight"], t[classifier["name"] + ".bias"])
        loss = F.cross_entropy(logits, torch.tensor(labels), label_smoothing=recipe["labelSmoothing"])
        sgd.zero_grad()
        loss.backward()
        for group in sgd.param_groups:
            group["lr"] = rate
        sgd.step()
        losses.append(loss.item())
    summary = lambda w: [*w.detach().flatten()[:3].tolist(), w.detach().double().norm().item()]
    return {"network": network["name"], "losses": losses, "tensors": {n: summary(w) for n, w in t.items()}}


torch.set_num_threads(1)
with open(sys.argv[1]) as file:
    cases = json.load(file)
print(json.dumps({"torch": torch.__version__, "cases": [run(case) for case in cases]}, indent=1))
