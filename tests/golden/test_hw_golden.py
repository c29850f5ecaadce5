"""Numbers worked out by hand from the sources of hw_configs/, with the derivation beside each."""

import math

import pytest

from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network, remedied
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.report import make
from lavaghost.hardware.usage import axon_bits, usage
from lavaghost.net.network import Schedule
from tests.chips import learning_loihi1, share, with_limits
from tests.networks import ghost_graph

LOIHI1 = load_chip("loihi1")
LEARNS = learning_loihi1()
# (weight bits, synapses, bits): returned by nengo-loihi 1.1.0, SynapseConfig(compression=3, n_synapses=63)
# .bits_per_axon; all of 1 to 2099 synapses and 7 widths were compared once, and agree
NENGO_LOIHI = [
    (1, 1, 64), (1, 10, 64), (1, 64, 128), (1, 65, 192), (1, 142, 320), (1, 400, 832), (1, 500, 960), (1, 1024, 2048),
    (6, 1, 64), (6, 10, 128), (6, 64, 448), (6, 65, 512), (6, 142, 1024), (6, 400, 2816), (6, 500, 3520),
    (8, 1, 64), (8, 10, 128), (8, 64, 576), (8, 65, 640), (8, 142, 1280), (8, 400, 3648), (8, 500, 4480),
]  # fmt: skip


def sizes(mapping: Mapping) -> list[dict[str, int]]:
    """What each core holds, by population."""
    return [{s.population: s.size for s in core.slices} for core in mapping.cores]


@pytest.mark.parametrize(("weight_bits", "n", "bits"), NENGO_LOIHI)
def test_axon_bits_are_those_of_nengo_loihi(weight_bits: int, n: int, bits: int) -> None:
    assert LOIHI1.memory is not None
    assert axon_bits(LOIHI1.memory, n, weight_bits) == bits


def test_dense_400_400_on_loihi1() -> None:
    """400 synapses = 6 blocks of 64 and one of 16. A block of 64: 64 * 8 + 10 = 522, rounded up to 576 bits.
    The last: 16 * 8 + 10 = 138, rounded up to 192. An axon 6 * 576 + 192 = 3648; 400 axons 1,459,200 bits."""
    used = usage(share("dense", 400, 400), LOIHI1, 8, 400)
    assert used.synapse_bits == 1_459_200
    assert used.synapses == 160_000
    assert used.input_axons == 400


def test_400_400_10_takes_two_cores_of_loihi1() -> None:
    """1,048,576 bits / 400 axons = 2621 bits an axon, so 40 words of 64: four blocks of 64 neurons take 36, the
    other 4 words = 256 bits hold 30 neurons (30 * 8 + 10 = 250). So 286 neurons on the first core.
    114 are left: 576 + (50 * 8 + 10 = 410 -> 448) = 1024 bits an axon, 409,600; the output's 400 axons of
    10 * 8 + 10 = 90 -> 128 bits take 51,200."""
    mapping = map_network(ghost_graph(layers=(400, 400, 10)), LOIHI1)
    assert sizes(mapping) == [{"hidden.1": 286}, {"hidden.1": 114, "output": 10}]
    assert [core.usage.synapse_bits for core in mapping.cores] == [400 * 2560, 409_600 + 51_200]
    # least bits: 400 * (400 * 8 + 7 * 10 = 3270 -> 3328) + 400 * 128 = 1,382,400, so 1.32 cores
    assert mapping.lower_bound == 2


def test_784_500_10_for_inference_on_loihi1() -> None:
    """1,048,576 / 784 = 1337 bits an axon, 20 words: 2 blocks take 18, 2 words = 128 bits hold 14 neurons, so 142.
    500 = 3 * 142 + 74; 74 take 576 + 128 = 704 bits an axon, and the output 500 * 128."""
    mapping = map_network(ghost_graph(layers=(784, 500, 10)), LOIHI1)
    assert sizes(mapping) == [{"hidden.1": 142}] * 3 + [{"hidden.1": 74, "output": 10}]
    assert [c.usage.synapse_bits for c in mapping.cores] == [784 * 1280] * 3 + [784 * 704 + 500 * 128]
    assert [c.usage.input_axons for c in mapping.cores] == [784, 784, 784, 784 + 500]
    # a hidden neuron reaches the output on one core; outputs are read by the host
    assert [c.usage.output_axons for c in mapping.cores] == [142, 142, 142, 74]
    assert (mapping.needed, mapping.lower_bound) == (4, 4)


