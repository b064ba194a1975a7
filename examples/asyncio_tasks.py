"""Tasks that interleave: each is timed separately, in its own context."""

import asyncio
from collections.abc import AsyncIterator

from dtmetrics import configure, context, counter, gauge, timed

configure(interval=1.0)

fetched = counter("pages.fetched", unit="{page}")
active = gauge("fetches.active", unit="{fetch}")


@active
@timed("fetch.duration", args=("url",))
async def fetch(url: str) -> str:
    """Fetch a page."""
    await asyncio.sleep(0.01)
    fetched.inc()
    return url.upper()


@timed("crawl.duration")
async def crawl(urls: list[str]) -> AsyncIterator[str]:
    """Fetch all pages at once, yield them one by one."""
    for page in await asyncio.gather(*(fetch(url) for url in urls)):
        yield page


async def main() -> None:
    """Crawl for two tenants at the same time."""

    async def tenant(name: str) -> None:
        with context(tenant=name):
            async for _ in crawl([f"/{name}/{n}" for n in range(3)]):
                pass

    await asyncio.gather(tenant("acme"), tenant("globex"))


asyncio.run(main())
