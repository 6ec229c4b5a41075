"""Our own forward passes of architectures that are read often."""
