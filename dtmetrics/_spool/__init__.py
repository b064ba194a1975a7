"""The outbox on disk, for batches that must outlive their process."""
