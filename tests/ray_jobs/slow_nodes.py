"""Machines that take a while to come: Ray's fake node provider, which starts them as processes, with a delay."""

from __future__ import annotations

import time
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class SlowNodes(FakeMultiNodeProvider):
    """`provider.delay_seconds` pass between the wish for a machine and its start."""

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Start a machine, late."""
        time.sleep(self.provider_config["delay_seconds"])
        super().create_node_with_resources_and_labels(node_config, tags, count, resources, labels)
