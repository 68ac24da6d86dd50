"""Builders, strategies, contracts and fakes that the tests share."""
