"""What HTTP servers, HTTP clients and databases measure, for all integrations."""
