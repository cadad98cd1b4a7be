"""Work in steps on the event loop: requests take turns, and no thread waits for any of them."""

import asyncio
from typing import TypeVar

from anyio import to_thread

from jaxsim.library.search.steps import Steps, advance

Result = TypeVar("Result")


async def run(steps: Steps[Result]) -> Result:
    """Runs steps, those that may take long in a thread, and returns what the last one does."""
    over, found = advance(steps)
    while not over:
        if found is None:
            over, found = await to_thread.run_sync(advance, steps)
        else:
            await asyncio.sleep(0)  # others that have come meanwhile ask, too, and at once
            over, found = advance(steps, await asyncio.wrap_future(found()))
    return found
