"""Which images of a data set are used: all, the first ones, or as many of each class, drawn with a seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xbarsim.errors import ParameterError, shown
from xbarsim.parameters import array_of
from xbarsim.streams import stream


@dataclass(frozen=True)
class Sample:
    """Images of a data set, as a report names them.

    Attributes
    ----------
    dataset, split : str
        Name or file, and which part of it.
    images : str
        Which images, in words.
    index : int array, (n,)
        Their numbers in the data set, in the order in which they are used.
    """

    dataset: str = "given as arrays"
    split: str = ""
    images: str = ""
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.intp), compare=False, repr=False)

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        which: int | str = "all",
        *,
        seed: int = 0,
        dataset: str = "",
        split: str | None = None,
    ) -> Sample:
        """Choose images by their labels.

        Parameters
        ----------
        labels : int array, (n,)
            Of the whole data set.
        which : int or str
            How many: drawn without replacement, of each class the same number or, where that does not divide, one more
            of some. A smaller sample of the same seed is the beginning of a larger one. ``"first:N"`` for the first N,
            ``"all"`` for all.
        seed : int
            Of the draw.
        dataset, split : str
            What reports call them; unless told, "test" of all but files and arrays, which have no parts.

        Raises
        ------
        ParameterError
            If that is no number from 1 to that of the images, ``"first:N"`` or ``"all"``.
        """
        y = array_of(labels, "labels")
        if y.ndim != 1:
            raise ParameterError(f"labels have the shape {y.shape}; give one for each image, (n,)")
        split = ("" if not dataset or str(dataset).endswith(".npz") else "test") if split is None else split
        total, text = len(y), str(which)
        if text == "all":
            return cls(dataset, split, f"all {total} images", np.arange(total))
        count = text.removeprefix("first:")
        whole = not isinstance(which, bool) and count.isascii() and count.isdecimal() and len(count) < 10
        if not (whole and 0 < int(count) <= total):
            raise ParameterError(
                f"images = {shown(which)}: give a whole number from 1 to {total}, what the data set has; 'first:N'; or "
                "'all'"
            )
        n = int(count)
        if text != count:
            return cls(dataset, split, f"the first {n} of {total} images", np.arange(n))
        words = f"{n} of {total} images, balanced over classes, drawn with seed {seed}"
        return cls(dataset, split, words, _balanced(y, seed)[:n])

    @classmethod
    def checked(cls, sample: object, n_images: int) -> Sample | None:
        """Return a sample, if there is one, of so many images; refuse others."""
        if sample is None:
            return None
        if not isinstance(sample, cls):
            raise ParameterError(f"sample is of type {type(sample).__name__}; give a Sample, see Sample.of")
        if len(sample.index) != n_images:
            raise ParameterError(
                f"sample has {len(sample.index)} images, but {n_images} are given; give those of its index"
            )
        return sample

    def __str__(self) -> str:
        return ", ".join(part for part in (self.dataset, self.split, self.images) if part)


def _balanced(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the numbers of all images such that any first ones hold as many of each class, as far as there are any."""
    draws = stream(seed, "images")
    shuffled = draws.permutation(len(labels))
    order = np.argsort(labels[shuffled], kind="stable")  # class by class
    _, counts = np.unique(labels, return_counts=True)
    turn = np.concatenate([np.arange(count) for count in counts])  # each class gives one image a turn
    return np.asarray(shuffled[order][np.lexsort((draws.random(len(labels)), turn))])
