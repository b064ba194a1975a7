"""Settings from the file beside the program, which may change while it runs."""

from pathlib import Path

from dtmetrics import counter, file_config, get_meter

file_config(Path(__file__).with_name("shop.toml"))

placed = counter("orders.placed")
hits = get_meter("shop.cache").counter("cache.hits", level="DEBUG")

for number in range(3):
    placed.inc(region="eu" if number else "us")
    hits.inc()
