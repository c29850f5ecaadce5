"""A small trained network with biases, its data set, and a way to export it; for the tests of spiking formats."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import ExportReport, export, find
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from tests.networks import parts

LAYERS = (12, 10, 8, 4)


def spiking_network(layers: tuple[int, ...] = LAYERS, **options: Any) -> Model:
    """Random weights, and biases of both signs with a zero among them."""
    network, method = parts(layers=layers, rule="temporal", **options)
    params = initial_parameters(method.graph(network), 3)
    biases = tuple(np.linspace(-0.2, 0.3, len(b)).astype(np.float32) for b in params.biases)
    biases[0][1] = 0
    params = params._replace(biases=biases)
    labels = tuple(range(layers[-1]))
    return Model(network, method, Learning(), params, 1 / 16, labels, "digits")


def raw_digits(trained: Model, samples: int = 40) -> np.ndarray:
    """Raw samples 0..16, as digits have them."""
    draw = np.random.default_rng(5).integers(0, 17, (samples, trained.network.layers[0]))
    return draw.astype(np.float32)


def data_for(trained: Model, raw: np.ndarray) -> Dataset:
    """A data set of `raw` samples."""
    y = np.arange(len(raw)) % trained.network.layers[-1]
    x = raw * np.float32(trained.input_scale)
    return Dataset(
        name="digits",
        x_train=x,
        y_train=y,
        x_test=x[:8],
        y_test=y[:8],
        n_classes=trained.network.layers[-1],
        scale=trained.input_scale,
    )


def exported(folder: Path, name: str, trained: Model, **options: Any) -> tuple[Path, ExportReport]:
    """The file of exporter `name`, and what it reported."""
    path = folder / f"model{find(name).suffix}"
    return path, export(trained, name, path, options, data_for(trained, raw_digits(trained)))


def hdf5_tree(path: Path) -> dict[str, Any]:
    """Every data set of an HDF5 file, path -> value."""
    found: dict[str, Any] = {}

    def take(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            found[name] = entry[()]

    with h5py.File(path) as file:
        file.visititems(take)
    return found
