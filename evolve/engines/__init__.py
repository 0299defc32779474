"""The engines that complete prompts, each behind the protocol of `evolve.engine`."""
