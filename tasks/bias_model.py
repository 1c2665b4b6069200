"""A bias-only model: a linear classifier of what two texts look like, which sees no meaning."""

import re
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import sklearn
from huggingface_hub import cached_assets_path
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack
from scipy.special import softmax
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from tasks.rows import Pair

FOLDS = 5
LARGE = 10_000  # rows from which on the fit takes so long that what came of it is kept
SMALLEST = 1e-3  # probability that is shared out among the classes, so that none is ruled out
WORD = re.compile(r"\w+")


def predictions(rows: Sequence[Pair], classes: int) -> np.ndarray:
    """Log-probabilities of the classes by a model that has not seen the row, float32 of shape (rows, classes).

    A logistic regression on overlap and on the words of each text by itself is fitted to four fifths of the rows and
    applied to the others, five times: fitted to the row itself it would know the label of a rare word by heart, and
    what a network is to unlearn would be the training set instead of its bias. One temperature sets right how sure it
    is of what it has not seen. Nothing is random but for a fixed seed.

    Overlap is that of Clark et al. 2019 (arXiv 1909.03683) and SRNets (arXiv 2210.05211) without their word vectors.

    What many rows lead to is kept in the cache of Hugging Face (HF_HOME), by their content: runs of a sweep share it.

    Raises:
        ValueError: there are fewer rows than folds, or the rows that a fold leaves have a single label.
    """
    if len(rows) < FOLDS:
        raise ValueError(
            f"a bias-only model needs at least {FOLDS} training rows, not {len(rows)}; give loss.bias_file"
        )
    if len(rows) < LARGE:
        return _fitted(rows, classes)
    content = [(row.first, row.second, row.label) for row in rows]
    key = joblib.hash([content, Path(__file__).read_bytes(), sklearn.__version__])
    return _kept().cache(_fitted, ignore=["rows"])(rows, classes, key)  # type: ignore[no-any-return]


def _kept() -> joblib.Memory:
    """The cache; one that keeps nothing where it cannot be written to."""
    try:
        return joblib.Memory(cached_assets_path("lacuna", namespace="bias_model"), verbose=0)
    except (OSError, ValueError):
        return joblib.Memory(None)


def _fitted(rows: Sequence[Pair], classes: int, key: str = "") -> np.ndarray:
    """As `predictions`; `key` stands for the rows where results are kept."""
    features, labels = _features(rows), np.array([row.label for row in rows])
    found = np.zeros((len(rows), classes))
    for fitted, left in KFold(FOLDS, shuffle=True, random_state=0).split(labels):
        if len(np.unique(labels[fitted])) < 2:
            raise ValueError("a bias-only model needs training rows of at least two classes; give loss.bias_file")
        model = LogisticRegression(max_iter=1000, tol=1e-3).fit(features[fitted], labels[fitted])
        found[np.ix_(left, model.classes_)] = model.predict_proba(features[left])
    return _calibrated(found, labels).astype(np.float32)


def _calibrated(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-probabilities at the temperature at which the labels are likeliest, every class keeping some probability.

    Rare words make the model surer of rows that it has not seen than it has a right to be: on NLI its own probabilities
    are worse than saying nothing (temperature scaling: Guo et al. 2017, arXiv 1706.04599). It is never made surer.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(found)

    def at(temperature: float) -> np.ndarray:
        told: np.ndarray = np.log((1 - SMALLEST) * softmax(logits / temperature, axis=1) + SMALLEST / found.shape[1])
        return told

    def loss(log_temperature: float) -> float:
        return float(-at(np.exp(log_temperature))[np.arange(len(labels)), labels].mean())

    return at(np.exp(minimize_scalar(loss, bounds=(0.0, 5.0), method="bounded").x))


def overlap(first: str, second: str) -> list[float]:
    """What two texts share, whatever it means.

    Whether all words of the second are in the first, whether they stand there one after the other, the fraction that
    does, and the logarithm of how many more words each text has; of a single text, nothing.
    """
    ours, theirs = (WORD.findall(text.lower()) for text in (first, second))
    known = set(ours)
    shared = [word in known for word in theirs]
    whole = f" {' '.join(theirs)} " in f" {' '.join(ours)} "
    more = len(ours) - len(theirs)
    return [
        float(all(shared)),
        float(whole),
        sum(shared) / max(1, len(shared)),
        float(np.log1p(max(0, more))),
        float(np.log1p(max(0, -more))),
    ]


def _features(rows: Sequence[Pair]) -> csr_matrix:
    """Overlap and which words each text has, sparse of shape (rows, features)."""
    parts = [csr_matrix([overlap(row.first, row.second) if row.second is not None else [0.0] for row in rows])]
    for texts in ([row.first for row in rows], [row.second or "" for row in rows]):
        words = CountVectorizer(binary=True, token_pattern=WORD.pattern)
        if any(WORD.search(text) for text in texts):
            parts.append(words.fit_transform(texts))
    return hstack(parts, format="csr")
