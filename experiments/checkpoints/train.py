#!/usr/bin/env python3
"""Trains a CIFAR-10 network within a given time and writes it as an 8-bit checkpoint in pieces.

  train.py resnet101 --data DIR --out OUT --minutes 5.5     (README.md beside this file: which networks, why so)

DIR is the folder cifar-10-batches-bin. Of the 50,000 training images 5,000 are held out (500 of each class,
--split-seed); the test images, where DIR has them, are looked at once, at the end.

The number of epochs follows from the time: a few batches are measured, and as many epochs are planned as fit, at most
--epochs; the first epochs correct the plan, and where later ones turn out slower, fewer are left and the learning rate
falls faster, so that it always ends at zero. SIGTERM or SIGINT end the training after the current batch; everything is
written nevertheless. --resume goes on from OUT/NAME.state.pt, in the same schedule.

Written to OUT, NAME being the network: NAME-cifar10.safetensors (8 bits, what ships), pieces/ of it with their sha256
(pieces.py joins them), NAME-cifar10-f32.safetensors, NAME.csv (the curve), NAME.json (all that is known of the run),
NAME.state.pt. Needs torch (1.13 to 2.15 were tried) and numpy, nothing else.
"""
import time

STARTED = time.monotonic()  # importing torch counts

import argparse
import datetime
import json
import math
import os
import platform
import shutil
import signal
import struct

import numpy as np
import torch

import cifar
import int8
import pieces
from dense import lean
from networks import NETWORKS, build, dgate_name, flops
from steps import fastest, ways_on
from training import Training, accuracy, choose_statistics, renew_statistics, save, statistics_of

STATISTICS_IMAGES = 5_120  # over which batch norms' statistics are computed anew


def log(text):
    print(f"{time.monotonic() - STARTED:7.1f} s  {text}", flush=True)


def tensors_of(net):
    """{name: float32 array} of what dgate reads."""
    state = net.state_dict()
    return {k: v.detach().float().cpu().contiguous().numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}


def load_tensors(net, tensors):
    net.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}, strict=False)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--data", required=True, help="the folder cifar-10-batches-bin")
    parser.add_argument("--out", required=True, help="folder for all that is written")
    parser.add_argument("--minutes", type=float, help="time for everything, from the start of the process; else no limit")
    parser.add_argument("--epochs", type=int, help="at most; else what the network's table says")
    parser.add_argument("--resume", action="store_true", help="go on from the state in OUT")
    parser.add_argument("--renew", metavar="FILE", help="trains nothing: the statistics of a file of this script are chosen anew")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=0.2, help="the highest learning rate")
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--cutout", type=int, default=12, help="side of the square that is cut out; 0: none")
    parser.add_argument("--average", type=float, default=2, help="memory of the weights' moving average, in epochs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split-seed", type=int, default=2027, help="which images are held out (2026: the first networks')")
    parser.add_argument("--images", type=int, help="only the first training and test images, to try the script")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--ways", help="comma-separated, the fastest is taken: graph, compile+graph, eager, compile")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--judge-every", type=int, default=5, help="epochs between two looks at the held-out images")
    parser.add_argument("--save-every", type=int, default=25, help="epochs between two states for --resume")
    args = parser.parse_args()
    valid = ways_on(torch.device(args.device))
    args.ways = args.ways.split(",") if args.ways else None
    if not set(args.ways or ()) <= set(valid):
        parser.error(f"--ways {','.join(args.ways)}; valid on {args.device}: {', '.join(valid)}")
    args.epochs = args.epochs or NETWORKS[args.network][3]
    return args


