"""Tests of perm: one file a module."""
