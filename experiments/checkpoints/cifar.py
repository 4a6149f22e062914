"""CIFAR-10 for train.py: the binary batches, the held-out images, augmentation where the images lie."""
import hashlib
import os

import numpy as np
import torch

MEAN = (0.4914, 0.4822, 0.4465)  # of [0, 1] pixels, RGB
STD = (0.2470, 0.2435, 0.2616)
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]
TEST = ["test_batch.bin"]


def read(folder, names):
    """(uint8 images [n, 32, 32, 3], labels [n], sha256 of the files one after the other) of CIFAR-10's binary version:
    of each image the label, then 3 x 1024 pixels, colour by colour, each in row-major order."""
    contents = [open(os.path.join(folder, name), "rb").read() for name in names]
    rows = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 3073)
    images = np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, rows[:, 0].astype(np.int64), hashlib.sha256(b"".join(contents)).hexdigest()


def split(labels, seed, share=0.1):
    """Positions of the images to learn from and of those held out, ascending: the same number of every class."""
    rng = np.random.default_rng(seed)
    each = int(len(labels) * share) // 10
    held = np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:each] for c in range(10)]))
    return np.setdiff1d(np.arange(len(labels)), held), held


def normalise(x):
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w] in channels-last memory."""
    mean = torch.tensor(MEAN, device=x.device) * 255
    scale = 1 / (torch.tensor(STD, device=x.device) * 255)
    return ((x.float() - mean) * scale).permute(0, 3, 1, 2)


class Batches:
    """Random 32 x 32 crops of images padded by 4 reflected pixels, half of them flipped, a square of each cut out
    (set to the mean). What an epoch draws depends on the seed and the epoch alone, so that a training that goes on
    after an interruption sees the images that it would have seen."""

    def __init__(self, images, labels, batch, cutout, seed, device):
        padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
        self.x, self.y = torch.from_numpy(padded).to(device), torch.from_numpy(labels).to(device)
        self.batch, self.cutout, self.seed, self.device = batch, cutout, seed, device
        self.steps = len(labels) // batch  # the last, partial batch is dropped

    def epoch(self, number):
        """Yields (float32 images [batch, 3, 32, 32] in channels-last memory, labels [batch])."""
        g = torch.Generator(self.device).manual_seed(1_000_003 * self.seed + number)
        order = torch.randperm(len(self.y), generator=g, device=self.device)
        ramp = torch.arange(32, device=self.device)
        for i in range(self.steps):
            index = order[i * self.batch : (i + 1) * self.batch]
            draw = lambda most, shape: torch.randint(0, most, shape, generator=g, device=self.device)
            dy, dx = draw(9, (2, len(index)))
            flip = draw(2, (len(index), 1)).bool()
            rows = dy[:, None] + ramp
            columns = dx[:, None] + torch.where(flip, ramp.flip(0), ramp)
            x = normalise(self.x[index[:, None, None], rows[:, :, None], columns[:, None, :]])
            if self.cutout > 0:
                first = draw(32 + self.cutout - 1, (2, len(index), 1)) - (self.cutout - 1)  # of the rows, the columns
                inside = (ramp >= first) & (ramp < first + self.cutout)
                x = x.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)
            yield x.contiguous(memory_format=torch.channels_last), self.y[index]
