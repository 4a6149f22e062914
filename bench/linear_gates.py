"""Linear classifiers of scikit-learn, for bench/suite/hinge.ts and cross-entropy.ts to be measured against.

Usage: linear_gates.py X LABELS FEATURES. X holds standardised features, float32 [images, FEATURES]; LABELS
int32. Every line on stdin asks for one fit as JSON, and is answered with one line: seconds and processor seconds of `fit` alone, iterations,
weights [classes, features] and intercepts of d = x w + intercept.
"""

import json
import sys
import time
import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC


def hinge(ask):
    """liblinear's dual coordinate descent, one class against the others, the bias regularised as a weight of 1."""
    stop = {} if ask["tolerance"] is None else {"tol": ask["tolerance"]}
    return LinearSVC(loss="hinge", C=ask["c"], max_iter=ask["iterations"], random_state=0, **stop)


def cross_entropy(ask):
    """Multinomial; a column of ones stands for the bias, so that it is regularised as ours is."""
    stop = {} if ask["tolerance"] is None else {"tol": ask["tolerance"]}
    return LogisticRegression(C=ask["c"], max_iter=ask["iterations"], fit_intercept=False, **stop)


def answer(ask):
    estimator = (hinge if ask["loss"] == "hinge" else cross_entropy)(ask)
    x = arrays[ask["loss"], ask["precision"]]
    start, processor = time.perf_counter(), time.process_time()
    estimator.fit(x, labels)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    weights, intercepts = estimator.coef_, np.broadcast_to(estimator.intercept_, len(estimator.classes_))
    if ask["loss"] == "cross-entropy":
        weights, intercepts = weights[:, :-1], weights[:, -1]
    return {
        "seconds": seconds,
        "processor": processor,
        "iterations": int(np.max(estimator.n_iter_)),
        "weights": weights.ravel().tolist(),
        "intercepts": intercepts.tolist(),
    }


class Arrays(dict):
    """Features in the type that a fit works in, made before it is timed."""

    def __missing__(self, key):
        loss, precision = key
        x = features.astype(precision)
        if loss == "cross-entropy":
            x = np.hstack([x, np.ones((len(x), 1), x.dtype)])
        self.clear()
        self[key] = x
        return x


warnings.simplefilter("ignore", ConvergenceWarning)  # iterations are limited on purpose
x_file, labels_file, width = sys.argv[1:4]
features = np.fromfile(x_file, np.float32).reshape(-1, int(width))
labels = np.fromfile(labels_file, np.int32)
arrays = Arrays()
print(json.dumps({"version": sklearn.__version__}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
