"""Shared by all tests; its place here also lets them import the helpers beside it, such as `tiny_data`."""
