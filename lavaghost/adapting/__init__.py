"""Learning on where a network runs: `OnlineLearner`, and `adapt`, which tests and learns samples of a data set."""
