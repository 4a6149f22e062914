"""The networks that train.py trains, with the parameter names of dgate's catalogue.

ResNet (bottleneck blocks) and DenseNet have the structure and names of kuangliu/pytorch-cifar, HeResNet (basic
blocks, option A shortcuts) those of akamaster/pytorch_resnet_cifar10.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

# name: (family, blocks of each stage, width of the first stage or growth rate, most epochs that are worth while)
NETWORKS = {
    "resnet101": ("resnet", (3, 4, 23, 3), 64, 80),
    "densenet201": ("densenet", (6, 12, 48, 32), 32, 70),
    "resnet101-small": ("resnet", (1, 1, 7, 1), 32, 120),
    "densenet201-small": ("densenet", (1, 2, 16, 8), 32, 120),
    "resnet101-narrow": ("resnet", (1, 1, 7, 1), 16, 150),
    "densenet201-narrow": ("densenet", (1, 2, 16, 8), 16, 150),
    "resnet20": ("he", (3, 3, 3), 16, 160),
    "resnet56": ("he", (9, 9, 9), 16, 160),
    # to try everything on a CPU
    "resnet101-tiny": ("resnet", (1, 1, 1, 1), 4, 20),
    "densenet201-tiny": ("densenet", (1, 1, 2, 1), 4, 20),
    "resnet8": ("he", (1, 1, 1), 16, 20),
}


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != 4 * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, 4 * planes, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * planes)
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class Basic(nn.Module):
    """Two 3 x 3 convolutions; where the shape changes, the shortcut takes every other pixel and pads with zeros."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.pad = stride, (planes - inputs) // 2

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        if self.stride != 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(self.bn2(self.conv2(out)) + x)


class ResNet(nn.Module):
    """Stages layer1, layer2, ...: each after the first halves the image and doubles the width."""

    def __init__(self, block, expansion, blocks, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages, inputs = [], width
        for stage, count in enumerate(blocks):
            planes, layers = width * 2**stage, []
            for i in range(count):
                layers.append(block(inputs, planes, 2 if i == 0 and stage > 0 else 1))
                inputs = planes * expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            self.stages.append(f"layer{stage + 1}")
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.linear(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))
        return torch.cat([self.conv2(F.relu(self.bn2(out))), x], 1)


class Transition(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, blocks, growth):
        super().__init__()
        planes = 2 * growth
        self.conv1 = nn.Conv2d(3, planes, 3, padding=1, bias=False)
        for i, count in enumerate(blocks, 1):
            layers = []
            for _ in range(count):
                layers.append(DenseLayer(planes, growth))
                planes += growth
            setattr(self, f"dense{i}", nn.Sequential(*layers))
            if i < len(blocks):
                setattr(self, f"trans{i}", Transition(planes, planes // 2))
                planes //= 2
        self.count = len(blocks)
        self.bn = nn.BatchNorm2d(planes)
        self.linear = nn.Linear(planes, 10)

    def forward(self, x):
        x = self.conv1(x)
        for i in range(1, self.count):
            x = getattr(self, f"trans{i}")(getattr(self, f"dense{i}")(x))
        x = F.relu(self.bn(getattr(self, f"dense{self.count}")(x)))
        return self.linear(x.mean((2, 3)))


def build(name):
    """A network of NETWORKS with fresh weights; every residual block begins as its shortcut."""
    family, blocks, width, _ = NETWORKS[name]
    if family == "densenet":
        net = DenseNet(blocks, width)
    else:
        net = ResNet(*((Bottleneck, 4) if family == "resnet" else (Basic, 1)), blocks, width)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, (Bottleneck, Basic)):
            nn.init.zeros_((module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight)
    return net


def dgate_name(name):
    """The network's name in dgate's catalogue."""
    family, blocks, width, _ = NETWORKS[name]
    dots = ".".join(map(str, blocks))
    if family == "he":
        return f"resnet{6 * blocks[0] + 2}-cifar10" if blocks[0] >= 3 else f"resnet20-blocks{dots}-cifar10"
    plain = "resnet101" if family == "resnet" else "densenet201"
    if NETWORKS[plain][1:3] == (blocks, width):
        return f"{plain}-cifar10"
    return f"{plain}-{f'width{width / 64:g}' if family == 'resnet' else f'growth{width}'}-blocks{dots}-cifar10"


def flops(net):
    """2 x multiply-accumulates of all convolutions and linear layers for one 32 x 32 image."""
    total = [0]

    def count(module, inputs, output):
        total[0] += 2 * module.weight[0].numel() * output.numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    was_training = net.training
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32, device=next(net.parameters()).device))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return total[0]
