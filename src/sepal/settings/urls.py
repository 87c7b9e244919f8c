"""Addresses as URLs have them."""


def base_url(scheme: str, host: str, port: int) -> str:
    """Where a server is found, with no slash at the end; an IPv6 address stands in brackets."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
