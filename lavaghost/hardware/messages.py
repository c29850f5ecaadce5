"""What the messages between neurons carry: numbers, or spikes that are counted.

    numbers   a message is a rate, or its change, and needs a payload of so many bits
    counts    a rate is a number of bare spikes, and saturates at one a step; for inference, as some exports write it

Learning always sends numbers: an error has a sign, and the local rules multiply it.
"""

from lavaghost.base.names import Code
from lavaghost.engines.sigma_delta import STATE_BITS
from lavaghost.hardware.demand import Demand
from lavaghost.hardware.schema import Hardware
from lavaghost.numbers.widths import DEFAULT

COUNTING = ("sanafe", "netx-cuba", "nir-if")
"""Export targets that send spike counts."""
COUNTS = f"spike counts (lavaghost export --to {', '.join(COUNTING[:-1])} or {COUNTING[-1]})"


def code(demand: Demand, hardware: Hardware, wish: Code | None) -> Code:
    """How rates are sent: learning as numbers, else as wished, or else as numbers where there is a payload."""
    if demand.phase == "learning":
        return "numbers"
    if wish is not None:
        return wish
    return "numbers" if (hardware.limits.payload_bits.limit or 0) > 0 else "counts"


def bits_needed(demand: Demand, hardware: Hardware, sent: Code) -> int:
    """Bits of the widest message; 0 for bare spikes.

    Sigma-delta neurons (`hardware.integer`) and relays send numbers of the state's width; a step of the stepped
    engine sends rates of `message_bits`, and its outputs, which only learning sends back, have `output_bits`.
    """
    relays = STATE_BITS if demand.relays else 0
    if sent == "counts":
        return relays
    message = int(hardware.widths.message_bits.value or DEFAULT.message_bits)
    if demand.phase == "learning":
        return max(relays, message, int(hardware.widths.output_bits.value or DEFAULT.output_bits))
    return STATE_BITS if demand.unbounded else max(relays, message)


def words(demand: Demand, hardware: Hardware, sent: Code) -> str:
    """How rates are sent, as a person reads it."""
    return COUNTS if sent == "counts" else f"numbers of {bits_needed(demand, hardware, sent)} bits"
