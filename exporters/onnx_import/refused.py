"""Why operators are not imported, each by what is true of it, and what to do instead."""

QUANTISED = "quantises: rates are quantised, import the float model and quantise it here"
SMOOTH = "is smooth and not increasing, and ghost units are rectified; train with Relu or HardSigmoid"
CONVOLUTION = "is a convolution, and only dense layers are imported; train a network of dense layers"
RECURRENT = "keeps a state over time, and only feedforward layers are imported; train a network of dense layers"
MIXES = (
    "depends on all values of a sample at once, which is not affine; use BatchNormalization, or leave it out"
)
SUBGRAPH = "runs a graph of its own, and only plain nodes are read; export without control flow"
RANDOM = "is random; export the model in evaluation mode"
POOLS = "takes maxima of images, which is no rectification of a layer; train a network of dense layers"
PRODUCTS = "is no affine function of the layer below; train a network of dense layers"
TREES = "is no network of layers; train one, such as MLPClassifier"

WHY: dict[str, str] = {
    **dict.fromkeys(
        [
            "DynamicQuantizeLinear",
            "QuantizeLinear",
            "DequantizeLinear",
            "MatMulInteger",
            "ConvInteger",
            "QLinearMatMul",
            "QLinearConv",
            "QLinearAdd",
            "QLinearMul",
            "QLinearSigmoid",
            "QLinearLeakyRelu",
            "QLinearSoftmax",
            "QLinearConcat",
            "QGemm",
            "QAttention",
            "DynamicQuantizeMatMul",
            "MatMulIntegerToFloat",
            "MatMulNBits",
            "BitShift",
        ],
        QUANTISED,
    ),
    **dict.fromkeys(
        [
            "Gelu",
            "Mish",
            "Swish",
            "HardSwish",
            "QuickGelu",
            "FastGelu",
            "BiasGelu",
            "Sin",
            "Cos",
            "Cosh",
            "Pow",
        ],
        SMOOTH,
    ),
    **dict.fromkeys(["Conv", "ConvTranspose", "FusedConv", "DeformConv"], CONVOLUTION),
    **dict.fromkeys(["LSTM", "GRU", "RNN"], RECURRENT),
    **dict.fromkeys(
        [
            "LayerNormalization",
            "SimplifiedLayerNormalization",
            "SkipLayerNormalization",
            "InstanceNormalization",
            "GroupNormalization",
            "RMSNormalization",
            "LpNormalization",
            "MeanVarianceNormalization",
            "LRN",
            "Hardmax",
            "ReduceL2",
            "ReduceL1",
            "ReduceMax",
            "ReduceMin",
            "TopK",
        ],
        MIXES,
    ),
    **dict.fromkeys(["If", "Loop", "Scan", "SequenceMap"], SUBGRAPH),
    **dict.fromkeys(
        ["RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"],
        RANDOM,
    ),
    **dict.fromkeys(["MaxPool", "GlobalMaxPool", "LpPool", "Maxout"], POOLS),
    **dict.fromkeys(["Abs", "Reciprocal", "Floor", "Ceil", "Sign", "Mod", "Einsum", "Attention"], PRODUCTS),
    **dict.fromkeys(["MultiHeadAttention", "ReduceProd", "Equal", "Not", "And", "Or"], PRODUCTS),
    **dict.fromkeys(["TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"], TREES),
    **dict.fromkeys(["SVMClassifier", "SVMRegressor"], TREES),
}


def why(op: str) -> str:
    """The reason for which a node of `op` that computes with values of the network is refused."""
    return WHY.get(op, "is not an operator of layered, rectified networks; train with dense layers and Relu")
