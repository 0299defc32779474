"""Keeps pools from running ahead of the ones behind them: what waits between two pools is what a kill costs.

Ray Data lets a pool go on until the blocks before the next one fill half of its share of the object store. Rows of text
are kilobytes, so that would be the whole of many runs: evolved, not answered, and lost with the driver.
"""

from __future__ import annotations

from typing import Any

from ray.data._internal.execution.backpressure_policy import BackpressurePolicy
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.operators.map_operator import MapOperator


class ShortQueues(BackpressurePolicy):
    """A stage begins no block while as many wait before the next stage as that one has in hand.

    A stage that has none in hand holds nobody up: its actors load, or wait for machines that the stages before it may
    have taken, and free only once they are done.
    """

    def can_add_input(self, op: Any) -> bool:
        """Whether the stage `op` may begin a block."""
        return not any(self._is_full(behind, 0) for behind in op.output_dependencies)

    def _is_full(self, op: Any, waiting: int) -> bool:
        waiting += self._topology[op].total_enqueued_input_blocks()
        if isinstance(op, MapOperator):
            return waiting >= op.num_active_tasks() > 0
        # a union passes on what it gets
        return any(self._is_full(behind, waiting) for behind in op.output_dependencies)


class KeepQueuesShort(ExecutionCallback):
    """Adds the policy to an execution.

    Not by way of Ray Data's context: that travels to actors that other jobs on the cluster share, and cannot import it.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Add the policy, the execution being set up and not begun."""
        policy = ShortQueues(executor._data_context, executor._topology, executor._resource_manager)
        executor._backpressure_policies.append(policy)