def test_784_500_10_for_learning_on_loihi1() -> None:
    """Feedback and the ghosts' inhibition bring 10 axons each, so 804, of two slots each since all are plastic.
    1,048,576 / 804 = 1304 bits, again 20 words and 142 neurons. Output and ghosts: 500 axons of 128 bits each.
    A hidden neuron has two output axons (output, ghosts); each output and ghost reaches all 4 cores."""
    mapping = map_network(ghost_graph(layers=(784, 500, 10)), LEARNS, "learning")
    assert sizes(mapping) == [{"hidden.1": 142}] * 3 + [{"hidden.1": 74, "ghost.1": 10, "output": 10}]
    assert [c.usage.synapse_bits for c in mapping.cores] == [804 * 1280] * 3 + [804 * 704 + 2 * 500 * 128]
    assert [c.usage.input_axons for c in mapping.cores] == [1608] * 3 + [1608 + 2 * 2 * 500]
    assert [c.usage.output_axons for c in mapping.cores] == [284] * 3 + [2 * 74 + 4 * 10 + 4 * 10]
    # traces of 15 bits: one for each plastic axon, and one for each neuron and plastic connection
    assert mapping.cores[0].usage.trace_bits == 15 * (804 + 3 * 142)
    assert (mapping.needed, mapping.lower_bound) == (4, 4)


def test_784_500_10_with_one_bit_on_truenorth() -> None:
    """256 axons a core: the hidden layer's inputs come in 256 + 256 + 256 + 16, each added up by relays of 500, so
    256 + 244 neurons: 8 cores. A hidden neuron then has 4 inputs of its own: 64 on a core, 7 full cores and 52.
    The output's 500 inputs come in 256 + 244. The output (10 neurons, 20 axons) shares with the 244 relays of the
    16 inputs, the other three leftovers are too large for one another: 8 + 7 + 1 + 2 = 18."""
    network, plan = ghost_graph(layers=(784, 500, 10)), Plan(weight_bits=1)
    # partial sums are numbers with a sign: on the chip itself, 256 inputs are the most that need none
    layer, output = map_network(network, load_chip("truenorth"), plan=plan).violations
    assert (layer.layer, layer.resource, layer.used, layer.limit) == ("hidden.1", "payload_bits", 24, 0)
    assert layer.remedy == "use at most 256 inputs"
    assert (output.layer, output.remedy) == ("output", "use at most 256 neurons in hidden.1")
    mapping = map_network(network, with_limits("truenorth", payload_bits=24), plan=plan)
    assert mapping.fits
    assert mapping.needed == 18
    held = sizes(mapping)
    assert held.count({"hidden.1": 64}) == 7
    assert {"hidden.1:sum4": 244, "output": 10} in held
    # 1280 axons are taken by relayed inputs at least, 412,000 - 15,000 synapses would need 7 cores of 65,536
    assert mapping.lower_bound == math.ceil((784 * 500 + 500 * 10) / 65536) == 7


def test_10_to_the_8_synapses_on_loihi2() -> None:
    """937,500 synapses a core / 10,000 inputs = 93 neurons: 107 full cores and 39 neurons = 390,000 synapses, which
    leaves room for the output's 99,900."""
    mapping = map_network(ghost_graph(layers=(10_000, 9_990, 10)), load_chip("loihi2_oheo_gulch"))
    assert mapping.fits is None
    assert mapping.needed == 108
    assert mapping.lower_bound == math.ceil((99_900_000 + 99_900) / 937_500) == 107
    assert sizes(mapping)[-1] == {"hidden.1": 39, "output": 10}


def test_layers_on_speck2f() -> None:
    """sinabs, `DynapcnnLayer.memory_summary`: c inputs and f units take c 2^ceil(log2 f) words of kernel memory.
    64 * 128 = 8192 fit the 16 Ki of the smallest core; 784 * 512 = 401,408 fit none. In 65,536 go 784 * 64 = 50,176
    words, and 784 * 128 = 100,352 do not: 65 units are too many."""
    speck = load_chip("speck2f")
    small = map_network(ghost_graph(layers=(64, 128, 10)), speck)
    assert (small.status, small.needed) == ("fits", 2)
    (violation,) = map_network(ghost_graph(layers=(784, 500, 10)), speck).violations
    assert (violation.used, violation.limit) == (401_408, 65_536)
    assert violation.remedy == "use at most 64 neurons in hidden.1"
    assert map_network(ghost_graph(layers=(784, 64, 10)), speck).fits
    assert not map_network(ghost_graph(layers=(784, 65, 10)), speck).fits


def test_1100_units_on_speck2f() -> None:
    """A core holds 1024 biases (sinabs, `get_constraints`). The kernel of 64 * 2048 = 131,072 words is too large for
    65,536 as well; 64 * 1024 are just right, and so is the output's 1024 * 16 = 16,384."""
    speck = load_chip("speck2f")
    kernel, bias = map_network(ghost_graph(layers=(64, 1100, 10)), speck).violations
    assert (kernel.resource, kernel.used, kernel.limit) == ("kernel_words_per_core", 131_072, 65_536)
    assert (bias.layer, bias.resource, bias.used, bias.limit) == ("hidden.1", "bias_words_per_core", 1100, 1024)
    assert kernel.remedy == bias.remedy == "use at most 1,024 neurons in hidden.1"
    # with few inputs the biases alone are too many
    (alone,) = map_network(ghost_graph(layers=(8, 1100, 2)), speck).violations
    assert alone.resource == "bias_words_per_core"
    largest = map_network(ghost_graph(layers=(64, 1024, 10)), speck)
    assert largest.fits
    # the physical cores: one of those with 64 Ki words of kernel memory, and one with 16 Ki
    assert speck.limits.kernel_words_per_core.values[largest.cores[0].place or 0] == 65_536
    assert speck.limits.kernel_words_per_core.values[largest.cores[1].place or 0] == 16_384


