"""Why held-out images of CIFAR-10 are easier than test images: the draw, or near-duplicates among the training images?

Nearest neighbours (5) among the 50,000 training images, of each of them and of each test image: pixels averaged over 4 x 4
cells, mean and contrast taken out, cosine similarity; an image is not its own neighbour. The class of the nearest one is an
answer that no network's training and no held-out set has a part in.

    python3 bench/held_out.py .cache/data/cifar10/cifar-10-batches-bin > results/held-out.csv
    ... [SCORES.safetensors of held-out images] [of test images] [SEED]    also a network's accuracy without near-duplicates

Needs numpy and torch. The held-out images are those that experiments/checkpoints/*-cifar10.safetensors name:
those of split seed 2026 (the small networks) and of 2027 (the paper's two). SEED: that of the network that has the scores.
"""

import glob
import json
import struct
import sys

import numpy as np
import torch

SIMILAR = [0.90, 0.95, 0.97, 0.98, 0.99]
DRAWS = 10_000


def header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def tensor(path, name):
    entry = header(path)[name]
    begin, end = entry["data_offsets"]
    with open(path, "rb") as file:
        base = 8 + struct.unpack("<Q", file.read(8))[0]
        file.seek(base + begin)
        return np.frombuffer(file.read(end - begin), np.int32)


def batch(path):
    rows = np.fromfile(path, np.uint8).reshape(-1, 3073)
    return rows[:, 0].astype(np.int64), rows[:, 1:].reshape(-1, 3, 32, 32)


def described(images):
    cells = torch.from_numpy(images).float().reshape(-1, 3, 8, 4, 8, 4).mean((3, 5)).flatten(1)
    cells = cells - cells.mean(1, keepdim=True)
    return cells / cells.norm(dim=1, keepdim=True).clamp(min=1)


def nearest(x, among, own):
    """Similarity and position of the nearest image. own: position of the first of x in among, or None."""
    similarity, position = [], []
    for start in range(0, len(x), 500):
        products = x[start : start + 500] @ among.T
        if own is not None:
            rows = torch.arange(len(products))
            products[rows, own + start + rows] = -2
        best = products.max(1)
        similarity.append(best.values)
        position.append(best.indices)
    return torch.cat(similarity).numpy(), torch.cat(position).numpy()


def z_of(a, b):
    """Two shares: their difference in standard errors."""
    pooled = (a.sum() + b.sum()) / (len(a) + len(b))
    spread = np.sqrt(pooled * (1 - pooled) * (1 / len(a) + 1 / len(b)))
    return (a.mean() - b.mean()) / spread if spread > 0 else 0.0


folder, scores, scored = sys.argv[1], sys.argv[2:4], sys.argv[4:]
labels, images = zip(*[batch(f"{folder}/data_batch_{i}.bin") for i in range(1, 6)])
labels, images = np.concatenate(labels), np.concatenate(images)
test_labels, test_images = batch(f"{folder}/test_batch.bin")
checkpoints = [header(path)["__metadata__"] for path in glob.glob("experiments/checkpoints/*-cifar10.safetensors")]
draws = {one.get("split_seed", "2026"): np.array(json.loads(one["held_out"])) for one in checkpoints}

among, asked = described(images), described(test_images)
similarity, position = nearest(among, among, 0)
test_similarity, test_position = nearest(asked, among, None)
right = labels[position] == labels
test_right = labels[test_position] == test_labels

rows = []


def row(seed, quantity, a, b):
    rows.append((seed, quantity, len(a), a.mean(), len(b), b.mean(), z_of(a, b), ""))


row("", "class of the nearest training image: all training images, test", right, test_right)
for limit in SIMILAR:
    row("", f"near-duplicate (similarity >= {limit}): all training images, test", similarity >= limit, test_similarity >= limit)

# Other stratified draws of 5,000 of the 50,000: where among them do these stand?
random = np.random.default_rng(0)
by_class = [np.flatnonzero(labels == c) for c in range(10)]
drawn = []
for _ in range(DRAWS):
    of = np.concatenate([random.choice(members, 500, replace=False) for members in by_class])
    drawn.append((right[of].mean(), (similarity[of] >= 0.97).mean()))
drawn = np.array(drawn)
for seed, held in sorted(draws.items()):
    row(seed, "class of the nearest training image: held-out, test", right[held], test_right)
    rest = np.setdiff1d(np.arange(len(labels)), held)
    row(seed, "class of the nearest training image: held-out, the other 45,000", right[held], right[rest])
    for limit in SIMILAR:
        row(seed, f"near-duplicate (similarity >= {limit}): held-out, test", similarity[held] >= limit, test_similarity >= limit)
    for i, (name, own) in enumerate([("class of the nearest", right[held].mean()), ("near-duplicate (0.97)", (similarity[held] >= 0.97).mean())]):
        quantity = f"{name}: share of {DRAWS} other draws of 5,000 that are at most as high"
        rows.append((seed, quantity, len(held), own, DRAWS, drawn[:, i].mean(), "", (drawn[:, i] <= own).mean()))

if len(scores) == 2:
    answers = [tensor(path, "original") == tensor(path, "labels") for path in scores]
    (seed,) = scored
    row(seed, "right answers of the network: held-out, test", answers[0], answers[1])
    for limit in SIMILAR:
        keep, test_keep = similarity[draws[seed]] < limit, test_similarity < limit
        row(seed, f"right answers without near-duplicates (similarity < {limit}): held-out, test", answers[0][keep], answers[1][test_keep])

print("split_seed,quantity,images,share,other_images,other_share,z,share_of_draws")
for seed, quantity, n, a, m, b, z, more in rows:
    shown = f"{z:.2f}" if z != "" else ""
    print(f'{seed},"{quantity}",{n},{a:.4f},{m},{b:.4f},{shown},{more}')
