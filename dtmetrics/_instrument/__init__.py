"""What HTTP servers, HTTP clients and database clients record, for all integrations."""
