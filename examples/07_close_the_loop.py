"""A network from elsewhere learns on where it runs: import, adapt in integers, deploy, export, and no number differs.

A perceptron is trained here in plain numpy with cross-entropy and written as ONNX, in the place of what scikit-learn
(skl2onnx.to_onnx) or PyTorch (torch.onnx.export) would write. Its user's scanner sees every digit one pixel further
right. It adapts to that in the integers of a chip, once on the stepped engine and once in Lava. Needs Lava.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import lavaghost as lg
from lavaghost.hardware.catalogue import load_chip
from lavaghost.lava.deploy import deploy

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-7")
out.mkdir(parents=True, exist_ok=True)
digits = lg.load_data("digits")


def further_right(x: np.ndarray) -> np.ndarray:
    """The 8 x 8 images `(n, 64)`, one pixel further right."""
    return np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64)


# 1. trained elsewhere: softmax and cross-entropy, 64-32-10, gradient descent on all samples at once
rng, x, y = np.random.default_rng(0), digits.x_train, np.eye(10)[digits.y_train]
w1, b1 = rng.normal(0, 0.18, (32, 64)), np.zeros(32)
w2, b2 = rng.normal(0, 0.25, (10, 32)), np.zeros(10)
for _ in range(400):
    r = np.maximum(x @ w1.T + b1, 0)
    u = r @ w2.T + b2
    p = np.exp(u - u.max(axis=1, keepdims=True))
    d2 = (p / p.sum(axis=1, keepdims=True) - y) / len(x)
    d1 = (d2 @ w2) * (r > 0)
    w2, b2, w1, b1 = w2 - d2.T @ r, b2 - d2.sum(axis=0), w1 - d1.T @ x, b1 - d1.sum(axis=0)

weights = {"w1": w1, "b1": b1, "w2": w2, "b2": b2}
nodes = [
    helper.make_node("Gemm", ["x", "w1", "b1"], ["u1"], transB=1),
    helper.make_node("Relu", ["u1"], ["r1"]),
    helper.make_node("Gemm", ["r1", "w2", "b2"], ["u2"], transB=1),
    helper.make_node("Softmax", ["u2"], ["p"], axis=1),
]
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", size]) for n, size in (("x", 64), ("p", 10))]
held = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
graph = helper.make_graph(nodes, "elsewhere", ends[:1], ends[1:], held)
opsets = [helper.make_opsetid("", 13)]
onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=7), str(out / "elsewhere.onnx"))

# 2. imported: the same answers as the reference evaluator of ONNX gives
theirs = lg.import_network(out / "elsewhere.onnx", "digits", scaled=True)
(chances,) = ReferenceEvaluator(str(out / "elsewhere.onnx")).run(["p"], {"x": digits.x_test})
same = np.array_equal(theirs.outputs(digits.x_test).argmax(axis=1), np.asarray(chances).argmax(axis=1))
print(f"imported: {100 * theirs.score(digits):.1f} % of digits, all labels as in the file: {same}")
assert same

# 3. adapted where it runs, one sample at a time, in integers; 20 old samples of each class are kept against forgetting.
# In Lava the first samples leave the same integers as on the stepped engine, which then goes through all of them
new = replace(
    digits, name="further right", x_train=further_right(digits.x_train), x_test=further_right(digits.x_test)
)
arrays = {key: getattr(new, key) for key in ("x_train", "y_train", "x_test", "y_test")}
np.savez(out / "shifted.npz", **arrays)  # for the commands of docs/adapting.md
first = lg.AdaptSpec(samples=30, replay=20, margin=0.5)
stepped = lg.adapt(theirs, new, digits, first).model.integers
in_lava = lg.adapt(theirs, new, digits, first.model_copy(update={"engine": "lava"})).model.integers
print(f"in Lava:  every weight and bias the same integer: {stepped == in_lava}")
assert stepped == in_lava

adapted = lg.adapt(theirs, new, digits, lg.AdaptSpec(replay=20, margin=0.5))
model, found = adapted.model, adapted.result
print(
    f"adapted:  new {100 * found['accuracy_before']:.1f} -> {100 * found['accuracy']:.1f} %, "
    f"old {100 * found['kept_before']:.1f} -> {100 * found['kept']:.1f} % after {found['samples']} samples, "
    f"{found['updates']} of {found['trials']} trials taught"
)

# 4. deployed, in the simulator of the chip
on_chip = deploy(model, new, load_chip("loihi2_oheo_gulch"), simulate=True)
print(f"deployed: {100 * on_chip.accuracy:.1f} %, integers as our reference: {on_chip.integer_exact}")
assert on_chip.integer_exact

# 5. out again: the same mantissas in a file, on runtimes that are not ours
lg.export(model, out / "adapted.onnx", to="onnx-int", data=new)
agreement = lg.verify(out / "adapted.onnx", model, new)
(logits,) = ReferenceEvaluator(str(out / "adapted.onnx")).run(["logits"], {"input": new.x_test / new.scale})
labels = np.asarray(logits).argmax(axis=1)
same = np.array_equal(labels, model.outputs(new.x_test).argmax(axis=1))
print(
    f"exported: {agreement.runtime} differs by {agreement.max_abs_difference:.0f}, "
    f"onnx.reference gives the labels of the chip's integers: {same}"
)
assert agreement.passed
assert agreement.max_abs_difference == 0
assert same
