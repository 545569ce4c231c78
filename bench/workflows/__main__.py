"""`python -m bench workflows`: the advance of a 10,000-step graph, then how soon children start in 50 workflows."""

from __future__ import annotations

import asyncio

from bench import kit
from bench.workflows import advancing, starting


async def main() -> None:
    print(kit.machine())
    await advancing.run()
    await starting.run()


if __name__ == "__main__":
    asyncio.run(main())
