"""The plan of a run: every post with its time, decided before the first is sent. The same options give the same bytes.

Posts are sent in the order of the provider's time, at a fixed rate. Faults move or add posts: a reordered post is swapped
with a later one of its order, a duplicate comes a little later, a stale snapshot after the order's last event.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from operator import attrgetter

from deploy.simulator.faults import forge, spoil, stale_copy
from deploy.simulator.order_generator import ORDERS_EVERY, OrderGenerator
from deploy.simulator.provider_events import AFOSTO, ProviderEvent


class PostType(StrEnum):
    """What a post carries."""

    ORIGINAL = "original"
    DUPLICATE = "duplicate"
    STALE = "stale"
    BAD_BODY = "bad body"
    FORGED = "bad signature"


@dataclass(frozen=True, slots=True)
class Post:
    """A body sent at `moment` on the provider's clock. `event_index` is the index of its event in the plan's events.

    `order_ids` are the orders that it names. A post with a bad body or a forged one has no event.
    """

    moment: datetime
    post_type: PostType
    provider: str
    kind: str
    body: bytes
    order_ids: tuple[str, ...]
    event_index: int | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of a run, as shares of all events; `reverts` is a share of statuses, `stale` of Afosto's events.

    `oddities` is the share of Instacart's orders that are odd (`deploy.simulator.oddities`).
    """

    duplicates: float = 0.0
    reordering: float = 0.0
    reverts: float = 0.0
    stale: float = 0.0
    bad_bodies: float = 0.0
    bad_signatures: float = 0.0
    oddities: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The input of a plan. `orders` is the exact number of orders, `posts` the least number of posts; None: no limit."""

    seed: int
    start: datetime
    zone: tzinfo
    orders: int | None
    posts: int | None = None
    faults: Faults = Faults()
    orders_every: timedelta = ORDERS_EVERY


@dataclass(frozen=True, slots=True)
class Plan:
    """All events, and the posts that carry them, in sending order. `id_space`: order ids that the run has or could have."""

    events: list[ProviderEvent]
    posts: list[Post]
    orders: int
    id_space: tuple[str, ...] = ()


def make_plan(options: PlanOptions) -> Plan:
    """Plan a run. Pure."""
    rng = random.Random(f"{options.seed} faults")  # noqa: S311 - the same in every run
    plan = Plan([], [], 0)
    count = 0
    faults = options.faults
    generator = OrderGenerator(options.seed, options.start, options.zone, options.orders_every, faults.reverts, faults.oddities)
    for events, orders in generator.generate(options.orders):
        plan.posts.extend(_posts_of(events, plan.events, faults, rng))
        count += orders
        if options.posts is not None and len(plan.posts) >= options.posts:
            break
    id_space = tuple(order_id for number in range(count) for order_id in generator.instacart_ids(number))
    return replace(plan, posts=sorted(plan.posts, key=attrgetter("moment")), orders=count, id_space=id_space)


def _posts_of(
    events: list[ProviderEvent], all_events: list[ProviderEvent], faults: Faults, rng: random.Random
) -> Iterator[Post]:
    """Yield the posts of an order's events, and append the events to `all_events`."""
    moments = [event.moment or event.at for event in events]
    for index in range(len(moments) - 1):
        if rng.random() < faults.reordering:
            later = rng.randrange(index + 1, len(moments))
            moments[index], moments[later] = moments[later], moments[index]
    for event, moment in zip(events, moments, strict=True):
        all_events.append(event)
        original = Post(moment, PostType.ORIGINAL, event.provider, event.kind, event.body, event.order_ids, len(all_events) - 1)
        yield original
        if rng.random() < faults.duplicates:
            body = event.reencoded if event.reencoded and rng.random() < 0.5 else event.body
            yield replace(original, moment=_a_little_later(moment, rng), post_type=PostType.DUPLICATE, body=body)
        if rng.random() < faults.bad_bodies:
            yield replace(original, post_type=PostType.BAD_BODY, body=spoil(event, rng), event_index=None)
        if rng.random() < faults.bad_signatures:
            body, order_ids = forge(event)
            yield replace(original, post_type=PostType.FORGED, body=body, order_ids=order_ids, event_index=None)
        if event.provider == AFOSTO and rng.random() < faults.stale:
            yield _stale(original, _a_little_later(max(moments), rng), all_events, rng)


def _stale(original: Post, moment: datetime, events: list[ProviderEvent], rng: random.Random) -> Post:
    """Return the same snapshot after the order's last event: half the time as a duplicate, else as an event with a new id."""
    stale = replace(original, moment=moment, post_type=PostType.STALE)
    if original.event_index is None or rng.random() < 0.5:
        return stale
    old = events[original.event_index]
    message_id = f"{old.provider_event_id}-again"
    body = stale_copy(old, message_id)
    events.append(replace(old, body=body, provider_event_id=message_id, identified_by=(message_id,)))
    return replace(stale, body=body, event_index=len(events) - 1)


def _a_little_later(moment: datetime, rng: random.Random) -> datetime:
    return moment + timedelta(seconds=rng.expovariate(1 / 600))
