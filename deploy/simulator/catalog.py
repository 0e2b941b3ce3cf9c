"""The products of simulated orders: lines, and substitutes for products out of stock. The caller passes the seeded RNG."""

import random
from dataclasses import replace
from decimal import Decimal

from deploy.simulator.oddities import Oddities, Oddity
from deploy.simulator.provider_events import Line, Substitute

_PACKED = ("Oat milk, 1 l", "Sourdough loaf", "Ground coffee, 500 g", "Eggs, 10", "Butter, unsalted", "Penne, 500 g", "Hummus")
_WEIGHED = ("Bananas, organic", "Cherry tomatoes", "Salmon fillet", "Gouda, aged", "Grapes, red")
_WEIGHTS = ("0.453", "1.50", "0.385", "2.125", "0.90")
_TWICE = 0.05


def flat_lines(rng: random.Random, oddities: Oddities = frozenset()) -> list[Line]:
    """Lines keyed by product. Quantities are whole, as in this dialect."""
    lines = []
    for number, name in enumerate(rng.sample(_PACKED + _WEIGHED, rng.randint(2, 6))):
        product = f"{rng.randrange(10**7):07d}"
        lines.append(Line(number, product, product, name, Decimal(rng.randint(1, 6))))
    return _as_odd(lines, rng, oddities, _TWICE)


def envelope_lines(rng: random.Random, oddities: Oddities = frozenset()) -> list[Line]:
    """Lines keyed by the retailer's line number, some sold by weight."""
    lines = []
    for number, name in enumerate(rng.sample(_PACKED + _WEIGHED, rng.randint(2, 6)), 1):
        is_weighed = name in _WEIGHED
        quantity = Decimal(rng.choice(_WEIGHTS)) if is_weighed else Decimal(rng.randint(1, 6))
        product = f"RRC-{rng.randrange(10**6):06d}"
        lines.append(Line(number, str(number), product, name, quantity, "kg" if is_weighed else "each"))
    return _as_odd(lines, rng, oddities, 0.0)


def _as_odd(lines: list[Line], rng: random.Random, oddities: Oddities, share: float) -> list[Line]:
    """Sometimes add a second line of the first product. Which of the two gets which key cannot be foretold.

    Nor can the key of a line whose code comes only with later lists.
    """
    if Oddity.CODES in oddities:
        lines = [replace(line, line=None) for line in lines]
    if Oddity.REPEATS not in oddities and rng.random() >= share:
        return lines
    first = lines[0]
    quantity = first.quantity if rng.random() < 0.3 else Decimal(rng.randint(7, 9))
    second = replace(first, number=len(lines) + 1, line=None, quantity=quantity)
    return [replace(first, line=None), *lines[1:], second]


def substitute_for(line: Line, rng: random.Random) -> Substitute:
    """Return another brand, in the same quantity."""
    return Substitute(f"{line.product}-{rng.randrange(100, 1000)}", f"{line.name} (another brand)", line.quantity)
