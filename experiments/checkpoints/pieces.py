#!/usr/bin/env python3
"""Large files in pieces, and CIFAR-10 small enough to carry to a machine without network.

  pieces.py split FILE --bytes 16000000 --out DIR   DIR/FILE.0, .1, ... and DIR/FILE.pieces.json with every sha256
  pieces.py join DIR/FILE.pieces.json --out FILE    the file again, every sha256 checked; prints what
                                                    src/checkpoints/known.json says of a network that ships

  pieces.py pack cifar-10-batches-bin --out cifar10.zip      lossless: WebP sheets, 100 MB for 184 MB (Pillow, numpy)
  pieces.py unpack cifar10.zip --out cifar-10-batches-bin    the same bytes again, sha256 checked
"""
import argparse
import hashlib
import io
import json
import os
import sys
import zipfile

SHEET = 500  # images one below the other: 16,000 rows of 32 pixels; WebP takes at most 16,383


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write(path, data):
    """The file is there whole or not at all."""
    with open(f"{path}.tmp", "wb") as f:
        f.write(data)
    os.replace(f"{path}.tmp", path)


def split(path, out, size):
    """Pieces of at most `size` bytes. @returns path of the list of them"""
    data, name = open(path, "rb").read(), os.path.basename(path)
    os.makedirs(out, exist_ok=True)
    pieces = []
    for i, begin in enumerate(range(0, max(len(data), 1), size)):
        part = data[begin : begin + size]
        write(os.path.join(out, f"{name}.{i}"), part)
        pieces.append({"name": f"{name}.{i}", "bytes": len(part), "sha256": sha256(part)})
    listed = {"name": name, "bytes": len(data), "sha256": sha256(data), "pieces": pieces}
    path = os.path.join(out, f"{name}.pieces.json")
    write(path, (json.dumps(listed, indent=2) + "\n").encode())
    return path


def join(path, out):
    """The file of a list of pieces, which lie beside the list. @returns what the list says of it"""
    with open(path) as f:
        listed = json.load(f)
    parts = []
    for piece in listed["pieces"]:
        place = os.path.join(os.path.dirname(path), piece["name"])
        if not os.path.exists(place):
            raise SystemExit(f"{place}: missing; put all {len(listed['pieces'])} pieces beside {path}")
        part = open(place, "rb").read()
        if sha256(part) != piece["sha256"]:
            raise SystemExit(f"{place}: sha256 {sha256(part)}, expected {piece['sha256']}; copy this piece again")
        parts.append(part)
    if sha256(b"".join(parts)) != listed["sha256"]:
        raise SystemExit(f"{path}: the pieces together have another sha256 than it says; split the file again")
    write(out, b"".join(parts))
    return listed


def entry(path, listed):
    """The entry of src/checkpoints/known.json for an 8-bit file of train.py."""
    with open(path, "rb") as f:
        facts = json.loads(f.read(int.from_bytes(f.read(8), "little")))["__metadata__"]
    stem = os.path.basename(path).replace(".safetensors", "")
    accuracy = facts.get("test_accuracy")
    return json.dumps({
        "id": f"dgate-{stem}",
        "network": facts["network"],
        "shipped": f"{stem}.safetensors",
        "sizeBytes": listed["bytes"],
        "sha256": listed["sha256"],
        "reportedAccuracy": float(f"{float(accuracy) / 100:.6g}") if accuracy else "what dgate model eval says",
    }, indent=2)


def pack(folder, out):
    """A zip of lossless WebP sheets and labels of every .bin file of CIFAR-10's binary version."""
    import numpy as np
    from PIL import Image

    names = sorted(name for name in os.listdir(folder) if name.endswith(".bin"))
    if not names:
        raise SystemExit(f"{folder}: no .bin files; try the folder cifar-10-batches-bin of dgate data fetch cifar10")
    hashes = {}
    with zipfile.ZipFile(f"{out}.tmp", "w") as archive:
        for name in names:
            data = open(os.path.join(folder, name), "rb").read()
            hashes[name] = sha256(data)
            rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
            archive.writestr(f"{name}/labels", rows[:, 0].tobytes())
            images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            for i in range(0, len(images), SHEET):
                sheet = io.BytesIO()
                pixels = np.ascontiguousarray(images[i : i + SHEET].reshape(-1, 32, 3))
                Image.fromarray(pixels).save(sheet, "webp", lossless=True, exact=True, method=4, quality=75)
                archive.writestr(f"{name}/{i // SHEET:03d}.webp", sheet.getvalue())
        archive.writestr("sha256.json", json.dumps(hashes))
    os.replace(f"{out}.tmp", out)


def unpack(path, out):
    """The .bin files of an archive of `pack`."""
    import numpy as np
    from PIL import Image

    os.makedirs(out, exist_ok=True)
    with zipfile.ZipFile(path) as archive:
        for name, expected in json.loads(archive.read("sha256.json")).items():
            sheets = sorted(n for n in archive.namelist() if n.startswith(f"{name}/") and n.endswith(".webp"))
            opened = [np.asarray(Image.open(io.BytesIO(archive.read(sheet))).convert("RGB")) for sheet in sheets]
            images = np.concatenate(opened).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, 3072)
            labels = np.frombuffer(archive.read(f"{name}/labels"), np.uint8)[:, None]
            data = np.concatenate([labels, images], 1).tobytes()
            if sha256(data) != expected:
                raise SystemExit(f"{path}: {name} has sha256 {sha256(data)}, expected {expected}; pack it again")
            write(os.path.join(out, name), data)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("split", "join", "pack", "unpack"))
    parser.add_argument("path")
    parser.add_argument("--out", required=True)
    parser.add_argument("--bytes", type=int, default=16_000_000, help="of a piece, at most")
    args = parser.parse_args()
    if args.what == "split":
        print(split(args.path, args.out, args.bytes))
    elif args.what == "join":
        listed = join(args.path, args.out)
        print(f"{args.out}: {listed['bytes']} bytes, sha256 {listed['sha256']}, {len(listed['pieces'])} pieces", file=sys.stderr)
        if args.out.endswith(".safetensors"):
            print(entry(args.out, listed))
    else:
        try:
            (pack if args.what == "pack" else unpack)(args.path, args.out)
        except ModuleNotFoundError as missing:
            raise SystemExit(f"{args.what}: needs numpy and Pillow ({missing}); try pip install numpy pillow")


if __name__ == "__main__":
    main()
