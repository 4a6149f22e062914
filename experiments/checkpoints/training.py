"""The training of one network: the schedule, the moving average of its weights, the state that --resume takes up.

train.py beside this file is the command: arguments, images, the files that are left at the end."""
import contextlib
import csv
import itertools
import math
import os
import time

import torch
import torch.nn as nn

import cifar
from networks import build
from steps import synchronise

AFTER_ALL_EPOCHS = 1_000  # the number of the draw that no epoch of a training has
WARM_SHARE = 0.15  # of the training: the learning rate rises


def rate_at(progress, peak):
    """One cycle: up in a straight line, then down half a cosine to nothing."""
    if progress < WARM_SHARE:
        return peak * (0.05 + 0.95 * progress / WARM_SHARE)
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - WARM_SHARE) / (1 - WARM_SHARE)))


def epochs_left(wanted, seconds_left, seconds_each):
    """How many of the wanted epochs fit; at least one, so that a training that began has an end."""
    return max(1, int(min(wanted, seconds_left / seconds_each)))


def parameter_groups(net, decay):
    """Weight decay on the weights of convolutions and of the linear layer, not on batch norms and biases."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    return [
        {"params": decayed, "weight_decay": decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def floats(net):
    """Weights and batch norms' statistics, all of which the moving average takes in."""
    return [v for v in net.state_dict().values() if v.is_floating_point()]


def average_into(mean, live, keep):
    if hasattr(torch, "_foreach_lerp_"):
        torch._foreach_lerp_(mean, live, 1 - keep)
    else:
        for a, b in zip(mean, live):
            a.lerp_(b, 1 - keep)


