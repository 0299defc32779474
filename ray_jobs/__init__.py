"""The service: plans a run, streams rows through pools of engines on Ray and commits what comes out."""
