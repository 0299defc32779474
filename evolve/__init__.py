"""Text in, text out: strategies that evolve instructions and the engines that complete their prompts."""
