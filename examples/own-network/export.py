"""Writes a PyTorch classifier as an ONNX file that takes any number of images at a time.

    python3 export.py model.onnx             torchvision's ResNet-18 with its ImageNet weights
    python3 export.py model.onnx --small     a small untrained network on 64 x 64 images, to try the rest

Needs PyTorch 1.13 or newer (pip install torch onnx onnxscript; versions before 2.9 need torch alone), torchvision without --small.
Put a network of your own in the place of `network()`.
"""
import argparse

import torch


def network():
    import torchvision
    return torchvision.models.resnet18(weights='DEFAULT'), 224


def small():
    def block(before, after):
        return [torch.nn.Conv2d(before, after, 3, 2, 1), torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    torch.manual_seed(0)
    layers = [*block(3, 8), *block(8, 16), *block(16, 24), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(24, 3)]
    return torch.nn.Sequential(*layers), 64


arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument('out')
arguments.add_argument('--small', action='store_true')
chosen = arguments.parse_args()
model, size = small() if chosen.small else network()
image = torch.randn(2, 3, size, size)
if tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 9):
    batch = torch.export.Dim('batch')
    torch.onnx.export(model.eval(), (image,), chosen.out, dynamo=True, dynamic_shapes=({0: batch},), external_data=False)
else:
    torch.onnx.export(model.eval(), image, chosen.out, opset_version=16, input_names=['input'], output_names=['logits'],
                      dynamic_axes={'input': {0: 'batch'}, 'logits': {0: 'batch'}})
print(f'{chosen.out}: images [n, 3, {size}, {size}]')
