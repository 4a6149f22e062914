"""earlyon's exits on a network of dgate's: wrapped, trained and calibrated with earlyon's own functions.

Its command line knows its own networks only, and scales CIFAR-10 to 224 x 224 pixels; a user's network goes through its
Python functions: `custom_ee`, `stage2_train_exits` (its default 20 epochs), `calibrate_thresholds`. The heads average each
channel of a stage's map before anything else, and the network is frozen: they are trained and calibrated on those
averages, which dgate has extracted, instead of running the network once more in every epoch.
"""

import torch
from earlyon.core.flops import FlopsEstimate
from earlyon.core.thresholds import calibrate_thresholds
from earlyon.models.custom import custom_ee
from earlyon.training.two_stage_trainer import stage2_train_exits
from earlyon.utils import save_wrapper
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pytorch_network import read_safetensors

SEED, BATCH = 0, 128


def layers_of(subject):
    return [f"stages.{gate['stage'] - 1}" for gate in subject["gates"]]


def wrapped(network, subject, path):
    """The network with the exits that `train` saved."""
    shape = (1, *subject["input"])
    classes = network.classifier.out_features
    loaded = torch.load(path, weights_only=True)
    model = custom_ee(network, layers_of(subject), classes, input_shape=shape)
    heads = {name: value for name, value in loaded["state_dict"].items() if name.startswith("exit_heads.")}
    missing, unexpected = model.load_state_dict(heads, strict=False)
    if unexpected or any(name.startswith("exit_heads.") for name in missing):
        raise ValueError(f"{path}: not the exits of this network")
    config = loaded["config"]
    model.config.confidence_thresholds = [float(t) for t in config["confidence_thresholds"]]
    model.config.enabled_exits = [bool(enabled) for enabled in config["enabled_exits"]]
    return model.eval()


class Part(nn.Module):
    """Hands on a slice of the averages, as a stage hands on its map."""

    def forward(self, x):
        return x


class Averages(nn.Module):
    """In the place of the network: every stage gives what was extracted behind it, the end the network's logits."""

    def __init__(self, widths, classes):
        super().__init__()
        self.stages = nn.ModuleDict({layer.split(".")[1]: Part() for layer in widths})
        self.sizes, self.classes = list(widths.values()), classes

    def forward(self, x):
        parts = torch.split(x, [*self.sizes, self.classes], 1)
        for stage, part in zip(self.stages.values(), parts):
            stage(part)
        return parts[-1]


def loader(path, count, shuffle):
    tensors = read_safetensors(path)
    rows = torch.cat([*(tensors[f"gate{k + 1}"] for k in range(count)), tensors["logits"]], 1)
    generator = torch.Generator().manual_seed(SEED)
    data = TensorDataset(rows, tensors["labels"].long())
    return DataLoader(data, BATCH, shuffle, generator=generator)


def train(subject, folder, drops):
    """Trains the exits and writes earlyon-DROP.pt for each drop of accuracy that they may cost. @returns what came out"""
    torch.manual_seed(SEED)
    layers = layers_of(subject)
    sample = read_safetensors(folder / "train.safetensors")
    widths = {layer: sample[f"gate{k + 1}"].shape[1] for k, layer in enumerate(layers)}
    classes = sample["logits"].shape[1]
    stand_in = Averages(widths, classes)
    example = torch.zeros(1, sum(widths.values()) + classes)
    model = custom_ee(stand_in, layers, classes, input_shape=tuple(example.shape))
    stage2_train_exits(model, loader(folder / "train.safetensors", len(layers), True), on_epoch_end=lambda _: None)
    model.eval()
    # Its greedy search takes the FLOPs of each exit into account, which only the real network has.
    shares = dict(zip(layers, subject["shares"]))
    model._flops_estimate = FlopsEstimate(fractions=shares, method="counted", reliable=True)
    found = {}
    for drop in drops:
        result = calibrate_thresholds(model, loader(folder / "choosing.safetensors", len(layers), False), drop)
        save_wrapper(model, folder / f"earlyon-{drop}.pt")
        found[str(drop)] = {"thresholds": result.thresholds, "enabled": result.enabled_exits}
    return found
