"""What the service answers, a module a group of routes."""
