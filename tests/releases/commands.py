"""A Valkey as commands that every Valkey, and Redis since 7.0, takes: written by `commands_of`, run by `run`.

An argument is text, or says what the text is to be when it is loaded:

| argument                          | text                                                                  |
|-----------------------------------|-----------------------------------------------------------------------|
| `{"base64": …}`                   | bytes that are no UTF-8                                               |
| `{"msgpack": …}`                  | a record in MessagePack, here in JSON, its bytes as one of these      |
| `{"utf8": …}`                     | in a record: bytes that are UTF-8                                     |
| `{"at_ms": …}`, `{"at_s": …}`     | a moment, as much later as the loading is later than the recording    |
| `{"at_iso": …}`                   | the same, in ISO 8601                                                 |
| `{"period": n, "of_ms": m}`       | the number of a span of m ms since the epoch, likewise                |
| `{"join": […]}`                   | all of these                                                          |

Ids of stream entries are the ids of events and stay as they are. Lifetimes and idle times are what they were.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import redis

Command = list[Any]

_PERIODS = {"{curbside}:refused:": 60_000}
_MOMENTS = {
    "{curbside}:retries": "at_ms",
    "{curbside}:in-flight": "at_ms",
    "{curbside}:outbox-due": "at_ms",
    "curbside:unacked_index": "at_s",
    "curbside:_kombu.binding_deadlines": "at_ms",
}
_EXPIRES = re.compile(r'(?<="expires": ")[^"]+')


def commands_of(client: "redis.Redis", seen_ms: int) -> list[Command]:
    """All that this database holds. `seen_ms`: the DEDUPE_WINDOW of the deployment."""
    periods = _PERIODS | {"{curbside}:seen:": seen_ms // 2}
    return [command for name in sorted(client.scan_iter()) for command in _of_key(client, name, periods)]


def run(client: "redis.Redis", commands: Sequence[Command], later: timedelta) -> None:
    """Load what was recorded so much earlier."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*(text_of(each, later) for each in command))  # type: ignore[no-untyped-call]
    pipeline.execute()


def text_of(argument: Any, later: timedelta) -> bytes:
    """What an argument stands for."""
    if isinstance(argument, str):
        return argument.encode()
    ((kind, value),) = ((name, each) for name, each in argument.items() if name != "of_ms")
    later_ms = later // timedelta(milliseconds=1)
    match kind:
        case "base64":
            return base64.b64decode(value)
        case "msgpack":
            return _record(_unpacked(value))
        case "at_ms":
            return b"%d" % (value + later_ms)
        case "at_s":
            return b"%r" % (value + later.total_seconds())
        case "at_iso":
            return (datetime.fromisoformat(value) + later).isoformat().encode()
        case "period":
            return b"%d" % ((value * argument["of_ms"] + later_ms) // argument["of_ms"])  # never in the future
        case "join":
            return b"".join(text_of(each, later) for each in value)
    raise AssertionError(f"no such argument: {kind}")


def _of_key(client: Any, name: bytes, periods: dict[str, int]) -> Iterator[Command]:
    key, kind, lives_ms = _key(name.decode(), periods), client.type(name).decode(), client.pttl(name)
    match kind:
        case "string":
            yield ["SET", key, _value(client.get(name))]
        case "hash":
            fields = [(_value(field), _of_hash(name, value)) for field, value in sorted(client.hgetall(name).items())]
            yield from (["HSET", key, *pair] for pair in fields) if b"failures" in name else [["HSET", key, *sum(fields, ())]]
        case "zset":
            moment = _MOMENTS.get(name.decode())
            for member, score in client.zrange(name, 0, -1, withscores=True):
                exact = int(score) if score == int(score) else score
                yield ["ZADD", key, {moment: exact} if moment else repr(exact), _value(member)]
        case "set":
            yield ["SADD", key, *map(_value, sorted(client.smembers(name)))]
        case "list":
            yield from (["RPUSH", key, _message(each.decode())] for each in client.lrange(name, 0, -1))
        case "stream":
            yield from _of_stream(client, name.decode())
        case other:
            raise AssertionError(f"{name!r} is a {other}")
    if lives_ms > 0:
        yield ["PEXPIRE", key, str(lives_ms)]


def _of_stream(client: Any, name: str) -> Iterator[Command]:
    for entry_id, fields in client.xrange(name):
        yield ["XADD", name, entry_id.decode(), *(_value(part) for pair in fields.items() for part in pair)]
    about = client.xinfo_stream(name)
    for group in client.xinfo_groups(name):
        called, read = group["name"].decode(), group["entries-read"]
        last = group["last-delivered-id"].decode()
        yield ["XGROUP", "CREATE", name, called, last, "MKSTREAM", "ENTRIESREAD", "-1" if read is None else str(read)]
        for consumer in client.xinfo_consumers(name, called):
            yield ["XGROUP", "CREATECONSUMER", name, called, consumer["name"].decode()]
        for taken in client.xpending_range(name, called, "-", "+", 10_000):
            how = ["IDLE", str(taken["time_since_delivered"]), "RETRYCOUNT", str(taken["times_delivered"]), "FORCE", "JUSTID"]
            yield ["XCLAIM", name, called, taken["consumer"].decode(), "0", taken["message_id"].decode(), *how]
    added, deleted = about["entries-added"], about["max-deleted-entry-id"].decode()
    yield ["XSETID", name, about["last-generated-id"].decode(), "ENTRIESADDED", str(added), "MAXDELETEDID", deleted]


def _key(name: str, periods: dict[str, int]) -> Any:
    for prefix, of_ms in periods.items():
        if name.startswith(prefix):
            return {"join": [prefix, {"period": int(name.removeprefix(prefix)), "of_ms": of_ms}]}
    return name


def _of_hash(key: bytes, value: bytes) -> Any:
    if key.endswith(b":refused-last"):
        return {"at_ms": int(value)}
    if key.endswith(b":failures"):
        record = {"msgpack": _packed(msgspec.msgpack.decode(value))}
        assert text_of(record, timedelta(0)) == value, "a record that is not written as the release wrote it"
        return record
    return _value(value)


def _value(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _message(text: str) -> Any:
    """A Celery message; one that expires does so as long after the loading as it would have after the recording."""
    found = _EXPIRES.search(text)
    return {"join": [text[: found.start()], {"at_iso": found[0]}, text[found.end() :]]} if found else text


def _packed(value: Any) -> Any:
    if isinstance(value, bytes):
        text = _value(value)
        return {"utf8": text} if isinstance(text, str) else text
    if isinstance(value, dict):
        return {name: _packed(each) for name, each in value.items()}
    return [_packed(each) for each in value] if isinstance(value, list) else value


def _record(fields: dict[str, Any]) -> bytes:
    """As msgspec writes a struct of more than fifteen fields, however few of them are given: the count in two bytes."""
    written = msgspec.msgpack.encode(fields)
    return b"\xde" + len(fields).to_bytes(2, "big") + written[1:] if len(fields) < 16 else written


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() in ({"utf8"}, {"base64"}):
            return value["utf8"].encode() if "utf8" in value else text_of(value, timedelta(0))
        return {name: _unpacked(each) for name, each in value.items()}
    return [_unpacked(each) for each in value] if isinstance(value, list) else value
