"""All settings of a process: their declarations, their parsing, and how they are displayed without secrets."""

from schemas.settings.settings import DECLARED, SettingError, Settings, embedded_valkey_url, load, providers_named_in

__all__ = ["DECLARED", "SettingError", "Settings", "embedded_valkey_url", "load", "providers_named_in"]
