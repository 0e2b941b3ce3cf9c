"""The plan of a run: every post with its moment, decided before the first is sent. The same knobs give the same bytes.

Lives follow the provider's own clock; posts go out in the order of that clock, at a fixed rate. What goes wrong moves or adds posts:
a reordered post trades places with a later one of its order, a duplicate comes a little later, a stale snapshot after everything.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from operator import attrgetter

from deploy.simulator.faults import forge, spoil, stale_copy
from deploy.simulator.order_generator import Lives
from deploy.simulator.provider_events import AFOSTO, Fact


class Nature(StrEnum):
    """What a post is."""

    NEWS = "news"
    DUPLICATE = "duplicate"
    STALE = "stale"
    BAD_BODY = "bad body"
    FORGED = "bad signature"


@dataclass(frozen=True, slots=True)
class Post:
    """A body on its way at `moment`, on the provider's clock. `fact` is the place in the plan's facts of what it tells.

    `order_ids` are the orders that it names; what is spoiled or forged tells no fact.
    """

    moment: datetime
    nature: Nature
    provider: str
    kind: str
    body: bytes
    order_ids: tuple[str, ...]
    fact: int | None = None


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a run is to be. Shares are of 1: of all news, but `reverts` of an order's statuses and `stale` of Afosto's news.

    `orders` and `posts` say how many there are to be, one of them exactly, the other at least; None: as many as there come to be.
    """

    seed: int
    start: datetime
    zone: tzinfo
    orders: int | None
    posts: int | None = None
    duplicates: float = 0.0
    reordering: float = 0.0
    reverts: float = 0.0
    stale: float = 0.0
    bad_bodies: float = 0.0
    bad_signatures: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All facts, and the posts that tell them, in the order in which they go out."""

    facts: list[Fact]
    posts: list[Post]
    orders: int


def make_plan(knobs: Knobs) -> Plan:
    """Decide a run. Pure."""
    rng = random.Random(f"{knobs.seed} faults")  # noqa: S311 - the same in every run
    plan = Plan([], [], 0)
    count = 0
    for life, orders in Lives(knobs.seed, knobs.start, knobs.zone, knobs.reverts).live(knobs.orders):
        plan.posts.extend(_posts_of(life, plan.facts, knobs, rng))
        count += orders
        if knobs.posts is not None and len(plan.posts) >= knobs.posts:
            break
    return replace(plan, posts=sorted(plan.posts, key=attrgetter("moment")), orders=count)


def _posts_of(life: list[Fact], facts: list[Fact], knobs: Knobs, rng: random.Random) -> Iterator[Post]:
    """The posts of one life; its facts are added to all facts."""
    moments = [fact.at for fact in life]
    for place in range(len(moments) - 1):
        if rng.random() < knobs.reordering:
            later = rng.randrange(place + 1, len(moments))
            moments[place], moments[later] = moments[later], moments[place]
    for fact, moment in zip(life, moments, strict=True):
        facts.append(fact)
        news = Post(moment, Nature.NEWS, fact.provider, fact.kind, fact.body, fact.order_ids, len(facts) - 1)
        yield news
        if rng.random() < knobs.duplicates:
            body = fact.retold if fact.retold and rng.random() < 0.5 else fact.body
            yield replace(news, moment=_a_little_later(moment, rng), nature=Nature.DUPLICATE, body=body)
        if rng.random() < knobs.bad_bodies:
            yield replace(news, nature=Nature.BAD_BODY, body=spoil(fact, rng), fact=None)
        if rng.random() < knobs.bad_signatures:
            body, order_ids = forge(fact)
            yield replace(news, nature=Nature.FORGED, body=body, order_ids=order_ids, fact=None)
        if fact.provider == AFOSTO and rng.random() < knobs.stale:
            yield _stale(news, _a_little_later(max(moments), rng), facts, rng)


def _stale(news: Post, moment: datetime, facts: list[Fact], rng: random.Random) -> Post:
    """The same old snapshot when all is over; under a new message id, which makes it news of old, or under its own."""
    again = replace(news, moment=moment, nature=Nature.STALE)
    if news.fact is None or rng.random() < 0.5:
        return again
    old = facts[news.fact]
    message_id = f"{old.provider_event_id}-again"
    body = stale_copy(old, message_id)
    facts.append(replace(old, body=body, provider_event_id=message_id))
    return replace(again, body=body, fact=len(facts) - 1)


def _a_little_later(moment: datetime, rng: random.Random) -> datetime:
    return moment + timedelta(seconds=rng.expovariate(1 / 600))
