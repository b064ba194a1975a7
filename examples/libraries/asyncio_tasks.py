"""Tasks that interleave: each is timed separately, in its own context."""

import asyncio
from collections.abc import AsyncIterator

from dtmetrics import configure, context, counter, gauge, timed

configure()

fetched = counter("pages.fetched", unit="{page}")
active = gauge("fetches.active", unit="{fetch}")


@active
@timed("fetch.duration", args=("section",))
async def fetch(section: str, number: int) -> str:
    """Fetch a page."""
    await asyncio.sleep(0.01)
    fetched.inc()
    return f"{section} {number}"


@timed("crawl.duration")
async def crawl(section: str) -> AsyncIterator[str]:
    """Fetch three pages at once, and yield them one by one."""
    for page in await asyncio.gather(*(fetch(section, n) for n in range(3))):
        yield page


async def crawl_for(tenant: str) -> None:
    """Add the tenant to everything that is recorded on its behalf."""
    with context(tenant=tenant):
        async for _ in crawl("news"):
            pass


async def main() -> None:
    """Crawl for two tenants at the same time."""
    await asyncio.gather(crawl_for("acme"), crawl_for("globex"))


asyncio.run(main())
