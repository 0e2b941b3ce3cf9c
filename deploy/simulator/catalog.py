"""The products of simulated orders: lines, and substitutes for products out of stock. The caller passes the seeded RNG."""

import random
from decimal import Decimal

from deploy.simulator.provider_events import Line, Substitute

_PACKED = ("Oat milk, 1 l", "Sourdough loaf", "Ground coffee, 500 g", "Eggs, 10", "Butter, unsalted", "Penne, 500 g", "Hummus")
_WEIGHED = ("Bananas, organic", "Cherry tomatoes", "Salmon fillet", "Gouda, aged", "Grapes, red")
_WEIGHTS = ("0.453", "1.50", "0.385", "2.125", "0.90")
_TWICE = 0.05


def flat_lines(rng: random.Random) -> list[Line]:
    """Lines keyed by product; a second line of a product is `<product>#2`. Quantities are whole, as in this dialect."""
    lines: list[Line] = []
    for name in rng.sample(_PACKED + _WEIGHED, rng.randint(2, 6)):
        product = f"{rng.randrange(10**7):07d}"
        lines.append(Line(product, product, name, Decimal(rng.randint(1, 6))))
    if rng.random() < _TWICE:
        first = lines[0]
        lines.append(Line(f"{first.line}#2", first.product, first.name, Decimal(rng.randint(1, 6))))
    return lines


def envelope_lines(rng: random.Random) -> list[Line]:
    """Lines keyed by the retailer's line number, some sold by weight."""
    lines = []
    for number, name in enumerate(rng.sample(_PACKED + _WEIGHED, rng.randint(2, 6)), 1):
        is_weighed = name in _WEIGHED
        quantity = Decimal(rng.choice(_WEIGHTS)) if is_weighed else Decimal(rng.randint(1, 6))
        lines.append(Line(str(number), f"RRC-{rng.randrange(10**6):06d}", name, quantity, "kg" if is_weighed else "each"))
    return lines


def substitute_for(line: Line, rng: random.Random) -> Substitute:
    """Return another brand, in the same quantity."""
    return Substitute(f"{line.product}-{rng.randrange(100, 1000)}", f"{line.name} (another brand)", line.quantity)
