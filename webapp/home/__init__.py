"""The pages that see everything: home, the loop, and the addresses of all apps."""