@contextlib.contextmanager
def first_kernels():
    """Takes the library's first choice of kernels: trying out which is fastest takes longer than a few passes."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@first_kernels()
def accuracy(net, images, labels, bf16=False, batch=500):
    """Share of the images that the network names rightly, no augmentation; in float32 unless told."""
    net.eval()
    device, hits = next(net.parameters()).device, 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for i in range(0, len(images), batch):
            answers = net(cifar.normalise(torch.from_numpy(images[i : i + batch]).to(device))).argmax(1)
            hits += int((answers.cpu().numpy() == labels[i : i + batch]).sum())
    return hits / len(images)


@first_kernels()
def renew_statistics(net, inputs):
    """Batch norms' means and variances computed anew: the plain average of all batches.

    @param inputs iterable of normalised images [n, 3, h, w]"""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    net.train()
    with torch.no_grad():
        for x in inputs:
            net(x)
    for m, momentum in zip(norms, kept):
        m.momentum = momentum


def statistics_of(data, device, count, batch=250):
    """{kind: function that gives inputs for renew_statistics}, each of at most `count` images to learn from."""
    images, batches = data["train"][0][:count], data["batches"]
    whole = lambda: (cifar.normalise(torch.from_numpy(images[i : i + batch]).to(device)) for i in range(0, len(images), batch))
    steps = max(1, min(batches.steps, count // batches.batch))
    augmented = lambda: (x for x, _ in itertools.islice(batches.epoch(AFTER_ALL_EPOCHS), steps))
    return {"whole images": whole, "augmented images": augmented}


def choose_statistics(net, renewals, judge, log):
    """Leaves batch norms with the statistics that judge best, those that they have among them; the first of equals.

    @returns {kind: accuracy}, the chosen one first"""
    state = lambda: {k: v.clone() for k, v in net.state_dict().items()}
    found = {"as they were": (judge(), state())}
    for kind, inputs in renewals.items():
        renew_statistics(net, inputs())
        found[kind] = (judge(), state())
    ordered = dict(sorted(found.items(), key=lambda entry: -entry[1][0]))
    chosen = next(iter(ordered))
    net.load_state_dict(found[chosen][1])
    accuracies = {kind: right for kind, (right, _) in ordered.items()}
    log("batch norms' statistics: " + "; ".join(f"{kind} {100 * right:.2f} % of the held-out images" for kind, right in accuracies.items()))
    return accuracies


def save(path, write):
    """The file is there whole or not at all."""
    write(f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def write_curve(path, history):
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, history[0])
        writer.writeheader()
        writer.writerows(history)


class Training:
    """The state of a training: what --resume takes up."""

    def __init__(self, args, data, log):
        self.args, self.data, self.log, self.device = args, data, log, torch.device(args.device)
        self.net, self.mean = (self.fresh() for _ in range(2))
        self.mean.load_state_dict(self.net.state_dict())
        fused = {"fused": True} if self.device.type == "cuda" else {}
        self.optimizer = torch.optim.SGD(parameter_groups(self.net, args.decay), lr=0.0, momentum=0.9, nesterov=True, **fused)
        self.epoch, self.progress, self.planned, self.history, self.ways, self.seconds = 0, 0.0, None, [], [], 0.0
        self.stop = False

    def fresh(self):
        return build(self.args.network).to(self.device, memory_format=torch.channels_last)

    def state(self):
        nets = {"net": self.net.state_dict(), "mean": self.mean.state_dict(), "optimizer": self.optimizer.state_dict()}
        plain = ("epoch", "progress", "planned", "history", "ways", "seconds")
        return {**nets, **{name: getattr(self, name) for name in plain}, "recipe": self.recipe()}

    def restore(self, saved):
        differ = [k for k, v in self.recipe().items() if saved["recipe"].get(k) != v]
        if differ:
            raise SystemExit(f"--resume: {', '.join(differ)} differ from the state's; valid: the same, or another --out")
        for name in ("net", "mean", "optimizer"):
            getattr(self, name).load_state_dict(saved.pop(name))
        saved.pop("recipe")
        self.__dict__.update(saved)

    def recipe(self):
        names = "network batch lr decay smoothing cutout average seed split_seed images precision".split()
        return {name: getattr(self.args, name) for name in names}  # what a resumed training must have too

    def run(self, step, batch_seconds, seconds_left, state_path, curve_path):
        """Epochs until the plan or the time is at its end.

        @param seconds_left function: what is left of the time for the training itself"""
        args, batches = self.args, self.data["batches"]
        each = batch_seconds * batches.steps
        if seconds_left() <= 0:
            raise SystemExit(f"--minutes {args.minutes:g}: {-seconds_left():.0f} s too few to begin an epoch; try more")
        self.planned = self.planned or epochs_left(args.epochs, seconds_left(), each)
        self.log(f"{self.planned} epochs planned, {each:.1f} s each; {self.epoch} done, {seconds_left():.0f} s for the training")
        live, mean = floats(self.net), floats(self.mean)
        keep = 1 - 1 / max(2.0, args.average * batches.steps)
        first, taken = self.epoch, self.epoch * batches.steps
        while self.epoch < self.planned and not self.stop and seconds_left() > 0:
            # The first epochs say better than a few batches how many fit; afterwards fewer may be left, not more.
            most_epochs = args.epochs if first == 0 and self.epoch in (1, 2, 3) else self.planned
            left = epochs_left(most_epochs - self.epoch, seconds_left(), each)
            if self.epoch + left != self.planned:
                self.log(f"{self.epoch + left} epochs instead of {self.planned}: an epoch takes {each:.1f} s")
                self.planned = self.epoch + left
            advance = (1 - self.progress) / (left * batches.steps)
            start, loss, before = time.monotonic(), torch.zeros((), device=self.device), taken
            self.net.train()
            for x, y in batches.epoch(self.epoch):
                if self.stop or seconds_left() <= 0:
                    break
                self.progress += advance
                for group in self.optimizer.param_groups:
                    group["lr"] = rate_at(min(1.0, self.progress), args.lr)
                loss += step(x, y)
                self.optimizer.step()
                taken += 1
                average_into(mean, live, min(keep, (1 + taken) / (10 + taken)))
            synchronise(self.device)
            each = time.monotonic() - start if not self.stop else each
            self.epoch += 1
            self.end_epoch(loss.item() / max(1, taken - before), each, curve_path)
            self.seconds += time.monotonic() - start
            if self.epoch % args.save_every == 0 or self.epoch == self.planned or self.stop:
                save(state_path, lambda path: torch.save(self.state(), path))

    def end_epoch(self, loss, seconds, curve_path):
        args = self.args
        last = self.epoch == self.planned or self.stop
        judged = None
        if last or self.epoch % args.judge_every == 0:
            judged = round(100 * accuracy(self.mean, *self.data["held"], bf16=args.precision == "bf16"), 2)
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"epoch": self.epoch, "lr": round(rate, 6), "loss": round(loss, 4), "val_accuracy": judged, "seconds": round(seconds, 2)}
        self.history.append(row)
        save(curve_path, lambda path: write_curve(path, self.history))
        self.log(f"epoch {self.epoch}/{self.planned}, lr {rate:.4f}, loss {loss:.4f}, {seconds:.2f} s"
                 + ("" if judged is None else f", held out {judged:.2f} %"))
