"""A shop that sends percentiles, counts what is fast enough, and logs what is slow."""

from dtmetrics import configure, gauge, timed

configure()
checkout = timed("checkout.duration", percentiles=(0.5, 0.95), slo=(0.1, 0.5), slow=2)
running = gauge("checkout.active")

with running, checkout as t:
    t.set(region="eu")

for number in range(1, 101):  # durations that were measured elsewhere
    checkout.record(number / 200, region="eu")