def matrix_rate():
    """FLOP/s of a large bf16 matrix product, what the device can do at best."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for repeat in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            a @ a
        torch.cuda.synchronize()
    return 10 * 2 * 8192**3 / (time.perf_counter() - start)


def facts_of(training):
    """What the file says of a training."""
    args, data = training.args, training.data
    return {
        "network": dgate_name(args.network),
        "preprocessing": {"mean": list(cifar.MEAN), "std": list(cifar.STD)},
        "held_out": [int(i) for i in data["held_positions"]],
        **{k: str(v) for k, v in training.recipe().items() if k != "network"},
        "recipe": "SGD Nesterov 0.9, one cycle (up to lr, cosine to nothing), decay not on batch norms and biases, crops of "
        "images padded by 4 reflected pixels, flips, cutout, moving average of the weights",
        "epochs": str(training.epoch),
        "planned_epochs": str(training.planned),
        "way": "; ".join(dict.fromkeys(training.ways)),
        "classes": cifar.CLASSES,
        "data_sha256": data["sha256"],
        "training_seconds": f"{training.seconds:.0f}",
        "machine": torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }


def finish(net, data, facts, base, shipped, device):
    """Chooses batch norms' statistics by the held-out images, converts the network to 8 bits, judges the file that was
    written and leaves its pieces."""
    right = lambda name: accuracy(net, *data[name])
    judge = lambda: {f"{name}_accuracy": f"{100 * right(name):.2f}" for name in ("held", "test") if data[name] is not None}
    renewals = statistics_of(data, device, STATISTICS_IMAGES)
    tried = choose_statistics(net, renewals, lambda: right("held"), log)
    chosen = next(iter(tried))
    facts = {**facts, "statistics": chosen, "statistics_tried": {kind: f"{100 * each:.2f}" for kind, each in tried.items()}}
    float_tensors, facts_f32 = tensors_of(net), {**facts, "dtype": "float32", **judge()}
    save(f"{base}-cifar10-f32.safetensors", lambda path: int8.write(path, float_tensors, facts_f32))
    # The statistics once more with the rounded weights, which are those that the file's reader has.
    load_tensors(net, int8.restored(int8.stored(float_tensors)))
    if chosen in renewals:
        renew_statistics(net, renewals[chosen]())
    arrays = int8.stored({**tensors_of(net), **{k: v for k, v in float_tensors.items() if v.ndim > 1}})
    load_tensors(net, int8.restored(arrays))
    facts = {**facts, "dtype": "int8", **judge()}
    save(shipped, lambda path: int8.write(path, arrays, facts))
    again, _ = int8.read(shipped)
    assert again.keys() == arrays.keys() and all(np.array_equal(again[k], arrays[k]) for k in arrays)
    folder = os.path.join(os.path.dirname(shipped), "pieces")
    listed = pieces.split(shipped, folder, 16_000_000)
    with open(listed) as f:
        whole = json.load(f)
    record = {k: v for k, v in facts.items() if k not in ("held_out", "classes")}
    record = {**record, "float32": {k: v for k, v in facts_f32.items() if k.endswith("_accuracy")}}
    record = {**record, "parameters": sum(p.numel() for p in net.parameters()), "file": whole["name"], "bytes": whole["bytes"], "sha256": whole["sha256"]}
    save(f"{base}.json", lambda path: open(path, "w").write(json.dumps(record, indent=2) + "\n"))
    for path in (f"{base}.json", f"{base}.csv"):  # what goes with the pieces
        if os.path.exists(path):
            shutil.copy(path, folder)
    log(json.dumps(record, indent=2))


def renew(args, data, base, shipped, device):
    """--renew: a file of this script with batch norms' statistics chosen anew; its weights stay as they are."""
    try:
        arrays, metadata = int8.read(args.renew)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise SystemExit(f"{args.renew}: cannot be read ({error}); valid: a whole file of this script")
    if metadata.get("network") != dgate_name(args.network):
        raise SystemExit(f"{args.renew}: of {metadata.get('network')}; valid: a file of {dgate_name(args.network)}")
    if json.loads(metadata.get("held_out", "[]")) != [int(i) for i in data["held_positions"]]:
        raise SystemExit(f"{args.renew}: other images are held out than by --split-seed {args.split_seed}; valid: the training's seed")
    net = build(args.network).to(device, memory_format=torch.channels_last)
    load_tensors(net, int8.restored(arrays))
    finish(net, data, metadata, base, shipped, device)


