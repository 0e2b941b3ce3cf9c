"""All settings of a process: their declarations, how each text is parsed, and what of it may be shown."""

from schemas.settings.settings import DECLARED, SettingError, Settings, embedded_valkey_url, load, providers_named_in

__all__ = ["DECLARED", "SettingError", "Settings", "embedded_valkey_url", "load", "providers_named_in"]
