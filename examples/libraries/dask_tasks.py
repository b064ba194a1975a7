"""Tasks on a Dask cluster, whose workers are processes of this host."""

from distributed import Client, LocalCluster

from dtmetrics import configure
from dtmetrics.integrations.dask import instrument_dask

configure()  # in the module: the processes of the workers import it again


def square(number: int) -> int:
    """Do one task."""
    return number * number


if __name__ == "__main__":
    with LocalCluster(n_workers=2) as cluster, Client(cluster) as client:
        instrument_dask(client)
        client.gather(client.map(square, range(10)))
