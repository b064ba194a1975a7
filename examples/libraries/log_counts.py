"""Log records and warnings, counted by level, logger and category."""

import logging
import warnings

from dtmetrics import configure
from dtmetrics.integrations.logging import MetricsHandler, instrument_warnings

configure()
logging.basicConfig(level="INFO", filename="shop.log")
logging.getLogger().addHandler(MetricsHandler())
logging.captureWarnings(capture=True)
instrument_warnings()

logger = logging.getLogger("shop.orders")
for number in range(3):
    logger.info("order %d placed", number)
logger.error("order 3 failed")
warnings.warn("use place() instead of order()", DeprecationWarning, stacklevel=1)
