"""What ``dtmetrics doctor`` checks: one module for each subject.

A check looks at this process, this host or the endpoint, and returns findings. It
changes nothing, and sends no data point but for the test line.
"""
