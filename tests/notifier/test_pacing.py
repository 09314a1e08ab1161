"""Pauses of a channel, over simulated time."""

from app.notifier.pacing import Backoff, ChannelPacing
from app.notifier.queue import FreeRoom
from app.notifier.service import NotifierTiming


def test_a_backoff_doubles_up_to_its_longest() -> None:
    backoff = Backoff(1.0, 60.0)
    for failures, longest in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (10_000, 60)]:
        assert 0.8 * longest <= backoff.after(failures) <= longest


def test_a_channel_sends_as_much_at_once_as_it_may() -> None:
    pacing = ChannelPacing("ops", 3, Backoff(1, 60))
    assert pacing.room(0) == FreeRoom("ops", 3)
    pacing.begin()
    pacing.begin()
    assert pacing.room(0) == FreeRoom("ops", 1)
    pacing.end()
    assert pacing.room(0) == FreeRoom("ops", 2)


def test_after_a_failure_it_is_tried_alone_and_only_tests_do_not_wait() -> None:
    pacing = ChannelPacing("ops", 3, Backoff(1, 60))
    pacing.fail(100)
    assert pacing.room(100) == FreeRoom("ops", 1, only_tests=True)
    assert pacing.room(102) == FreeRoom("ops", 1)
    pacing.succeed()
    assert pacing.room(100) == FreeRoom("ops", 3)


def test_failures_of_messages_that_were_sent_together_count_once() -> None:
    pacing = ChannelPacing("ops", 4, Backoff(10, 60))
    for _ in range(4):
        pacing.fail(100)
    assert pacing.room(110) == FreeRoom("ops", 1)


def test_a_receiver_can_ask_for_a_longer_pause() -> None:
    pacing = ChannelPacing("ops", 4, Backoff(1, 60))
    pacing.fail(100, retry_after=500)
    assert pacing.room(599).only_tests
    assert not pacing.room(601).only_tests


def test_a_receiver_that_fails_for_an_hour_is_asked_about_once_a_minute() -> None:
    timing = NotifierTiming()
    pacing = ChannelPacing("ops", 4, timing.channel)
    now, attempts = 0.0, 0
    while now < 3600:
        if not pacing.room(now).only_tests:
            pacing.fail(now)
            attempts += 1
        now += 0.5
    assert 60 <= attempts <= 90


def test_a_lease_outlasts_an_attempt() -> None:
    timing = NotifierTiming()
    assert timing.lease >= 2 * timing.attempt
