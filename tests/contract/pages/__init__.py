"""Reads the pages (*.md), runs their commands and looks up the names in them."""
