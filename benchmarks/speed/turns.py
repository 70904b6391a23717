"""Measure a case: contenders take turns, so that other load on the machine affects all of them equally."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from contenders import Worker, WorkerError
from specs import Case, Contender

SMALLEST_COUNT = 3
Turns = dict[str, list[dict[str, Any]]]
Start = Callable[[Contender], Worker]


def measure(case: Case, start: Start, *, rounds: int, turn_seconds: float) -> tuple[Turns, dict[str, str]]:
    """Measure all contenders of a case.

    Args:
        case: The case.
        start: Starts a contender's worker.
        rounds: Turns per contender; the case may set a lower number.
        turn_seconds: Target duration of a turn, unless the case fixes the number of steps.

    Returns:
        Each contender's turns by round, and the errors of contenders that failed.
    """
    groups = [case.contenders] if case.together else [(contender,) for contender in case.contenders]
    turns: Turns = {}
    errors: dict[str, str] = {}
    rounds = min(rounds, case.rounds or rounds)
    for group in groups:
        alternate(case, group, start, turns, errors, rounds=rounds, turn_seconds=turn_seconds)
    return turns, errors


def alternate(
    case: Case,
    group: tuple[Contender, ...],
    start: Start,
    turns: Turns,
    errors: dict[str, str],
    *,
    rounds: int,
    turn_seconds: float,
) -> None:
    """Give each contender in a group a turn per round, rotating who begins."""
    with ExitStack() as stack:
        counts: dict[str, int] = {}
        workers: dict[str, Worker] = {}
        for contender in group:
            try:
                worker = stack.enter_context(start(contender))
                worker.wait_until_ready()
                counts[contender.name] = warm_up(worker, case, turn_seconds)
            except WorkerError as error:
                fail(contender.name, error, turns, errors)
                continue
            workers[contender.name] = worker
            turns[contender.name] = []
        for number in range(rounds):
            names = list(workers)
            shift = number % max(1, len(names))
            for name in names[shift:] + names[:shift]:
                try:
                    turn = workers[name].turn(counts[name])
                except WorkerError as error:
                    fail(name, error, turns, errors)
                    del workers[name]
                    continue
                turns[name].append(turn)
                say(f"  round {number + 1}/{rounds}  {name}: {turn['units']:,} {case.unit} in {turn['seconds']:.1f} s")


def warm_up(worker: Worker, case: Case, turn_seconds: float) -> int:
    """Run warm-up steps, and return the number of steps per turn."""
    if case.warm_up:
        worker.turn(case.warm_up)
    if case.count is not None:
        return case.count
    probe = worker.turn(1)
    return max(SMALLEST_COUNT, round(turn_seconds / probe["seconds"]))


def fail(name: str, error: WorkerError, turns: Turns, errors: dict[str, str]) -> None:
    """Remove a contender; the others continue."""
    say(f"  {error}")
    errors[name] = str(error)
    turns.pop(name, None)


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)
