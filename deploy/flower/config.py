"""Flower's configuration file: `celery -A workers.app flower --conf=<this file>`, with all of Flower's own options.

Operators keep Flower's own command, which `celery --help` lists and Flower's manual describes. Workers never load this code.
"""

import os

import click
from tornado.options import options

from deploy.flower.access import guard_access
from deploy.flower.extension import extend
from schemas.settings import load

settings = load(os.environ)
guard_access(options, settings)
extend(click.get_current_context().obj.app, options, settings)
