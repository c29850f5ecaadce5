"""The names that options, files and code share. Importing them costs nothing, so that the command line is quick."""

from typing import Literal

Activation = Literal["relu", "hard_sigmoid"]
Mechanism = Literal["duplicate", "learned", "online"]
RuleName = Literal["temporal", "prediction"]
Feedback = Literal["tied", "random", "learned"]
FeedbackKind = Literal["none", "tied", "random", "learned"]
Loss = Literal["cross_entropy", "squared_error"]
Engine = Literal["equilibrium", "stepped", "lava"]
Decay = Literal["constant", "linear", "cosine"]
ArithmeticName = Literal["float", "loihi"]
Rounding = Literal["independent", "shared", "nearest"]
Phase = Literal["inference", "learning"]
LavaModel = Literal["fused", "decomposed"]
Code = Literal["numbers", "counts"]
