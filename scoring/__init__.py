"""Instruction-response pairs in, IFD and IC-IFD scores out. Usable without Ray."""