def load(args, device):
    """The images: to learn from as batches, held out, and of the test where they are there."""
    train_x, train_y, sha256 = cifar.read(args.data, cifar.TRAIN)
    train_x, train_y = train_x[: args.images], train_y[: args.images]
    learn, held = cifar.split(train_y, args.split_seed)
    test = None
    if all(os.path.exists(os.path.join(args.data, name)) for name in cifar.TEST):
        test = tuple(part[: args.images] for part in cifar.read(args.data, cifar.TEST)[:2])
    else:
        log(f"{args.data}: no test images here; dgate model eval will judge the file")
    if len(learn) < args.batch:
        raise SystemExit(f"--batch {args.batch}; valid: at most {len(learn)}, the images to learn from")
    batches = cifar.Batches(train_x[learn], train_y[learn], args.batch, args.cutout, args.seed, device)
    of = lambda positions: (train_x[positions], train_y[positions])
    return {"batches": batches, "train": of(learn), "held": of(held), "held_positions": held, "test": test, "sha256": sha256}


def main():
    args = parse()
    device, bf16 = torch.device(args.device), args.precision == "bf16"
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    # DenseNet's 98 widths would each be tried out; the library's guess is as good there.
    torch.backends.cudnn.benchmark = not args.network.startswith("densenet")
    # What is not bf16 is to be float32, not TF32: the evaluation at the end.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    os.makedirs(args.out, exist_ok=True)
    base = os.path.join(args.out, args.network)
    shipped, state_path = os.path.join(args.out, f"{args.network}-cifar10.safetensors"), f"{base}.state.pt"
    if os.path.exists(state_path) and not args.resume:
        raise SystemExit(f"{state_path}: a training that began already; valid: --resume, or another --out")

    data = load(args, device)
    if args.renew:
        return renew(args, data, base, shipped, device)
    training = Training(args, data, log)
    if args.resume and os.path.exists(state_path):
        training.restore(torch.load(state_path, map_location="cpu"))
        log(f"resumed after epoch {training.epoch}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(training, "stop", True))

    work = flops(training.net)
    log(f"{dgate_name(args.network)}, {work / 1e9:.3f} GFLOPs, {sum(p.numel() for p in training.net.parameters())} parameters, {args.device}, torch {torch.__version__}")
    if training.planned is None or training.epoch < training.planned:
        example = next(data["batches"].epoch(0))
        training.net.train()
        forwards = {"plain": training.net}
        if args.network.startswith("densenet"):
            forwards = {"lean": lean(training.net), **forwards}
        way, step, seconds = fastest(args.ways, forwards, training.net, args.smoothing, bf16, example, log)
        training.ways.append(way)
        rate = args.batch / seconds
        share = f", {100 * 3 * work * rate / matrix_rate():.0f} % of the device's matrix rate" if args.device == "cuda" else ""
        log(f"{way} is taken: {rate:.0f} images/s, {3 * work * rate / 1e12:.2f} TFLOP/s{share}")
        # The end: statistics and accuracies of each kind, forward in float32, which costs at most twice what training costs in bf16.
        images = 3 * min(STATISTICS_IMAGES, len(data["train"][0])) + sum(n * len(data[k][0]) for k, n in (("held", 5), ("test", 2)) if data[k])
        reserve = 10 + 2 * images * seconds / args.batch
        limit = STARTED + 60 * args.minutes - reserve if args.minutes else math.inf
        training.run(step, seconds, lambda: limit - time.monotonic(), state_path, f"{base}.csv")
    finish(training.mean, data, facts_of(training), base, shipped, device)


if __name__ == "__main__":
    main()
