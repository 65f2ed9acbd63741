from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cloud_connector_client import UnknownEvent, models
from cloud_connector_client._shard_positions import ShardPositions
from cloud_connector_client.generated.operations import ConnectorEvent

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moved(event_id: str, at: datetime = EPOCH) -> ConnectorEvent:
    return models.ShardMovedEvent(event_id=event_id, at=at, shard=int(event_id.split("-")[0]), epoch=1, member="m")


def gap(shard: int, milliseconds: int) -> ConnectorEvent:
    start = EPOCH + timedelta(milliseconds=milliseconds)
    members = {"at": start, "shard": shard, "streams": [], "from": start, "until": start, "details": ""}
    return models.GapEvent.model_validate(members)


def kept(*events: ConnectorEvent, since: datetime | None = None) -> list[str]:
    positions = ShardPositions(since)
    return [getattr(event, "event_id", event.type) for event in events if positions.advance(event)]


def test_drops_repeats_and_older_events_of_a_shard_and_nothing_of_another_one() -> None:
    ids = ["0-2000-0", "0-2000-1", "10-1000-0", "0-1999-7", "0-2000-1", "0-2000-10", "0-2000-2", "0-2001-0"]
    assert kept(*map(moved, ids)) == ["0-2000-0", "0-2000-1", "10-1000-0", "0-2000-10", "0-2001-0"]


def test_accepts_smaller_positions_after_a_gap_that_begins_before_the_last_event() -> None:
    events = [moved("0-9000-0"), moved("1-9000-0"), gap(0, 4000), moved("0-4000-1"), moved("1-4000-1")]
    assert kept(*events) == ["0-9000-0", "1-9000-0", "gap", "0-4000-1"]


def test_still_drops_repeats_after_the_gap_of_trimmed_events() -> None:
    events = [moved("0-9000-4"), gap(0, 9000), moved("0-8000-0"), moved("0-9000-4"), moved("0-9000-5")]
    assert kept(*events) == ["0-9000-4", "gap", "0-9000-5"]


def test_accepts_each_event_whose_id_it_cannot_parse() -> None:
    assert kept(moved("0-x"), moved("0-x")) == ["0-x", "0-x"]


def test_drops_events_from_before_the_time_to_begin_of_unknown_types_too() -> None:
    since = EPOCH + timedelta(seconds=5)
    early = UnknownEvent.model_validate({"type": "new", "event_id": "2-1-0", "at": "1970-01-01T00:00:01Z"})
    late = UnknownEvent.model_validate({"type": "new", "event_id": "2-2-0", "at": "1970-01-01T00:00:06Z"})
    untimed = UnknownEvent.model_validate({"type": "new", "event_id": "2-3-0", "at": "soon"})
    assert kept(moved("0-1-0"), moved("0-2-0", since), early, late, untimed, since=since) == ["0-2-0", "2-2-0", "2-3-0"]


def test_drops_repeats_of_unknown_types() -> None:
    event = UnknownEvent.model_validate({"type": "new", "event_id": "2-1-0"})
    assert kept(event, event) == ["2-1-0"]
