"""Programs are killed and frozen here. Run as a program, a module of this package has a ground of its own."""

from tests import ground

ground.stand()
