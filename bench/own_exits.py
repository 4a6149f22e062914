"""python bench/own_exits.py DATA FOLDER [NAME...]

Networks with exits of their own, trained for a minute each and exported as their authors do, for `npx tsx bench/own-exits.ts`:
the shapes and conditions of ATHEENA's networks (github.com/biggsbenjamin/earlyexitnet: B-LeNet, B-AlexNet, Triple Wins, ResNet-8
with an exit), which are BranchyNet's in PyTorch. DATA is `.cache/data` (`dgate data fetch cifar10 fashionmnist`).

FOLDER gets, for each network, <name>.script.onnx (`torch.jit.script` keeps the `if`; one image) and <name>.cond.onnx (the newer
exporter, `torch.cond`). <name>.json has what each file itself says of the first test images, one by one, in ONNX Runtime: classes,
and from PyTorch the exits. Needs torch 2.9 or newer, onnx, onnxscript, onnxruntime.
"""

import json
import os
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch
from torch import nn

TRAIN, TEST = 20000, 1000
MEAN = {"cifar10": [0.4914, 0.4822, 0.4465], "fashionmnist": [0.2860]}
STD = {"cifar10": [0.2470, 0.2435, 0.2616], "fashionmnist": [0.3530]}


def pooled(before, after, kernel, padding):
    return nn.Sequential(nn.Conv2d(before, after, kernel, padding=padding), nn.MaxPool2d(2), nn.ReLU())


def norm(before, after, stride=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.body = nn.Sequential(norm(before, after, stride), nn.Conv2d(after, after, 3, 1, 1), nn.BatchNorm2d(after))
        self.shortcut = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def head(channels, *layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(channels))


def lenet(channels, padding):
    stem = pooled(channels, 5, 5, padding)
    rest = nn.Sequential(pooled(5, 10, 5, 4), pooled(10, 20, 5, 3), nn.Flatten(), nn.LazyLinear(84))
    return [stem, rest], [head(10, pooled(5, 10, 3, 1)), nn.Sequential(nn.Linear(84, 10))]


def alexnet():
    conv = lambda before, after, kernel: [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]  # noqa: E731
    pool = lambda: nn.MaxPool2d(3, 2)  # noqa: E731
    first = nn.Sequential(*conv(3, 32, 5), pool())
    second = nn.Sequential(*conv(32, 64, 5), pool(), *conv(64, 96, 3))
    third = [*conv(96, 96, 3), *conv(96, 64, 3), pool(), nn.Flatten(), nn.LazyLinear(256), nn.ReLU(), nn.Dropout(0.5)]
    third += [nn.Linear(256, 128), nn.ReLU()]
    heads = [head(10, *conv(32, 64, 3), pool(), *conv(64, 32, 3), pool())]
    heads += [head(10, pool(), nn.Conv2d(96, 32, 3, padding=1), pool()), nn.Sequential(nn.Dropout(0.5), nn.Linear(128, 10))]
    return [first, second, nn.Sequential(*third)], heads


def triple_wins():
    conv = lambda before, after: [nn.Conv2d(before, after, 3), nn.ReLU()]  # noqa: E731
    rest = [*conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(200)]
    rest += [nn.ReLU(), nn.Linear(200, 200), nn.ReLU()]
    early = [nn.Conv2d(32, 16, 3, 2), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(200), nn.Linear(200, 200), nn.Linear(200, 10)]
    return [nn.Sequential(*conv(1, 32)), nn.Sequential(*rest)], [nn.Sequential(*early), nn.Sequential(nn.Linear(200, 10))]


def resnet8():
    rest = nn.Sequential(Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
    early = head(10, norm(16, 32, 2), norm(32, 32, 2), nn.AvgPool2d(2))
    return [norm(3, 16), rest], [early, nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))]


class Branchy(nn.Module):
    """Leaves at the first head whose largest probability is above (`top1`) or whose entropy is below the threshold."""

    def __init__(self, parts, heads, is_entropy, threshold):
        super().__init__()
        self.parts, self.heads = nn.ModuleList(parts), nn.ModuleList(heads)
        self.is_entropy = is_entropy
        self.threshold = torch.tensor([threshold], dtype=torch.float32)

    def is_sure(self, row):
        share = nn.functional.softmax(row, dim=-1)
        if self.is_entropy:
            return -torch.sum(share * torch.log(share)) < self.threshold
        return torch.max(share) > self.threshold

    def forward(self, x):
        for part, head in zip(self.parts, self.heads):
            x = part(x)
            row = head(x)
            if self.is_sure(row):
                return row
        return row

    @torch.jit.unused
    def rows(self, x):
        found = []
        for part, head in zip(self.parts, self.heads):
            x = part(x)
            found.append(head(x))
        return found


