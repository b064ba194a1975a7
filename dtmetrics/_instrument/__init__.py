"""What servers, clients, databases and task queues record, for all integrations."""
