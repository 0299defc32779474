"""What runs inside Ray: row actors, pools, the plan as a source, the sink, backpressure, the monitor."""
