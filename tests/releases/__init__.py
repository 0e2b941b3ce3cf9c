"""Deployments of earlier releases, as data: what each left behind at the moment it was stopped, to be upgraded by a test."""
