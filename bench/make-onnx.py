"""Writes the ONNX files that the door for networks of one's own is tried on, from torchvision's models.

    /usr/bin/python3 bench/make-onnx.py FOLDER [NAME...]      Debian's python3-torch (1.13) and python3-torchvision

Weights are generated (seed 0; nothing is downloaded). Beside FOLDER/NAME.onnx stands NAME.json: parameters, input,
five images' logits by PyTorch, and the multiply-accumulates that hooks counted from PyTorch's own modules (Conv2d and
Linear by their shapes; attention's two products by the sizes of its inputs).

    /usr/bin/python3 bench/make-onnx.py FOLDER resnet56-cifar10 --checkpoint resnet56-4bfd9763.th --source resnet.py
"""
