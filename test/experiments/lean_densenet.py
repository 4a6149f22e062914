"""Compares the lean training step of a DenseNet (experiments/checkpoints/dense.py) with the plain one, in float32.

  [TRITON_INTERPRET=1] python3 lean_densenet.py SCRIPTS [kernels]

Prints relative differences of logits and gradients and the largest of the batch norms' statistics as JSON. With
`kernels` the Triton kernels run, in Triton's interpreter, so that no GPU is needed.
"""
import copy
import json
import sys

sys.path.insert(0, sys.argv[1])
import torch
import torch.nn.functional as F

import dense
import networks

torch.manual_seed(0)
if "kernels" in sys.argv:
    plain_init = dense.Block.__init__

    def with_kernels(self, *args):
        plain_init(self, *args)
        self.kernels = True

    dense.Block.__init__ = with_kernels
net = networks.build("densenet201-tiny").to(memory_format=torch.channels_last).train()
for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        torch.nn.init.uniform_(module.bias, -0.5, 0.5)
other = copy.deepcopy(net)
images = torch.randn(6, 3, 32, 32).contiguous(memory_format=torch.channels_last)
labels = torch.arange(6)
found = [net(images), dense.lean(other)(images)]
for logits in found:
    F.cross_entropy(logits, labels).backward()
apart = lambda a, b: ((a - b).norm() / a.norm()).item()
print(json.dumps({
    "logits": apart(*found),
    "gradients": max(apart(p.grad, q.grad) for p, q in zip(net.parameters(), other.parameters())),
    "statistics": max((p.float() - q.float()).abs().max().item() for p, q in zip(net.buffers(), other.buffers())),
}))
