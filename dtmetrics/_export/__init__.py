"""From a batch to its outcome: request, response, deadline. The only user of httpx."""
