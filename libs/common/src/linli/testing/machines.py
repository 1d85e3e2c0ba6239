"""State machines of hypothesis, beside services that run."""

import asyncio
import random
from unittest.mock import patch

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


async def walk(machine: type[RuleBasedStateMachine], bounds: settings) -> None:
    """Let a machine walk in a thread of its own, while what it does happens in this one's loop.

    Meanwhile services draw from a generator of their own how long they pause, and what they begin with: hypothesis
    holds it against a machine when the common one moves while it draws.
    """
    own = random.Random()  # noqa: S311 spreads pauses
    with patch.multiple(random, uniform=own.uniform, shuffle=own.shuffle):
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=bounds)
