"""The table on disk: schema, plan, manifest, parts, their lease, and what mends them. Free of Ray."""
