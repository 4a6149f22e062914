#!/bin/sh
# Installs what some benchmarks of `npm run bench` measure against, from Debian's or Ubuntu's own packages. dgate itself
# never needs them; a benchmark leaves out what is missing and says so.
set -eu

# OpenBLAS: Debian's reference BLAS, which they would take otherwise, multiplies matrices twenty times slower.
packages='python3-torch python3-torchvision python3-sklearn python3-numpy libopenblas0-pthread'

if ! command -v apt-get > /dev/null; then
  echo "bench/peers.sh: no apt-get here; needed for /usr/bin/python3: torch, torchvision, scikit-learn, numpy" >&2
  exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || { echo 'bench/peers.sh: run it as root (no sudo here)' >&2; exit 2; }
  as_root=sudo
else
  as_root=
fi
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
/usr/bin/python3 -c 'import numpy, sklearn, torch, torchvision
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, scikit-learn {sklearn.__version__}")'
