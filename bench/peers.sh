#!/bin/sh
# Installs what `npm run bench` measures against into a virtual environment, from PyPI: PyTorch, torchvision, scikit-learn,
# OpenVINO, nncf, ONNX Runtime for Python, earlyon. dgate itself never needs them; a benchmark leaves out what is missing and
# says so. 6 GB, since PyPI's PyTorch for Linux brings CUDA's libraries.
#
#   bench/peers.sh                      into .cache/peers, with python3 (3.10 or newer)
#   DGATE_PEERS=DIR bench/peers.sh      into another folder; `npm run bench` reads the same variable
#   PYTHON=python3.12 bench/peers.sh    with another interpreter
set -eu

peers=${DGATE_PEERS:-$(dirname "$0")/../.cache/peers}
[ -x "$peers/bin/python" ] || "${PYTHON:-python3}" -m venv "$peers" || {
  echo "bench/peers.sh: ${PYTHON:-python3} makes no virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 2
}

# Each by itself, so that one that cannot be installed leaves the others in place.
missing=
install() {
  "$peers/bin/python" -m pip install --quiet "$@" || missing="$missing $1"
}
install torch torchvision
install scikit-learn numpy
install onnxruntime onnx
install openvino
install nncf
install earlyon==0.3.0

"$peers/bin/python" - << 'PYTHON'
from importlib.metadata import PackageNotFoundError, version

for name in ("torch", "torchvision", "scikit-learn", "onnxruntime", "openvino", "nncf", "earlyon"):
    try:
        print(name, version(name))
    except PackageNotFoundError:
        print(name, "left out: could not be installed")
PYTHON
if [ -n "$missing" ]; then
  echo "bench/peers.sh: could not be installed:$missing; benchmarks leave out what is measured against them" >&2
  exit 1
fi
