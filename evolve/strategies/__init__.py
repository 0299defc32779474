"""How instructions are evolved and answered: strategies, their rules, and their methods."""
