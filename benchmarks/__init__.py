"""What `python -m benchmarks.matching` and `python -m benchmarks.startup` measure; see docs/performance.md."""
