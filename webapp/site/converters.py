"""Parts of addresses."""


class RowConverter:
    """The number of a row, as a database may give it: what no row can have is no address."""

    regex = "[1-9][0-9]{0,17}"  # below 2^63, which SQLite and PostgreSQL cannot compare

    def to_python(self, value: str) -> int:
        """The number."""
        return int(value)

    def to_url(self, value: int) -> str:
        """Its digits."""
        return str(value)
