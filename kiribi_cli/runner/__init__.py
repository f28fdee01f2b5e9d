"""The only code that starts processes. It knows no store and no configuration, and decides nothing about retries."""
