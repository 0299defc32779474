"""The trackers that are shipped, each behind its own library, which is imported when a run begins."""
