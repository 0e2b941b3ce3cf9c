"""All settings of a process: what is declared, how each text is read, and what of it may be shown."""

from schemas.settings.settings import DECLARED, SettingError, Settings, embedded_valkey_url, load, providers_named_in

__all__ = ["DECLARED", "SettingError", "Settings", "embedded_valkey_url", "load", "providers_named_in"]