class Conditional(nn.Module):
    """The same by `torch.cond`, which the newer exporter keeps."""

    def __init__(self, branchy):
        super().__init__()
        self.branchy = branchy

    def forward(self, x):
        return self.at(0, x)

    def at(self, exit, x):
        x = self.branchy.parts[exit](x)
        row = self.branchy.heads[exit](x)
        if exit == len(self.branchy.heads) - 1:
            return row
        sure = self.branchy.is_sure(row).reshape(())
        return torch.cond(sure, lambda x, row: row.clone(), lambda x, row: self.at(exit + 1, x), (x, row))


NETWORKS = {
    "b-lenet": ("fashionmnist", lambda: lenet(1, 4), True, 0.4, 2),
    "b-lenet-cifar": ("cifar10", lambda: lenet(3, 2), False, 0.5, 3),
    "b-alexnet": ("cifar10", alexnet, False, 0.5, 1),
    "triple-wins": ("fashionmnist", triple_wins, False, 0.95, 1),
    "resnet8": ("cifar10", resnet8, True, 1.2, 1),
}


def load(data, dataset, part, count):
    """Normalised images [count, channels, side, side] and labels, in the order of the files."""
    if dataset == "cifar10":
        files = [f"data_batch_{i}.bin" for i in range(1, 6)] if part == "train" else ["test_batch.bin"]
        files, channels, side = [f"{data}/cifar10/cifar-10-batches-bin/{name}" for name in files], 3, 32
    else:
        files, channels, side = [f"{data}/fashionmnist/fashion-mnist-records/{part}.bin"], 1, 28
    records = np.concatenate([np.fromfile(name, np.uint8) for name in files]).reshape(-1, 1 + channels * side * side)[:count]
    mean, std = (np.array(of[dataset], np.float32).reshape(1, -1, 1, 1) for of in (MEAN, STD))
    images = records[:, 1:].reshape(-1, channels, side, side).astype(np.float32) / np.float32(255)
    return torch.from_numpy((images - mean) / std), torch.from_numpy(records[:, 0].astype(np.int64))


def train(network, images, labels, epochs, size=64):
    network.rows(images[:2])
    rate, steps = 2e-3, epochs * (len(images) // size)
    optimiser = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for _ in range(epochs):
        for some in torch.randperm(len(images))[: len(images) // size * size].split(size):
            loss = sum(nn.functional.cross_entropy(row, labels[some]) for row in network.rows(images[some]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def exits_of(network, images):
    """Exit of each image, from 0, as PyTorch takes it."""
    with torch.no_grad():
        rows = network.rows(images)
        sure = [torch.stack([network.is_sure(row[i : i + 1]) for i in range(len(row))])[:, 0] for row in rows[:-1]]
    return torch.stack([*sure, torch.ones(len(images), dtype=torch.bool)]).int().argmax(0).tolist()


def main():
    data, folder, *chosen = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for name in chosen or NETWORKS:
        dataset, parts, is_entropy, threshold, epochs = NETWORKS[name]
        torch.manual_seed(0)
        network = train(Branchy(*parts(), is_entropy, threshold), *load(data, dataset, "train", TRAIN), epochs)
        images, labels = load(data, dataset, "test", TEST)
        one = images[:1]
        with torch.no_grad():
            scripted = torch.jit.script(network)
            names = {"input_names": ["input"], "output_names": ["exit"]}
            torch.onnx.export(scripted, one, f"{folder}/{name}.script.onnx", dynamo=False, opset_version=12, **names)
            torch.onnx.export(Conditional(network).eval(), (one,), f"{folder}/{name}.cond.onnx", dynamo=True, external_data=False, **names)
        exits = exits_of(network, images)
        about = {"dataset": dataset, "mean": MEAN[dataset], "std": STD[dataset], "labels": labels.tolist(), "exits": exits}
        for form in ("script", "cond"):
            session = onnxruntime.InferenceSession(f"{folder}/{name}.{form}.onnx", providers=["CPUExecutionProvider"])
            rows = [session.run(None, {"input": images[i : i + 1].numpy()})[0] for i in range(len(images))]
            about[form] = np.concatenate(rows).argmax(1).tolist()
        about["versions"] = "; ".join(f"{package} {version(package)}" for package in ("torch", "onnxscript", "onnxruntime"))
        json.dump(about, open(f"{folder}/{name}.json", "w"))
        right = float(np.mean(np.array(about["script"]) == labels.numpy()))
        print(f"{name}: {right:.3f} right; images at each exit: {np.bincount(exits).tolist()}", flush=True)


if __name__ == "__main__":
    main()