def test_ten_classes_on_xylo() -> None:
    found = map_network(ghost_graph(layers=(16, 100, 10)), load_chip("xylo_a2"))
    (violation,) = found.violations
    assert violation.line("xylo_a2") == (
        "output: 10 outputs > 8 on xylo_a2; use at most 8 classes, or a chip with more"
    )
    assert map_network(ghost_graph(layers=(16, 100, 8)), load_chip("xylo_a2")).fits
    # xylo_mapper.py, `le_16_input_channels`; and Rockpool's overview: a hidden neuron has at most 64 targets
    inputs, fan_out = map_network(ghost_graph(layers=(17, 100, 65, 8)), load_chip("xylo_a2")).violations
    assert (inputs.used, inputs.limit) == (17, 16)
    assert (fan_out.layer, fan_out.used, fan_out.limit) == ("hidden.1", 65, 64)
    assert fan_out.remedy == "use at most 64 neurons in hidden.2"
    assert map_network(ghost_graph(layers=(16, 100, 64, 8)), load_chip("xylo_a2")).fits


@pytest.mark.parametrize("phase", ["inference", "learning"])
def test_784_500_10_on_one_core_of_loihi1(phase) -> None:
    """784 axons of 500 synapses: 7 * 576 + (52 * 8 + 10 = 426 -> 448) = 4480 bits each."""
    network = ghost_graph(layers=(784, 500, 10))
    found = map_network(network, LEARNS, phase, Plan(cores=1))
    axons = 784 if phase == "inference" else 804
    assert [(v.layer, v.resource, v.used, v.limit) for v in found.violations] == [
        ("hidden.1", "synapse_bits_per_core", axons * 4480, 1_048_576),
        ("network", "cores", 4, 1),
    ]
    assert "4 cores" in found.violations[0].remedy
    assert not found.cores
    mended = remedied(network, LEARNS, phase, Plan(cores=1))
    assert mended.fits
    assert mended.needed == 4
    assert mended.plan.weight_bits == 8


def test_overhead_of_learning() -> None:
    """784-500-10: 510 neurons and 10 ghosts; 397,000 synapses, 5000 of feedback and 2 * 5000 of ghosts."""
    report = make(ghost_graph(layers=(784, 500, 10)), LOIHI1, "learning", Plan()).as_json()
    assert report["overhead_learning"] == {
        "neurons": pytest.approx(10 / 510),
        "synapses": pytest.approx(15_000 / 397_000),
        "ghosts": 10,
        "feedback_synapses": 5000,
        "ghost_synapses": 10_000,
        "idle_ghosts": 0,
        "idle_synapses": 0,
    }


def test_cost_of_64_128_10_on_loihi1() -> None:
    """One core, 32 steps, every neuron sends in every step. In a step: 138 neurons are read and updated (72.8 pJ)
    and spike (69.3 pJ); 64 * 128 + 128 * 10 = 9472 synaptic events of 35.5 pJ; 128 messages of 111 pJ within the
    core and 64 from the input, none of which travels.
    The core receives 192 messages (16 ns) and 9472 events (3.8 ns) in 39.07 us, more than its neurons take
    (138 * 39.7 ns + 128 * 5.1 ns = 6.13 us); the barrier of one tile takes 0.6 us."""
    network = ghost_graph(layers=(64, 128, 10), schedule=Schedule(t_free_steps=32))
    price = make(network, LOIHI1, "inference", Plan()).cost
    assert price is not None
    assert price.dynamic_j == pytest.approx(32 * (138 * 142.1 + 9472 * 35.5 + 128 * 111) * 1e-12)
    assert price.io_j == pytest.approx(32 * 64 * 111e-12)
    assert price.static_j is None
    assert price.energy_j == pytest.approx((price.dynamic_j or 0) + (price.io_j or 0))
    assert price.latency_s == pytest.approx(32 * (192 * 16e-9 + 9472 * 3.8e-9 + 0.6e-6))


def test_a_training_sample_adds_the_weight_updates() -> None:
    """64 * 128 + 4 * 1280 synapses, tied feedback and its copies included, 120 pJ each, once."""
    price = make(ghost_graph(layers=(64, 128, 10)), LEARNS, "learning", Plan()).cost
    assert price is not None
    assert price.parts["weight_updates"] == pytest.approx((8192 + 4 * 1280) * 120e-12)
    assert price.steps == 64
