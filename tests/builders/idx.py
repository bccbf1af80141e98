"""Data sets as they are published."""

import gzip

import numpy as np


def write_idx(folder, split, images, labels, compress=True):
    prefix = {"train": "train", "test": "t10k"}[split]
    for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        raw = header + array.astype(np.uint8).tobytes()
        path = folder / (name + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(raw) if compress else raw)
