"""Writes the ONNX files that networks of one's own are tried with, and counts their FLOPs by other means.

    /usr/bin/python3 bench/make-onnx.py export FOLDER [NAME...]    torchvision's models, weights generated (seed 0)
    /usr/bin/python3 bench/make-onnx.py resnet56 CHECKPOINT FILE [--keep-batch-norm]
                                                                   akamaster's CIFAR ResNet-56 with its real weights
    python3 bench/make-onnx.py count [NAME...]                     FLOPs by torch.utils.flop_counter, as JSON

`export` and `resnet56` ran on Debian's python3-torch 1.13 and python3-torchvision 0.14; `count` needs a PyTorch that has
FlopCounterMode with attention (2.15 and torchvision 0.29 were used). FlopCounterMode counts 2 x multiply-accumulates of
convolutions, linear layers and matrix products; torchvision's own models are the same in both versions.
"""

import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

NAMES = ["resnet18", "resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0", "vgg16", "vit_b_16", "swin_t"]


def build(name):
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)().eval()
    # ViT's classifier begins as zeros, and batch norm as the identity: both would hide mistakes.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
            module.momentum = None  # mean and variance of all that it sees
    # One look at images of a kind, or deep networks would answer the same to every image.
    with torch.no_grad():
        model.train()(F.interpolate(torch.randn(16, 3, 28, 28), 224))
    model.eval()
    if name == "vit_b_16":
        nn.init.normal_(model.heads.head.weight, 0, 0.05)
    return model


def export(model, path, size, training=torch.onnx.TrainingMode.EVAL):
    torch.onnx.export(
        model, torch.randn(1, 3, size, size), path, opset_version=17 if torch.__version__ >= "1.14" else 16, training=training,
        input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip
    print(path, flush=True)


def count(name):
    from torch.utils.flop_counter import FlopCounterMode

    torch.backends.mha.set_fastpath_enabled(False)  # the fused kernel of ViT's attention is not counted
    model = build(name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 224, 224))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"flops": counter.get_total_flops(), "parameters": parameters}


class Shortcut(nn.Module):
    """Option A: every second row and column, channels padded with zeros."""

    def __init__(self, pad):
        super().__init__()
        self.pad = pad

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential() if before == after else Shortcut(after // 4)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """He et al.'s CIFAR ResNet as akamaster/pytorch_resnet_cifar10 names its tensors."""

    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, 16, 32, 64]
        for stage in (1, 2, 3):
            first = Block(widths[stage - 1], widths[stage], 1 if stage == 1 else 2)
            rest = [Block(widths[stage], widths[stage], 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(F.avg_pool2d(out, 8).flatten(1))


def resnet56(checkpoint, path, keep=None):
    """With `keep`, batch norms stay in the file as they are; else PyTorch folds them into the convolutions, in float32."""
    state = torch.load(checkpoint, map_location="cpu")["state_dict"]
    model = CifarResNet(9).eval()
    model.load_state_dict({name.replace("module.", ""): tensor for name, tensor in state.items()})
    export(model, path, 32, torch.onnx.TrainingMode.PRESERVE if keep else torch.onnx.TrainingMode.EVAL)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "export":
        folder, *names = arguments
        for name in names or NAMES:
            export(build(name), f"{folder}/{name}.onnx", 224)
    elif what == "resnet56":
        resnet56(*arguments)
    elif what == "count":
        print(json.dumps({name: count(name) for name in arguments or NAMES}, indent=1))
    else:
        sys.exit(__doc__)
