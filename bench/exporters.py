"""python bench/exporters.py FOLDER [NAME...]

Networks of torchvision and timm with generated weights, written by both of PyTorch's exporters (2.9 or newer), for one image
and for any number: FOLDER/<name>.<script|dynamo>-<one|any>.onnx; FOLDER/counts.json has PyTorch's own FLOPs. A name with
`timm/` before it is timm's. Needs torch, torchvision, timm, onnxscript. `npx tsx bench/wild-onnx.ts --counts` reads them.

Batch norms get the statistics of 32 generated images. With those that a new network has (mean 0, variance 1) the differences
between images fade: to 5e-9 of logits of 0.1 in RepVGG, and all logits to 5e-14 in EfficientNet-B0. Then every image has the
same confidence, to rounding, and no threshold separates two of them. Weights that start as zeros (timm's heads) are drawn.
"""

import json
import os
import sys
import warnings
from importlib.metadata import version

import torch
from torch.utils.flop_counter import FlopCounterMode

NAMES = (
    "swin_t:64 convnext_tiny:64 densenet121:64 efficientnet_b0:64 mobilenet_v3_small:64 regnet_y_400mf:64 "
    "shufflenet_v2_x1_0:64 googlenet:64 inception_v3:96 vit_b_32:224 resnet18:64 mnasnet0_5:64 "
    "timm/mixer_s32_224:224 timm/vit_tiny_patch16_224:224 timm/levit_128s:224 timm/repvgg_a0:64 "
    "timm/eva02_tiny_patch14_224:224"
).split()


def build(name):
    torch.manual_seed(0)
    if name.startswith("timm/"):
        import timm

        return timm.create_model(name[5:], pretrained=False).eval()
    import torchvision

    extra = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(weights=None, **extra).eval()


def calibrate(model, side):
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and not weight.any():
                torch.nn.init.normal_(weight, std=0.02)
        if norms:
            model.train()(4 * torch.rand(32, 3, side, side) - 2)
    return model.eval()


def main():
    folder, *chosen = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    counts = {}
    if os.path.exists(f"{folder}/counts.json"):
        counts = json.load(open(f"{folder}/counts.json"))
    for spec in chosen or NAMES:
        name, side = spec.split(":")
        short = name.split("/")[-1]
        model = calibrate(build(name), int(side))
        image = torch.randn(1, 3, int(side), int(side))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(image)
        versions = "; ".join(f"{package} {version(package)}" for package in ("torch", "torchvision", "timm", "onnxscript"))
        counts[short] = {"flops": counter.get_total_flops(), "versions": versions}
        json.dump(counts, open(f"{folder}/counts.json", "w"))
        names = {"input_names": ["input"], "output_names": ["logits"]}
        axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
        batch = {0: torch.export.Dim("batch")}
        forms = {
            "script-one": {"dynamo": False, "opset_version": 17},
            "script-any": {"dynamo": False, "opset_version": 17, "dynamic_axes": axes},
            "dynamo-one": {"dynamo": True},
            "dynamo-any": {"dynamo": True, "dynamic_shapes": (batch,)},
        }
        for form, options in forms.items():
            example = torch.randn(2, 3, int(side), int(side)) if form == "dynamo-any" else image
            path = f"{folder}/{short}.{form}.onnx"
            if os.path.exists(path):  # of an earlier run
                continue
            try:
                extra = {"external_data": False, "verbose": False} if options["dynamo"] else {}
                torch.onnx.export(model, (example,), path, **names, **options, **extra)
                print(path, flush=True)
            except Exception as error:  # PyTorch's own refusal
                print(path, "not exported:", str(error).split("\n")[0][:150], flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
