"""The Dask cluster. Each line that it reads is a new number of workers."""

import asyncio
import os
import sys

from distributed import LocalCluster


async def main() -> None:
    """Run until the end of the input."""
    port = int(os.environ.get("DASK_PORT", "8786"))
    async with LocalCluster(
        n_workers=2, threads_per_worker=1, scheduler_port=port, asynchronous=True
    ) as cluster:
        print("workers:", len(cluster.workers), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            cluster.scale(int(line))
            await cluster
            print("workers:", len(cluster.workers), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
