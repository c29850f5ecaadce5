"""One file on one runtime: what must come out, what does, and how far they are apart."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import DataError, ExportError, LavaGhostError, join_faults
from lavaghost.exporters import Expected, Exporter, Outputs, find, sidecar
from lavaghost.exporters.floats import raw_samples
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.verification import runtimes

BATCH = 1000
ONNX = ".onnx"


@dataclass(frozen=True)
class Agreement:
    """How a file compares with our reference for it, and with the network that it was exported from.

    accuracy             of the runtime's labels; reference_accuracy: of our reference for this file;
                         float_accuracy: of the network's own free phase
    label_agreement      share of samples on which runtime and reference give the same label
    max_abs_difference   of the runtime's logits from the reference's; 0 is demanded where `exact`
    tolerance            the largest difference that rounding explains on these samples
    approximation        largest difference of the reference from the network's free phase, in its units;
                         None where the logits of the file have no such units
    energy_j, latency_s  means per sample, where the runtime models them
    passed               every logit is within its own tolerance, and every label agrees where
                         the margin to the second best logit is more than twice that
    """

    exporter: str
    runtime: str
    version: str
    samples: int
    accuracy: float
    reference_accuracy: float
    float_accuracy: float
    label_agreement: float
    exact: bool
    max_abs_difference: float
    tolerance: float
    approximation: float | None
    passed: bool
    energy_j: float | None = None
    latency_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures that there are; a difference that is no number is None."""

        def shown(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {key: shown(value) for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class Comparison:
    """A file, and all that is needed to judge what a runtime makes of it; samples are the first dimension.

    raw (samples, n_0) float32, free (samples, n_L) the network's own outputs, y (samples,) the true classes
    """

    file: Path
    trained: Model
    exporter: Exporter
    settings: Mapping[str, Any]
    raw: Array
    expected: Expected
    free: Array
    y: Array

    def on(self, name: str | None) -> Agreement:
        """The verdict on runtime `name`, or on the usual one. Raises `ExportError` or `MissingError`."""
        runtime = runtimes.choose(self.exporter, name)
        settings, expected = {**self.settings, **runtime.settings}, self.expected
        if runtime.settings:
            expected = expect(self.exporter, self.trained, settings, self.raw)
        given = {**settings, "exporter": self.exporter.name}
        graph = ONNX in (self.exporter.suffix, self.file.suffix.lower())
        found = runtimes.run(runtime, self.file, self.raw, self.trained.network, given, graph=graph)
        return compare(self.exporter.name, runtime.name, found, expected, self.free, self.y)


def prepare(file: Path, trained: Model, x: Array, y: Array, free: Array) -> Comparison:
    """See `Comparison`; `x (samples, n_0)` are scaled samples, and the file gets x / input_scale."""
    exporter, settings = origin(file, trained.network)
    raw = raw_samples(x, trained.input_scale)
    return Comparison(file, trained, exporter, settings, raw, expect(exporter, trained, settings, raw), free, y)


def verify(
    file: Path | str,
    trained: Model,
    x: Array,
    y: Array,
    *,
    reference: Callable[[Array], Array],
    runtime: str | None = None,
    limit: int | None = None,
) -> Agreement:
    """Run `file` on the first `limit` samples and compare.

    x          scaled samples (samples, n_0); the file gets x / input_scale, as whole numbers if it was
    y          class numbers (samples,)
    reference  our own free-phase outputs: (batch, n_0) -> (batch, n_L)
    runtime    one of those that its exporter names; the first of them unless told otherwise

    The sidecar says which exporter wrote the file; an .onnx file without one says it itself (`onnx_origin.stated`).
    Raises `ExportError` if the file or the runtime cannot be used, `DataError` if the samples do not fit, and
    `MissingError` if the runtime is not installed.
    """
    runtimes.known(runtime)
    x, y = checked(trained, x[:limit], y[:limit])
    free = np.concatenate([np.asarray(reference(x[i : i + BATCH])) for i in range(0, len(x), BATCH)])
    return prepare(Path(file), trained, x, y, free).on(runtime)


def checked(trained: Model, x: Array, y: Array) -> tuple[Array, Array]:
    """`x` and `y` as arrays that fit the network. Raises `DataError`."""
    x, y = np.asarray(x, np.float32), np.asarray(y)
    if x.ndim != 2 or x.shape[1] != trained.network.layers[0] or y.shape != x.shape[:1] or not len(x):
        raise DataError(
            f"samples are {x.shape} with labels {y.shape}; the network needs (samples, "
            f"{trained.network.layers[0]}) and (samples,), and at least one"
        )
    return x, y


def origin(file: Path, network: Network) -> tuple[Exporter, Mapping[str, Any]]:
    """The exporter that wrote `file` from a `network`, and the settings that it left. Raises `ExportError`."""
    known: sidecar.Origin | None = sidecar.read_sidecar(file)
    if known is None and file.suffix.lower() == ONNX:
        from lavaghost.exporters.onnx.origin import stated

        known = stated(file, network)
    if known is None:
        raise ExportError(
            f"{file} has no sidecar {sidecar.beside(file).name} that says what wrote it, and only an ONNX file, called "
            f"*{ONNX}, can say it itself; export again, or name the file as it was exported"
        )
    return find(known.exporter), known.settings


def expect(exporter: Exporter, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
    """Our reference for `raw (samples, n_0)`. Raises `ExportError` if these settings cannot be used."""
    try:
        found = exporter.expected(trained, settings, raw)
    except LavaGhostError:
        raise
    # settings come from a file, and an exporter may be foreign
    except Exception as error:
        raise ExportError(
            join_faults(
                [
                    f"exporter {exporter.name!r} has no reference for these settings ({type(error).__name__}: {error})"
                ]
            )
            + "; export again"
        ) from error
    wanted = (len(raw), trained.network.layers[-1])
    shapes = found.logits.shape, np.broadcast_shapes(found.tolerance.shape, wanted), found.labels.shape
    if shapes != (wanted, wanted, wanted[:1]):
        raise ExportError(f"the reference of exporter {exporter.name!r} is {found.logits.shape}, not {wanted}")
    return found


def compare(
    exporter: str, runtime: str, found: Outputs, expected: Expected, free: Array, y: Array
) -> Agreement:
    """The verdict; `free (samples, n_L)` are the network's own outputs, `y (samples,)` the true classes."""
    bound = np.broadcast_to(expected.tolerance, expected.logits.shape)
    if expected.exact and found.logits.dtype.kind in "iu":
        difference = np.abs(found.logits.astype(np.int64) - expected.logits.astype(np.int64)).astype(np.float64)
    else:
        with np.errstate(invalid="ignore"):
            difference = np.abs(found.logits.astype(np.float64) - expected.logits)
    # infinite minus infinite is no number, and yet the two are equal; NaN in both is the same answer too
    same = (found.logits == expected.logits) | (np.isnan(found.logits) & np.isnan(expected.logits))
    difference = np.where(same, 0.0, np.where(np.isnan(difference), math.inf, difference))
    with np.errstate(invalid="ignore"):
        clear = _margin(expected.logits) > 2.0 * bound.max(axis=1)
    agree = found.labels == expected.labels
    scale = expected.scale
    return Agreement(
        exporter=exporter,
        runtime=runtime,
        version=found.version,
        samples=len(y),
        accuracy=float(np.mean(found.labels == y)),
        reference_accuracy=float(np.mean(expected.labels == y)),
        float_accuracy=float(np.mean(free.argmax(axis=1) == y)),
        label_agreement=float(np.mean(agree)),
        exact=expected.exact,
        max_abs_difference=float(difference.max()),
        tolerance=float(bound.max()),
        approximation=None if scale is None else float(np.abs(expected.logits * scale - free).max()),
        passed=bool(np.all(same | (difference <= bound)) and np.all(agree | ~clear)),
        energy_j=None if found.energy_j is None else float(np.mean(found.energy_j)),
        latency_s=None if found.latency_s is None else float(np.mean(found.latency_s)),
    )


def _margin(logits: Array) -> Array:
    """Best minus second best logit, `(batch,)`."""
    if logits.shape[1] < 2:
        return np.full(len(logits), math.inf)
    two = np.partition(logits, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]
