"""Measurements that anyone can repeat: python -m benchmarks.NAME; results in RESULTS.md."""
