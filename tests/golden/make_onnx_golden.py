# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy", "onnx==1.23.2", "onnxscript==0.7.2", "scikit-learn==1.9.1", "skl2onnx==1.20.0", "torch==2.13.0",
# ]
# ///
# pyright: reportMissingImports=false
"""Makes tests/golden/onnx/*.onnx and expected.npz: networks of other libraries, and what those say of the digits.

Not run by the tests. Anew, in an environment of its own (PyTorch comes as a CPU build):

    python3.11 -m venv golden && golden/bin/pip install torch==2.13.0 onnxscript==0.7.2 onnx==1.23.2 \
        scikit-learn==1.9.1 skl2onnx==1.20.0
    golden/bin/python tests/golden/make_onnx_golden.py

The labels and scores in expected.npz are computed by scikit-learn and PyTorch themselves, not from the files.
scikit-learn's networks take raw pixels (0 to 16), PyTorch's take pixels / 16, as images (samples, 1, 8, 8).
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parents[1] / "lavaghost" / "datasets" / "digits.npz"
OUT = HERE / "onnx"


def main() -> None:
    """Write every file."""
    with np.load(DIGITS) as digits:
        images, labels, train, test = (digits[key] for key in ("images", "labels", "train", "test"))
    x, y, x_test = (
        images[train].astype(np.float32),
        labels[train].astype(np.int64),
        images[test].astype(np.float32),
    )
    expected = {}
    for name, model, labels in scikit_models(y):
        model.fit(x, labels)
        options = {"zipmap": False} if name.endswith("_plain") else None
        save(name, to_onnx(model, x[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3}))
        expected[f"{name}.labels"] = model.predict(x_test)
        expected[f"{name}.scores"] = model.predict_proba(x_test).astype(np.float32)
    for name, model in torch_models():
        expected[f"{name}.scores"] = torch_golden(name, model, x / 16, y, x_test / 16)
    np.savez_compressed(OUT / "expected.npz", **expected)


def scikit_models(y: np.ndarray) -> list:
    """(file, untrained model, labels to train it with)."""

    def mlp(activation: str, *hidden: int) -> MLPClassifier:
        return MLPClassifier(hidden, activation=activation, max_iter=60, random_state=0)

    words = np.array(["small" if label < 5 else "large" for label in y])
    return [
        ("sklearn_standard_plain", make_pipeline(StandardScaler(), mlp("relu", 24, 16)), y),
        ("sklearn_minmax_zipmap", make_pipeline(MinMaxScaler(), mlp("relu", 24)), y),
        ("sklearn_identity_plain", make_pipeline(MinMaxScaler(), mlp("identity", 12)), y),
        ("sklearn_logistic_units", make_pipeline(MinMaxScaler(), mlp("logistic", 8)), y),
        ("sklearn_binary_mlp", make_pipeline(StandardScaler(), mlp("relu", 12)), (y >= 5).astype(int)),
        ("sklearn_words", make_pipeline(StandardScaler(), mlp("relu", 12)), words),
        ("sklearn_regression", make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), y),
        ("sklearn_binary_regression", LogisticRegression(max_iter=500), words),
    ]


def torch_models() -> list:
    """(file, untrained model)."""
    torch.manual_seed(0)
    return [
        (
            "torch_relu",
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(64, 32),
                nn.BatchNorm1d(32),
                nn.ReLU(),
                nn.Dropout(0.1),
                nn.Linear(32, 16),
                nn.ReLU(),
                nn.Linear(16, 10),
            ),
        ),
        (
            "torch_hard",
            nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Hardsigmoid(), nn.Linear(24, 10), nn.Softmax(1)),
        ),
        (
            "torch_clamp",
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(64, 24),
                nn.Hardtanh(-1, 2),
                nn.Linear(24, 16),
                nn.ReLU6(),
                nn.Linear(16, 10),
            ),
        ),
    ]


def torch_golden(name: str, model: nn.Module, x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """Train, export with both exporters, and give the scores `(samples, 10)` of the test set."""
    images, labels = torch.from_numpy(x).reshape(-1, 1, 8, 8), torch.from_numpy(y)
    scores = model[:-1] if isinstance(model[-1], nn.Softmax) else model
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(40):
        for rows in torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(scores(images[rows]), labels[rows]).backward()
            optimiser.step()
    model.eval()
    example, path = images[:2], str(OUT / f"{name}_script.onnx")
    torch.onnx.export(
        model, (example,), path, dynamo=False, input_names=["image"], dynamic_axes={"image": {0: "batch"}}
    )
    path = str(OUT / f"{name}_dynamo.onnx")
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(model, (example,), path, dynamo=True, external_data=False, dynamic_shapes=batch)
    # where in our file system the model was traced is nobody's business
    plain = onnx.load(path)
    for part in (
        plain.graph,
        *plain.graph.node,
        *plain.graph.input,
        *plain.graph.output,
        *plain.graph.value_info,
    ):
        part.ClearField("metadata_props")
    save(f"{name}_dynamo", plain)
    with torch.no_grad():
        return model(torch.from_numpy(x_test).reshape(-1, 1, 8, 8)).numpy()


def save(name: str, model: onnx.ModelProto) -> None:
    """Write one file, and say what is in it."""
    onnx.checker.check_model(model)
    onnx.save(model, OUT / f"{name}.onnx")
    print(name, [node.op_type for node in model.graph.node])


if __name__ == "__main__":
    main()
