"""A small convolutional network, trained with torch where a node has it, with the manners of a scikit-learn estimator.

Rows whose number of columns is a square (8 x 8 digits) are images, all others are sequences. The fitted weights are
kept as plain arrays, so that the model is stored like any other; the network is built around them when it predicts.
This module imports torch, so it is imported by name, and only for `cnn`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from torch import nn
from torch.nn import functional

KERNEL = 3
LEAST_SIDE = 4


class _Convolution(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn has no types
    """What both have in common. `max_iter` is in epochs; `loss_` is the mean loss of the last one."""

    _optimizer_state: Any = None

    def __init__(
        self,
        channels: int = 16,
        hidden: int = 64,
        max_iter: int = 30,
        batch_size: int = 32,
        learning_rate_init: float = 0.001,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        random_state: int = 0,
    ) -> None:
        self.channels = channels
        self.hidden = hidden
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def fit(self, numbers: np.ndarray, target: np.ndarray) -> Self:
        """All epochs, from the beginning."""
        for name in ("epochs_", "weights_", "_optimizer_state"):
            self.__dict__.pop(name, None)
        for _ in range(self.max_iter):
            self.partial_fit(numbers, target)
        return self

    def partial_fit(self, numbers: np.ndarray, target: np.ndarray, classes: np.ndarray | None = None) -> Self:
        """One epoch over all rows, in an order drawn from the seed and the epoch's number."""
        epoch = self._begin(numbers, target, classes)
        torch.manual_seed(self.random_state + epoch)
        network = self._network()
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate_init)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        rows, answers = self._tensor(numbers), self._answers(target)
        losses: list[float] = []
        for batch in torch.randperm(len(rows)).split(self.batch_size):
            optimizer.zero_grad()
            loss = self._loss(network(rows[batch]), answers[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(batch))
        self.loss_ = sum(losses) / len(rows)
        self.weights_ = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
        self._optimizer_state = optimizer.state_dict()
        self.epochs_ = epoch + 1
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The optimizer's state serves the next epoch only and is not part of a stored model."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_optimizer_state"}

    def _begin(self, numbers: np.ndarray, target: np.ndarray, classes: np.ndarray | None) -> int:
        epoch = getattr(self, "epochs_", 0)
        if epoch == 0:
            self.n_features_in_ = numbers.shape[1]
            self.center_, self.scale_ = numbers.mean(axis=0), numbers.std(axis=0) + 1e-9
            self._begin_target(target, classes)
        return epoch

    def _shape(self) -> tuple[int, ...]:
        side = math.isqrt(self.n_features_in_)
        return (side, side) if side >= LEAST_SIDE and side * side == self.n_features_in_ else (self.n_features_in_,)

    def _network(self) -> Any:
        shape = self._shape()
        convolution, pool = (nn.Conv2d, nn.MaxPool2d) if len(shape) == 2 else (nn.Conv1d, nn.MaxPool1d)
        window = 2 if min(shape) >= LEAST_SIDE else 1
        flat = 2 * self.channels * math.prod(side // window for side in shape)
        network = nn.Sequential(
            convolution(1, self.channels, KERNEL, padding=1),
            nn.ReLU(),
            convolution(self.channels, 2 * self.channels, KERNEL, padding=1),
            nn.ReLU(),
            pool(window),
            nn.Flatten(),
            nn.Linear(flat, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self._width()),
        )
        if hasattr(self, "weights_"):
            network.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights_.items()})
        return network

    def _tensor(self, numbers: np.ndarray) -> Any:
        scaled = ((numbers - self.center_) / self.scale_).astype("float32")
        return torch.from_numpy(scaled.reshape(len(scaled), 1, *self._shape()))

    def _output(self, numbers: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = self._network()(self._tensor(np.asarray(numbers))).numpy()
        return output

    @abstractmethod
    def _begin_target(self, target: np.ndarray, classes: np.ndarray | None) -> None:
        """Learn what the target is."""

    @abstractmethod
    def _width(self) -> int:
        """How many outputs the network has."""

    @abstractmethod
    def _answers(self, target: np.ndarray) -> Any:
        """The target as the loss wants it."""

    @abstractmethod
    def _loss(self, output: Any, answers: Any) -> Any:
        """What training makes small."""


class ConvolutionClassifier(ClassifierMixin, _Convolution):  # type: ignore[misc]
    """One output a class, cross-entropy."""

    def predict_proba(self, numbers: np.ndarray) -> np.ndarray:
        output = self._output(numbers).astype("float64")
        weights = np.exp(output - output.max(axis=1, keepdims=True))
        shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def predict(self, numbers: np.ndarray) -> np.ndarray:
        predicted: np.ndarray = self.classes_[self._output(numbers).argmax(axis=1)]
        return predicted

    def _begin_target(self, target: np.ndarray, classes: np.ndarray | None) -> None:
        self.classes_ = np.unique(target) if classes is None else classes

    def _width(self) -> int:
        return len(self.classes_)

    def _answers(self, target: np.ndarray) -> Any:
        return torch.from_numpy(np.searchsorted(self.classes_, target).astype("int64"))

    def _loss(self, output: Any, answers: Any) -> Any:
        return functional.cross_entropy(output, answers)


class ConvolutionRegressor(RegressorMixin, _Convolution):  # type: ignore[misc]
    """One output, squared error of the scaled target."""

    def predict(self, numbers: np.ndarray) -> np.ndarray:
        predicted: np.ndarray = self._output(numbers)[:, 0].astype("float64") * self.spread_ + self.middle_
        return predicted

    def _begin_target(self, target: np.ndarray, _classes: np.ndarray | None) -> None:
        self.middle_, self.spread_ = float(target.mean()), float(target.std() + 1e-9)

    def _width(self) -> int:
        return 1

    def _answers(self, target: np.ndarray) -> Any:
        return torch.from_numpy(((target - self.middle_) / self.spread_).astype("float32")[:, None])

    def _loss(self, output: Any, answers: Any) -> Any:
        return functional.mse_loss(output, answers)
